"""Which rows a reference is made of: those with the smallest keys among the usable ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tamis.kernels import sample
from tamis.score.pairs import joined_reasons

if TYPE_CHECKING:
    from tamis.filters.hype.points import Points

Index = npt.NDArray[np.int64]
Matrix = npt.NDArray[Any]

TAKEN_NUMBERS: Final = 1 << 26
"""Numbers of points that are read at once: 256 MiB as float32."""
_SPARE: Final = 64  # rows that the first round takes beside a sixteenth more than are wanted


@dataclass(frozen=True)
class Sampled:
    """The chosen rows and their points.

    Attributes:
        rows: int64 (m,), in the order of their keys: the first k of them are the sample of k rows.
        points: for every side that was asked for, (m, dim).
        reasons: why rows before the last chosen one were passed over -> how many.
    """

    rows: Index
    points: list[Matrix]
    reasons: dict[str, int]


def sample_points(sides: Sequence[Points], count: int, seed: int) -> Sampled:
    """Take the usable rows with the smallest keys of purpose REFERENCE.

    A row is usable where no side has a reason against it. The choice depends on the row numbers,
    the seed and on which rows are usable, on nothing else. Memory is what is returned, 256 MiB of
    points a side, and 16 bytes for every row that is looked at: in the worst case, a pool without
    usable rows, as much as the ids of all rows.

    Args:
        sides: row-aligned points.
        count: rows wanted; all usable ones come back where there are fewer.
        seed: any integer.
    """
    most = min(count, sides[0].n_rows)
    rows = np.empty(most, np.int64)
    points: list[Matrix] = []
    reasons: Counter[str] = Counter()
    got = 0
    for part in _candidates(sides, most, seed):
        taken, bad = _take(sides, part)
        points = points or [np.empty((most, found.shape[1]), found.dtype) for found in taken]
        usable = np.ones(len(part), np.bool_)
        usable[list(bad)] = False
        good = np.flatnonzero(usable)[: most - got]
        rows[got : got + len(good)] = part[good]
        for kept, found in zip(points, taken, strict=True):
            kept[got : got + len(good)] = found[good]
        got += len(good)
        looked_at = len(part) if got < most else good[-1]
        reasons.update(why for place, why in bad.items() if place < looked_at)
        if got == most:
            break
    return Sampled(rows[:got], [kept[:got] for kept in points], dict(sorted(reasons.items())))


def _take(sides: Sequence[Points], rows: Index) -> tuple[list[Matrix], dict[int, str]]:
    taken, reasons = zip(*(side.take(rows) for side in sides), strict=True)
    return list(taken), reduce(joined_reasons, reasons)


def _candidates(sides: Sequence[Points], count: int, seed: int) -> Iterator[Index]:
    """All rows in the order of their keys, as many at a time as may be needed."""
    n_rows = sides[0].n_rows
    step = max(1, TAKEN_NUMBERS // max(side.space.dim for side in sides))
    seen, wanted = 0, count + count // 16 + _SPARE
    while seen < n_rows:
        rows = sample.smallest(n_rows, wanted, seed, sample.REFERENCE)
        for start in range(seen, len(rows), step):
            yield rows[start : start + step]
        seen, wanted = len(rows), 2 * wanted
