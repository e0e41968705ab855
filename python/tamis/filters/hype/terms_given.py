"""Terms that other methods make: columns of score tables or metadata, joined to rows by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.data.column import kind_of
from tamis.data.ids_digest import ids_digest
from tamis.data.remote import place_of
from tamis.data.score_file import ScoreFiles, run_tables
from tamis.data.score_join import blocks, gathered, positions_in
from tamis.errors import PoolError
from tamis.run.inputs import InputFile

if TYPE_CHECKING:
    from tamis.data.column import Column
    from tamis.data.ids import Ids
    from tamis.data.remote import Place


@dataclass(frozen=True, eq=False)
class GivenColumn:
    """A column of numbers or bools, in the order of other rows.

    Row by row where the ids are equal; else by id, in memory: 16 bytes a row, and 24 and the column
    for each row of the table.

    Attributes:
        name: of the column.
        table: where it is.
        ids: of the rows it is wanted for.

    Raises:
        PoolError: it holds neither numbers nor bools.
    """

    name: str
    table: ScoreFiles
    ids: Ids

    def __post_init__(self) -> None:
        kind = kind_of(self.table.column(self.name).arrow)
        if kind not in ("number", "set"):
            held = self.table.column(self.name).arrow
            raise PoolError(
                f"{self.table.path}: expected numbers or bools in column {self.name!r}, got {held}"
            )

    def read(self, start: int, stop: int) -> npt.NDArray[np.float64]:
        """Return float64 (n,) of rows start .. stop - 1; a bool is 1 or 0, NaN is no value.

        Raises:
            PoolError: a file is damaged, an id is in the table twice, or none is common.
        """
        cells = self._column.read(start, stop)
        values = np.array(cells.values, np.float64)
        if cells.valid is not None:
            values[~cells.valid] = np.nan
        return values

    def recipe(self) -> dict[str, Any]:
        """What a recipe says of it; the files are inputs."""
        return {"column": self.name}

    def inputs(self, role: str) -> list[InputFile]:
        """The table's files, as "role/name"."""
        path = self.table.path
        root = path.parent if path.is_file() else path
        found = [InputFile.at(file, root) for file in self.table.paths]
        return [replace(file, path=f"{role}/{file.path}") for file in found]

    @cached_property
    def _column(self) -> Column:
        column = self.table.column(self.name)
        if self._is_aligned():
            return column
        positions = positions_in(self.ids.slice, len(self.ids), self.table)
        if not (positions >= 0).any():
            raise PoolError(
                f"{self.table.path}: none of its ids, such as {self._their_ids(0, 1)[0]!r}, is one "
                f"of the rows to score, such as {self.ids[0]!r}; it is of another pool"
            )
        return gathered(column, self.table.n_rows, positions)

    def _is_aligned(self) -> bool:
        if self.table.n_rows != len(self.ids):
            return False
        if self.table.digest is not None:
            return self.table.digest == ids_digest(self.ids)
        for start, stop in blocks(len(self.ids)):
            theirs = self._their_ids(start, stop).to_arrow()
            if not self.ids.slice(start, stop).to_arrow().equals(theirs):
                return False
        return True

    def _their_ids(self, start: int, stop: int) -> Ids:
        return self.table.ids().read(start, stop)


def tables_beside(
    run: Path, own: str, metadata: ScoreFiles | None, scores: Sequence[Place | str]
) -> list[ScoreFiles]:
    """Open the tables that a given column can be in.

    Args:
        run: the run directory, all of whose score tables count but the one called `own`.
        own: the name of the score that is to be made.
        metadata: the pool's parquet files, where their rows have ids.
        scores: more parquet files or folders.

    Raises:
        PoolError: a file cannot be read, or has no column of ids.
    """
    found = [table for table in run_tables(run, required=False) if table.name != own]
    found += [] if metadata is None else [metadata]
    seen = {file.resolve() for table in found for file in table.paths}
    for path in scores:
        table = ScoreFiles.open(place_of(path))
        if not all(file.resolve() in seen for file in table.paths):
            found.append(table)
    return found


def find_column(asked: str, tables: Sequence[ScoreFiles], ids: Ids) -> GivenColumn:
    """Find the one column of a name.

    Args:
        asked: COLUMN, or TABLE.COLUMN where several tables have it.
        tables: see `tables_beside`.
        ids: of the rows it is wanted for.

    Raises:
        PoolError: no table has it, or several have.
    """
    holders = [(table, asked) for table in tables if asked in table.columns]
    if not holders and "." in asked:
        name, _, column = asked.partition(".")
        holders = [(t, column) for t in tables if t.name == name and column in t.columns]
    if len(holders) > 1:
        ways = ", ".join(f"{table.name}.{column} ({table.path})" for table, column in holders)
        raise PoolError(f"several tables have a column {asked!r}: name one of {ways}")
    if not holders:
        known = "; ".join(f"{table.name}: {', '.join(table.columns)}" for table in tables)
        raise PoolError(
            f"expected a column {asked!r} in a score table of the run, in the pool's metadata or "
            f"in --scores, there is {known or 'no table'}"
        )
    ((table, column),) = holders
    return GivenColumn(column, table, ids)
