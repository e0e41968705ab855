"""Rows to their best centroids, and the scaling that Euclidean rows need."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis._array import as_float64, as_matrix, cuda_of
from tamis._native import bits, cpu
from tamis.kernels.canonical import canonical_rows

Metric = Literal["dot", "euclidean"]
LARGEST_ROUNDING = 2.0**-10
_LARGEST_CENTROID = 2.0**100  # float32 passes must not overflow on x.c
UNIT = 1 + 2.0**-10


def assign(
    x: Any,
    centroids: Any,
    *,
    metric: Metric = "dot",
    top: int = 1,
    device: str | None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The best centroids of every row, decided in float64.

    The score is x.c ("dot") or x.c - |c|^2 / 2 ("euclidean", whose order is that of -|x - c|).
    Ties go to the lowest index. Labels and scores are the same on every instruction set, thread
    count and split of the rows.

    Args:
        x: (n, d) rows. "dot": made canonical first. "euclidean": scaled by one power of two so that
            the largest norm is at most 1, and rounded to float16; zero rows are legal.
        centroids: (k, d), used as they are given: never normalised, never rounded.
        metric: "dot" or "euclidean".
        top: how many centroids for each row, at most k; on a GPU at most 64.
        device: None or "auto" is the GPU that x and centroids live on, or the CPU: host arrays stay
            there. "cpu". "cuda" or "cuda:1" streams host arrays through a GPU (extra cuda13).

    Returns:
        labels: int32 (n,), or (n, top) best first where top > 1.
        scores: float32 of the same shape, rounded from float64 last. Both are arrays of x's library
        where x is on a GPU, in the order of the caller's stream.

    Raises:
        ValueError: bad rows (zero for "dot", NaN or Inf; the first is named), bad centroids, shapes
            that do not fit, or Euclidean rows that lose more than 2^-10 (rms) by rounding.

    Example:
        >>> labels, scores = assign([[1.0, 0.0], [0.0, -1.0]], [[1.0, 0.0], [0.0, 1.0]])
        >>> labels
        array([0, 0], dtype=int32)
        >>> scores
        array([1., 0.], dtype=float32)
    """
    if metric not in ("dot", "euclidean"):
        raise ValueError(f'metric must be "dot" or "euclidean", got {metric!r}')
    ordinal = cuda_of(device, x=x, centroids=centroids)
    if ordinal is not None:
        from tamis.cuda.assign import assign as assign_there

        return assign_there(ordinal, x, centroids, metric, top)
    scaled = ScaledRows(canonical_rows(x), 0, 0.0) if metric == "dot" else scaled_rows(x)
    given = as_matrix(centroids, "centroids")
    labels, scores = best_centroids(scaled, given, metric, top)
    return labels, scores.astype(np.float32)


class ScaledRows(NamedTuple):
    """Rows for the kernels: the input is about rows * 2^exponent."""

    rows: npt.NDArray[np.float16]
    exponent: int
    rounding: float
    """Root mean square over the rows of |rounding error| / |row|."""


def scaled_rows(x: Any, *, allow_rounding: bool = False) -> ScaledRows:
    """Round rows to float16 after scaling all by one power of two, the largest norm at most 1.

    Rows that all have a norm in [1 - 2^-10, 1 + 2^-10] are not scaled.

    Raises:
        ValueError: NaN or Inf, or a rounding error above 2^-10 that was not allowed.
    """
    values = as_float64(as_matrix(x))
    bad = np.asarray(~np.isfinite(values).all(axis=1))
    if bad.any():
        raise ValueError(
            f"x: {bad.sum()} of {len(bad)} rows hold NaN or Inf, the first is row {bad.argmax()}"
        )
    exponent = _exponent(values)
    scaled = np.ldexp(values, -exponent)
    rows = scaled.astype(np.float16)
    norm = np.sqrt(np.square(scaled).sum(axis=1))
    error = np.sqrt(np.square(scaled - rows).sum(axis=1))
    relative = error[norm > 0] / norm[norm > 0]
    rounding = float(np.sqrt(np.square(relative).mean())) if len(relative) else 0.0
    if rounding > LARGEST_ROUNDING and not allow_rounding:
        raise ValueError(
            f"x: rounding to float16 on one scale loses {rounding:.2g} of a row (rms), "
            f"more than {LARGEST_ROUNDING:.2g}; normalise the rows, or pass allow_rounding=True to "
            "kmeans"
        )
    return ScaledRows(rows, exponent, rounding)


def best_centroids(
    scaled: ScaledRows,
    centroids: npt.NDArray[Any],
    metric: Metric,
    top: int,
    guess: npt.NDArray[np.int32] | None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Labels and float64 scores; shapes (n,) for top = 1, else (n, top).

    guess: int32 (n,), a probable label of every row; it saves work and changes no result.
    """
    check_centroids(centroids.shape, scaled.rows.shape[1])
    labels, scores, _ = cpu.assign(
        bits(scaled.rows), targets(centroids, scaled.exponent), metric == "euclidean", top, guess
    )
    if scaled.exponent:
        scores = np.ldexp(scores, 2 * scaled.exponent if metric == "euclidean" else 0)
    return (labels[:, 0], scores[:, 0]) if top == 1 else (labels, scores)


def check_centroids(shape: tuple[int, ...], dim: int) -> None:
    """Raise ValueError unless there are centroids, of the rows' dimension."""
    if shape[0] < 1:
        raise ValueError("centroids: expected at least 1 centroid, got none")
    if shape[1] != dim:
        raise ValueError(f"centroids: expected {dim} dimensions, as x has, got {shape[1]}")


def targets(centroids: npt.NDArray[Any], exponent: int) -> npt.NDArray[Any]:
    """float16 bits where the centroids are float16 numbers of at most unit norm, else float64."""
    flags = centroids.flags
    ready = centroids.dtype == np.float16 and flags.c_contiguous and flags.aligned
    if ready and exponent == 0:
        single = centroids.astype(np.float32)
        if np.einsum("ij,ij->i", single, single).max() <= UNIT:  # false for NaN and Inf
            return bits(centroids)
    wide = np.ldexp(as_float64(centroids), -exponent)
    largest = np.abs(wide).max()
    if not np.isfinite(largest) or largest > _LARGEST_CENTROID:
        raise ValueError(
            "centroids: expected finite numbers below 2^100 times the rows' scale, got NaN, Inf or "
            f"larger in centroid {(~(np.abs(wide) <= _LARGEST_CENTROID)).any(axis=1).argmax()}"
        )
    with np.errstate(over="ignore"):
        half = wide.astype(np.float16)
    if np.array_equal(half, wide) and np.sqrt(cpu.squared_norms(wide).max()) <= UNIT:
        return bits(half)
    return wide


def _exponent(values: npt.NDArray[np.float64]) -> int:
    if not values.any():
        return 0
    with np.errstate(over="ignore", under="ignore"):
        norms = np.sqrt(cpu.squared_norms(values))
    if ((norms >= 1 - 2.0**-10) & (norms <= UNIT)).all():
        return 0
    largest = int(np.frexp(np.abs(values).max())[1])
    norm = np.sqrt(cpu.squared_norms(np.ldexp(values, -largest))).max()
    mantissa, power = np.frexp(norm)
    return largest + int(power) - int(mantissa == 0.5)
