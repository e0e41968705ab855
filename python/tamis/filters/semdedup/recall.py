"""Recall, measured: how many duplicates the clustering saw, and how many are left among kept rows.

A seeded sample of rows is compared with all rows exactly. For every sampled row two numbers are
stored: its largest cosine to any other row, and its largest cosine to any other row that the
clustering compares it with (its own cluster, and with probes the clusters it probes and the rows
that probe its cluster). Recall at any eps is then a lookup. Identical copies count as duplicates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tamis.filters.semdedup.layout import Layout
from tamis.filters.semdedup.score import tile_rows
from tamis.filters.semdedup.select import threshold_of
from tamis.filters.semdedup.source import (
    Doubles,
    Index,
    Mask,
    Rows,
    RowSource,
    SelectedRows,
    Singles,
)
from tamis.filters.semdedup.tiles import Side
from tamis.kernels import sample
from tamis.kernels.exact import max_cosine64

Z_95 = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


@dataclass(frozen=True)
class Share:
    """A share of sampled rows, with its Wilson 95 % interval (E. B. Wilson, 1927, eq. 3).

    Attributes:
        count, of: `count` rows out of `of`.
        value: count / of, None where `of` is 0.
        low, high: the interval; 0 and 1 where `of` is 0.

    Example:
        >>> share = Share(9, 10)
        >>> share.value, round(share.low, 3), round(share.high, 3)
        (0.9, 0.596, 0.982)
    """

    count: int
    of: int

    @property
    def value(self) -> float | None:
        return self.count / self.of if self.of else None

    @property
    def low(self) -> float:
        return self._interval()[0]

    @property
    def high(self) -> float:
        return self._interval()[1]

    def _interval(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        p, z2 = self.count / self.of, Z_95 * Z_95 / self.of
        centre = (p + z2 / 2) / (1 + z2)
        half = math.sqrt(p * (1 - p) * z2 + z2 * z2 / 4) / (1 + z2)
        # At 0 and at 1 the interval ends there exactly; rounding must not push it past.
        low = 0.0 if self.count == 0 else max(0.0, centre - half)
        return low, 1.0 if self.count == self.of else min(1.0, centre + half)


@dataclass(frozen=True)
class RecallSample:
    """What recall is computed from.

    Attributes:
        rows: int64 (m,), sampled rows, ascending.
        any_cosine: float32 (m,), largest cosine to any other row; -inf in a pool of one row.
        compared_cosine: float32 (m,), largest cosine to any other row that the clustering compares
            it with.
    """

    rows: Index
    any_cosine: Singles
    compared_cosine: Singles

    def at(self, eps: float) -> Share:
        """Of the sampled rows that have a duplicate at `eps`, the share for which the clustering
        compares one.
        """
        threshold = threshold_of(eps)
        return Share(
            int((self.compared_cosine > threshold).sum()), int((self.any_cosine > threshold).sum())
        )


@dataclass(frozen=True)
class RecallReport:
    """Recall of a run.

    Attributes:
        sample: the measured rows, for recall at any other eps.
        found: `sample.at(eps)` at the eps of the run; None where the run chose none.
        residual: share of sampled kept rows that still have a kept duplicate at that eps; None
            where the run chose none.
    """

    sample: RecallSample
    found: Share | None
    residual: Share | None


def recall_sample(
    source: RowSource, layout: Layout, count: int, *, seed: int = 0, row_budget: int | None = None
) -> RecallSample:
    """Measure a sample of `count` rows (all rows where there are fewer)."""
    rows = np.sort(sample.smallest(source.shape[0], count, seed, sample.RECALL))
    data = source.take(rows)
    any_cosine, nearest = _best_other(source.blocks(), data, rows)
    compared = any_cosine.copy()
    # Where the nearest row of all was compared, both numbers are equal; only the rest need their
    # clusters.
    missed = np.flatnonzero(~_is_compared(layout, rows, nearest))
    compared[missed] = _best_compared(
        source, layout, rows[missed], data[missed], row_budget or tile_rows(source.shape[1])
    )
    return RecallSample(rows, any_cosine.astype(np.float32), compared.astype(np.float32))


def residual_duplicates(
    source: RowSource, keep: Mask, eps: float, count: int, *, seed: int = 0
) -> Share:
    """Of a seeded sample of kept rows, the share that still has another kept row with
    float32(cosine) > float32(1 - eps).

    The sample is the `count` kept rows with the smallest RESIDUAL keys, so the samples of similar
    kept sets overlap.
    """
    kept = np.flatnonzero(keep)
    keys = sample.keys(seed, sample.RESIDUAL, kept)
    chosen = np.sort(np.argsort(keys)[:count])
    remaining = SelectedRows(source, kept)
    cosine, _ = _best_other(remaining.blocks(), remaining.take(chosen), chosen)
    return Share(int((cosine.astype(np.float32) > threshold_of(eps)).sum()), len(chosen))


def _best_other(
    blocks: Iterator[tuple[int, Rows]], data: Rows, numbers: Index
) -> tuple[Doubles, Index]:
    """Largest cosine of some rows to any other row of a sequence of blocks, and its number there.

    `numbers` are the rows' own numbers in the sequence, negative for a row that is not part of it.
    """
    cosine = np.full(len(data), -np.inf)
    nearest = np.full(len(data), -1, dtype=np.int64)
    for start, block in blocks:
        own = numbers - start
        inside = np.flatnonzero((own >= 0) & (own < len(block)))
        outside = np.flatnonzero((own < 0) | (own >= len(block)))
        _look(cosine, nearest, data, outside, block, np.full(len(outside), len(block)), start, 1)
        if len(inside):
            # A row skips itself by seeing what comes before it, then, in a reversed block, what
            # comes after.
            _look(cosine, nearest, data, inside, block, own[inside], start, 1)
            after = len(block) - 1 - own[inside]
            _look(
                cosine,
                nearest,
                data,
                inside,
                np.ascontiguousarray(block[::-1]),
                after,
                start + len(block) - 1,
                -1,
            )
    return cosine, nearest


def _look(
    cosine: Doubles,
    nearest: Index,
    data: Rows,
    which: Index,
    block: Rows,
    limits: Index,
    start: int,
    step: int,
) -> None:
    """Let the rows `which` of `data` see the first `limits` rows of a block, and keep what is
    better, in place.
    """
    if not len(which):
        return
    found, position = max_cosine64(
        np.ascontiguousarray(data[which]),
        np.array([0, len(which)], dtype=np.int64),
        other=block,
        other_offsets=np.array([0, len(block)], dtype=np.int64),
        limits=limits.astype(np.int64),
    )
    better = found > cosine[which]
    cosine[which[better]] = found[better]
    nearest[which[better]] = start + step * position[better]


def _is_compared(layout: Layout, left: Index, right: Index) -> Mask:
    """Whether the clustering compares left[i] with right[i]; False where right is -1."""
    left_label, right_label = layout.labels[left], layout.labels[right]
    probing = (layout.probed[left] == right_label[:, None]).any(axis=1)
    probed = (layout.probed[right] == left_label[:, None]).any(axis=1)
    compared: Mask = (left_label == right_label) | probing | probed
    return (right >= 0) & compared


def _best_compared(
    source: RowSource, layout: Layout, rows: Index, data: Rows, row_budget: int
) -> Doubles:
    cosine = np.full(len(rows), -np.inf)
    reach = np.column_stack((layout.labels[rows], layout.probed[rows]))
    for cluster in np.unique(reach).tolist():
        members = layout.members[layout.offsets[cluster] : layout.offsets[cluster + 1]]
        probers = layout.probers[
            layout.prober_offsets[cluster] : layout.prober_offsets[cluster + 1]
        ]
        own = np.flatnonzero(layout.labels[rows] == cluster)
        for which, others in (
            (np.flatnonzero((reach == cluster).any(axis=1)), members),
            (own, probers),
        ):
            if not len(which) or not len(others):
                continue
            place = np.full(len(which), -1, dtype=np.int64)
            if others is members:
                slots = np.searchsorted(layout.rank[members], layout.rank[rows[which]])
                is_member = layout.labels[rows[which]] == cluster
                place[is_member] = slots[is_member]
            side = Side.open(
                source, others, layout.rank[others], np.array([0, len(others)]), row_budget
            )
            found, _ = _best_other(
                ((start, block) for start, block, _ in side.tiles()), data[which], place
            )
            cosine[which] = np.maximum(cosine[which], found)
    return cosine
