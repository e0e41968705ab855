"""How many clusters, their centroids, and the cluster of every row.

Cost model, in multiply-adds, for n rows of d dimensions, k clusters and p probes:

    train(k)  = T * min(n, 256 k) * k * d      T = 20 updates of k-means
    assign(k) = n * k * d
    pairs(k)  = 1.2 * (1/2 + p) * n^2 * d / k

1.2 is the imbalance k * sum(n_c^2) / n^2 that the paper's pair counts imply (their ratio of 4.1e4
at k = 50,000). "auto" is k = 1, the exact mode, up to 32,768 rows; above it is the k with the least
sum among numbers of the form m * 2^e, 8 <= m < 16; of two equal sums the smaller k, because larger
clusters hide fewer duplicates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tamis.filters.semdedup.source import ArraySource, Doubles, Index, Labels, Rows, RowSource
from tamis.kernels.exact import assign64
from tamis.kernels.kmeans import initial_rows, training_rows, updates

POINTS_PER_CENTROID = 256
MAX_ITER = 20
IMBALANCE = 1.2
EXACT_ROWS = 32768
"""Up to this many rows "auto" compares all pairs; at d = 512 two cores need about a second."""


@dataclass(frozen=True)
class ClusterPlan:
    """What clustering and comparing will cost; costs are multiply-adds.

    Attributes:
        n_rows: usable rows.
        dim: dimensions.
        n_clusters: k.
        n_probes: next-nearest clusters that each row is compared with, at most k - 1.
        auto: whether the cost model chose k.
        n_train: rows that train the centroids.
        max_iter: most updates of the centroids.
        train_cost, assign_cost, pair_cost: see the formulas of this module.
    """

    n_rows: int
    dim: int
    n_clusters: int
    n_probes: int
    auto: bool
    n_train: int
    max_iter: int
    train_cost: float
    assign_cost: float
    pair_cost: float

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for printing and JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Clusters:
    """Trained centroids.

    Attributes:
        centroids: float16 (k, d).
        n_iter: updates that were made.
        converged: whether the last update changed no label of a training row.
    """

    centroids: Rows
    n_iter: int
    converged: bool


@dataclass(frozen=True)
class Assignment:
    """Where every row belongs.

    Attributes:
        labels: int32 (n,), the nearest centroid by exact dot product; ties go to the lowest number.
        dots: float64 (n,), the exact dot product with it.
        probed: int32 (n, p), the next-nearest clusters, best first.
    """

    labels: Labels
    dots: Doubles
    probed: Labels


def plan_clusters(n_rows: int, dim: int, n_clusters: int | str, *, probes: int = 0) -> ClusterPlan:
    """Check or choose the number of clusters.

    Args:
        n_rows: usable rows, at least 1.
        dim: dimensions.
        n_clusters: k, or "auto" for the cost model.
        probes: next-nearest clusters to compare with; more than k - 1 means all.

    Raises:
        ValueError: no rows, k < 1, k > n_rows, a word other than "auto", or probes < 0.

    Example:
        >>> plan_clusters(1000, 512, "auto").n_clusters
        1
        >>> plan_clusters(10_000_000, 512, "auto").n_clusters
        1536
    """
    if n_rows < 1:
        raise ValueError("expected at least one usable row, got none")
    if probes < 0:
        raise ValueError(f"probes must be 0 or more, got {probes}")
    auto = n_clusters == "auto"
    if auto:
        n_clusters = _cheapest(n_rows, dim, probes)
    elif not isinstance(n_clusters, (int, np.integer)) or n_clusters < 1:
        raise ValueError(f"n_clusters must be 'auto' or a whole number from 1, got {n_clusters!r}")
    n_clusters = int(n_clusters)
    if n_clusters > n_rows:
        raise ValueError(
            f"n_clusters={n_clusters} is more than the {n_rows} usable rows; ask for fewer clusters"
        )
    n_probes = min(probes, n_clusters - 1)
    train, assign, pairs = _costs(n_rows, dim, n_clusters, n_probes)
    return ClusterPlan(
        n_rows=n_rows,
        dim=dim,
        n_clusters=n_clusters,
        n_probes=n_probes,
        auto=auto,
        n_train=min(n_rows, POINTS_PER_CENTROID * n_clusters),
        max_iter=MAX_ITER,
        train_cost=train,
        assign_cost=assign,
        pair_cost=pairs,
    )


def fit_clusters(source: RowSource, plan: ClusterPlan, *, seed: int = 0) -> Clusters:
    """The clusters of `tamis.kmeans(rows, plan.n_clusters, seed=seed)`, reading only the rows that
    train them.

    Memory: plan.n_train rows, which is at most 256 for each cluster.
    """
    points, numbers = training_points(source, plan, seed)
    clusters = Clusters(first_centroids(points, numbers, plan, seed), 0, False)
    steps = update_steps(points, clusters.centroids, plan.max_iter)
    for n_iter, (centroids, converged) in enumerate(steps, start=1):
        clusters = Clusters(centroids, n_iter, converged)
    return clusters


def training_points(source: RowSource, plan: ClusterPlan, seed: int) -> tuple[Rows, Index]:
    """The rows that train the centroids, and their numbers in the source."""
    n_rows = source.shape[0]
    numbers = training_rows(n_rows, plan.n_clusters, POINTS_PER_CENTROID, seed)
    if len(numbers) == n_rows and isinstance(source, ArraySource):
        return source.rows, numbers
    return source.take(numbers), numbers


def first_centroids(points: Rows, numbers: Index, plan: ClusterPlan, seed: int) -> Rows:
    """The centroids that k-means starts from."""
    return points[initial_rows(points, numbers, plan.n_clusters, seed)]


def update_steps(points: Rows, centroids: Rows, max_iter: int) -> Iterator[tuple[Rows, bool]]:
    """After every update of k-means: (centroids, whether no label changed)."""
    yield from updates(points, centroids, max_iter)


def assign_clusters(source: RowSource, centroids: Rows, *, n_probes: int = 0) -> Assignment:
    """Assign every row, block by block; memory is that of the result and one block."""
    n_rows = source.shape[0]
    labels = np.empty(n_rows, dtype=np.int32)
    dots = np.empty(n_rows, dtype=np.float64)
    probed = np.empty((n_rows, n_probes), dtype=np.int32)
    for start, rows in source.blocks():
        part = slice(start, start + len(rows))
        labels[part], dots[part], probed[part] = assign_block(rows, centroids, n_probes=n_probes)
    return Assignment(labels, dots, probed)


def assign_block(
    rows: Rows, centroids: Rows, *, n_probes: int = 0
) -> tuple[Labels, Doubles, Labels]:
    """(labels (m,), dots (m,), probed (m, n_probes)) of some rows; one unit of a resumable
    assignment.
    """
    top, dots = assign64(rows, centroids, top=n_probes + 1)
    if n_probes == 0:
        return top, dots, np.empty((len(rows), 0), dtype=np.int32)
    return top[:, 0].copy(), dots[:, 0].copy(), top[:, 1:].copy()


def _costs(n_rows: int, dim: int, n_clusters: int, probes: int) -> tuple[float, float, float]:
    n_train = min(n_rows, POINTS_PER_CENTROID * n_clusters)
    train = float(MAX_ITER * n_train * n_clusters * dim)
    assign = float(n_rows * n_clusters * dim)
    pairs = IMBALANCE * (0.5 + min(probes, n_clusters - 1)) * n_rows * n_rows * dim / n_clusters
    return train, assign, pairs


def _cheapest(n_rows: int, dim: int, probes: int) -> int:
    if n_rows <= EXACT_ROWS:
        return 1
    choices = (m << e for e in range(n_rows.bit_length()) for m in range(8, 16))
    return min(
        (k for k in choices if k <= n_rows), key=lambda k: (sum(_costs(n_rows, dim, k, probes)), k)
    )
