"""Embeddings in a parquet column: lists, or fixed-size lists, of half, float or double.

Rows are decoded in batches, in file order; reading on from where the last read ended is cheap, any
other start decodes its row group from the beginning. A row whose list is missing, has a missing
element or the wrong length is a bad row, not a bad file: it comes back as NaN, with a reason.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.data.remote import Place, RemotePath
from tamis.errors import PoolError

MISSING = "embedding missing"
MISSING_ELEMENT = "embedding has a missing value"
_BATCH_ROWS = 1 << 12
_SAMPLE_ROWS = 1024
_BUFFER_BYTES = 1 << 20
_DTYPES = {pa.float16(): "<f2", pa.float32(): "<f4", pa.float64(): "<f8"}


@contextmanager
def parquet_errors(path: Place) -> Iterator[None]:
    """Turn what pyarrow raises about `path` into a PoolError."""
    try:
        yield
    except PoolError:
        raise
    except FileNotFoundError:
        raise PoolError(f"{path} does not exist") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.filename:  # Arrow's own name no file
            raise PoolError(f"cannot read {path}: {error.strerror or error}") from error
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PoolError(f"{path}: not a readable parquet file ({cause}); copy it again") from error


def open_parquet(path: Place) -> pq.ParquetFile:
    """Open a parquet file for buffered reads, nothing mapped. Raises PoolError."""
    with parquet_errors(path):
        source = path.open("rb") if isinstance(path, RemotePath) else path
        return pq.ParquetFile(source, memory_map=False, buffer_size=_BUFFER_BYTES, pre_buffer=False)


def embedding_columns(schema: pa.Schema) -> list[str]:
    """Return the names of the columns that can hold embeddings."""
    return [column.name for column in schema if _element_type(column.type) in _DTYPES]


@dataclass
class ParquetEmbeddings:
    """One embedding column of one parquet file.

    Attributes:
        path: the file.
        column: the column's name.
        shape: (rows, dim). dim is the fixed list size; for plain lists the commonest length among
            the first 1024 rows.
        dtype: float16, float32 or float64.
    """

    path: Place
    column: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    name: str
    _starts: np.ndarray
    _mutex: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _cursor: _Cursor | None = field(default=None, repr=False)

    @classmethod
    def open(cls, path: Place, column: str) -> ParquetEmbeddings:
        """Read the schema and, for plain lists, the first rows.

        Raises:
            PoolError: unreadable file, no such column, or a column that holds no embeddings.
        """
        file = open_parquet(path)
        names = file.schema_arrow.names
        if column not in names:
            raise PoolError(f"{path}: expected a column {column!r}, it has {', '.join(names)}")
        kind = file.schema_arrow.field(column).type
        element = _element_type(kind)
        if element not in _DTYPES:
            raise PoolError(
                f"{path}: expected column {column!r} to hold lists of half, float or double, "
                f"got {kind}"
            )
        counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        with parquet_errors(path):
            dim = kind.list_size if hasattr(kind, "list_size") else _commonest(file, column)
        if dim == 0 and sum(counts):
            raise PoolError(f"{path}: column {column!r} holds no embedding in its first rows")
        starts = np.cumsum([0, *counts])
        dtype = np.dtype(_DTYPES[element])
        return cls(path, column, (int(starts[-1]), dim), dtype, f"{path}[{column}]", starts)

    def read(self, start: int, stop: int) -> tuple[np.ndarray, dict[int, str]]:
        """Return rows start .. stop - 1, and the reason of each bad one by its place among them."""
        rows = np.empty((stop - start, self.shape[1]), self.dtype)
        reasons: dict[int, str] = {}
        with self._mutex, parquet_errors(self.path):
            if self._cursor is None or self._cursor.row != start:
                self._cursor = _Cursor(self.path, self.column, self._starts, start)
            filled = 0
            for chunk in self._cursor.take(stop - start):
                part = rows[filled : filled + len(chunk)]
                for row, reason in _unpack(chunk, part).items():
                    reasons[filled + row] = reason
                filled += len(chunk)
            if filled < len(rows):
                raise PoolError(f"{self.name}: the file has fewer rows than its footer says")
            if stop == self.shape[0]:
                self._cursor = None
        return rows, reasons


class _Cursor:
    """A place in a column, from which rows are taken one after the other."""

    def __init__(self, path: Place, column: str, starts: np.ndarray, row: int) -> None:
        file = open_parquet(path)
        group = int(np.searchsorted(starts, row, side="right")) - 1
        self._batches = file.iter_batches(
            batch_size=_BATCH_ROWS,
            row_groups=range(group, file.num_row_groups),
            columns=[column],
            use_threads=False,
        )
        self._rest: pa.Array | None = None
        self.row = int(starts[group])
        for _ in self.take(row - self.row):
            pass

    def take(self, n_rows: int) -> Iterator[pa.Array]:
        while n_rows > 0:
            if self._rest is None or len(self._rest) == 0:
                batch = next(self._batches, None)
                if batch is None:
                    return
                self._rest = batch.column(0)
            chunk = self._rest[:n_rows]
            self._rest = self._rest[len(chunk) :]
            self.row += len(chunk)
            n_rows -= len(chunk)
            yield chunk


def _element_type(kind: pa.DataType) -> pa.DataType | None:
    is_list = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    return kind.value_type if is_list else None


def _commonest(file: pq.ParquetFile, column: str) -> int:
    """Return the commonest list length among the first rows, the larger one of equals."""
    lengths: Counter[int] = Counter()
    for batch in file.iter_batches(batch_size=_SAMPLE_ROWS, columns=[column], use_threads=False):
        lengths.update(pc.list_value_length(batch.column(0)).drop_null().to_pylist())
        if lengths:
            break
    return max(lengths, key=lambda length: (lengths[length], length), default=0)


def _unpack(chunk: pa.Array, rows: np.ndarray) -> dict[int, str]:
    """Copy a chunk of lists into `rows`, NaN where a list is bad; return the reasons."""
    dim = rows.shape[1]
    elements = chunk.flatten()  # of the lists that are there
    lengths = pc.list_value_length(chunk).fill_null(-1).to_numpy(zero_copy_only=False)
    if elements.null_count == 0 and (lengths == dim).all():
        rows[:] = elements.to_numpy().reshape(-1, dim)
        return {}
    reasons = {}
    missing = np.zeros(len(elements), bool)
    if elements.null_count:
        missing = elements.is_null().to_numpy(zero_copy_only=False)
    values = elements.to_numpy(zero_copy_only=False)
    position = 0
    for row, length in enumerate(lengths.tolist()):
        end = position + max(length, 0)
        if length < 0:
            reasons[row] = MISSING
        elif length != dim:
            reasons[row] = f"embedding has {length} values, expected {dim}"
        elif missing[position:end].any():
            reasons[row] = MISSING_ELEMENT
        rows[row] = np.nan if row in reasons else values[position:end]
        position = end
    return reasons
