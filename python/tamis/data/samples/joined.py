"""Tars joined with the metadata tables of their pool, by uid: their orders need not agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tamis.data.agreement import require_distinct
from tamis.data.ids import Ids
from tamis.data.metadata import UID_COLUMN, MetadataFile
from tamis.data.samples.source import Sample, SampleFile, Side
from tamis.data.samples.table_rows import TableRows
from tamis.errors import PoolError
from tamis.run.inputs import InputFile

if TYPE_CHECKING:
    from tamis.data.remote import Place


@dataclass
class UidIndex:
    """Finds the rows of metadata tables by uid; 24 bytes a row, made when first asked.

    Attributes:
        tables: the metadata, whose rows are numbered through.
        root: the pool's folder.
    """

    tables: list[MetadataFile]
    root: Place
    _sorted: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)

    @property
    def n_rows(self) -> int:
        """Rows of all tables."""
        return sum(table.n_rows for table in self.tables)

    @property
    def starts(self) -> np.ndarray:
        """The number of each table's first row, and that of all rows."""
        return np.cumsum([0, *(table.n_rows for table in self.tables)])

    def find(self, uids: Ids) -> np.ndarray:
        """Return int64 (n,): the row of each uid, -1 where there is none. Raises PoolError."""
        if self._sorted is None:
            known = Ids.concat([table.read_ids(UID_COLUMN) for table in self.tables])
            require_distinct(known, self._locate, "")
            order = known.argsort()
            self._sorted = _sortable(known.take(order)), order
        texts, order = self._sorted
        wanted = _sortable(uids)
        places = np.searchsorted(texts, wanted)
        found = places < len(texts)
        found[found] = texts[places[found]] == wanted[found]
        rows = np.full(len(uids), -1, np.int64)
        rows[found] = order[places[found]]
        return rows

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sorted": None}

    def _locate(self, row: int) -> tuple[Place, int]:
        index = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.tables[index].path, row - int(self.starts[index])


@dataclass
class JoinedSamples:
    """The samples of a file, with the columns of the metadata rows that have their uids.

    A column that both have is the metadata's. A sample without a row, such as one whose json is
    damaged, has nulls in them.

    Attributes:
        samples: the file; its rows and their order are those of the pool.
        index: the metadata.
    """

    samples: SampleFile
    index: UidIndex
    _found: np.ndarray | None = field(default=None, repr=False)
    _readers: dict[tuple[int, tuple[str, ...]], TableRows] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The file's."""
        return self.samples.name

    @property
    def n_rows(self) -> int:
        """The file's."""
        return self.samples.n_rows

    @property
    def sides(self) -> frozenset[Side]:
        """The file's."""
        return self.samples.sides

    @property
    def columns(self) -> list[str]:
        """Those of the metadata, then those that only the file has."""
        tabled = self._tabled
        return [*tabled, *(name for name in self.samples.columns if name not in tabled)]

    def ids(self, column: str | None) -> Ids | None:
        """The file's, or those of a metadata column."""
        if column is None or column == UID_COLUMN or column not in self._tabled:
            return self.samples.ids(column)
        return Ids.of(self.read_columns([column], 0, self.n_rows).column(0))

    def keys(self) -> Sequence[str]:
        """The file's."""
        return self.samples.keys()

    def read(self, start: int, stop: int, sides: frozenset[Side]) -> list[Sample]:
        """The file's samples start .. stop - 1."""
        return self.samples.read(start, stop, sides)

    def read_columns(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """Columns of rows start .. stop - 1."""
        tabled = [name for name in dict.fromkeys(names) if name in self._tabled]
        own = [name for name in dict.fromkeys(names) if name not in tabled]
        found: dict[str, pa.ChunkedArray] = {}
        if own:
            table = self.samples.read_columns(own, start, stop)
            found |= {name: table.column(name) for name in own}
        if tabled:
            table = self._from_tables(tabled, self.rows[start:stop])
            found |= {name: table.column(name) for name in tabled}
        return pa.table({name: found[name] for name in names})

    def inputs(self) -> list[InputFile]:
        """The file and all metadata."""
        tables = [InputFile.at(table.path, self.index.root) for table in self.index.tables]
        return [*self.samples.inputs(), *tables]

    @property
    def rows(self) -> np.ndarray:
        """The metadata row of every sample, int64 (n_rows,); -1 where its uid is in none.

        Raises:
            PoolError: no sample at all has a row, so the metadata is about others.
        """
        if self._found is None:
            uids = self.samples.ids(UID_COLUMN)
            if uids is None or uids.kind != "uid32":
                raise PoolError(f"{self.name}: expected a DataComp uid in every sample's json")
            found = self.index.find(uids)
            if self.n_rows and (found < 0).all():
                raise PoolError(
                    f"{self.name}: no sample's uid is in the pool's metadata, not even that of "
                    f"sample {self.keys()[0]!r} ({uids[0]}); name the folder of tars to leave the "
                    "metadata out"
                )
            self._found = found
        return self._found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_found": None}

    @property
    def _tabled(self) -> list[str]:
        first, *others = self.index.tables
        return [
            name
            for name in first.schema.names
            if all(name in table.schema.names for table in others)
        ]

    def _from_tables(self, names: list[str], rows: np.ndarray) -> pa.Table:
        """Rows of the metadata in any order: of each table the span that they lie in is read."""
        starts = self.index.starts
        tables = np.searchsorted(starts, rows, side="right") - 1  # -1 for row -1
        schema = pa.schema([self.index.tables[0].schema.field(name) for name in names])
        parts, places = [schema.empty_table()], [np.empty(0, np.int64)]
        for index in np.unique(tables).tolist():
            here = np.flatnonzero(tables == index)
            places.append(here)
            if index < 0:
                nothing = [pa.nulls(len(here), field.type) for field in schema]
                parts.append(pa.Table.from_arrays(nothing, schema=schema))
                continue
            inside = rows[here] - starts[index]
            low, high = int(inside.min()), int(inside.max()) + 1
            span = self._reader(index, names).read(low, high)
            parts.append(span.take(pa.array(inside - low)))
        order = np.argsort(np.concatenate(places))
        try:
            joined = pa.concat_tables(parts, promote_options="permissive")
        except pa.ArrowException as error:
            raise PoolError(
                f"{self.index.tables[0].path.parent}: the tables' columns differ in type ({error})"
            ) from error
        return joined.select(names).take(pa.array(order))

    def _reader(self, index: int, names: list[str]) -> TableRows:
        key = index, tuple(names)
        if key not in self._readers:
            self._readers[key] = TableRows(self.index.tables[index].path, names)
        return self._readers[key]


def _sortable(uids: Ids) -> np.ndarray:
    """16 bytes each, which compare as the uids do."""
    return np.ascontiguousarray(uids.values.astype(">u8")).view("S16").reshape(-1)
