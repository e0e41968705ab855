"""Where the rows of a pool come from: an array in memory, or anything with the same three members.

Every stage of the method reads rows through `RowSource`, so one implementation serves
`tamis.SemDeDup` (an array) and the command line (rows on disk). A source holds *usable* rows only:
a quarantined row is left out before the first stage, which is why it can never touch another row's
result. Row numbers inside the method are positions in the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float16]
"""Canonical rows, float16 (n, d)."""
Index = NDArray[np.int64]
"""Row numbers or offsets, int64."""
Labels = NDArray[np.int32]
"""Cluster numbers, int32."""
Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
Mask = NDArray[np.bool_]

BLOCK_ROWS = 65536
"""Rows read at a time where a stage walks through a source."""


class RowSource(Protocol):
    """Canonical float16 rows, read by number or from first to last."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, dimensions)."""
        ...

    def take(self, indices: Index) -> Rows:
        """The rows with these numbers, in this order, as a C-contiguous float16 array that the
        caller only reads.
        """
        ...

    def blocks(self) -> Iterator[tuple[int, Rows]]:
        """All rows in ascending order as (number of the first row, rows)."""
        ...


class ArraySource:
    """Rows of an array that `tamis.canonical` returned, without the bad ones.

    Example:
        >>> import numpy as np
        >>> source = ArraySource(np.eye(3, dtype=np.float16))
        >>> source.shape, source.take(np.array([2])).tolist()
        ((3, 3), [[0.0, 0.0, 1.0]])
    """

    def __init__(self, rows: Rows, *, block_rows: int = BLOCK_ROWS) -> None:
        self.rows = np.ascontiguousarray(rows)
        self.block_rows = block_rows

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.shape[0], self.rows.shape[1]

    def take(self, indices: Index) -> Rows:
        return self.rows[indices]

    def blocks(self) -> Iterator[tuple[int, Rows]]:
        for start in range(0, len(self.rows), self.block_rows):
            yield start, self.rows[start : start + self.block_rows]


class SelectedRows:
    """Some rows of another source, renumbered from 0: its usable rows, or the kept ones.

    `rows` are row numbers of `base`, strictly ascending.
    """

    def __init__(self, base: RowSource, rows: Index) -> None:
        self.base = base
        self.rows = rows

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), self.base.shape[1]

    def take(self, indices: Index) -> Rows:
        return self.base.take(self.rows[indices])

    def blocks(self) -> Iterator[tuple[int, Rows]]:
        for start, block in self.base.blocks():
            first, last = np.searchsorted(self.rows, (start, start + len(block)))
            if last > first:
                yield int(first), np.ascontiguousarray(block[self.rows[first:last] - start])
