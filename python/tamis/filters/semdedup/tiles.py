"""Rows of one or more clusters in rank order, compared in tiles that fit in memory.

`Side.open` reads the rows at once where they fit the budget. Otherwise, which is only allowed for a
single cluster, they are read tile by tile, again for each tile that they are compared with: the
results are the same, and memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tamis.filters.semdedup.source import BLOCK_ROWS, Doubles, Index, Rows, RowSource
from tamis.kernels.exact import max_cosine64, paired_cosine64


@dataclass(frozen=True)
class Side:
    """Rows in rank order within each segment (one segment for each cluster of a batch).

    Attributes:
        source: where the rows come from.
        rows: int64 (m,), row numbers in the source.
        rank: int64 (m,), ascending within each segment.
        offsets: int64 (segments + 1,).
        tile_rows: rows in memory at a time.
        data: float16 (m, d), or None where the rows are read tile by tile.
    """

    source: RowSource
    rows: Index
    rank: Index
    offsets: Index
    tile_rows: int
    data: Rows | None

    @classmethod
    def open(
        cls, source: RowSource, rows: Index, rank: Index, offsets: Index, tile_rows: int
    ) -> Side:
        """Read the rows if they fit in one tile.

        Raises:
            ValueError: they do not, and there are several segments.
        """
        data = source.take(rows) if len(rows) <= tile_rows else None
        if data is None and len(offsets) != 2:
            raise ValueError(
                f"{len(rows)} rows of {len(offsets) - 1} clusters do not fit in a tile of "
                f"{tile_rows} rows"
            )
        return cls(source, rows, rank, offsets, tile_rows, data)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def segment(self) -> Index:
        """int64 (m,): the segment of every row."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def tiles(self) -> Iterator[tuple[int, Rows, Index]]:
        """(position of the first row, rows, offsets of the segments within the tile)."""
        if self.data is not None:
            yield 0, self.data, self.offsets
            return
        for start in range(0, len(self), self.tile_rows):
            rows = self.source.take(self.rows[start : start + self.tile_rows])
            yield start, rows, np.array([0, len(rows)], dtype=np.int64)

    def read(self, positions: Index) -> Rows:
        """The rows at some positions."""
        return self.source.take(self.rows[positions]) if self.data is None else self.data[positions]

    def pick(self, positions: Index) -> Side:
        """The rows at some ascending positions, in the same segments."""
        if len(positions) == len(self):
            return self
        offsets = np.searchsorted(positions, self.offsets).astype(np.int64)
        picked = replace(
            self, rows=self.rows[positions], rank=self.rank[positions], offsets=offsets
        )
        if self.data is None:
            return Side.open(self.source, picked.rows, picked.rank, offsets, self.tile_rows)
        return replace(picked, data=self.data[positions])

    def self_cosine(self, positions: Index) -> Doubles:
        """The cosine of a row with itself: 1 up to the rounding of one product and one division."""
        cosine = np.empty(len(positions), dtype=np.float64)
        for start in range(0, len(positions), BLOCK_ROWS):
            rows = self.read(positions[start : start + BLOCK_ROWS])
            index = np.arange(len(rows), dtype=np.int64)
            cosine[start : start + len(rows)] = paired_cosine64(rows, index, rows, index)
        return cosine


def earlier(left: Side, right: Side) -> Index:
    """For each row of `left`, how many rows of the same segment of `right` have a lower rank."""
    # Ranks are below 2^63 / segments for any pool that fits on a disk, so one sorted key serves all
    # segments.
    step = np.int64(max(left.rank.max(initial=0), right.rank.max(initial=0)) + 1)
    keys = right.segment * step + right.rank
    found = np.searchsorted(keys, left.segment * step + left.rank)
    return found.astype(np.int64) - right.offsets[left.segment]


def best_cosine(left: Side, right: Side, limits: Index | None = None) -> tuple[Doubles, Index]:
    """For each row of `left`, the largest cosine to the first `limits` rows of the same segment of
    `right`.

    Args:
        left, right: sides with the same segments; they may be the same object.
        limits: int64 (m,), or None for all rows of the segment.

    Returns:
        float64 cosines and int64 positions in `right` (lowest on ties); -inf and -1 where there is
        nothing to compare with.
    """
    if limits is None:
        limits = np.diff(right.offsets)[left.segment]
    cosine = np.full(len(left), -np.inf)
    position = np.full(len(left), -1, dtype=np.int64)
    for left_start, left_rows, left_offsets in left.tiles():
        part = slice(left_start, left_start + len(left_rows))
        furthest = int(limits[part].max(initial=0))
        for right_start, right_rows, right_offsets in right.tiles():
            if right_start >= furthest:
                break
            found, where = max_cosine64(
                left_rows,
                left_offsets,
                other=right_rows,
                other_offsets=right_offsets,
                limits=np.clip(limits[part] - right_start, 0, len(right_rows)),
            )
            _improve(cosine[part], position[part], found, where + right_start)
    return cosine, position


def best_earlier(side: Side) -> tuple[Doubles, Index]:
    """`best_cosine` of a side with itself, each row seeing the rows before it in its segment."""
    cosine = np.full(len(side), -np.inf)
    position = np.full(len(side), -1, dtype=np.int64)
    for start, rows, offsets in side.tiles():
        part = slice(start, start + len(rows))
        for other_start, other, other_offsets in side.tiles():
            if other_start == start:
                break
            found, where = max_cosine64(rows, offsets, other=other, other_offsets=other_offsets)
            _improve(cosine[part], position[part], found, where + other_start)
        found, where = max_cosine64(rows, offsets)
        _improve(cosine[part], position[part], found, where + start)
    return cosine, position


def _improve(cosine: Doubles, position: Index, found: Doubles, where: Index) -> None:
    """Take what is strictly better: tiles come in rank order, so the earlier one keeps a tie."""
    better = found > cosine
    cosine[better] = found[better]
    position[better] = where[better]
