"""Going over the rows block by block, as often as needed, with what a block gave kept for once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tamis.data.column import Cells, Column, Mask
from tamis.data.ids import Ids
from tamis.data.score_join import BLOCK_ROWS
from tamis.data.score_table import ScoreTables
from tamis.select.logic import Verdict

# Sums are taken over so many rows at a time, so that they do not depend on the block.
SUM_ROWS = 1 << 10


@dataclass(frozen=True)
class Block:
    """Rows start .. stop - 1, and what was found of them so far."""

    start: int
    stop: int
    found: dict[int, Any] = field(default_factory=dict, repr=False)

    @property
    def n_rows(self) -> int:
        """Rows of the block."""
        return self.stop - self.start

    def bare(self) -> Block:
        """Return the block without what was found of it."""
        return Block(self.start, self.stop)

    def cells(self, column: Column) -> Cells:
        """Return the block of a column, which is read once."""
        if id(column) not in self.found:
            self.found[id(column)] = column.read(self.start, self.stop)
        cells: Cells = self.found[id(column)]
        return cells


class Scan:
    """The rows of some tables, in blocks.

    Attributes:
        tables: whose rows.
        block_rows: rows of a block, a multiple of SUM_ROWS; it changes no result.
    """

    def __init__(self, tables: ScoreTables, block_rows: int = BLOCK_ROWS) -> None:
        if block_rows < 1 or block_rows % SUM_ROWS:
            raise ValueError(f"expected a multiple of {SUM_ROWS} rows, got {block_rows}")
        self.tables = tables
        self.block_rows = block_rows
        self._kept_ids: dict[int, Ids] | None = None

    @property
    def n_rows(self) -> int:
        """Rows of the tables."""
        return self.tables.n_rows

    def blocks(self) -> Iterator[Block]:
        """Return all blocks, in order."""
        for start in range(0, self.n_rows, self.block_rows):
            yield Block(start, min(start + self.block_rows, self.n_rows))

    def keep_ids(self) -> None:
        """Keep the ids that are read from now on, if there is memory for those of all rows."""
        if self._kept_ids is None and self.tables.reserve(16 * self.n_rows):
            self._kept_ids = {}

    def ids(self, block: Block, places: np.ndarray | None = None) -> Ids:
        """Return the ids of a block, or of some places in it."""
        if self._kept_ids is None:
            return self.tables.ids.read(block.start, block.stop, places)
        if block.start not in self._kept_ids:
            if places is not None:
                return self.tables.ids.read(block.start, block.stop, places)
            self._kept_ids[block.start] = self.tables.ids.read(block.start, block.stop)
        ids = self._kept_ids[block.start]
        return ids if places is None else ids.take(places)


class Numbers(Protocol):
    """A part of an expression that gives a number, or none, for every row."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32, float64, int64 or uint64."""

    def at(self, block: Block) -> Cells:
        """Return the numbers of a block."""


class Rows(Protocol):
    """A part of an expression that says yes, no or unknown of every row."""

    def at(self, block: Block) -> Verdict:
        """Return what is said of a block."""


def has_value(cells: Cells) -> Mask:
    """Return bool (n,): where there is a value that is not NaN."""
    values = cells.values
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        mask: Mask = ~np.isnan(values)
        return mask if cells.valid is None else mask & cells.valid
    return np.ones(len(cells), np.bool_) if cells.valid is None else cells.valid


def as_float64(cells: Cells) -> np.ndarray:
    """Return float64 (n,), NaN where there is no value."""
    values = cells.values.astype(np.float64)
    if cells.valid is not None:
        values[~cells.valid] = np.nan
    return np.asarray(values)
