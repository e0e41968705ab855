"""Row ranges of a parquet file; reading on from where the last read ended is cheap."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.data.parquet_file import open_parquet, parquet_errors
from tamis.data.remote import Place
from tamis.errors import PoolError


class TableRows:
    """The rows of some columns of one parquet file, decoded batch by batch.

    A read that starts where the last one ended, or later, goes on from there, unless a later row
    group is nearer; any other starts at its row group. At most one batch is held.

    Args:
        path: the file.
        names: the columns to read.
        rows_per_batch: rows decoded at a time; few where a cell may be large.
    """

    def __init__(self, path: Place, names: Sequence[str], rows_per_batch: int = 1 << 12) -> None:
        self.path = path
        self.names = list(names)
        self._rows_per_batch = rows_per_batch
        self._mutex = threading.Lock()
        self._cursor: _Cursor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mutex": None, "_cursor": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._mutex = threading.Lock()

    def read(self, start: int, stop: int) -> pa.Table:
        """Return rows start .. stop - 1. Raises PoolError for a damaged file."""
        with self._mutex, parquet_errors(self.path):
            cursor = self._cursor
            if cursor is None or not cursor.is_near(start):
                cursor = _Cursor(self.path, self.names, self._rows_per_batch, start)
            self._cursor = None  # of no use after an error
            for _ in cursor.take(start - cursor.row):
                pass
            batches = list(cursor.take(stop - start))
            if cursor.row < cursor.n_rows:
                self._cursor = cursor
        table = pa.Table.from_batches(batches, cursor.schema)
        if table.num_rows < stop - start:
            raise PoolError(f"{self.path}: the file has fewer rows than its footer says")
        return table


class _Cursor:
    def __init__(self, path: Place, names: list[str], rows_per_batch: int, row: int) -> None:
        file = open_parquet(path)
        counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._starts = np.cumsum([0, *counts])
        self.n_rows = int(self._starts[-1])
        fields = [file.schema_arrow.field(name) for name in names]
        self.schema = pa.schema(fields)
        group = self._group(row)
        self._batches = file.iter_batches(
            batch_size=rows_per_batch,
            row_groups=range(group, file.num_row_groups),
            columns=names,
            use_threads=False,
        )
        self._rest: pa.RecordBatch | None = None
        self.row = int(self._starts[group])

    def is_near(self, row: int) -> bool:
        """Whether going on is at least as short a way to `row` as starting at its row group."""
        return self.row <= row and self._starts[self._group(row)] <= self.row

    def take(self, n_rows: int) -> Iterator[pa.RecordBatch]:
        while n_rows > 0:
            if self._rest is None or self._rest.num_rows == 0:
                batch = next(self._batches, None)
                if batch is None:
                    return
                self._rest = batch.select(self.schema.names)
            chunk = self._rest.slice(0, n_rows)
            self._rest = self._rest.slice(chunk.num_rows)
            self.row += chunk.num_rows
            n_rows -= chunk.num_rows
            yield chunk

    def _group(self, row: int) -> int:
        last = max(len(self._starts) - 2, 0)
        return min(int(np.searchsorted(self._starts, row, side="right")) - 1, last)
