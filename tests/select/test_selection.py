"""What a selection leaves on disk: the subset, the report beside it, the metadata."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.cli.command import environment
from tests.select.tables import uids

from tamis.data.ids import Ids
from tamis.data.score_table import ScoreTables
from tamis.data.subset import read_subset, write_subset
from tamis.errors import PoolError, RunError
from tamis.run import atomic
from tamis.run.pool_link import remember_pool
from tamis.select import col, select

N = 3000


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_fsync", lambda descriptor: None)


@pytest.fixture
def tables() -> ScoreTables:
    values = np.arange(N, dtype=np.float32) % 97
    return ScoreTables.of(uids(N), {"x": values, "q": values > 50})


def test_the_subset_and_its_report(tables: ScoreTables, tmp_path: Path) -> None:
    out = tmp_path / "subset.npy"
    selected = select(tables, "top(x, 0.1) & q", out=out)
    subset = np.load(out)
    assert subset.dtype == np.dtype("u8,u8") and (np.sort(subset) == subset).all()
    assert sorted(read_subset(out)) == sorted(selected.ids)
    report = json.loads((tmp_path / "subset.npy.json").read_text())
    assert report == selected.report
    assert report["subset"] == {
        "file": "subset.npy",
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "different_ids": 300,
    }
    assert report["expression"] == "top(x, 0.1) & q"
    assert (report["rows"], report["kept"], report["kept_rows"]) == (N, 300, 300)
    assert report["overlap"] == [[300, 300], [300, int((np.arange(N) % 97 > 50).sum())]]
    assert [term["kept"] for term in report["terms"]] == [300, 300]
    assert {path.name for path in tmp_path.iterdir()} == {"subset.npy", "subset.npy.json"}
    again = select(tables, col("x").top(0.1) & col("q"), out=tmp_path / "again.npy")
    assert (tmp_path / "again.npy").read_bytes() == out.read_bytes()
    assert again.report["terms"] == report["terms"]


def test_nothing_kept_is_a_subset_too(tables: ScoreTables, tmp_path: Path) -> None:
    for name in ("none.npy", "none.parquet"):
        selected = select(tables, "x > 1000", out=tmp_path / name)
        assert len(selected) == 0 and selected.rows.tolist() == [] and len(selected.ids) == 0
        assert len(read_subset(tmp_path / name)) == 0
    assert np.load(tmp_path / "none.npy").dtype == np.dtype("u8,u8")


def test_repeats_are_written(tables: ScoreTables, tmp_path: Path) -> None:
    first = tables.ids.read(0, 3).to_list()
    write_subset(tmp_path / "bag.npy", [first[0]] * 3 + first[1:])
    selected = select(tables, f'uids("{tmp_path / "bag.npy"}") & x < 2', out=tmp_path / "out.npy")
    assert selected.rows.tolist() == [0, 0, 0, 1]
    assert sorted(read_subset(tmp_path / "out.npy")) == sorted([first[0]] * 3 + [first[1]])


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_little_memory_gives_the_same_bytes(tmp_path: Path, memory_bytes: int) -> None:
    ids = uids(N)
    tables = ScoreTables.of(ids, {"x": np.arange(N)}, memory_bytes=memory_bytes)
    write_subset(tmp_path / "twice.npy", ids.take(np.repeat(np.arange(0, N, 2), 2)))
    out = tmp_path / "subset.npy"
    select(tables, f'uids("{tmp_path / "twice.npy"}") & x < 2500', out=out, block_rows=1024)
    write_subset(tmp_path / "expected.npy", ids.take(np.repeat(np.arange(0, 2500, 2), 2)))
    assert out.read_bytes() == (tmp_path / "expected.npy").read_bytes()
    select(tables, "x < 0", out=out)
    assert len(np.load(out)) == 0


def test_what_cannot_be_written(tables: ScoreTables, tmp_path: Path) -> None:
    for name, error, told in (
        ("subset.txt", PoolError, "ends in .npy or .parquet"),
        ("absent/subset.npy", RunError, "cannot write"),
    ):
        with pytest.raises(error, match=told):
            select(tables, "q", out=tmp_path / name)
    texts = ScoreTables.of(list("abc"), {"q": [True, False, True]})
    with pytest.raises(PoolError, match=r"these are string ids; name the subset \.parquet"):
        select(texts, "q", out=tmp_path / "subset.npy")
    assert list(tmp_path.iterdir()) == []
    select(texts, "q", out=tmp_path / "subset.parquet")
    assert read_subset(tmp_path / "subset.parquet").to_list() == ["a", "c"]


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_a_full_disk_leaves_the_old_subset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_bytes: int
) -> None:
    tables = ScoreTables.of(uids(N), {"x": np.arange(N)}, memory_bytes=memory_bytes)
    out = tmp_path / "subset.npy"
    select(tables, "x < 10", out=out)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_write", full)
    with pytest.raises(RunError, match="the disk is full"):
        select(tables, "x < 2000", out=out)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


KILLED = """
import os, sys
import numpy as np
from tests.select.tables import uids
from tamis.data.score_table import ScoreTables
from tamis.run import atomic
from tamis.select import select

