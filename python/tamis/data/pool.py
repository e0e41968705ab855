"""Pools: embeddings on disk, row by row, with the ids that name the rows.

Everything that decides the result is read from headers and footers when a pool is opened: the order
of the files (natural order of their names), the number of rows, dim and dtype. Rows are read unit
by unit with plain file reads, so memory is bounded by the unit, not by the pool.
"""

from __future__ import annotations

import bisect
from pathlib import Path

import numpy as np

from tamis.data.agreement import common_id_column, common_rows, require_distinct
from tamis.data.ids import IdKind, Ids
from tamis.data.layouts import Part, recognise
from tamis.data.parquet_file import ParquetEmbeddings
from tamis.data.remote import Place, RemotePath, name_inside, place_of
from tamis.data.unit import Unit, cut_units
from tamis.errors import PoolError
from tamis.run.inputs import InputFile

__all__ = ["Pool", "Unit", "open_pool"]


class Pool:
    """Embeddings and ids of n rows; made by :func:`open_pool`.

    Attributes:
        path: what was opened.
        kind: "npy", "parquet", "clip-retrieval" or "datacomp".
        embedding: the npz key, parquet column or folder that is read; None for .npy files.
        id_column: the column that the ids come from; None for id files and row numbers.
        n_rows, dim: the shape of all rows together.
        dtype: float16, float32 or float64, the same in all files.
        files: the embedding files, in row order.
    """

    def __init__(
        self,
        path: Place,
        kind: str,
        parts: list[Part],
        *,
        embedding: str | None,
        id_column: str | None,
    ) -> None:
        self.path = path
        self.kind = kind
        self.embedding = embedding
        self.id_column = id_column
        self.files = [part.embeddings.path for part in parts]
        self.dim, self.dtype = common_rows(parts)
        self._parts = parts
        self._starts = np.cumsum([0, *(part.n_rows for part in parts)]).tolist()
        self.n_rows = int(self._starts[-1])
        self._ids: Ids | None = None
        self._reasons: tuple[Unit, dict[int, str]] | None = None
        if self.n_rows == 0:
            raise PoolError(f"the pool {path} holds no rows")

    @property
    def id_kind(self) -> IdKind:
        """Kind of the ids: "uid32", "string", "int64" or "row" (reads them; see :meth:`ids`)."""
        return self.ids().kind

    def describe(self) -> str:
        """Return one line that says how the pool was understood."""
        count = len(self.files)
        source = f" ({self.embedding})" if self.embedding is not None else ""
        if self.id_column is not None:
            ids = f"ids from column {self.id_column}"
        else:
            ids = "ids from .ids.npy files" if self._parts[0].ids else "row numbers as ids"
        return (
            f"{self.kind} pool: {count} file{'s' * (count != 1)}, {self.n_rows:,} rows of "
            f"{self.dim} x {self.dtype}{source}, {ids}"
        )

    def units(self, rows_per_unit: int) -> list[Unit]:
        """Cut the pool into units of at most `rows_per_unit` rows, none across two files."""
        return cut_units([part.n_rows for part in self._parts], rows_per_unit)

    def read_embeddings(self, unit: Unit) -> np.ndarray:
        """Return the unit's rows, (n, dim), in the pool's dtype.

        Rows that the file cannot give (see :meth:`bad_reasons`) are NaN.

        Raises:
            PoolError: the file is damaged or has changed since it was opened.
        """
        embeddings = self._parts[unit.file].embeddings
        if not isinstance(embeddings, ParquetEmbeddings):
            return embeddings.read(unit.start, unit.stop)
        rows, reasons = embeddings.read(unit.start, unit.stop)
        self._reasons = unit, reasons
        return rows

    def bad_reasons(self, unit: Unit) -> dict[int, str]:
        """Return row within the unit -> why the file has no embedding for it.

        Costs nothing after :meth:`read_embeddings` of the same unit. Rows that are NaN, infinite or
        zero in the file itself are not in it: those are found when rows are made canonical.
        """
        if not isinstance(self._parts[unit.file].embeddings, ParquetEmbeddings):
            return {}
        known = self._reasons
        if known is None or known[0] != unit:
            self.read_embeddings(unit)
            known = self._reasons
        return dict(known[1]) if known is not None else {}

    def ids(self) -> Ids:
        """Return the ids of all rows, read once and kept (16 bytes a row for uids).

        Raises:
            PoolError: a missing or repeated id, or one of another kind; names file and row.
        """
        if self._ids is None:
            ids = self._read_ids()
            require_distinct(ids, self.locate, "")
            self._ids = ids
        return self._ids

    def read_ids(self, unit: Unit) -> Ids:
        """Return the unit's ids, a slice of :meth:`ids`."""
        return self.ids().slice(unit.first_row, unit.first_row + unit.n_rows)

    def locate(self, row: int) -> tuple[Place, int]:
        """Return (file, row in the file) of a row of the pool; the file holds the row's id."""
        if not 0 <= row < self.n_rows:
            raise IndexError(f"expected a row below {self.n_rows}, got {row}")
        index = bisect.bisect_right(self._starts, row) - 1
        part = self._parts[index]
        beside = part.metadata or part.ids
        path = beside.path if beside is not None else part.embeddings.path
        return path, row - self._starts[index]

    def file_name(self, unit: Unit) -> str:
        """Return the unit's embedding file as a path inside the pool, parts separated by "/"."""
        return name_inside(self.files[unit.file], self._root)

    def read_column(self, name: str) -> np.ndarray:
        """Return a numeric metadata column of all rows, int64 or float64 (n,), NaN where null.

        Raises:
            PoolError: no such column, or not a numeric one; the text lists those there are.
        """
        columns = []
        for part in self._parts:
            if part.metadata is None:
                raise PoolError(
                    f"the pool {self.path} has no metadata columns, so none called {name!r}"
                )
            columns.append(part.metadata.read_numbers(name))
        return np.concatenate(columns)

    def inputs(self) -> list[InputFile]:
        """Return every file that the pool reads, with size and modification time.

        Raises:
            PoolError: a file has gone since the pool was opened.
        """
        try:
            return [InputFile.at(path, self._root) for part in self._parts for path in part.files]
        except OSError as error:
            raise PoolError(f"cannot read {error.filename}: {error.strerror}") from error

    @property
    def _root(self) -> Place:
        return self.path if self.path.is_dir() else self.path.parent

    def _read_ids(self) -> Ids:
        parts = []
        for part in self._parts:
            if part.metadata is not None and self.id_column is not None:
                ids = part.metadata.read_ids(self.id_column)
            elif part.ids is not None:
                try:
                    ids = Ids.of(part.ids.read(0, part.n_rows))
                except (PoolError, TypeError) as error:
                    raise PoolError(f"{part.ids.path}: {error}") from error
            else:
                return Ids.rows(self.n_rows)
            parts.append(ids)
        try:
            return Ids.concat(parts)
        except PoolError as error:
            raise PoolError(f"{self.path}: {error}") from error


