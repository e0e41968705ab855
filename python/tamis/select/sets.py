"""The sets of rows that an expression is made of."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from tamis.data.column import Column
from tamis.data.id_index import IdIndex
from tamis.select.logic import Verdict
from tamis.select.scan import Block, Numbers, Rows, Scan, has_value

COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Remembered:
    """A set that is asked for a block once, however often it is used."""

    rows: Rows

    def at(self, block: Block) -> Verdict:
        if id(self) not in block.found:
            block.found[id(self)] = self.rows.at(block)
        verdict: Verdict = block.found[id(self)]
        return verdict


@dataclass(frozen=True)
class Every:
    """All rows."""

    def at(self, block: Block) -> Verdict:
        return Verdict.of(np.ones(block.n_rows, np.bool_))


@dataclass(frozen=True)
class FlagColumn:
    """The rows where a column of bools is true; unknown where it is null."""

    column: Column

    def at(self, block: Block) -> Verdict:
        cells = block.cells(self.column)
        return Verdict.of(cells.values, cells.valid)


@dataclass(frozen=True)
class TextCompared:
    """The rows where a column of texts is, or is not, a text or another column's."""

    column: Column
    other: Column | str
    equal: bool

    def at(self, block: Block) -> Verdict:
        cells = block.cells(self.column)
        known = has_value(cells)
        other: Any = self.other
        if not isinstance(other, str):
            beside = block.cells(other)
            known = known & has_value(beside)
            other = beside.values
            if other.type != cells.values.type:
                other = other.cast(cells.values.type)
        same = pc.equal(cells.values, other).fill_null(False).to_numpy(zero_copy_only=False)
        return Verdict.of(same if self.equal else ~same, known)


@dataclass(frozen=True)
class Compared:
    """The rows where a number stands in a relation to another, or to a literal.

    A literal is compared in the type of the column: with a float32 column it is rounded to float32
    first, as NumPy and DataComp's baselines do.
    """

    left: Numbers
    relation: str
    right: Numbers | int | float

    def at(self, block: Block) -> Verdict:
        left = self.left.at(block)
        known = has_value(left)
        right: Any = self.right
        if not isinstance(right, int | float):
            cells = right.at(block)
            known = known & has_value(cells)
            right = cells.values
        elif left.values.dtype == np.float32:
            with np.errstate(over="ignore"):
                right = np.float32(right)
        with np.errstate(invalid="ignore"):
            yes = COMPARE[self.relation](left.values, right)
        return Verdict.of(np.asarray(yes, np.bool_), known)


@dataclass(frozen=True)
class NotAbove:
    """The rows whose number is not larger than a float32, which is SemDeDup's rule of keeping."""

    x: Numbers
    threshold: np.float32

    def at(self, block: Block) -> Verdict:
        cells = self.x.at(block)
        return Verdict.of(~(cells.values.astype(np.float32) > self.threshold), has_value(cells))


@dataclass(frozen=True)
class Scored:
    """The rows that have a value; known of every row."""

    x: Numbers | Column

    def at(self, block: Block) -> Verdict:
        x: Any = self.x
        cells = x.at(block) if hasattr(x, "at") else block.cells(x)
        return Verdict.of(has_value(cells))


@dataclass(frozen=True)
class Combined:
    """`&`, `|`, difference or complement of sets."""

    combine: Callable[..., Verdict]
    parts: tuple[Rows, ...]

    def at(self, block: Block) -> Verdict:
        return self.combine(*(part.at(block) for part in self.parts))


@dataclass
class Listed:
    """The rows that a list of ids names, as often as it does; known of every row.

    Attributes:
        index: the list.
        n_absent: different ids of the list that no row has.
    """

    index: IdIndex
    scan: Scan
    n_absent: int = 0
    _kept: dict[int, np.ndarray] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.scan.keep_ids()
        keep = self.scan.tables.reserve(4 * self.scan.n_rows)
        times_of: dict[int, np.ndarray] = {}
        present = np.zeros(len(self.index), bool)
        for block in self.scan.blocks():
            places = self.index.find(self.scan.ids(block))
            present[places[places >= 0]] = True
            if keep:
                times_of[block.start] = self._times(places)
        self.n_absent = len(present) - int(present.sum())
        self._kept = times_of if keep else None

    def at(self, block: Block) -> Verdict:
        if self._kept is not None:
            times = self._kept[block.start]
        else:
            times = self._times(self.index.find(self.scan.ids(block)))
        yes = times > 0
        return Verdict(yes, ~yes, times)

    def _times(self, places: np.ndarray) -> np.ndarray:
        if not len(self.index):
            return np.zeros(len(places), np.uint32)
        return np.where(places >= 0, self.index.counts[places], 0).astype(np.uint32)
