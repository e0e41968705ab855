"""Lloyd's k-means with exact labels, sums and inertia."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis._array import as_float64, as_matrix, cuda_of
from tamis._native import bits, cpu, halves
from tamis.kernels import place, sample
from tamis.kernels.assign import Metric, ScaledRows, best_centroids, scaled_rows
from tamis.kernels.canonical import canonical_rows

Init = Literal["random"] | npt.ArrayLike

_READ_ROWS = 1024  # rows that are compared at a time, to find first centroids that differ


@dataclass(frozen=True)
class KMeansResult:
    """What `kmeans` found. Labels, scores and inertia belong to the returned centroids.

    With 3-D input every field has a leading dimension, one entry for each slice.

    Attributes:
        centroids: float16 (k, d). Euclidean: multiply by 2^exponent for the units of x.
        labels: int32 (n,), the centroid of each row.
        scores: float32 (n,), x.c, or x.c - |c|^2 / 2 when Euclidean, in units of the scaled rows.
        n_iter: updates of the centroids.
        inertia: sum of |x - c|^2 over all rows, summed exactly and rounded once, in units of the
            scaled rows.
        n_train: rows that trained the centroids; fewer than n where they were sampled.
        converged: whether the last assignment changed no label.
        exponent: x is about rows * 2^exponent; 0 when spherical.
        rounding: rms over the rows of |rounding error| / |row|; 0 when spherical.
    """

    centroids: npt.NDArray[np.float16]
    labels: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    n_iter: int
    inertia: float
    n_train: int
    converged: bool
    exponent: int = 0
    rounding: float = 0.0


def kmeans(
    x: Any,
    n_clusters: int,
    *,
    max_iter: int = 20,
    init: Init = "random",
    spherical: bool = True,
    max_points_per_centroid: int | None = 256,
    seed: int = 0,
    device: str | None = None,
    allow_rounding: bool = False,
) -> KMeansResult:
    """Cluster rows by Lloyd's algorithm; every bit of the result is defined.

    Spherical: a row belongs to the centroid with the largest x.c, and a centroid is
    float16(sum / |sum|) of its canonical rows. Otherwise: the largest x.c - |c|^2 / 2, and
    float16(sum / count). Scores are compared in float64, ties go to the lowest index, and sums of
    float16 rows are exact, so neither threads nor tiles nor instruction sets can change a bit. A
    cluster that is empty, or whose sum is zero when spherical, keeps its centroid. It stops when no
    label changes, or after max_iter updates; a last assignment follows the last update.

    Args:
        x: (n, d) rows, or (b, n, d): then the result is that of each slice on its own.
        n_clusters: k, from 1 to n.
        max_iter: most updates, 0 or more.
        init: "random" or (k, d) first centroids. Random: training rows in the order of their
            splitmix64 keys, without copies of a row already chosen while distinct rows remain.
        spherical: see above. Otherwise x is scaled by one power of two to norms of at most 1 and
            rounded to float16; zero rows are legal then.
        max_points_per_centroid: train on the k times this many rows with the smallest keys where
            there are more (reported as n_train); None trains on all. All rows are always assigned.
        seed: of the two random choices.
        device: None or "auto" is the GPU that x lives on, or the CPU: host arrays stay there.
            "cpu". "cuda" or "cuda:1" takes host arrays to a GPU (extra cuda13), block by block in
            every update where they do not fit.
        allow_rounding: accept Euclidean rows that lose more than 2^-10 (rms) by rounding.

    Returns:
        KMeansResult; its arrays are of x's library where x is on a GPU.

    Raises:
        ValueError: k out of range, bad rows (counted, the first named), a bad init, or too much
            rounding.

    Example:
        >>> x = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
        >>> result = kmeans(x, 2)
        >>> bool(result.labels[0] == result.labels[1] != result.labels[2])
        True
        >>> result.converged
        True
    """
    options: dict[str, Any] = {
        "max_iter": _whole(max_iter, "max_iter", 0),
        "init": init,
        "spherical": spherical,
        "max_points_per_centroid": None
        if max_points_per_centroid is None
        else _whole(max_points_per_centroid, "max_points_per_centroid", 1),
        "seed": seed,
        "allow_rounding": allow_rounding,
    }
    n_clusters = _whole(n_clusters, "n_clusters", 1)
    if isinstance(init, str) and init != "random":
        raise ValueError(f'init must be "random" or an array of centroids, got {init!r}')
    ordinal = cuda_of(device, x=x, init=None if isinstance(init, str) else init)
    if ordinal is not None:
        from tamis.cuda.kmeans import kmeans as kmeans_there

        return kmeans_there(ordinal, x, n_clusters, **options)
    matrix = as_matrix(x, dims=(2, 3))
    if matrix.ndim == 3:
        return stacked([_kmeans(part, n_clusters, **options) for part in matrix], np.stack)
    return _kmeans(matrix, n_clusters, **options)


def _kmeans(
    matrix: npt.NDArray[Any],
    n_clusters: int,
    *,
    max_iter: int,
    init: Init,
    spherical: bool,
    max_points_per_centroid: int | None,
    seed: int,
    allow_rounding: bool,
) -> KMeansResult:
    n = len(matrix)
    check_clusters(n_clusters, n)
    scaled = (
        ScaledRows(canonical_rows(matrix), 0, 0.0)
        if spherical
        else scaled_rows(matrix, allow_rounding=allow_rounding)
    )
    train = training_rows(n, n_clusters, max_points_per_centroid, seed)
    points = scaled if len(train) == n else scaled._replace(rows=scaled.rows[train])
    if isinstance(init, str):
        first = initial_rows(points.rows, train, n_clusters, seed)
        centroids = points.rows[first]
    else:
        shape = (n_clusters, scaled.rows.shape[1])
        centroids = given_centroids(init, shape, scaled.exponent, spherical)
    # Labels in the units of the scaled rows: the scale is taken out of both sides.
    n_iter, last = 0, None
    steps = lloyd(points, centroids, max_iter=max_iter, spherical=spherical)
    while (step := next(steps, None)) is not None:
        n_iter, last, centroids = n_iter + 1, step, step.centroids
    if last is not None and len(train) == n:
        labels, scores = last.labels, last.scores
    else:
        unscaled = scaled._replace(exponent=0)
        labels, scores = best_centroids(unscaled, centroids, _metric(spherical), top=1)
    total = cpu.inertia(bits(scaled.rows), np.ascontiguousarray(labels), bits(centroids))
    return KMeansResult(
        centroids,
        labels,
        scores.astype(np.float32),
        n_iter,
        float(np.ldexp(float(total), -48)),
        len(train),
        last is not None and last.converged,
        scaled.exponent,
        scaled.rounding,
    )


def training_rows(
    n: int, n_clusters: int, max_points_per_centroid: int | None, seed: int
) -> npt.NDArray[np.int64]:
    """The numbers of the rows that train the centroids, ascending."""
    if max_points_per_centroid is None or n <= max_points_per_centroid * n_clusters:
        return np.arange(n, dtype=np.int64)
    return np.sort(sample.smallest(n, max_points_per_centroid * n_clusters, seed, sample.TRAIN))


def initial_rows(
    points: npt.NDArray[np.float16], numbers: npt.NDArray[np.int64], n_clusters: int, seed: int
) -> npt.NDArray[np.int64]:
    """Which of the training points become the first centroids.

    They come in the order of the INIT keys of their row numbers; copies of one already chosen
    follow only where there are too few distinct points.
    """
    return first_distinct(
        np.argsort(sample.keys(seed, sample.INIT, numbers), kind="stable"),
        lambda some: points[some],
        n_clusters,
    )


def first_distinct(
    order: npt.NDArray[np.int64],
    read: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float16]],
    count: int,
) -> npt.NDArray[np.int64]:
    """The first `count` numbers of `order` whose rows, which `read` gives, differ; copies last."""
    distinct: list[int] = []
    copies: list[int] = []
    seen: set[bytes] = set()
    step = min(_READ_ROWS, count)
    for start in range(0, len(order), step):
        some = order[start : start + step]
        for point, values in zip(some.tolist(), read(some), strict=True):
            if len(distinct) == count:
                break
            row = values.tobytes()
            (copies if row in seen else distinct).append(point)
            seen.add(row)
        if len(distinct) == count:
            break
    return np.array((distinct + copies)[:count], dtype=np.int64)


class Step(NamedTuple):
    """What an update of the centroids came to; labels and scores belong to the new centroids."""

    centroids: npt.NDArray[np.float16]
    labels: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float64]
    converged: bool
    """No label changed."""


def lloyd(
    points: ScaledRows, centroids: npt.NDArray[np.float16], *, max_iter: int, spherical: bool
) -> Iterator[Step]:
    """Every update of the centroids, max_iter of them or until no label changes."""
    points, metric = points._replace(exponent=0), _metric(spherical)
    rows = bits(points.rows)
    if not max_iter:
        return
    labels = best_centroids(points, centroids, metric, top=1)[0]
    for _ in range(max_iter):
        previous = np.ascontiguousarray(labels)
        centroids = halves(cpu.update_centroids(rows, previous, bits(centroids), spherical))
        labels, scores = best_centroids(points, centroids, metric, top=1, guess=previous)
        step = Step(centroids, labels, scores, bool(np.array_equal(previous, labels)))
        yield step
        if step.converged:
            return


def updates(
    points: npt.NDArray[np.float16], centroids: npt.NDArray[np.float16], max_iter: int
) -> Iterator[tuple[npt.NDArray[np.float16], bool]]:
    """Every spherical update of the centroids of canonical rows: (centroids, no label changed).

    It runs where `place.running_on` says.
    """
    ordinal = place.ordinal(max_iter * len(points) * centroids.size)
    if ordinal is not None:
        from tamis.cuda.kmeans import updates as updates_there

        yield from updates_there(ordinal, points, centroids, max_iter)
        return
    scaled = ScaledRows(points, 0, 0.0)
    for step in lloyd(scaled, centroids, max_iter=max_iter, spherical=True):
        yield step.centroids, step.converged


def _metric(spherical: bool) -> Metric:
    return "dot" if spherical else "euclidean"


def given_centroids(
    init: npt.ArrayLike, shape: tuple[int, int], exponent: int, spherical: bool
) -> npt.NDArray[np.float16]:
    """First centroids that the caller chose, in the units of rows scaled by 2^-exponent."""
    given = as_matrix(init, "init")
    if given.shape != shape:
        raise ValueError(f"init: expected {shape[0]} centroids, shape {shape}, got {given.shape}")
    if spherical:
        return canonical_rows(given, "init")
    with np.errstate(over="ignore"):
        half = np.ldexp(as_float64(given), -exponent).astype(np.float16)
    if not np.isfinite(half).all():
        raise ValueError("init: expected finite numbers within float16's range of the rows' scale")
    return half


def check_clusters(n_clusters: int, n_rows: int) -> None:
    """Raise ValueError where there are more clusters than rows."""
    if n_clusters > n_rows:
        raise ValueError(
            f"n_clusters must be between 1 and the {n_rows} rows of x, got {n_clusters}"
        )


def _whole(value: Any, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def stacked(results: list[KMeansResult], stack: Callable[[list[Any]], Any]) -> KMeansResult:
    """The results of slices as one; `stack` joins their arrays."""
    if not results:
        raise ValueError("x: expected at least one slice, got a 3-D array with none")
    parts: dict[str, Any] = {}
    for field in fields(KMeansResult):
        values = [getattr(result, field.name) for result in results]
        join = stack if field.name in ("centroids", "labels", "scores") else np.stack
        parts[field.name] = join(values)
    return KMeansResult(**parts)
