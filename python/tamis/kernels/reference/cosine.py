"""Cosines of canonical rows inside ragged segments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from tamis.kernels.reference.rows import Float16, Float64, checked_rows

Int64 = npt.NDArray[np.int64]


def cosines(x: Float16, y: Float16) -> Float64:
    """Return the cosines (n, m) of canonical rows, dot / (|x| * |y|), dot and |x|^2 exact."""
    x64, y64 = x.astype(np.float64), y.astype(np.float64)
    x_norm = np.sqrt(np.square(x64).sum(axis=1))
    y_norm = np.sqrt(np.square(y64).sum(axis=1))
    return np.asarray((x64 @ y64.T) / (x_norm[:, None] * y_norm[None, :]))


def max_cosine(
    x: npt.ArrayLike,
    offsets: npt.ArrayLike | None = None,
    *,
    side: Literal["earlier", "others"] = "earlier",
    other: npt.ArrayLike | None = None,
    other_offsets: npt.ArrayLike | None = None,
    device: None = None,
) -> tuple[npt.NDArray[np.float32], Int64]:
    """Return each row's largest cosine inside its segment, and the row that it is with."""
    rows = checked_rows(x)
    if other is None:
        cosine, index = max_cosine64(
            rows, segments(offsets, len(rows)), exclude_self=side == "others"
        )
    else:
        other_rows = checked_rows(other)
        cosine, index = max_cosine64(
            rows,
            segments(offsets, len(rows)),
            other=other_rows,
            other_offsets=segments(other_offsets, len(other_rows)),
        )
    return cosine.astype(np.float32), index


def max_cosine64(
    rows: Float16,
    offsets: Int64,
    *,
    other: Float16 | None = None,
    other_offsets: Int64 | None = None,
    limits: Int64 | None = None,
    exclude_self: bool = False,
) -> tuple[Float64, Int64]:
    """Return each row's largest cosine in float64 and its index; ties to the lowest index.

    Row r sees the first limits[r] columns of its segment, of `other` where given, else of `rows`
    itself. Without limits it sees the whole segment of `other`, or all other rows of its own
    segment with `exclude_self`, or else the earlier rows of its own segment.
    """
    columns = rows if other is None else other
    column_offsets = offsets if other is None or other_offsets is None else other_offsets
    cosine = np.full(len(rows), -np.inf)
    index = np.full(len(rows), -1, dtype=np.int64)
    for s in range(len(offsets) - 1):
        start, stop = int(offsets[s]), int(offsets[s + 1])
        low, high = int(column_offsets[s]), int(column_offsets[s + 1])
        if start == stop or low == high:
            continue
        values = cosines(rows[start:stop], columns[low:high])
        for r in range(start, stop):
            if limits is not None:
                limit = min(int(limits[r]), high - low)
            elif other is None and not exclude_self:
                limit = r - start
            else:
                limit = high - low
            seen = values[r - start, :limit]
            if other is None and exclude_self and r - start < limit:
                seen[r - start] = -np.inf
            if limit > 0 and seen.max() > -np.inf:
                index[r] = low + int(seen.argmax())  # the first of equal maxima
                cosine[r] = seen.max()
    return cosine, index


def paired_cosine64(x: Float16, i: Int64, y: Float16, j: Int64) -> Float64:
    """Return the float64 cosines of x[i[t]] with y[j[t]]."""
    return np.array([cosines(x[[a]], y[[b]])[0, 0] for a, b in zip(i, j, strict=True)]).reshape(-1)


def pairs_above(
    x: npt.ArrayLike, offsets: npt.ArrayLike | None, threshold: float
) -> Iterator[tuple[Int64, Int64, npt.NDArray[np.float32]]]:
    """Yield (i, j, cosine), a block per segment, with i < j and cosine > threshold in float32."""
    rows = checked_rows(x)
    bounds = segments(offsets, len(rows))
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        cosine = cosines(rows[start:stop], rows[start:stop]).astype(np.float32)
        close = np.tril(cosine > np.float32(threshold), -1)
        j, i = np.nonzero(close)  # row-major, so ordered by (j, i)
        if len(i):
            yield i + start, j + start, cosine[j, i]


def segments(offsets: npt.ArrayLike | None, n: int) -> Int64:
    """Return offsets as int64; None is one segment of all rows."""
    bounds = np.array([0, n]) if offsets is None else np.asarray(offsets)
    if bounds.ndim != 1 or len(bounds) < 1 or bounds.dtype.kind not in "iu":
        raise ValueError("offsets must be a 1-D integer array of length segments + 1")
    if bounds[0] != 0 or bounds[-1] != n or (np.diff(bounds) < 0).any():
        raise ValueError(f"offsets must ascend from 0 to the number of rows, {n}")
    return bounds.astype(np.int64)
