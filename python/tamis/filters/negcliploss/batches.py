"""Which rows stand in which random batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels import sample

Index = npt.NDArray[np.int64]


class Batches:
    """Random partitions of the usable rows of a pool into batches.

    In repetition r the usable rows are put in the order of their random keys, which depend on the
    seed, r and the row's number in the pool; batch b takes places b * size to (b + 1) * size - 1.
    The last batch is filled up to `size` from the places before it; the rows that fill it keep the
    value of their own batch. So every row meets size - 1 others, unless there are fewer rows.

    Memory: 16 bytes for each usable row, and as many again while they are ordered.

    Args:
        rows: int64 (n,), the numbers of the usable rows, ascending.
        n_pool_rows: rows of the pool, bad ones included.
        size: rows of a batch.
        seed: any integer.

    Example:
        >>> batches = Batches(np.arange(5), n_pool_rows=5, size=2, seed=0)
        >>> [batches.rows_of(0, batch).tolist() for batch in range(batches.count)]
        [[0, 1], [2, 4], [4, 3]]
        >>> batches.n_filling(2)
        1
    """

    def __init__(self, rows: Index, n_pool_rows: int, size: int, seed: int) -> None:
        self.rows = rows
        self.n_pool_rows = n_pool_rows
        self.size = size
        self.seed = seed
        self._ordered: tuple[int, Index] | None = None

    @property
    def count(self) -> int:
        """Batches of one repetition."""
        return -(-len(self.rows) // self.size)

    def rows_of(self, repetition: int, batch: int) -> Index:
        """The row numbers of a batch, those that only fill it first."""
        start, stop = self._places(batch)
        return self.rows[self._order(repetition)[start:stop]]

    def own_places(self, repetition: int, batch: int) -> Index:
        """The places in `rows` of the rows that take their value from this batch."""
        start, stop = self._places(batch)
        return self._order(repetition)[start + self.n_filling(batch) : stop]

    def n_filling(self, batch: int) -> int:
        """How many rows, at the head of the batch, only fill it."""
        return batch * self.size - self._places(batch)[0]

    def n_own(self, batch: int) -> int:
        """How many rows take their value from the batch."""
        return self._places(batch)[1] - batch * self.size

    def _places(self, batch: int) -> tuple[int, int]:
        stop = min((batch + 1) * self.size, len(self.rows))
        return max(stop - self.size, 0), stop

    def _order(self, repetition: int) -> Index:
        if self._ordered is None or self._ordered[0] != repetition:
            # Keys of one purpose differ where their counters do, so no tie needs a rule.
            counter = self.rows + repetition * self.n_pool_rows
            order = np.argsort(sample.keys(self.seed, sample.BATCH, counter))
            self._ordered = repetition, order
        return self._ordered[1]
