"""The rows with the largest or smallest values, exactly as many as asked, or by DataComp's rule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from tamis.data.column import Cells, Mask
from tamis.select.logic import Verdict
from tamis.select.order_statistic import Cut, kth_largest, ordered_keys, value_of
from tamis.select.scan import Block, Numbers, Rows, Scan, has_value
from tamis.select.ties import KeptTies, TiedRows, lowest_ids, mark


@dataclass(frozen=True)
class Extremes:
    """The chosen rows.

    A row outside the base is unknown, as is one without a value.

    Attributes:
        x: the numbers.
        base: of whose rows; None for all.
        largest: whether the largest are chosen.
        of_rows: rows of the base, those without a value included.
        asked: rows that were asked for: k, or n + 1 by DataComp's rule.
        n_scored: rows of the base that have a value.
        cut: the value of the last kept rank; None keeps all rows with a value.
        nothing: whether DataComp's threshold is NaN, so that no row is kept.
        kept_ties: which rows at the cut are kept; None keeps all.
        n_kept_ties: how many of them.
    """

    x: Numbers
    base: Rows | None
    largest: bool
    of_rows: int
    asked: int
    n_scored: int
    cut: Cut | None
    nothing: bool = False
    kept_ties: KeptTies | None = None
    n_kept_ties: int = 0

    def at(self, block: Block) -> Verdict:
        cells = self.x.at(block)
        inside = has_value(cells)
        if self.base is not None:
            inside = inside & self.base.at(block).yes
        if self.nothing:
            return Verdict.of(np.zeros(block.n_rows, np.bool_), inside)
        if self.cut is None:
            return Verdict.of(np.ones(block.n_rows, np.bool_), inside)
        keys = _keys(cells, self.largest)
        limit = keys.dtype.type(self.cut.key)
        if self.kept_ties is None:
            return Verdict.of(keys >= limit, inside)
        yes = keys > limit
        ties = mark(self.kept_ties, block.start, block.n_rows)
        return Verdict.of(yes if ties is None else yes | ties, inside)

    @property
    def threshold(self) -> float | int | None:
        """The value at the cut: kept rows have it or a better one; None where nothing was cut."""
        if self.cut is None:
            return None
        bits = _bits(self.x.dtype)
        key = self.cut.key if self.largest else self.cut.key ^ ((1 << bits) - 1)
        return value_of(key, self.x.dtype)

    def facts(self) -> dict[str, Any]:
        """Return what a report says of it."""
        cut = self.cut
        return {
            "of_rows": self.of_rows,
            "asked": self.asked,
            "threshold": "NaN" if self.nothing else self.threshold,
            "at_threshold": 0 if cut is None else cut.at,
            "kept_at_threshold": 0 if cut is None else self._kept_at(cut),
        }

    def _kept_at(self, cut: Cut) -> int:
        return cut.at if self.kept_ties is None else self.n_kept_ties


def rows_asked(amount: int | float, of_rows: int) -> int:
    """Return k for the exact rule: the rows, or the exact product with the fraction, rounded down.

    The fraction is the decimal number as it is written: 0.29 of 100 rows is 29.

    Example:
        >>> rows_asked(0.29, 100), int(0.29 * 100), rows_asked(7, 100)
        (29, 28, 7)
    """
    if isinstance(amount, int):
        return amount
    return math.floor(Fraction(repr(amount)) * of_rows)


def choose_extremes(
    x: Numbers, amount: int | float, *, base: Rows | None, scan: Scan, largest: bool, ties: str
) -> Extremes:
    """Find the cut, and the rows kept at it.

    Args:
        x: the numbers.
        amount: a float is a fraction of the base's rows, an int a number of rows.
        base: of whose rows; None for all.
        scan: the rows; gone over twice for 32-bit numbers, four times for others, and twice more
            where ids decide at the cut.
        largest: whether the largest are wanted.
        ties: "exact" or "datacomp"; see :func:`tamis.select.top`.
    """
    of_rows = scan.n_rows
    if base is not None:
        of_rows = sum(int(base.at(block).yes.sum()) for block in scan.blocks())
    n_scored = 0

    def keys() -> Iterator[np.ndarray]:
        nonlocal n_scored
        n_scored = 0
        for block in scan.blocks():
            found = _inside(x, base, block, largest)
            n_scored += len(found)
            yield found

    bits = _bits(x.dtype)
    if ties == "datacomp":
        n = amount if isinstance(amount, int) else int(of_rows * amount)
        cut = kth_largest(keys, n + 1, bits)
        return Extremes(
            x, base, largest, of_rows, n + 1, n_scored, cut, nothing=cut is None and n < of_rows
        )
    k = rows_asked(amount, of_rows)
    if k == 0:
        return Extremes(x, base, largest, of_rows, 0, n_scored, None, nothing=True)
    cut = kth_largest(keys, k, bits)
    if cut is None or cut.above + cut.at == k:
        return Extremes(x, base, largest, of_rows, k, n_scored, cut)
    limit = cut.key

    def tied() -> Iterator[TiedRows]:
        for block in scan.blocks():
            cells = x.at(block)
            at_cut = _keys(cells, largest) == limit
            if not at_cut.any():
                continue
            at_cut &= _base_mask(cells, base, block)
            places = np.flatnonzero(at_cut)
            if len(places):
                yield block.start, places, scan.ids(block, places)

    n_kept = k - cut.above
    kept = lowest_ids(tied, cut.at, n_kept, scan.block_rows)
    return Extremes(x, base, largest, of_rows, k, n_scored, cut, kept_ties=kept, n_kept_ties=n_kept)


def _bits(dtype: np.dtype[Any]) -> int:
    return dtype.itemsize * 8


def _keys(cells: Cells, largest: bool) -> np.ndarray:
    keys = ordered_keys(cells.values)
    return keys if largest else ~keys


def _base_mask(cells: Cells, base: Rows | None, block: Block) -> Mask:
    inside = has_value(cells)
    return inside if base is None else inside & base.at(block).yes


def _inside(x: Numbers, base: Rows | None, block: Block, largest: bool) -> np.ndarray:
    cells = x.at(block)
    inside = _base_mask(cells, base, block)
    keys = _keys(cells, largest)
    return keys if inside.all() else keys[inside]
