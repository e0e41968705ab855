"""How ragged segments are cut into launches and tiles; plain arithmetic on the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]


class Comparison(NamedTuple):
    """What a call of the kernel compares; see `tamis.kernels.exact.max_cosine64`."""

    offsets: Int64
    other_offsets: Int64 | None
    limits: Int64 | None
    exclude_self: bool


class Group(NamedTuple):
    """Whole segments for one launch.

    Attributes:
        rows, columns: where they are among all rows, and among all other rows.
        size: how many rows that is on the GPU.
        what: the comparison, numbered from the first row and column of the group.
    """

    rows: slice
    columns: slice
    size: int
    what: Comparison


def comparisons(what: Comparison, most: int) -> Iterator[Group]:
    """All segments in groups of at most `most` rows, or of one segment with more.

    Groups without rows, or without columns, have nothing to compare and are left out.
    """
    bounds = what.offsets
    columns = bounds if what.other_offsets is None else what.other_offsets
    total = bounds if what.other_offsets is None else bounds + columns
    first, last = 0, len(bounds) - 1
    while first < last:
        fits = int(np.searchsorted(total, total[first] + most, side="right")) - 1
        stop = max(first + 1, fits)
        rows = slice(int(bounds[first]), int(bounds[stop]))
        others = slice(int(columns[first]), int(columns[stop]))
        if rows.stop > rows.start and others.stop > others.start:
            cut = Comparison(
                bounds[first : stop + 1] - bounds[first],
                None if what.other_offsets is None else columns[first : stop + 1] - columns[first],
                None if what.limits is None else what.limits[rows],
                what.exclude_self,
            )
            yield Group(rows, others, int(total[stop] - total[first]), cut)
        first = stop


def giants(
    what: Comparison, part: slice, columns: slice, among_themselves: bool
) -> tuple[slice, slice]:
    """The columns that some rows of one giant segment see: (before, after) the rows' own numbers.

    With other rows as columns, all are "before".
    """
    seen = columns
    if what.limits is not None:
        reach = columns.start + int(what.limits[part].max(initial=0))
        seen = slice(columns.start, min(columns.stop, reach))
    if not among_themselves:
        return seen, slice(columns.stop, columns.stop)
    if what.limits is None and not what.exclude_self:
        seen = slice(columns.start, part.start)
    before = slice(seen.start, min(seen.stop, part.start))
    return before, slice(part.stop, max(part.stop, seen.stop))