left = int(sys.argv[2])
def write(descriptor, data, write=os.write):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    return write(descriptor, data[: max(1, len(data) // 2)])
atomic._write = write
tables = ScoreTables.of(uids(3000), {"x": np.arange(3000)}, memory_bytes=int(sys.argv[3]))
select(tables, "x < 2000", out=sys.argv[1])
"""


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
@pytest.mark.parametrize("writes", [0, 3, 12])
def test_a_killed_selection_leaves_whole_files(
    tmp_path: Path, writes: int, memory_bytes: int
) -> None:
    out = tmp_path / "subset.npy"
    root = Path(__file__).parents[2]
    env = environment()
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(root)])
    arguments = [sys.executable, "-c", KILLED, str(out), str(writes), str(memory_bytes)]
    done = subprocess.run(arguments, env=env, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists() or len(np.load(out)) == 2000
    names = {path.name for path in tmp_path.iterdir()}
    assert all(name.endswith(atomic.TEMPORARY_SUFFIX) for name in names - {out.name})
    tables = ScoreTables.of(uids(N), {"x": np.arange(N)})
    select(tables, "x < 2000", out=out)
    assert len(np.load(out)) == 2000 and (tmp_path / "subset.npy.json").exists()


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """DataComp-like metadata in two files and a folder, with columns of every kind."""
    ids = uids(N)
    for name, start, stop in (("b", 0, 1000), ("a", 1000, 2900), ("part/c", 2900, N)):
        rows = np.arange(start, stop)
        table = pa.table(
            {
                "uid": ids.slice(start, stop).to_arrow().cast(pa.string()),
                "url": [f"https://example.org/{row}" for row in rows],
                "text": [None if row % 50 == 0 else f"caption\n{row} é" for row in rows],
                "original_width": rows,
                "clip": (rows % 97).astype(np.float32),
                "face_bboxes": [[[0.1, 0.2]] * (row % 3) for row in rows],
                "when": pa.array(rows, pa.timestamp("ms")),
            }
        ).replace_schema_metadata({"made": "here"})
        path = tmp_path / f"pool/metadata/{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=300)
    return tmp_path / "pool"


def test_the_metadata_of_the_kept_rows(pool: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept"
    selected = select(pool, "top(clip, 0.2) & original_width < 2900", export_metadata=target)
    n_rows = 0
    for name in ("metadata/a.parquet", "metadata/b.parquet", "metadata/part/c.parquet"):
        before, after = pq.read_table(pool / name), pq.read_table(target / name)
        assert after.schema.equals(before.schema, check_metadata=True)
        numbers = after["original_width"].to_pylist()
        assert numbers == sorted(numbers)
        first = before["original_width"][0].as_py()
        assert after.equals(before.take(pa.array([number - first for number in numbers], "i8")))
        n_rows += len(after)
    assert n_rows == len(selected)
    assert selected.report["metadata"] == {"path": str(target), "rows": n_rows, "files": 3}
    assert pq.read_metadata(target / "metadata/part/c.parquet").num_rows == 0
    # The export is what another selection can read.
    assert len(select(target, "all()")) == n_rows
    # Again, over itself: the same files.
    select(pool, "top(clip, 0.2) & original_width < 2900", export_metadata=target)
    assert len(select(target, "all()")) == n_rows


def test_a_row_kept_twice_is_exported_once(pool: Path, tmp_path: Path) -> None:
    ids = uids(N).to_list()
    write_subset(tmp_path / "bag.npy", ids[:5] * 3)
    target = tmp_path / "kept"
    selected = select(pool, f'uids("{tmp_path / "bag.npy"}")', export_metadata=target)
    assert len(selected) == 15 and selected.report["metadata"]["rows"] == 5


def test_metadata_of_a_runs_pool(pool: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    remember_pool(run, pool)
    (run / "scores").mkdir()
    path = run / "scores/x.parquet"
    pq.write_table(pa.table({"uid": uids(N).to_arrow(), "x": np.arange(N)}), path)
    selected = select(run, "x < 7", export_metadata=tmp_path / "kept")
    assert selected.report["metadata"]["rows"] == 7
    (run / "pool.json").unlink()
    with pytest.raises(PoolError, match="does not know its pool; name the metadata"):
        select(run, "x < 7", export_metadata=tmp_path / "other")
    named = select(run, "x < 7", export_metadata=tmp_path / "other", metadata=pool)
    assert named.report["metadata"]["rows"] == 7


def test_a_pool_elsewhere(pool: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.put(str(pool), "/far/pool", recursive=True)
    try:
        far = select("memory://far/pool", "clip > 90", export_metadata=tmp_path / "far")
        remember_pool(tmp_path / "run", "memory://far/pool")
        beside = select(
            tmp_path / "run",
            "clip > 90",
            scores=["memory://far/pool/metadata"],
            export_metadata=tmp_path / "again",
        )
    finally:
        memory.rm("/far", recursive=True)
    near = select(pool, "clip > 90", export_metadata=tmp_path / "near")
    assert far.rows.tolist() == beside.rows.tolist() == near.rows.tolist()
    for name in ("a", "b", "part/c"):
        written = [
            tmp_path / f"{place}/metadata/{name}.parquet" for place in ("far", "near", "again")
        ]
        assert len({path.read_bytes() for path in written}) == 1


def test_exports_that_are_refused(pool: Path, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="holds the metadata itself"):
        select(pool, "clip > 1", export_metadata=pool)
    (tmp_path / "kept").mkdir()
    pq.write_table(pa.table({"uid": ["a"]}), tmp_path / "kept/other.parquet")
    with pytest.raises(PoolError, match=r"holds other files, such as .*other\.parquet; choose"):
        select(pool, "clip > 1", export_metadata=tmp_path / "kept")
    part = pool / "metadata/a.parquet"
    with pytest.raises(PoolError, match=r"1,\d+ of the 3,000 kept ids are not there, such as '"):
        select(
            pool, "all()", export_metadata=tmp_path / "part", metadata=part, out=tmp_path / "s.npy"
        )
    assert not (tmp_path / "s.npy").exists()
    with pytest.raises(PoolError, match="these tables are in memory"):
        select(
            ScoreTables.of(Ids.rows(2), {"q": [True, False]}), "q", export_metadata=tmp_path / "m"
        )


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_two_rows_of_one_id(tmp_path: Path, memory_bytes: int) -> None:
    ids = ["0" * 32] * 3 + ["1" * 32]
    tables = ScoreTables.of(ids, {"x": [1, 1, 1, 1]}, memory_bytes=memory_bytes)
    selected = select(tables, "top(x, 2)", out=tmp_path / "subset.npy")
    assert selected.rows.tolist() == [0, 1]
    assert read_subset(tmp_path / "subset.npy").to_list() == ["0" * 32] * 2
    assert selected.report["subset"]["different_ids"] == 1
    report = select(tables, "all()", out=tmp_path / "subset.parquet").report
    assert (report["kept"], report["subset"]["different_ids"]) == (4, 2)
