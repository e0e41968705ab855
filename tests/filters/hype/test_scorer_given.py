"""Terms that other methods made: found by name, joined by id, and missing for some rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.filters.hype.hype_run import column, reasons, reference, scorer, table
from tests.filters.hype.reference_pools import BAD, N_ROWS, sides, write_pool

from tamis.data.ids import Ids
from tamis.data.ids_digest import METADATA_KEY, ids_digest
from tamis.data.score_file import ScoreFiles
from tamis.errors import ChangedError, PoolError
from tamis.filters.hype.terms_given import GivenColumn, find_column, tables_beside
from tamis.score.job import run_scorer

SIZES = (31, 1, 28)
UIDS = [f"{row * 7919:032x}" for row in range(N_ROWS)]
VALUES = np.random.default_rng(5).random(N_ROWS).astype(np.float32)
SHUFFLED = np.random.default_rng(6).permutation(N_ROWS)
GOOD = np.array([row not in BAD for row in range(N_ROWS)])


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    write_pool(tmp_path / "pool", SIZES)
    return tmp_path / "pool"


def write(path: Path, columns: dict[str, Any], ids: list[str] = UIDS, digest: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = pa.table({"uid": ids, **columns})
    if digest:
        found = found.replace_schema_metadata({METADATA_KEY: ids_digest(Ids.of(ids)).encode()})
    pq.write_table(found, path)
    return path


def given(path: Path, name: str = "c") -> GivenColumn:
    return find_column(name, [ScoreFiles.open(path)], Ids.of(UIDS))


@pytest.mark.parametrize("rows_per_unit", [9, 64])
def test_the_five_terms(pool: Path, rows_per_unit: int, tmp_path: Path) -> None:
    flags = [row % 3 == 0 for row in range(N_ROWS)]
    file = write(tmp_path / "c.parquet", {"c": VALUES, "in1k": flags}, digest=True)
    points, run = sides(pool, tmp_path / "run"), tmp_path / "run"
    read = [side.read(0, N_ROWS)[0] for side in points if side is not None]
    against = reference(*(np.where(rows.any(1)[:, None], rows, np.nan) for rows in read))
    terms = {"imagenet": given(file, "in1k"), "clip": given(file)}
    made = scorer(pool, run, against, given=terms, weights={"clip": 0.5})
    run_scorer(made, run, rows_per_unit=rows_per_unit)
    names = ["image_specificity", "text_specificity", "neg_distance", "clip", "imagenet"]
    assert table(run).schema.names[2:7] == [f"hype_{name}" for name in names]
    assert np.array_equal(column(run, "clip"), VALUES)
    assert np.array_equal(column(run, "imagenet"), np.float32(flags))
    parts = {name: column(run, name).astype(np.float64) for name in names}
    total = sum(parts.values()) - 0.5 * parts["clip"]
    assert column(run, "")[GOOD] == pytest.approx(total[GOOD], abs=5e-7)


@pytest.mark.parametrize("kind", ["digest", "equal ids", "shuffled", "shuffled digest", "fewer"])
def test_however_the_rows_lie(kind: str, tmp_path: Path) -> None:
    order = np.arange(N_ROWS) if kind in ("digest", "equal ids") else SHUFFLED
    order = order[: 40 if kind == "fewer" else N_ROWS]
    ids = [UIDS[row] for row in order]
    file = write(tmp_path / "c.parquet", {"c": VALUES[order]}, ids, digest="digest" in kind)
    found = given(file)
    wanted = np.full(N_ROWS, np.nan)
    wanted[order] = VALUES[order]
    for start, stop in ((0, 7), (7, 8), (8, N_ROWS), (0, N_ROWS)):
        assert np.array_equal(found.read(start, stop), wanted[start:stop], equal_nan=True)


def test_a_row_without_a_value_has_a_reason(pool: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    values = VALUES.copy()
    values[[3, 5]] = np.nan
    file = write(tmp_path / "c.parquet", {"c": values[:58]}, UIDS[:58])
    images, texts = write_pool(tmp_path / "same", SIZES)
    made = scorer(pool, run, reference(images, texts), given={"clip": given(file)})
    summary = run_scorer(made, run)
    told = reasons(run)
    assert told[5] == told[58] == told[59] == "no value of c"
    assert told[3] == "image embedding has a NaN; no value of c"
    assert [*told] == sorted({*BAD, 5, 58, 59})
    assert summary["unscored"] == len(told)
    kept = column(run, "neg_distance")[[5, 58, 59]]
    assert np.isfinite(kept).all() and np.isnan(column(run, "")[[5, 58, 59]]).all()


def test_bools_integers_and_nulls(tmp_path: Path) -> None:
    flags: list[bool | None] = [True, False, None] * 20
    numbers = [None if row == 4 else row for row in range(N_ROWS)]
    file = write(tmp_path / "c.parquet", {"f": flags, "n": numbers, "t": ["x"] * N_ROWS})
    assert np.array_equal(given(file, "f").read(0, 3), [1, 0, np.nan], equal_nan=True)
    assert np.array_equal(given(file, "n").read(3, 6), [3, np.nan, 5], equal_nan=True)
    with pytest.raises(PoolError, match="expected numbers or bools in column 't', got string"):
        given(file, "t")


def test_infinite_values_are_not_hidden(pool: Path, tmp_path: Path) -> None:
    values = VALUES.astype(np.float64)
    values[:3] = [np.inf, -np.inf, 1e300]
    file = write(tmp_path / "c.parquet", {"c": values})
    made = scorer(
        *(pool, tmp_path / "run", reference(*write_pool(tmp_path / "same", SIZES))),
        given={"clip": given(file)},
    )
    summary = run_scorer(made, tmp_path / "run")
    assert column(tmp_path / "run", "")[:3].tolist() == [np.inf, -np.inf, np.inf]
    assert summary["infinite"] == 3 and summary["diagnostics"]["correlations"]["rows"] == 53


def test_tables_that_do_not_fit(tmp_path: Path) -> None:
    twice = write(tmp_path / "twice.parquet", {"c": VALUES}, [*UIDS[1:], UIDS[1]])
    with pytest.raises(PoolError, match="is there 2 times"):
        given(twice).read(0, 1)
    foreign = write(tmp_path / "foreign.parquet", {"c": [1.0]}, ["f" * 32])
    with pytest.raises(PoolError, match=r"none of its ids, such as 'f{32}', is one of the rows"):
        given(foreign).read(0, 1)


def test_where_a_column_is_looked_for(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run / "scores/clip/scores.parquet", {"clip": VALUES})
    write(run / "scores/hype/scores.parquet", {"hype": VALUES, "x": VALUES})
    metadata = ScoreFiles.open(write(tmp_path / "pool.parquet", {"l14": VALUES, "clip": VALUES}))
    more = write(tmp_path / "more.parquet", {"l14": VALUES, "in1k": VALUES})

    def found(asked: str, scores: list[Path], own: str = "hype") -> Path:
        tables = tables_beside(run, own, metadata, [str(path) for path in scores])
        return Path(str(find_column(asked, tables, Ids.of(UIDS)).table.path))

    assert found("l14", []) == tmp_path / "pool.parquet"
    assert found("in1k", [more]) == more
    assert found("clip.clip", [more]) == run / "scores/clip/scores.parquet"
    assert found("x", [], own="other") == run / "scores/hype/scores.parquet"
    assert found("l14", [tmp_path / "pool.parquet"]) == tmp_path / "pool.parquet"
    with pytest.raises(PoolError, match=r"several tables have a column 'clip': .*clip\.clip \("):
        found("clip", [])
    with pytest.raises(PoolError, match=r"several .*: name one of pool\.l14 .*, more\.l14"):
        found("l14", [more])
    with pytest.raises(PoolError, match="expected a column 'x' in a score table of the run"):
        found("x", [])  # its own table, of an earlier run, is not asked


def test_a_changed_table_is_noticed(pool: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    against = reference(*write_pool(tmp_path / "same", SIZES))
    file = write(tmp_path / "c.parquet", {"c": VALUES})
    run_scorer(scorer(pool, run, against, given={"clip": given(file)}), run)
    run_scorer(scorer(pool, run, against, given={"clip": given(file)}), run)
    write(file, {"c": VALUES[::-1].copy()})
    with pytest.raises(ChangedError, match=r"clip/c\.parquet"):
        run_scorer(scorer(pool, run, against, given={"clip": given(file)}), run)
