"""Float64 forms of the kernels, for the filters: canonical float16 rows in, nothing re-checked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis._native import bits, cpu

Rows = npt.NDArray[np.float16]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


def assign64(rows: Rows, centroids: Rows, *, top: int = 1) -> tuple[npt.NDArray[np.int32], Float64]:
    """The `top` centroids with the largest float64 dots; shapes (n,), or (n, top) for top > 1."""
    labels, dots, _ = cpu.assign(_bits(rows), _bits(centroids), False, top)
    return (labels[:, 0], dots[:, 0]) if top == 1 else (labels, dots)


def max_cosine64(
    rows: Rows,
    offsets: Int64,
    *,
    other: Rows | None = None,
    other_offsets: Int64 | None = None,
    limits: Int64 | None = None,
    exclude_self: bool = False,
) -> tuple[Float64, Int64]:
    """Each row's largest float64 cosine among the columns of its segment that it sees, and which.

    Args:
        rows: (n, d). offsets: int64 (segments + 1,).
        other: columns (m, d) with other_offsets; None: the rows themselves.
        limits: int64 (n,): row r sees the first limits[r] columns of its segment only.
        exclude_self: a row never sees itself. Without `other` and `limits`, a row sees the earlier
            rows of its segment, or with exclude_self all other rows.

    Returns:
        cosine float64 (n,), -inf where nothing is seen; index int64 (n,), -1 there; ties to the
        lowest index.
    """
    if other is not None and other_offsets is None:
        other_offsets = np.array([0, len(other)], dtype=np.int64)
    cosine, index, _ = cpu.max_cosine(
        _bits(rows),
        _int64(offsets),
        None if other is None else _bits(other),
        None if other is None or other_offsets is None else _int64(other_offsets),
        None if limits is None else _int64(limits),
        exclude_self,
    )
    return cosine, index


def paired_cosine64(x: Rows, i: Int64, y: Rows, j: Int64) -> Float64:
    """The float64 cosines of x[i[t]] with y[j[t]]."""
    cosine: Float64 = cpu.paired_cosine(_bits(x), _int64(i), _bits(y), _int64(j))
    return cosine


def greedy_keep(rows: Rows, offsets: Int64, threshold: float) -> npt.NDArray[np.bool_]:
    """In row order a row is kept iff no earlier kept row of its segment is above the threshold.

    Above: float32(cosine) > float32(threshold).
    """
    keep: npt.NDArray[np.bool_] = cpu.greedy_keep(_bits(rows), _int64(offsets), threshold)
    return keep


def components(rows: Rows, offsets: Int64, threshold: float) -> Int64:
    """The lowest row number of each row's connected component; edges as in `greedy_keep`."""
    component: Int64 = cpu.components(_bits(rows), _int64(offsets), threshold)
    return component


def _bits(rows: Rows) -> npt.NDArray[np.uint16]:
    return bits(np.require(rows, dtype=np.float16, requirements=["C", "A"]))


def _int64(values: npt.ArrayLike) -> Int64:
    return np.require(values, dtype=np.int64, requirements=["C", "A"])
