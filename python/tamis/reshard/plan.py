"""Which copies of which samples go into which new shard.

The order is that of the pool; the copies of a sample follow each other. So a shard depends on the
pool, the subset and the shard size alone, and is the unit of work and resume.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tamis.data.id_index import IdIndex
from tamis.data.ids import Ids


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows of a pool, each with a number of copies, cut into shards.

    Attributes:
        rows: int64 (n,), ascending.
        copies: int64 (n,), at least 1.
        shard_size: copies in a shard; the last may have fewer.
        absent: the ids of the subset that no row of the pool has, ascending, each once.
        absent_copies: int64, how often the subset has each of them.
    """

    rows: np.ndarray
    copies: np.ndarray
    shard_size: int
    absent: Ids
    absent_copies: np.ndarray

    @classmethod
    def of(cls, ids: Ids, subset: Ids, shard_size: int) -> Plan:
        """Match the ids of a pool with a subset, whose repeats are copies.

        Example:
            >>> plan = Plan.of(Ids.of(["a", "b", "c"]), Ids.of(["c", "a", "x", "a"]), 2)
            >>> plan.rows.tolist(), plan.copies.tolist(), plan.absent.to_list()
            ([0, 2], [2, 1], ['x'])
            >>> [list(plan.shard(number)) for number in range(plan.n_shards)]
            [[(0, 0, 2)], [(2, 0, 1)]]
        """
        index = IdIndex(subset)
        places = index.find(ids)
        rows = np.flatnonzero(places >= 0)
        found = np.zeros(len(index), bool)
        found[places[rows]] = True
        return cls(
            rows=rows,
            copies=index.counts[places[rows]],
            shard_size=shard_size,
            absent=index.ids.take(np.flatnonzero(~found)),
            absent_copies=index.counts[~found],
        )

    def without(self, rows: np.ndarray) -> Plan:
        """Return the plan without some rows."""
        kept = ~np.isin(self.rows, rows)
        return Plan(
            self.rows[kept], self.copies[kept], self.shard_size, self.absent, self.absent_copies
        )

    @property
    def n_copies(self) -> int:
        """Copies in all shards."""
        return int(self.copies.sum())

    @property
    def n_shards(self) -> int:
        """Shards; one without samples where there is nothing to write."""
        return max(1, -(-self.n_copies // self.shard_size))

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.copies)

    def n_in_shard(self, number: int) -> int:
        """Copies in a shard, counted from 0."""
        return min(self.shard_size, self.n_copies - number * self.shard_size)

    def shard(self, number: int) -> Iterator[tuple[int, int, int]]:
        """Yield (row, first copy, last copy + 1) for a shard, counted from 0."""
        start = number * self.shard_size
        stop = start + self.n_in_shard(number)
        ends = self._ends
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(ends, stop, side="left"))
        for place in range(first, min(last + 1, len(ends))):
            begin = int(ends[place] - self.copies[place])
            copies = max(start - begin, 0), int(min(stop, ends[place])) - begin
            if copies[0] < copies[1]:
                yield int(self.rows[place]), *copies
