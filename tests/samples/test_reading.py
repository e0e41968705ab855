"""Reading parts of files: the right rows, no file read more often than needed, little memory."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.samples.layouts import COMPRESSIONS

from tamis.data.samples import line_file, table_rows
from tamis.data.samples.line_file import LineFile
from tamis.data.samples.table_rows import TableRows

LINES = [f"line {i} {'x' * (i % 37)}\n".encode() for i in range(1500)]


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_lines_in_any_order(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(COMPRESSIONS[ending](b"".join(LINES)))
    lines = LineFile.open(path, cap=1000)
    assert lines.n_lines == 1500
    random = np.random.default_rng(0)
    spans = [sorted(random.integers(0, 1501, 2).tolist()) for _ in range(20)]
    for start, stop in [(0, 1500), (1499, 1500), (255, 257), (256, 256), *spans, (0, 1)]:
        assert lines.read(start, stop) == LINES[start:stop]
    lines.close()


def test_plain_lines_are_found_by_offset(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"".join(LINES))
    lines = LineFile.open(path, cap=1000)
    start = len(b"".join(LINES[:1024]))
    with path.open("r+b") as file:
        file.write(b"z" * (start - 1))  # no line ends here any more
    assert lines.read(1024, 1100) == LINES[1024:1100]
    assert lines.read(1300, 1301) == LINES[1300:1301]


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_reading_on_opens_the_lines_once(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(COMPRESSIONS[ending](b"".join(LINES)))
    lines = LineFile.open(path, cap=1000)
    opened = []
    real = line_file._Lines
    monkeypatch.setattr(
        line_file, "_Lines", lambda path, cap: opened.append(path) or real(path, cap)
    )
    for start in range(0, 1500, 10):
        assert lines.read(start, start + 10) == LINES[start : start + 10]
    assert len(opened) == 1


@pytest.mark.parametrize("length", [99, 100, 101, 5000])
@pytest.mark.parametrize("newline", [b"\n", b""])
def test_lines_around_the_cap(tmp_path: Path, length: int, newline: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"first\n" + b"y" * length + newline)
    lines = LineFile.open(path, cap=100)
    expected = b"y" * length + newline if length <= 100 else None
    assert lines.read(0, 2) == [b"first\n", expected]


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_a_line_without_end_takes_little_memory(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(COMPRESSIONS[ending](b"a" * 100_000_000 + b"\nlast\n"))
    tracemalloc.start()
    try:
        lines = LineFile.open(path, cap=1000)
        assert lines.read(0, 2) == [None, b"last\n"]
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def write_groups(path: Path) -> pa.Table:
    table = pa.table({"n": range(100), "text": [f"t{i}" for i in range(100)]})
    pq.write_table(table, path, row_group_size=30)
    return table


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_table_rows_in_any_order(tmp_path: Path, batch: int) -> None:
    table = write_groups(tmp_path / "a.parquet")
    rows = TableRows(tmp_path / "a.parquet", ["text", "n"], rows_per_batch=batch)
    for start, stop in itertools.product((0, 1, 29, 30, 31, 60, 99, 100), repeat=2):
        if start <= stop:
            expected = table.slice(start, stop - start).select(["text", "n"])
            assert rows.read(start, stop).to_pydict() == expected.to_pydict()


def test_reading_on_opens_the_table_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_groups(tmp_path / "a.parquet")
    opened = []
    real = table_rows.open_parquet
    monkeypatch.setattr(table_rows, "open_parquet", lambda path: opened.append(path) or real(path))
    rows = TableRows(tmp_path / "a.parquet", ["n"], rows_per_batch=4)
    for start in range(0, 100, 10):
        assert rows.read(start, start + 10).column(0).to_pylist() == [*range(start, start + 10)]
    assert len(opened) == 1
    rows = TableRows(tmp_path / "a.parquet", ["n"], rows_per_batch=4)
    for start in (0, 8, 20):  # every second unit of a job array goes on too
        rows.read(start, start + 4)
    assert len(opened) == 2
    assert rows.read(95, 96).column(0).to_pylist() == [95]  # the last row group is nearer
    assert len(opened) == 3
