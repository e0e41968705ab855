"""Many rows in little memory: 20 million scores that are made where they are read."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.data.column import Cells, ColumnKind
from tamis.data.ids import Ids
from tamis.data.score_table import ScoreTables
from tamis.run import atomic
from tamis.select import select, ties


class Made:
    """Scores from row numbers: float32, many of them equal, some NaN."""

    kind: ColumnKind = "number"
    dtype = np.dtype(np.float32)

    def __init__(self, n_values: int) -> None:
        self.n_values = np.uint64(n_values)

    def read(self, start: int, stop: int) -> Cells:
        mixed = np.arange(start, stop, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        values = ((mixed >> np.uint64(20)) % self.n_values).astype(np.float32)
        values /= np.float32(self.n_values)
        values[-start % 1000 :: 1000] = np.nan
        return Cells(values - np.float32(0.5), None)


class MadeIds:
    """Uids from row numbers, in another order than the rows."""

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows

    def __len__(self) -> int:
        return self.n_rows

    def read(self, start: int, stop: int, rows: Any = None) -> Ids:
        numbers = np.arange(start, stop, dtype=np.uint64)
        if rows is not None:
            numbers = numbers[rows]
        return Ids("uid32", np.stack([numbers * np.uint64(0xD1B54A32D192ED03), numbers], axis=1))


@pytest.mark.parametrize(("n_rows", "n_values"), [(20_000_000, 1 << 23), (5_000_000, 3)])
def test_top_of_millions_in_little_memory(
    n_rows: int, n_values: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 3 different values a third of the rows tie, and uids are counted before any is kept."""
    monkeypatch.setattr(atomic, "_fsync", lambda descriptor: None)
    monkeypatch.setattr(ties, "COLLECTED", 1 << 16)
    column = Made(n_values)
    tables = ScoreTables.of(MadeIds(n_rows), {"x": column}, memory_bytes=1 << 20)
    out = tmp_path / "subset.npy"
    tracemalloc.start()
    try:
        selected = select(tables, "top(x, 100000)", out=out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 48 << 20

    values = column.read(0, n_rows).values
    values[np.isnan(values)] = -np.inf
    rows = np.arange(n_rows, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
    expected = top(values, rows, 100_000)
    assert selected.rows.tolist() == sorted(expected)
    subset = np.load(out)
    assert (subset == np.sort(subset)).all()
    assert sorted(subset["f1"].tolist()) == sorted(expected)


def top(values: np.ndarray, uids: np.ndarray, k: int) -> list[int]:
    cut = -np.partition(-values, k - 1)[k - 1]
    above = np.flatnonzero(values > cut)
    at = np.flatnonzero(values == cut)
    room = k - len(above)
    at = at[np.argpartition(uids[at], room - 1)[:room]]
    return np.concatenate([above, at]).tolist()
