"""A score step: the table, resuming, parts, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.cli.command import environment
from tests.run.snapshot import snapshot
from tests.score.toy import FirstElement, write_pool

from tamis.data.ids_digest import ids_digest
from tamis.errors import BadRowsError, ChangedError, LockedError, RunError
from tamis.run.pool_link import pool_of
from tamis.score import job, table
from tamis.score.job import run_scorer
from tamis.score.scorer import Scores, Tables

SCRIPT = """
import sys, time
from pathlib import Path
from tests.score.toy import FirstElement
from tamis.run import atomic
from tamis.score.job import run_scorer
atomic._fsync = lambda descriptor: time.sleep(0.01)
print("ready", flush=True)
run_scorer(FirstElement(Path(sys.argv[1])), sys.argv[2], rows_per_unit=3)
"""


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    write_pool(tmp_path / "pool")
    return tmp_path / "pool"


def test_the_table_has_every_row_in_order(pool: Path, tmp_path: Path) -> None:
    rows = np.concatenate([np.load(pool / "part0.npy"), np.load(pool / "part2.npy")])
    scorer = FirstElement(pool)
    summary = run_scorer(scorer, tmp_path / "run", pool=pool, rows_per_unit=16)
    found = pq.read_table(tmp_path / "run/scores/first/scores.parquet")
    assert found.schema.names == [
        *["uid", "first", "first_positive", "first_tenths", "first_text", "reason"]
    ]
    assert found.column("uid").to_pylist() == scorer.ids().to_list()
    assert found.schema.metadata[b"tamis.ids"].decode() == ids_digest(scorer.ids())

    bad = np.isnan(rows[:, 0]) | (rows[:, 0] > 1.5)
    assert 2 < bad.sum() < 12
    score = found.column("first").to_numpy()
    assert found.schema.field("first").type == pa.float32()
    assert np.array_equal(np.isnan(score), bad)
    assert np.array_equal(score[~bad], rows[~bad, 0])
    reasons = found.column("reason").to_pylist()
    assert [reason is not None for reason in reasons] == bad.tolist()
    assert reasons[5] == table.NOT_A_NUMBER
    assert found.column("first_text")[0].as_py() == f"{rows[0, 0]:.1f}"

    assert summary["rows_in"] == 83 and summary["unscored"] == bad.sum()
    assert summary["scored"] == 83 - bad.sum()
    assert summary["reasons"] == {table.NOT_A_NUMBER: 1, "too large": int(bad.sum()) - 1}
    kept = np.sort(rows[~bad, 0])
    assert (summary["min"], summary["max"]) == (kept[0], kept[-1])
    assert summary["mean"] == math.fsum(kept.tolist()) / len(kept)
    assert summary["quantiles"]["0.5"] == kept[math.floor(0.5 * (len(kept) - 1))]
    written = json.loads((tmp_path / "run/scores/first/summary.json").read_text())
    assert written == summary
    assert pool_of(tmp_path / "run") == str(pool)


def test_the_table_does_not_depend_on_the_units(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "UNITS", replace(table.UNITS, group_rows=20))
    for rows_per_unit in (1, 7, 1000):
        run_scorer(FirstElement(pool), tmp_path / str(rows_per_unit), rows_per_unit=rows_per_unit)
    one, seven, all_rows = (
        (tmp_path / name / "scores/first/scores.parquet").read_bytes()
        for name in ("1", "7", "1000")
    )
    assert one == seven == all_rows
    file = pq.ParquetFile(tmp_path / "7/scores/first/scores.parquet")
    groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    file.close()
    assert groups == [20, 20, 20, 20, 3]


def test_parts_have_the_bytes_of_one_process(pool: Path, tmp_path: Path) -> None:
    run_scorer(FirstElement(pool), tmp_path / "one", rows_per_unit=10)
    rows_in = 0
    for i in (2, 3, 1):
        scorer = FirstElement(pool)
        summary = run_scorer(scorer, tmp_path / "parts", part=(i, 3), rows_per_unit=10)
        assert summary["part"] == [i, 3]
        assert len(scorer.scored) == 3
        rows_in += summary["rows_in"]
    assert rows_in == 83
    assert not (tmp_path / "parts/scores/first/scores.parquet").exists()
    last = FirstElement(pool)
    run_scorer(last, tmp_path / "parts", rows_per_unit=999)  # the units stay as they are
    assert last.scored == []
    assert snapshot(tmp_path / "parts") == snapshot(tmp_path / "one")


def test_the_join_does_what_parts_left(pool: Path, tmp_path: Path) -> None:
    run_scorer(FirstElement(pool), tmp_path / "one", rows_per_unit=10)
    run_scorer(FirstElement(pool), tmp_path / "parts", part=(2, 2), rows_per_unit=10)
    last = FirstElement(pool)
    run_scorer(last, tmp_path / "parts")
    assert len(last.scored) == 5
    assert snapshot(tmp_path / "parts") == snapshot(tmp_path / "one")
    again = FirstElement(pool)
    before = snapshot(tmp_path / "one")
    run_scorer(again, tmp_path / "one")
    assert again.scored == [] and snapshot(tmp_path / "one") == before


def test_more_parts_than_units(pool: Path, tmp_path: Path) -> None:
    summary = run_scorer(FirstElement(pool), tmp_path / "run", part=(3, 3))
    assert (summary["rows_in"], summary["mean"], summary["quantiles"]["0.5"]) == (0, None, None)


def test_a_killed_step_ends_with_the_same_bytes(pool: Path, tmp_path: Path) -> None:
    run_scorer(FirstElement(pool), tmp_path / "unbroken", rows_per_unit=3)
    out, step = tmp_path / "run", tmp_path / "run/scores/first"
    stopped_after = []
    for wanted in (1, 4, 11, 20):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, pool, out],
            stdout=subprocess.PIPE,
            text=True,
            env=environment() | {"PYTHONPATH": f"{environment()['PYTHONPATH']}:{_root()}"},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        while len(list(step.glob("units/*.parquet"))) < wanted:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        stopped_after.append(len(list(step.glob("units/*.parquet"))))
    assert stopped_after[-1] < 28
    last = FirstElement(pool)
    run_scorer(last, out, rows_per_unit=3)
    assert 0 < len(last.scored) <= 28 - stopped_after[-1] + 1
    assert snapshot(out) == snapshot(tmp_path / "unbroken")


def _root() -> Path:
    return Path(__file__).parents[2]


def test_too_many_rows_without_a_score(pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(BadRowsError, match=r"of 83 rows have no score \(score is not a number: 1"):
        run_scorer(FirstElement(pool), out, max_bad_fraction=0.01)
    assert not (out / "scores/first/scores.parquet").exists()
    run_scorer(FirstElement(pool), out)
    run_scorer(FirstElement(pool), tmp_path / "other")
    assert snapshot(out) == snapshot(tmp_path / "other")


class Diagnosed(FirstElement):
    """Says what its scores depend on, and sums a column."""

    def depends(self) -> dict[str, Any]:
        return {"seen": [1, None]}

    def diagnose(self, tables: Tables) -> dict[str, Any]:
        parts = [table.column("first_tenths").to_numpy() for table in tables(["first_tenths"])]
        return {"groups": [len(part) for part in parts], "sum": int(np.concatenate(parts).sum())}


def test_a_scorer_says_more_of_the_joined_scores(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "UNITS", replace(table.UNITS, group_rows=40))
    found = run_scorer(Diagnosed(pool), tmp_path / "run", rows_per_unit=7)
    file = tmp_path / "run/scores/first/scores.parquet"
    tenths = pq.read_table(file).column("first_tenths").to_numpy()
    assert found["diagnostics"] == {"groups": [40, 40, 3], "sum": int(tenths.sum())}
    written = json.loads((file.parent / "summary.json").read_text())
    assert written == found
    assert pq.read_schema(file).metadata[b"tamis.depends"] == b'{"seen": [1, null]}'
    assert "diagnostics" not in run_scorer(Diagnosed(pool), tmp_path / "parts", part=(1, 2))
    run_scorer(Diagnosed(pool), tmp_path / "other", rows_per_unit=83)
    assert json.loads((tmp_path / "other/scores/first/summary.json").read_text()) == written


def test_a_scorer_that_says_no_more_leaves_no_trace(pool: Path, tmp_path: Path) -> None:
    assert "diagnostics" not in run_scorer(FirstElement(pool), tmp_path / "run")
    schema = pq.read_schema(tmp_path / "run/scores/first/scores.parquet")
    assert [*schema.metadata] == [b"tamis.ids"]


def test_what_changes_a_score_is_noticed(pool: Path, tmp_path: Path) -> None:
    run_scorer(FirstElement(pool), tmp_path / "run")
    with pytest.raises(ChangedError, match=r"limit: 1.5 -> 2.0"):
        run_scorer(FirstElement(pool, limit=2.0), tmp_path / "run")
    write_pool(tmp_path / "grown")
    run_scorer(FirstElement(tmp_path / "grown"), tmp_path / "first")
    shutil.rmtree(tmp_path / "grown")
    write_pool(tmp_path / "grown", (50, 0, 34))
    with pytest.raises(ChangedError, match=r"recipe \(ids: .*and another input \(.*part2\.npy"):
        run_scorer(FirstElement(tmp_path / "grown"), tmp_path / "first")
    np.save(pool / "part2.npy", np.zeros((33, 3), np.float32))
    with pytest.raises(ChangedError, match=r"part2\.npy: same size, other content"):
        run_scorer(FirstElement(pool), tmp_path / "run")
    run_scorer(FirstElement(pool), tmp_path / "new", pool=pool)
    with pytest.raises(ChangedError, match="is about the pool"):
        run_scorer(FirstElement(pool), tmp_path / "new", pool=tmp_path)


def test_one_process_per_step(pool: Path, tmp_path: Path) -> None:
    class Nested(FirstElement):
        def score(self, unit):
            with pytest.raises(LockedError):
                run_scorer(FirstElement(pool), tmp_path / "run")
            return super().score(unit)

    run_scorer(Nested(pool), tmp_path / "run")


def test_a_unit_that_was_damaged_is_told(pool: Path, tmp_path: Path) -> None:
    step = tmp_path / "run/scores/first"
    run_scorer(FirstElement(pool), tmp_path / "run", part=(1, 1), rows_per_unit=20)
    unit = step / "units/00000-00001.parquet"
    unit.write_bytes(unit.read_bytes()[:-4] + b"PAR0")
    with pytest.raises(RunError, match=r"cannot read .*00000-00001\.parquet"):
        run_scorer(FirstElement(pool), tmp_path / "run")
    unit.unlink()
    last = FirstElement(pool)
    run_scorer(last, tmp_path / "run")
    assert last.scored == ["00000-00001"]


def test_prepare_runs_before_and_can_put_off_a_part(pool: Path, tmp_path: Path) -> None:
    class Prepared(FirstElement):
        def prepare(self, run, part, progress):
            self.saw = part
            if not run.done("prepare", "all"):
                run.commit("prepare", "all", {"prepare/all.json": {"seen": True}})
            return part is None

        def score(self, unit):
            assert self.saw is None
            return super().score(unit)

    part = Prepared(pool)
    assert run_scorer(part, tmp_path / "run", part=(1, 2))["rows_in"] == 0
    assert part.saw == (1, 2) and part.scored == []
    run_scorer(Prepared(pool), tmp_path / "run")
    run_scorer(Prepared(pool), tmp_path / "one")
    assert snapshot(tmp_path / "run") == snapshot(tmp_path / "one")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"first": np.zeros(3, np.float64)}, "expected 3 values of float, got 3 of double"),
        ({"first": np.zeros(2, np.float32)}, "expected 3 values of float, got 2 of float"),
        ({}, "expected the columns first, got "),
    ],
)
def test_scores_that_do_not_fit(columns: dict[str, np.ndarray], told: str) -> None:
    from tamis.data.ids import Ids

    schema = pa.schema([("first", pa.float32())])
    with pytest.raises(ValueError, match=told):
        table.unit_table(Ids.rows(3), schema, Scores(columns))


@pytest.mark.parametrize(
    ("name", "columns", "told"),
    [
        ("a b", {"a b": pa.float32()}, "letters, digits and underscores"),
        ("../up", {"../up": pa.float32()}, "letters, digits and underscores"),
        ("uid", {"uid": pa.float32()}, "another column"),
        ("reason", {"reason": pa.float32()}, "another column"),
        ("a", {"b": pa.float32()}, "expected the columns a and a_something, got b"),
        ("a", {"a": pa.float32(), "b": pa.float32()}, "got a, b"),
        ("a", {"a": pa.float64()}, "cannot be of type double"),
        ("a", {"a": pa.string()}, "cannot be of type string"),
        ("a", {"a": pa.bool_(), "a_b": pa.float64()}, "cannot be of type double"),
    ],
)
def test_columns_that_cannot_be(name: str, columns: dict[str, pa.DataType], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        table.check_columns(name, pa.schema(list(columns.items())))


def test_a_true_or_false_score() -> None:
    from tamis.data.ids import Ids

    schema = pa.schema([("kept", pa.bool_())])
    scores = Scores({"kept": pa.array([True, False, None, True])}, {3: "no text"})
    found = table.unit_table(Ids.rows(4), schema, scores)
    assert found.column("kept").to_pylist() == [True, False, None, None]
    assert found.column("reason").to_pylist() == [None, None, table.NOT_A_NUMBER, "no text"]
    from tamis.score.spread import spread

    summary = spread(lambda: iter([found.select(["kept", "reason"])]))
    assert (summary["scored"], summary["mean"], summary["max"]) == (2, 0.5, 1.0)


def test_a_step_lies_in_scores() -> None:
    assert job.step_folder("run", "clip") == Path("run/scores/clip")
