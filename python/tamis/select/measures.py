"""Numbers made of numbers: arithmetic, and the scales on which different scores can be added.

All of it is computed in float64, row by row in a fixed order, so the blocks do not matter. What a
scale needs to know of all rows (least, largest, mean, order) is taken from the rows of the base
that have a finite value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tamis.data.column import Cells, Column, Mask
from tamis.select.scan import SUM_ROWS, Block, Numbers, Rows, Scan, as_float64

FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True)
class Stored:
    """The numbers of a column, as they are."""

    column: Column

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype = self.column.dtype
        assert dtype is not None
        return dtype

    def at(self, block: Block) -> Cells:
        return block.cells(self.column)


@dataclass(frozen=True)
class Constant:
    """The same number for every row."""

    value: int | float
    dtype: np.dtype[Any] = FLOAT64

    def at(self, block: Block) -> Cells:
        return Cells(np.full(block.n_rows, self.value, np.float64), None)


@dataclass(frozen=True)
class Computed:
    """A function of float64 arrays, each value from the values of its own row alone."""

    function: Callable[..., np.ndarray]
    operands: tuple[Numbers, ...]
    dtype: np.dtype[Any] = FLOAT64

    def at(self, block: Block) -> Cells:
        if id(self) not in block.found:
            values = [as_float64(operand.at(block)) for operand in self.operands]
            with np.errstate(all="ignore"):
                block.found[id(self)] = Cells(self.function(*values), None)
        cells: Cells = block.found[id(self)]
        return cells


ARITHMETIC: dict[str, Callable[..., np.ndarray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}


def fused(operands: tuple[Numbers, ...], weights: list[float] | None) -> Computed:
    """Return the weighted sum, from left to right; equal weights that sum to 1 by default."""
    scale = weights if weights is not None else [1.0 / len(operands)] * len(operands)

    def add(*values: np.ndarray) -> np.ndarray:
        total = scale[0] * values[0]
        for weight, value in zip(scale[1:], values[1:], strict=True):
            total = total + weight * value
        return total

    return Computed(add, operands)


def minmax(x: Numbers, base: Rows | None, scan: Scan) -> Computed:
    """Return (x - min) / (max - min); -inf is 0, inf is 1, and all are 0 where all are equal."""
    low, high = _range(x, base, scan)
    width = high - low

    def scale(values: np.ndarray) -> np.ndarray:
        scaled = (values - low) / width if width > 0 else np.zeros_like(values)
        scaled = np.where(np.isinf(values), values > 0, scaled)
        return np.where(np.isnan(values), np.nan, scaled)

    return Computed(scale, (x,))


def zscore(x: Numbers, base: Rows | None, scan: Scan) -> Computed:
    """Return (x - mean) / standard deviation (of the rows, n in the denominator)."""
    low, high = _range(x, base, scan)
    count, total = _sum(x, base, scan, lambda values: values)
    mean = total / count if count else math.nan
    _, squares = _sum(x, base, scan, lambda values: (values - mean) ** 2)
    deviation = math.sqrt(squares / count) if count else math.nan

    def scale(values: np.ndarray) -> np.ndarray:
        if low == high or deviation == 0:  # the mean of equal values can be off by a rounding
            return np.where(np.isfinite(values), 0.0, values)
        return (values - mean) / deviation

    return Computed(scale, (x,))


def rank(x: Numbers, base: Rows | None, scan: Scan, *, share: bool) -> Computed:
    """Return the place in ascending order from 1, ties sharing the mean; or (place - 0.5) / n.

    Memory: 8 bytes for each row with a value, and as much again while they are sorted.
    """
    parts = [np.empty(0)]
    for block in scan.blocks():
        values = as_float64(x.at(block))
        inside = ~np.isnan(values)
        if base is not None:
            inside &= base.at(block).yes
        parts.append(values[inside])
    ordered = np.concatenate(parts)
    del parts
    ordered.sort()

    def place(values: np.ndarray) -> np.ndarray:
        below = np.searchsorted(ordered, values, side="left")
        places = (below + np.searchsorted(ordered, values, side="right") + 1) / 2
        if share:
            places = (places - 0.5) / max(1, len(ordered))
        return np.where(np.isnan(values), np.nan, places)

    return Computed(place, (x,))


def _range(x: Numbers, base: Rows | None, scan: Scan) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for block in scan.blocks():
        values, inside = _inside(x, base, block)
        if inside.any():
            values = values[inside]
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high


def _inside(x: Numbers, base: Rows | None, block: Block) -> tuple[np.ndarray, Mask]:
    values = as_float64(x.at(block))
    inside: Mask = np.isfinite(values)
    if base is not None:
        inside &= base.at(block).yes
    return values, inside


def _sum(
    x: Numbers, base: Rows | None, scan: Scan, of: Callable[[np.ndarray], np.ndarray]
) -> tuple[int, float]:
    count = 0
    sums: list[float] = []
    for block in scan.blocks():
        values, inside = _inside(x, base, block)
        count += int(inside.sum())
        padded = np.zeros(-(-len(values) // SUM_ROWS) * SUM_ROWS)
        padded[: len(values)] = np.where(inside, of(np.where(inside, values, 0.0)), 0.0)
        sums.extend(padded.reshape(-1, SUM_ROWS).sum(axis=1).tolist())
    return count, math.fsum(sums)