def open_pool(
    path: Path | RemotePath | str, *, embedding: str | None = None, ids: str | None = None
) -> Pool:
    """Open a pool of embeddings; only headers and footers are read.

    Args:
        path: a `.npy`, `.parquet` or `.npz` file, a folder, or the URL of one;
            :mod:`tamis.data.layouts` lists the layouts.
        embedding: the npz key, parquet column or clip-retrieval folder to read; needed where there
            is more than one.
        ids: the metadata column of the ids, integers or text. None takes the first there is of uid,
            id, key, image_path, else row numbers; a `uid` column of text must hold DataComp uids.

    Raises:
        PoolError: one sentence that names the file, what was expected and what is there.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "rows.npy", np.eye(4, 8, dtype=np.float16))
        >>> pool = open_pool(folder)
        >>> pool.describe()
        'npy pool: 1 file, 4 rows of 8 x float16, row numbers as ids'
        >>> [pool.read_embeddings(unit).shape for unit in pool.units(rows_per_unit=3)]
        [(3, 8), (1, 8)]
    """
    place = place_of(path)
    layout = recognise(place, embedding)
    return Pool(
        place,
        layout.kind,
        layout.parts,
        embedding=layout.embedding,
        id_column=common_id_column(place, layout.kind, layout.parts, ids),
    )
