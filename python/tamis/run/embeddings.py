"""The embedding store of a run: canonical float16 rows on disk, gathered without holding them.

`embeddings/UNIT.npy` holds the usable rows of a unit, (m, dim) float16, in row order;
`embeddings/UNIT.bad.parquet`, where there are others, their row within the unit and the reason;
`embeddings/rows.npy` the pool's row number of every stored row, int64. A file is mapped only while
rows are taken from it, so resident memory is the result and one unit's file at most.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tamis.data.npy_file import NpyFile, read_into
from tamis.errors import AccountingError, PoolError, RunError
from tamis.run.directory import Payload, RunDirectory

STAGE = "embed"
FOLDER = "embeddings"
ROW_INDEX = f"{FOLDER}/rows.npy"


class UnitRows(Protocol):
    """What the store needs to know of a unit; `tamis.data.pool.Unit` is one."""

    @property
    def name(self) -> str:
        """Stable name."""

    @property
    def first_row(self) -> int:
        """The pool's row number of the unit's first row."""

    @property
    def n_rows(self) -> int:
        """Rows of the unit, bad ones included."""


def commit_unit(
    run: RunDirectory, unit: UnitRows, rows: np.ndarray, reasons: Mapping[int, str]
) -> None:
    """Store a unit's canonical rows and record it as done.

    Args:
        run: an open run.
        unit: the unit.
        rows: float16 (unit.n_rows, dim), canonical; what stands in bad rows does not matter.
        reasons: row within the unit -> why it is bad and not stored.

    Raises:
        ValueError: wrong shape or dtype.
        RunError: the files cannot be written.
    """
    import pyarrow as pa

    if rows.dtype != np.float16 or rows.ndim != 2 or len(rows) != unit.n_rows:
        raise ValueError(
            f"expected {unit.n_rows} canonical float16 rows, got {rows.shape} {rows.dtype}"
        )
    bad = sorted(reasons)
    files: dict[str, Payload] = {
        f"{FOLDER}/{unit.name}.npy": np.delete(rows, bad, axis=0) if bad else rows
    }
    if bad:
        columns = {"row": pa.array(bad, pa.int64()), "reason": [reasons[row] for row in bad]}
        files[f"{FOLDER}/{unit.name}.bad.parquet"] = pa.table(columns)
    run.commit(STAGE, unit.name, files)


class EmbeddingStore:
    """The stored rows of all units, numbered 0 .. n - 1 in row order.

    Args:
        run: the run directory.
        units: all units, in row order.

    Attributes:
        shape: (n, dim), n the number of usable rows.
        n_input_rows: rows of the pool, bad ones included.
        bad: row of the pool -> reason, for the rows that are not stored.

    Raises:
        RunError: a unit's file is missing or damaged.
        AccountingError: a unit's stored and bad rows are not as many as its rows.
    """

    dtype = np.dtype(np.float16)

    def __init__(self, run: Path, units: Sequence[UnitRows]) -> None:
        self._files: list[NpyFile] = []
        self.bad: dict[int, str] = {}
        dims = set()
        for unit in units:
            file, bad = _open_unit(run, unit)
            if file.shape[0] + len(bad) != unit.n_rows:
                raise AccountingError(
                    f"unit {unit.name} of {run} has {unit.n_rows} rows, but {file.shape[0]} are "
                    f"stored and {len(bad)} are bad; choose another --out and start anew"
                )
            self._files.append(file)
            self.bad.update(bad)
            dims.add(file.shape[1])
        if len(dims) != 1:
            raise RunError(
                f"expected stored rows of one dim in {run}, got {sorted(dims) or 'none'}"
            )
        self._starts = np.cumsum([0, *(file.shape[0] for file in self._files)])
        self.shape = (int(self._starts[-1]), dims.pop())
        self.n_input_rows = sum(unit.n_rows for unit in units)

    def __len__(self) -> int:
        return self.shape[0]

    def input_rows(self) -> np.ndarray:
        """Return int64 (n,): the pool's row number of every stored row, ascending."""
        usable = np.ones(self.n_input_rows, bool)
        usable[list(self.bad)] = False
        return np.flatnonzero(usable)

    def commit_index(self, run: RunDirectory) -> None:
        """Write `embeddings/rows.npy` unless it is there already. Raises RunError."""
        if not run.done(STAGE, "rows"):
            run.commit(STAGE, "rows", {ROW_INDEX: self.input_rows()})

    def take(self, indices: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Return stored rows, float16 (m, dim), in the order of `indices`.

        Args:
            indices: integers (m,) from 0 to n - 1, in any order, repeats allowed.
            out: a C-ordered float16 (m, dim) array to fill and return, instead of a new one.

        Raises:
            IndexError: an index out of range.
            RunError: a file has been cut since the store was opened.
        """
        wanted = np.asarray(indices, np.int64)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"expected indices from 0 to {len(self) - 1}")
        result = np.empty((len(wanted), self.shape[1]), self.dtype) if out is None else out
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        bounds = np.searchsorted(ordered, self._starts)
        for file, start, first, last in zip(
            self._files, self._starts, bounds, bounds[1:], strict=False
        ):
            if first < last:
                result[order[first:last]] = _gather(file, ordered[first:last] - start)
        return result

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return stored rows start .. stop - 1, float16, with sequential file reads."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"expected a range within 0 to {len(self)}, got {start} to {stop}")
        rows = np.empty((stop - start, self.shape[1]), self.dtype)
        for file, first in zip(self._files, self._starts, strict=False):
            low, high = max(start, first), min(stop, first + file.shape[0])
            if low < high:
                _read_range(file, low - first, rows[low - start : high - start])
        return rows

    def blocks(self, rows_per_block: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index of the first row, rows) over all rows; only the last block is shorter."""
        if rows_per_block < 1:
            raise ValueError(f"expected rows_per_block >= 1, got {rows_per_block}")
        for start in range(0, len(self), rows_per_block):
            yield start, self.read(start, min(start + rows_per_block, len(self)))


def _open_unit(run: Path, unit: UnitRows) -> tuple[NpyFile, dict[int, str]]:
    """Return the unit's file and its bad rows by the pool's row number."""
    path = run / FOLDER / f"{unit.name}.npy"
    try:
        file = NpyFile.open(path)
    except PoolError as error:
        raise RunError(f"{error}; or choose another --out and start anew") from error
    if len(file.shape) != 2 or file.dtype != EmbeddingStore.dtype:
        raise RunError(f"{path}: expected float16 rows, got {file.shape} {file.dtype}")
    listed = path.with_suffix(".bad.parquet")
    if not listed.exists():
        return file, {}
    import pyarrow.parquet as pq

    with pq.ParquetFile(listed, pre_buffer=False) as parquet:
        table = parquet.read(use_threads=False)
    rows, reasons = table.column("row").to_pylist(), table.column("reason").to_pylist()
    return file, {unit.first_row + row: reason for row, reason in zip(rows, reasons, strict=True)}


def _gather(file: NpyFile, rows: np.ndarray) -> np.ndarray:
    """Return rows of a file, mapped just for this; unmapping gives its pages back."""
    with _opened(file) as raw:
        if os.fstat(raw.fileno()).st_size < file.header.offset + file.header.n_bytes:
            raise RunError(f"{file.name} has become shorter; choose another --out")
        with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            count = file.shape[0] * file.shape[1]
            stored = np.frombuffer(mapped, file.dtype, count, file.header.offset)
            gathered: np.ndarray = stored.reshape(file.shape)[rows]
            del stored  # the map cannot be closed while an array looks at it
    return gathered


def _read_range(file: NpyFile, start: int, rows: np.ndarray) -> None:
    with _opened(file) as raw:
        raw.seek(file.header.offset + start * file.header.row_bytes)
        try:
            read_into(raw, rows, file.name)
        except PoolError as error:
            raise RunError(str(error)) from error


def _opened(file: NpyFile) -> Any:
    try:
        return file.path.open("rb", buffering=0)
    except OSError as error:
        raise RunError(f"cannot read {file.path}: {error.strerror or error}") from error
