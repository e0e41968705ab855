"""Score tables: columns from any number of parquet files, joined to one list of rows.

The rows are those of the first table, in its order. Another table is joined to it when one of its
columns is asked for: row by row where both carry the same digest of their ids or where their ids
are equal, else by id. A row that the other table lacks has no value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tamis.data.column import (
    ArrayColumn,
    Cells,
    Column,
    ColumnKind,
    KeptColumn,
    kind_of,
)
from tamis.data.ids import Ids
from tamis.data.remote import Place, place_of
from tamis.data.score_file import ScoreFiles, require_comparable, tables_at
from tamis.data.score_join import equal_ids, gathered, positions_in
from tamis.errors import PoolError

DEFAULT_MEMORY_BYTES = 1 << 30


class IdReader(Protocol):
    """Ids by row number."""

    def read(self, start: int, stop: int, rows: Any = None) -> Ids:
        """Return the ids of rows start .. stop - 1, or of some of them, counted from `start`."""


@dataclass(frozen=True)
class Joined:
    """How a table's rows were found.

    Attributes:
        how: "rows" (it is the first table), "digest", "equal ids" or "by id".
        matched: rows of the first table that it has.
        unmatched: rows of the first table that it lacks.
        unused: its own rows that the first table lacks.
    """

    how: str
    matched: int
    unmatched: int
    unused: int


class ScoreTables:
    """Columns by name over common rows.

    Attributes:
        n_rows: rows, those of the first table.
        ids: their ids.
        memory_bytes: how much may be kept of what is read more than once.
        joins: of the tables used so far, how their rows were found.

    Example:
        >>> tables = ScoreTables.of(["a", "b"], {"clip": [0.1, 0.3]})
        >>> tables.n_rows, tables.names(), tables.column("clip").read(0, 2).values.tolist()
        (2, {'clip': ['table']}, [0.1, 0.3])
    """

    def __init__(self, memory_bytes: int = DEFAULT_MEMORY_BYTES) -> None:
        self.memory_bytes = memory_bytes
        self.joins: dict[str, Joined] = {}
        self._left = memory_bytes
        self._files: list[ScoreFiles] = []
        self._arrays: dict[str, Column] = {}
        self._positions: dict[str, np.ndarray | None] = {}
        self._columns: dict[tuple[str, str], Column] = {}
        self._array_table = "table"
        self.n_rows = 0
        self.ids: IdReader = _GivenIds(Ids.rows(0))

    @classmethod
    def open(
        cls,
        path: ScoreFiles | Place | str,
        scores: Sequence[ScoreFiles | Place | str] = (),
        *,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
    ) -> ScoreTables:
        """Open the tables of a run, or a parquet file or folder of them, and others beside.

        Args:
            path: a run directory (`scores/*.parquet` and `scores/*/scores.parquet`), a parquet
                file, or a folder of parquet files such as DataComp's metadata; a path or a URL, or
                files that are open already.
            scores: more parquet files or folders, each with a column of ids; the first has the rows
                of a run without tables.
            memory_bytes: how much may be kept of what is read more than once.

        Raises:
            PoolError: a file is not readable, or has no column of ids; or tables have scores of one
                name that cannot be mixed, see `tamis.data.dependence`.
            RunError: the run has no score table.
        """
        tables = cls(memory_bytes)
        found = tables_at(path, required=not scores)
        seen = {file.resolve() for table in found for file in table.paths}
        for other in scores:
            opened = other if isinstance(other, ScoreFiles) else ScoreFiles.open(place_of(other))
            if opened.n_rows == 0:
                raise PoolError(f"{opened.path} holds no rows")
            if not all(file.resolve() in seen for file in opened.paths):
                found.append(opened)
        require_comparable(found)
        tables._files = _named_apart(found)
        tables.n_rows = found[0].n_rows
        tables.ids = found[0].ids()
        if tables.n_rows == 0:
            raise PoolError(f"{found[0].path} holds no rows")
        return tables

    @classmethod
    def of(
        cls,
        ids: Any,
        columns: Mapping[str, Any],
        *,
        table: str = "table",
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
    ) -> ScoreTables:
        """Take columns from memory, or mapped ones.

        Args:
            ids: what :meth:`Ids.of` takes, or an object with `read(start, stop, rows)`.
            columns: name -> a NumPy or pyarrow array or a list, or a Column.

        Raises:
            ValueError: the columns differ in length.
        """
        tables = cls(memory_bytes)
        tables._array_table = table
        sizes = {}
        for name, values in columns.items():
            if hasattr(values, "read"):
                tables._arrays[name] = values
                continue
            column = ArrayColumn.of(values)
            sizes[name] = len(column.cells)
            tables._arrays[name] = column
        if hasattr(ids, "read"):
            tables.ids = ids
            tables.n_rows = len(ids)
        else:
            tables.ids = _GivenIds(Ids.of(ids))
            tables.n_rows = len(Ids.of(ids))
        for name, size in sizes.items():
            if size != tables.n_rows:
                raise ValueError(f"expected {tables.n_rows} values in {name!r}, got {size}")
        return tables

    def names(self) -> dict[str, list[str]]:
        """Return column name -> names of the tables that have it, usable columns only."""
        names: dict[str, list[str]] = {name: [self._array_table] for name in self._arrays}
        for table in self._files:
            for part in table.schema:
                if kind_of(part.type) is not None:
                    names.setdefault(part.name, []).append(table.name)
        return names

    def kind(self, name: str, table: str) -> ColumnKind:
        """Return what a column holds, without reading it."""
        if name in self._arrays:
            return self._arrays[name].kind
        kind = kind_of(self._table(table).schema.field(name).type)
        assert kind is not None
        return kind

    def column(self, name: str, table: str | None = None) -> Column:
        """Return a column over the common rows.

        Raises:
            KeyError: no table has it, or more than one has and none is named.
            PoolError: a file is damaged, an id of the table is there twice, or none is common.
        """
        holders = [holder for holder in self.names()[name] if table in (None, holder)]
        (holder,) = holders if len(holders) == 1 else (None,)
        if holder is None:
            raise KeyError(name)
        if (holder, name) not in self._columns:
            self._columns[holder, name] = self._make_column(name, holder)
        return self._columns[holder, name]

    def reserve(self, n_bytes: int) -> bool:
        """Take a share of the memory, if there is that much left; return whether there is."""
        if n_bytes > self._left:
            return False
        self._left -= n_bytes
        return True

    def inputs(self) -> list[dict[str, Any]]:
        """Return name, path, rows and files of every table, as JSON can hold it."""
        return [
            {
                "table": table.name,
                "path": str(table.path),
                "files": len(table.files),
                "rows": table.n_rows,
                **(
                    {} if table.name not in self.joins else {"joined": vars(self.joins[table.name])}
                ),
            }
            for table in self._files
        ]

    @property
    def base(self) -> ScoreFiles | None:
        """The first table; None where the columns were given."""
        return self._files[0] if self._files else None

    def _table(self, name: str) -> ScoreFiles:
        return next(table for table in self._files if table.name == name)

    def _make_column(self, name: str, holder: str) -> Column:
        if name in self._arrays:
            return self._arrays[name]
        table = self._table(holder)
        column = table.column(name)
        if holder not in self._positions:
            self._positions[holder] = self._join(table)
        positions = self._positions[holder]
        if positions is not None:
            return gathered(column, table.n_rows, positions)
        size = {"number": 8, "set": 1, "text": 32}[column.kind]
        if column.dtype is not None:
            size = column.dtype.itemsize
        if self.reserve(size * self.n_rows):
            return _Kept(column.kind, column.dtype, KeptColumn(column.read))
        return column

    def _join(self, table: ScoreFiles) -> np.ndarray | None:
        """Return the row in `table` of each common row, -1 where it has none; None: row by row."""
        base = self._files[0]
        if table is base:
            self.joins[table.name] = Joined("rows", self.n_rows, 0, 0)
            return None
        if table.n_rows == base.n_rows:
            same = base.digest is not None and base.digest == table.digest
            if same or equal_ids(base, table):
                how = "digest" if same else "equal ids"
                self.joins[table.name] = Joined(how, self.n_rows, 0, 0)
                return None
        positions = positions_in(base.ids().read, base.n_rows, table)
        matched = int((positions >= 0).sum())
        if not matched:
            raise PoolError(
                f"{table.path}: none of its ids is one of {base.path}, such as "
                f"{table.ids().read(0, 1)[0]!r} and {base.ids().read(0, 1)[0]!r}; it is of another "
                "pool, or its ids are of another kind"
            )
        used = len(np.unique(positions[positions >= 0]))
        self.joins[table.name] = Joined(
            "by id", matched, self.n_rows - matched, table.n_rows - used
        )
        return positions


@dataclass(frozen=True)
class _Kept:
    """A column that stays in memory."""

    kind: ColumnKind
    dtype: np.dtype[Any] | None
    kept: KeptColumn

    def read(self, start: int, stop: int) -> Cells:
        cells: Cells = self.kept.read(start, stop)
        return cells


@dataclass(frozen=True)
class _GivenIds:
    """Ids in memory."""

    ids: Ids

    def read(self, start: int, stop: int, rows: Any = None) -> Ids:
        part = self.ids.slice(start, stop)
        return part if rows is None else part.take(rows)


def _named_apart(tables: list[ScoreFiles]) -> list[ScoreFiles]:
    names: dict[str, int] = {}
    apart = []
    for table in tables:
        names[table.name] = names.get(table.name, 0) + 1
        suffix = f"_{names[table.name]}" if names[table.name] > 1 else ""
        apart.append(ScoreFiles(**{**vars(table), "name": table.name + suffix}))
    return apart
