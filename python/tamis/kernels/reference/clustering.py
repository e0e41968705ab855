"""Lloyd's k-means on canonical rows."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.kernels import sample
from tamis.kernels.reference.assignment import best, score_matrix
from tamis.kernels.reference.rows import (
    LARGEST_ROUNDING,
    Float16,
    as_float64,
    checked_rows,
    scaled_rows,
    squared_norms,
)


class KMeansResult(NamedTuple):
    """What `kmeans` found; labels, scores and inertia belong to the returned centroids.

    Euclidean centroids, scores and inertia are in units of the scaled rows.
    """

    centroids: Float16
    labels: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    n_iter: int
    inertia: float
    n_train: int
    converged: bool


def kmeans(
    x: npt.ArrayLike,
    n_clusters: int,
    *,
    max_iter: int = 20,
    init: Literal["random"] | npt.ArrayLike = "random",
    spherical: bool = True,
    max_points_per_centroid: int | None = 256,
    seed: int = 0,
    device: None = None,
    allow_rounding: bool = False,
) -> KMeansResult:
    """Cluster the rows of x; `n_iter` counts updates of the centroids.

    Train on all rows, or on the max_points_per_centroid * n_clusters rows with the smallest TRAIN
    keys. Assign, update, and stop when an assignment changes no label or after max_iter updates.
    """
    rows, exponent = checked_rows(x) if spherical else None, 0
    if rows is None:
        scaled = scaled_rows(x)
        if scaled.rounding > LARGEST_ROUNDING and not allow_rounding:
            raise ValueError(
                f"rounding to float16 loses {scaled.rounding:.2g} of a row, "
                "allow_rounding=True accepts that"
            )
        rows, exponent = scaled.rows, scaled.exponent
    n = len(rows)
    if not 1 <= n_clusters <= n:
        raise ValueError(f"n_clusters must be between 1 and the {n} rows, got {n_clusters}")
    train = training_rows(n, n_clusters, max_points_per_centroid, seed)
    if isinstance(init, str):
        centroids = rows[initial_rows(rows, train, n_clusters, seed)]
    elif spherical:
        centroids = checked_rows(init)
    else:
        centroids = np.ldexp(as_float64(init), -exponent).astype(np.float16)
    metric = "dot" if spherical else "euclidean"
    points = rows[train]
    labels = best(score_matrix(points, centroids, metric), 1)[0]
    n_iter, converged = 0, False
    while n_iter < max_iter and not converged:
        centroids = updated(centroids, points, labels, spherical)
        n_iter += 1
        previous, labels = labels, best(score_matrix(points, centroids, metric), 1)[0]
        converged = bool(np.array_equal(previous, labels))
    labels, scores = best(score_matrix(rows, centroids, metric), 1)
    total = inertia(rows, centroids, labels)
    return KMeansResult(
        centroids, labels, scores.astype(np.float32), n_iter, total, len(train), converged
    )


def training_rows(
    n: int, n_clusters: int, max_points_per_centroid: int | None, seed: int
) -> npt.NDArray[np.int64]:
    """Return the numbers of the rows that train the centroids, ascending."""
    if max_points_per_centroid is None or n <= max_points_per_centroid * n_clusters:
        return np.arange(n)
    return np.sort(sample.smallest(n, max_points_per_centroid * n_clusters, seed, sample.TRAIN))


def initial_rows(
    rows: Float16, train: npt.NDArray[np.int64], n_clusters: int, seed: int
) -> list[int]:
    """Return the rows that become the first centroids: distinct training rows in INIT key order.

    Where there are fewer distinct rows than clusters, the copies that were skipped follow in key
    order.
    """
    order = train[np.argsort(sample.keys(seed, sample.INIT, train), kind="stable")]
    seen: set[bytes] = set()
    distinct: list[int] = []
    skipped: list[int] = []
    for row in order.tolist():
        bits = rows[row].tobytes()
        (skipped if bits in seen else distinct).append(row)
        seen.add(bits)
    return (distinct + skipped)[:n_clusters]


def updated(
    centroids: Float16, points: Float16, labels: npt.NDArray[np.int32], spherical: bool
) -> Float16:
    """Return the new centroids: float16(sum / |sum|), or float16(sum / count) when not spherical.

    Sums of float16 rows are exact, so their order does not matter; |sum| is defined by
    `ordered_sum`. A spherical cluster whose sum is zero, and any empty cluster, keeps its centroid.
    """
    sums = np.zeros(centroids.shape)
    np.add.at(sums, labels, points.astype(np.float64))
    if spherical:
        divisor = np.sqrt(squared_norms(sums))
    else:
        divisor = np.bincount(labels, minlength=len(centroids)).astype(np.float64)
    keep = divisor == 0
    divisor[keep] = 1.0
    new = (sums / divisor[:, None]).astype(np.float16)
    return np.where(keep[:, None], centroids, new)


def inertia(rows: Float16, centroids: Float16, labels: npt.NDArray[np.int32]) -> float:
    """Return sum |x - c|^2 as an integer of 2^-48, rounded to float64 once."""
    units = np.ldexp(rows.astype(np.float64), 24).astype(np.int64)
    differences = units - np.ldexp(centroids.astype(np.float64), 24).astype(np.int64)[labels]
    total = sum(unit * unit for unit in differences.ravel().tolist())  # integers of any size
    return float(np.ldexp(float(total), -48))
