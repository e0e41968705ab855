"""Float64 forms of the kernels, for the filters: canonical float16 rows in, nothing re-checked.

`assign64` and `max_cosine64` run where `place.running_on` says, with the same bits everywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis._native import bits, cpu
from tamis.kernels import place

Rows = npt.NDArray[np.float16]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


def assign64(rows: Rows, centroids: Rows, *, top: int = 1) -> tuple[npt.NDArray[np.int32], Float64]:
    """The `top` centroids with the largest float64 dots; shapes (n,), or (n, top) for top > 1."""
    ordinal = place.ordinal(rows.size * len(centroids))
    if ordinal is not None:
        from tamis.cuda.assign import LARGEST_TOP
        from tamis.cuda.assign import assign64 as assign_there

        if top <= LARGEST_TOP:
            return assign_there(ordinal, rows, centroids, top)
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
    rows, offsets = _rows(rows), _int64(offsets)
    other = None if other is None else _rows(other)
    other_offsets = None if other is None or other_offsets is None else _int64(other_offsets)
    limits = None if limits is None else _int64(limits)
    if (ordinal := place.ordinal(_multiply_adds(rows, offsets, other_offsets))) is not None:
        from tamis.cuda.max_cosine import max_cosine64 as max_cosine_there

        return max_cosine_there(ordinal, rows, offsets, other, other_offsets, limits, exclude_self)
    columns = None if other is None else bits(other)
    cosine, index, _ = cpu.max_cosine(
        bits(rows), offsets, columns, other_offsets, limits, exclude_self
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


def _multiply_adds(rows: Rows, offsets: Int64, other_offsets: Int64 | None) -> int:
    """Of all rows with all columns of their segments."""
    sizes = np.diff(offsets)
    others = sizes if other_offsets is None else np.diff(other_offsets)
    if len(sizes) != len(others):
        return 0  # which is refused on the CPU
    pairs = float(np.dot(sizes.astype(np.float64), others.astype(np.float64)))
    return int(pairs) * int(rows.shape[1])


def _rows(rows: Rows) -> Rows:
    return np.require(rows, dtype=np.float16, requirements=["C", "A"])


def _bits(rows: Rows) -> npt.NDArray[np.uint16]:
    return bits(_rows(rows))


def _int64(values: npt.ArrayLike) -> Int64:
    return np.require(values, dtype=np.int64, requirements=["C", "A"])
