"""Assignment of rows to centroids."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from tamis.kernels.reference.rows import (
    Float16,
    Float64,
    as_float64,
    checked_rows,
    ordered_sum,
    scaled_rows,
    squared_norms,
)

# |x.c| <= |x||c| < 16, so a dot of float16 rows is a multiple of 2^-48 that fits 52 bits.
_EXACT_NORM = 8.0


def assign(
    x: npt.ArrayLike,
    centroids: npt.ArrayLike,
    *,
    metric: Literal["dot", "euclidean"] = "dot",
    top: int = 1,
    device: None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the `top` best centroids of every row and their scores.

    The score is x.c ("dot") or x.c - |c|^2/2 ("euclidean"), in float64 with the products summed by
    `ordered_sum` and the centroids as they are given. Ties go to the lowest index. Scores are
    rounded to float32 last.
    """
    if metric == "dot":
        labels, scores = best(score_matrix(checked_rows(x), centroids, metric), top)
    else:
        # Both sides on the rows' scale: a power of two changes no comparison.
        rows, exponent, _ = scaled_rows(x)
        given = centroids if exponent == 0 else np.ldexp(as_float64(centroids), -exponent)
        labels, scores = best(score_matrix(rows, given, metric), top)
        scores = np.ldexp(scores, 2 * exponent)
    return labels, scores.astype(np.float32)


def assign64(
    rows: Float16, centroids16: Float16, *, top: int = 1
) -> tuple[npt.NDArray[np.int32], Float64]:
    """Return labels and exact float64 dots of canonical rows with float16 centroids."""
    return best(score_matrix(rows, centroids16, "dot"), top)


def score_matrix(rows: Float16, centroids: npt.ArrayLike, metric: str) -> Float64:
    """Return the float64 scores (n, k) of rows with norms of at most 1 + 2^-10."""
    is_float16 = np.asarray(centroids).dtype == np.float16
    given = as_float64(centroids)
    if rows.shape[1] != given.shape[1]:
        raise ValueError(
            f"rows have {rows.shape[1]} dimensions but centroids have {given.shape[1]}"
        )
    squared = squared_norms(given)
    rows64 = rows.astype(np.float64)
    if is_float16 and squared.max(initial=0.0) <= _EXACT_NORM**2:
        scores = rows64 @ given.T  # exact, so in any order
    else:
        scores = np.array([ordered_sum(row * given) for row in rows64])
        scores = scores.reshape(len(rows), len(given))
    return scores - squared / 2 if metric == "euclidean" else scores


def best(scores: Float64, top: int) -> tuple[npt.NDArray[np.int32], Float64]:
    """Return the indices and values of the `top` largest scores of each row, best first."""
    if not 1 <= top <= scores.shape[1]:
        raise ValueError(f"top must be between 1 and the {scores.shape[1]} centroids, got {top}")
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    values = np.take_along_axis(scores, order, axis=1)
    if top == 1:
        order, values = order[:, 0], values[:, 0]
    return order.astype(np.int32), values
