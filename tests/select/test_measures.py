"""Scales and fusion: against NumPy, against the published rule of SIEVE, in blocks of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.select.tables import chosen, hard_scores, kept

from tamis.data.ids import Ids
from tamis.data.score_table import ScoreTables
from tamis.select import Expression, col, fuse, minmax, zscore
from tamis.select.check import Checker
from tamis.select.evaluate import Evaluator
from tamis.select.grammar import parse
from tamis.select.scan import Scan

N = 3000


def numbers(tables: ScoreTables, expression: Expression | str, block_rows: int = 1024) -> Any:
    """The values of a number of the language, NaN where there is none."""
    scan = Scan(tables, block_rows)
    tree = parse(str(expression))
    evaluator = Evaluator(Checker(str(tree), tables), scan)
    term = evaluator.numbers(tree, None)
    parts = [term.at(block) for block in scan.blocks()]
    return np.concatenate([
        np.where(cells.valid if cells.valid is not None else True, cells.values, np.nan)
        for cells in parts
    ])  # fmt: skip


@pytest.fixture(scope="module")
def tables() -> ScoreTables:
    random = np.random.default_rng(0)
    cap = random.normal(0.4, 0.2, N).astype(np.float32)
    clip = random.normal(0.2, 0.05, N).astype(np.float32)
    cap[:5] = clip[5:9] = np.nan  # fmt: skip
    return ScoreTables.of(
        Ids.rows(N),
        {
            "cap": cap,
            "clip": clip,
            "hard": hard_scores(N),
            "count": [None if row % 9 == 0 else row % 50 for row in range(N)],
            "same": np.full(N, 0.1),
            "none": np.full(N, np.nan),
        },
    )


def column(tables: ScoreTables, name: str) -> Any:
    return numbers(tables, col(name)).astype(np.float64)


def test_minmax(tables: ScoreTables) -> None:
    cap = column(tables, "cap")
    found = numbers(tables, "minmax(cap)")
    expected = (cap - np.nanmin(cap)) / (np.nanmax(cap) - np.nanmin(cap))
    assert np.array_equal(found, expected, equal_nan=True)
    assert (np.nanmin(found), np.nanmax(found)) == (0.0, 1.0)
    hard = column(tables, "hard")
    found = numbers(tables, "minmax(hard)")
    assert (found[hard == -np.inf] == 0).all() and (found[hard == np.inf] == 1).all()
    assert (found[hard == 0.0] == 0.5).all() and (np.isnan(found) == np.isnan(hard)).all()
    assert (numbers(tables, "minmax(same)") == 0).all()
    assert np.isnan(numbers(tables, "minmax(none)")).all()


def test_zscore(tables: ScoreTables) -> None:
    cap = column(tables, "cap")
    found = numbers(tables, "zscore(cap)")
    np.testing.assert_allclose(found, (cap - np.nanmean(cap)) / np.nanstd(cap), rtol=1e-12)
    hard = column(tables, "hard")
    finite = hard[np.isfinite(hard)]
    found = numbers(tables, "zscore(hard)")
    expected = (hard - finite.mean()) / finite.std()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (numbers(tables, "zscore(same)") == 0).all()
    assert np.isnan(numbers(tables, "zscore(none)")).all()


def test_rank_and_quantile(tables: ScoreTables) -> None:
    hard = column(tables, "hard")
    scored = hard[~np.isnan(hard)]
    found = numbers(tables, "rank(hard)")
    for value in np.unique(scored):
        places = np.flatnonzero(np.sort(scored) == value) + 1
        assert (found[hard == value] == places.mean()).all()
    assert (np.isnan(found) == np.isnan(hard)).all()
    shares = numbers(tables, "quantile(hard)")
    assert np.array_equal(shares, (found - 0.5) / len(scored), equal_nan=True)
    assert np.nansum(found) == len(scored) * (len(scored) + 1) / 2
    assert np.isnan(numbers(tables, "rank(none)")).all()


def test_no_rows_at_all() -> None:
    none = ScoreTables.of([], {"x": np.zeros(0, np.float32)})
    for scale in ("minmax", "zscore", "rank", "quantile"):
        assert kept(none, f"{scale}(x) > 0") == []


def test_arithmetic(tables: ScoreTables) -> None:
    cap, count = column(tables, "cap"), column(tables, "count")
    with np.errstate(all="ignore"):
        for text, expected in {
            "cap + 1": cap + 1,
            "-cap * 2 - 3": -cap * 2 - 3,
            "cap / count": cap / count,
            "2 - cap - cap": 2 - cap - cap,
            "1 / (count - count)": 1 / (count - count),
        }.items():
            assert np.array_equal(numbers(tables, text), expected, equal_nan=True)
    assert kept(tables, "1 < 2") == list(range(N))
    assert kept(tables, "2 < 1 + 0") == []


def test_fusion_is_the_published_one(tables: ScoreTables) -> None:
    """Min-max of each over the pool, weighted sum, keep >= element int(N f) from the top."""
    cap, clip = (column(tables, name)[9:] for name in ("cap", "clip"))
    pool = ScoreTables.of(
        Ids.rows(N - 9), {"cap_scores": cap.astype("f4"), "clip_scores": clip.astype("f4")}
    )
    scaled = [(x - x.min()) / (x.max() - x.min()) for x in (cap, clip)]
    fused = 0.5 * scaled[0] + 0.5 * scaled[1]
    for fraction in (0.2, 0.5, 0.999):
        threshold = np.sort(fused)[::-1][int(len(fused) * fraction)]
        expected = np.flatnonzero(fused >= threshold)
        tree = fuse(minmax(col("cap_scores")), minmax(col("clip_scores")), weights=[0.5, 0.5])
        found = chosen(pool, tree.top(fraction, ties="datacomp"))
        assert found.rows.tolist() == expected.tolist()
        assert len(found) == int(len(fused) * fraction) + 1
        assert found.report["terms"][0]["threshold"] == threshold


def test_a_row_without_one_of_the_scores_has_no_sum(tables: ScoreTables) -> None:
    cap, clip = column(tables, "cap"), column(tables, "clip")
    found = numbers(tables, "fuse(zscore(cap), clip, count, weights=[0.25, -2, 0.1])")
    missing = np.isnan(cap) | np.isnan(clip) | np.isnan(column(tables, "count"))
    assert (np.isnan(found) == missing).all()
    selected = chosen(tables, "top(fuse(cap, clip), 1.0)")
    assert selected.report["without_score"] == 9 and len(selected) == N - 9
    equal = numbers(tables, fuse(col("cap"), col("clip"), col("same")))
    expected = 1 / 3 * cap + 1 / 3 * clip + 1 / 3 * 0.1
    assert np.array_equal(equal, expected, equal_nan=True)


@pytest.mark.parametrize("text", [
    "fuse(minmax(cap), zscore(clip), rank(count), quantile(hard), weights=[1, 2, 3, 0.5])",
    "zscore(cap * clip - count / 3)",
])  # fmt: skip
def test_blocks_change_no_bit(tables: ScoreTables, text: str) -> None:
    whole = numbers(tables, text, 4096)
    for block_rows in (1024, 2048):
        assert numbers(tables, text, block_rows).tobytes() == whole.tobytes()


def test_scales_see_the_rows_of_the_base_only() -> None:
    pool = ScoreTables.of(
        Ids.rows(6),
        {
            "x": [0.0, 1.0, 2.0, 100.0, -100.0, None],
            "basic": [True, True, True, False, False, True],
        },
    )
    assert kept(pool, "minmax(x) >= 0.5 within basic") == [1, 2]
    assert kept(pool, "minmax(x) > 0.5") == [1, 2, 3]
    assert kept(pool, "rank(x) == 3 within basic") == [2]
    assert kept(pool, "quantile(x) > 0.5 within basic") == [2]
    assert kept(pool, zscore(col("x")).__eq__(0).within(col("basic"))) == [1]
