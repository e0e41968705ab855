"""Embeddings of one side, made canonical, by range or by number, across files."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.data.npy_file import NpyFile
from tamis.data.npz_file import open_member
from tamis.data.parquet_file import open_parquet, parquet_errors
from tamis.data.unit import Unit
from tamis.errors import PoolError
from tamis.kernels.canonical import canonical
from tamis.run.quarantine import reasons_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tamis.data.pool import Pool

Rows = npt.NDArray[np.float16]
Index = npt.NDArray[np.int64]
WINDOW_ROWS = 1 << 14
"""Rows read at a time from a file that cannot be read row by row."""
_WHOLE_FILE = 1 << 62


class PoolRows:
    """The canonical rows of a pool by their numbers, across its files.

    Args:
        pool: the embeddings.
        side: what they are of, "image" or "text": the first word of every reason.
    """

    dtype: np.dtype[Any] = np.dtype(np.float16)  # of the rows that are returned

    def __init__(self, pool: Pool, side: str) -> None:
        self.pool = pool
        self.side = side
        self._files = pool.units(_WHOLE_FILE)  # one for each file that has rows
        self._starts = np.array([file.first_row for file in self._files], np.int64)
        self._plain: dict[int, NpyFile | None] = {}

    def read(self, start: int, stop: int) -> tuple[Rows, dict[int, str]]:
        """Return rows start .. stop - 1, canonical, and row - start -> what is wrong with it."""
        parts = []
        reasons: dict[int, str] = {}
        for unit in self._cut(start, stop):
            read = self.pool.read_embeddings(unit)
            rows, bad = self.made(read)
            numbers = np.arange(unit.first_row, unit.first_row + unit.n_rows)
            told = self._reasons(numbers, read, bad, self.pool.bad_reasons(unit))
            reasons |= {unit.first_row - start + row: reason for row, reason in told.items()}
            parts.append(rows)
        return (parts[0] if len(parts) == 1 else np.concatenate(parts)), reasons

    def take(self, rows: Index) -> Rows:
        """Return the rows with these numbers, in this order, canonical; bad ones are zeros.

        Rows of `.npy` files and stored npz members are read one by one, all others by passing
        through the windows that hold them.
        """
        return self._take(rows, None)

    def take_told(self, rows: Index) -> tuple[npt.NDArray[Any], dict[int, str]]:
        """Return what :meth:`take` does, and position in `rows` -> what is wrong."""
        reasons: dict[int, str] = {}
        return self._take(rows, reasons), dict(sorted(reasons.items()))

    def made(self, stored: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Return stored rows as they are used, zeros where they are bad, and which ones are."""
        return canonical(stored)

    def faults(
        self, stored: npt.NDArray[Any], bad: npt.NDArray[np.bool_], known: Mapping[int, str]
    ) -> dict[int, str]:
        """Return row -> what is wrong with its embedding; see :func:`reasons_of`."""
        return reasons_of(stored, bad, known)

    def _take(self, rows: Index, reasons: dict[int, str] | None) -> npt.NDArray[Any]:
        taken = np.empty((len(rows), self.pool.dim), self.dtype)
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        bounds = np.searchsorted(ordered, [*self._starts, self.pool.n_rows])
        if len(rows) and (ordered[0] < 0 or ordered[-1] >= self.pool.n_rows):
            raise IndexError(
                f"expected rows 0 to {self.pool.n_rows - 1}, got {ordered[0]} to {ordered[-1]}"
            )
        for file, low, high in zip(self._files, bounds[:-1], bounds[1:], strict=True):
            if low == high:
                continue
            places, numbers = order[low:high], ordered[low:high]
            plain = self._plain_file(file)
            told: dict[int, str] = {}
            if plain is None:
                taken[places], told = self._pass(file, numbers - file.first_row)
            else:
                stored = _gather(plain, numbers - file.first_row)
                taken[places], bad = self.made(stored)
                if reasons is not None:
                    told = self._reasons(numbers, stored, bad, {})
            if reasons is not None:
                reasons |= {int(places[at]): reason for at, reason in told.items()}
        return taken

    def _reasons(
        self, numbers: Index, stored: np.ndarray, bad: np.ndarray, known: Mapping[int, str]
    ) -> dict[int, str]:
        """Return position -> what is wrong, of rows of one file with these numbers."""
        found = self.faults(stored, bad, known)
        if not found:
            return {}
        told = self._told(numbers[list(found)])
        return {
            row: written or f"{self.side} {reason}"
            for (row, reason), written in zip(found.items(), told, strict=True)
        }

    def _told(self, numbers: Index) -> list[str | None]:
        """The reasons that an embed step wrote beside rows of one file, where the pool is one."""
        path, first = self.pool.locate(int(numbers[0]))
        column = f"{self.side}_reason"
        nothing: list[str | None] = [None] * len(numbers)
        if self.pool.kind != "clip-retrieval" or path.suffix != ".parquet":
            return nothing
        with open_parquet(path) as file:
            if column not in file.schema_arrow.names:
                return nothing
            with parquet_errors(path):
                told = file.read([column], use_threads=False).column(0)
        found: list[str | None] = told.take(numbers - numbers[0] + first).to_pylist()
        return found

    def _pass(self, file: Unit, wanted: Index) -> tuple[npt.NDArray[Any], dict[int, str]]:
        """Return these rows of a file, and position in `wanted` -> what is wrong."""
        found = np.empty((len(wanted), self.pool.dim), self.dtype)
        told: dict[int, str] = {}
        for window in np.unique(wanted // WINDOW_ROWS).tolist():
            start = window * WINDOW_ROWS
            stop = min(start + WINDOW_ROWS, file.n_rows)
            rows, reasons = self.read(file.first_row + start, file.first_row + stop)
            for at in np.flatnonzero(wanted // WINDOW_ROWS == window).tolist():
                row = int(wanted[at]) - start
                found[at] = rows[row]
                if row in reasons:
                    told[at] = reasons[row]
        return found, told

    def _cut(self, start: int, stop: int) -> Iterable[Unit]:
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        for file in self._files[first:]:
            low = max(start - file.first_row, 0)
            high = min(stop - file.first_row, file.n_rows)
            if low >= high:
                return
            yield Unit(file.name, file.file, low, high, file.first_row + low)

    def _plain_file(self, file: Unit) -> NpyFile | None:
        if file.file not in self._plain:
            opened = _open_plain(self.pool.files[file.file], self.pool.embedding)
            self._plain[file.file] = opened if isinstance(opened, NpyFile) else None
        return self._plain[file.file]


def _open_plain(path: object, embedding: str | None) -> object:
    if not isinstance(path, Path):
        return None  # nothing remote can be mapped
    if path.suffix == ".npy":
        return NpyFile.open(path)
    if path.suffix == ".npz" and embedding is not None:
        return open_member(path, embedding)
    return None


def _gather(file: NpyFile, rows: Index) -> npt.NDArray[Any]:
    """Rows of a file as stored; mapped just for this, and no page read ahead."""
    start = file.header.offset
    try:
        with file.path.open("rb") as raw:
            if os.fstat(raw.fileno()).st_size < start + file.header.n_bytes:
                raise PoolError(f"{file.name} has become shorter; copy it again")
            mapped = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)
        with mapped:
            if hasattr(mmap, "MADV_RANDOM"):
                mapped.madvise(mmap.MADV_RANDOM)
            count = file.shape[0] * file.shape[1]
            stored = np.frombuffer(mapped, file.dtype, count, start).reshape(file.shape)
            found: npt.NDArray[Any] = stored[rows]
            del stored  # the map cannot be closed while an array looks at it
    except OSError as error:
        raise PoolError(f"cannot read {file.path}: {error.strerror or error}") from error
    return found
