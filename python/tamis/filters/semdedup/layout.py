"""Which rows stand in which cluster, in rank order, and how the clusters are cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.filters.semdedup.source import Index, Labels


@dataclass(frozen=True)
class Layout:
    """The clusters of a pool, rows in rank order.

    A cluster has members and probers: rows of other clusters that have it among their next-nearest.

    Attributes:
        labels: int32 (n,), the cluster of every row.
        rank: int64 (n,), the position of every row in the global order.
        members: int64 (n,), all rows by (cluster, rank).
        offsets: int64 (k + 1,); cluster c is members[offsets[c]:offsets[c + 1]].
        probed: int32 (n, p), the p next-nearest clusters of every row.
        probers: int64 (n * p,), rows by (cluster they probe, rank).
        prober_offsets: int64 (k + 1,).
    """

    labels: Labels
    rank: Index
    members: Index
    offsets: Index
    probed: Labels
    probers: Index
    prober_offsets: Index

    @property
    def n_clusters(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_probes(self) -> int:
        return int(self.probed.shape[1])

    def rank_in_cluster(self) -> Index:
        """int64 (n,): the position of every row in its cluster, from 0."""
        position = np.empty(len(self.members), dtype=np.int64)
        sizes = np.diff(self.offsets)
        position[self.members] = np.arange(len(self.members)) - np.repeat(self.offsets[:-1], sizes)
        return position

    def without_probes(self) -> Layout:
        """The same clusters, each compared with itself only."""
        return make_layout(self.labels, self.rank, self.n_clusters)


@dataclass(frozen=True)
class Batch:
    """The clusters first <= c < last."""

    first: int
    last: int


def make_layout(
    labels: Labels, rank: Index, n_clusters: int, probed: Labels | None = None
) -> Layout:
    """Sort rows into clusters.

    Args:
        labels: int32 (n,), 0 <= label < n_clusters.
        rank: int64 (n,), a permutation (`order.global_ranks`).
        n_clusters: k; empty clusters are allowed.
        probed: int32 (n, p) or None; a row never probes its own cluster.

    Example:
        >>> layout = make_layout(np.array([1, 0, 1], dtype=np.int32), np.array([2, 1, 0]), 2)
        >>> layout.members.tolist(), layout.offsets.tolist()
        ([1, 2, 0], [0, 1, 3])
    """
    n_rows = len(labels)
    if probed is None:
        probed = np.empty((n_rows, 0), dtype=np.int32)
    n_probes = probed.shape[1]
    order = np.empty(n_rows, dtype=np.int64)
    order[rank] = np.arange(n_rows)
    members, offsets = _segments(labels[order], n_clusters)
    slots, prober_offsets = _segments(probed[order].reshape(-1), n_clusters)
    return Layout(
        labels=labels,
        rank=rank,
        members=order[members],
        offsets=offsets,
        probed=probed,
        probers=order[slots // max(n_probes, 1)],
        prober_offsets=prober_offsets,
    )


def _segments(clusters: Labels, n_clusters: int) -> tuple[NDArray[np.intp], Index]:
    """Positions sorted by cluster, earlier positions first, and where each cluster begins."""
    offsets = np.zeros(n_clusters + 1, dtype=np.int64)
    np.cumsum(np.bincount(clusters, minlength=n_clusters), out=offsets[1:])
    return np.argsort(clusters, kind="stable"), offsets


def batches(layout: Layout, row_budget: int, within: Batch | None = None) -> Iterator[Batch]:
    """Cut clusters into runs of at most `row_budget` rows, members and probers together.

    A cluster that is larger alone makes a batch of its own. The cut depends on the layout and the
    budget only, so a batch can be the unit of a resumable run.

    Example:
        >>> layout = make_layout(np.array([0, 0, 1, 2], dtype=np.int32), np.arange(4), 3)
        >>> [(batch.first, batch.last) for batch in batches(layout, 2)]
        [(0, 1), (1, 3)]
    """
    within = within or Batch(0, layout.n_clusters)
    ends = layout.offsets + layout.prober_offsets
    first = within.first
    while first < within.last:
        last = int(np.searchsorted(ends, ends[first] + row_budget, side="right")) - 1
        last = min(max(last, first + 1), within.last)
        yield Batch(first, last)
        first = last
