"""NormSim against its definition, and what must not change it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data.pools import unit_rows
from tests.filters.score_pools import column, float64, reasons
from tests.run.snapshot import snapshot

from tamis import assign
from tamis.data.pool import open_pool
from tamis.errors import PoolError
from tamis.filters import normsim
from tamis.filters.normsim import Gram, NormSim, on_grid, quadratic_norm
from tamis.kernels.canonical import canonical
from tamis.score.job import run_scorer


@pytest.fixture
def files(tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows, two of them bad, and a target in two files."""
    rows, target = unit_rows(70, 12, "f4"), unit_rows(90, 12, "f4", seed=4)
    rows[3], rows[60, 1] = 0, np.inf
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "target").mkdir()
    np.save(tmp_path / "target/0.npy", target[:31])
    np.save(tmp_path / "target/1.npy", target[31:])
    return rows, target


@pytest.mark.parametrize("p", ["2", "inf"])
def test_every_row_is_the_definition(
    p: str, files: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normsim, "_READ_ROWS", 20)
    rows, target = files
    scorer = NormSim(open_pool(tmp_path / "rows.npy"), open_pool(tmp_path / "target"), p=p)
    run_scorer(scorer, tmp_path / "run", rows_per_unit=16)
    found = column(tmp_path / "run", f"normsim_{p}")
    bad = np.isin(np.arange(70), (3, 60))
    assert np.array_equal(np.isnan(found), bad)
    assert reasons(tmp_path / "run", f"normsim_{p}") == {
        3: "row embedding is zero",
        60: "row embedding has an infinite value",
    }
    products = float64(rows)[~bad] @ float64(target).T  # exact
    if p == "inf":
        assert np.array_equal(found[~bad], products.max(axis=1).astype(np.float32))
        scores = assign(rows[~bad], float64(target))[1]
        assert np.array_equal(found[~bad], scores)
    else:
        wanted = np.sqrt(np.square(products).sum(axis=1))
        assert found[~bad] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("p", ["2", "inf"])
def test_parts_have_the_bytes_of_one_process(
    p: str, files: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    def scorer() -> NormSim:
        return NormSim(open_pool(tmp_path / "rows.npy"), open_pool(tmp_path / "target"), p=p)

    run_scorer(scorer(), tmp_path / "one", rows_per_unit=16)
    for i in (1, 2):
        run_scorer(scorer(), tmp_path / "parts", part=(i, 2), rows_per_unit=16)
    run_scorer(scorer(), tmp_path / "parts")
    assert snapshot(tmp_path / "parts") == snapshot(tmp_path / "one")


def hard_rows(n_rows: int, dim: int) -> np.ndarray:
    """Most of every row in one element, some elements tiny: sums that blocks must be cut for."""
    rows = unit_rows(n_rows, dim, "f4")
    rows[:, 0] = 4
    rows[:, 1:3] *= 1e-4
    return canonical(rows)[0]


def test_the_gram_matrix_is_the_same_in_any_cut() -> None:
    rows = hard_rows(2500, 9)
    whole, pieces = Gram(9), Gram(9)
    whole.add(rows)
    for start in range(0, 2500, 1024):
        pieces.add(rows[start : start + 1024])
    assert np.array_equal(whole.total, pieces.total)
    # Exact up to a few additions of blocks: Python integers know the sum.
    integers = (rows.astype(np.float64) * 2**24).astype(np.int64).astype(object)
    exact = integers.T @ integers
    wanted = np.array([[float(value) / 2**48 for value in row] for row in exact])
    assert np.abs(whole.total - wanted).max() <= 2**-53 * 2500 * 80
    largest = np.square(rows[:128].astype(np.float64)).sum(axis=0).max()
    assert largest > normsim._EXACT_ENERGY


def test_products_with_the_grid_are_exact() -> None:
    rows, gram = hard_rows(300, 64), Gram(64)
    gram.add(hard_rows(4000, 64))
    grid = on_grid(gram.total)
    wide = rows.astype(np.float64)
    order = np.random.default_rng(0).permutation(64)
    assert np.array_equal(wide @ grid, wide[:, order] @ grid[order])
    assert not np.array_equal(wide @ gram.total, wide[:, order] @ gram.total[order])
    largest = np.linalg.norm(gram.total, axis=1).max()
    assert np.abs(grid - gram.total).max() <= 2**-28 * largest
    wanted = np.sqrt(np.einsum("ij,jk,ik->i", wide, gram.total, wide))
    assert quadratic_norm(rows, grid) == pytest.approx(wanted, rel=1e-6)


def test_a_row_that_no_target_is_like() -> None:
    gram = Gram(4)
    gram.add(np.eye(4, dtype=np.float16)[:2])
    found = quadratic_norm(np.eye(4, dtype=np.float16), on_grid(gram.total))
    assert found.tolist() == [1, 1, 0, 0]


def test_what_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", unit_rows(5, 8))
    np.save(tmp_path / "wide.npy", unit_rows(5, 9))
    target = unit_rows(5, 8)
    target[3] = 0
    np.save(tmp_path / "zero.npy", target)
    rows, wide, zero = (open_pool(tmp_path / f"{name}.npy") for name in ("rows", "wide", "zero"))
    with pytest.raises(PoolError, match=r"wide\.npy has 9 dimensions, the rows of .* have 8"):
        NormSim(rows, wide)
    with pytest.raises(ValueError, match="expected p of 2 or inf, got 3"):
        NormSim(rows, rows, p="3")
    for p in ("2", "inf"):
        with pytest.raises(PoolError, match=r"zero\.npy row 3: target embedding is zero"):
            run_scorer(NormSim(rows, zero, p=p), tmp_path / f"run{p}")
