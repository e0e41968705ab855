"""The largest cosine inside ragged segments, and the pairs above a threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tamis._array import as_offsets, cuda_of
from tamis._native import bits, cpu
from tamis.kernels.canonical import canonical_rows
from tamis.kernels.exact import max_cosine64

Block = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]

_ROWS_AT_ONCE = 3072  # rows of a call: what is packed for them is packed once


def max_cosine(
    x: Any,
    offsets: npt.ArrayLike | None = None,
    *,
    side: Literal["earlier", "others"] = "earlier",
    other: Any = None,
    other_offsets: npt.ArrayLike | None = None,
    device: str | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Each row's largest cosine to an earlier row of its segment, and which row that is.

    cosine(x, y) = x.y / (|x| |y|) of canonical rows: the exact dot, one product and one division in
    float64. Comparisons are made there, ties go to the lowest index, and only then is the cosine
    rounded to float32. This is the score of SemDeDup (arXiv 2303.09540, Table A7) when segments are
    clusters in rank order. Memory does not grow with the square of a segment.

    Args:
        x: (n, d) rows, made canonical first.
        offsets: int64 (segments + 1,), from 0 to n; segment s is x[offsets[s]:offsets[s + 1]], and
            may be empty. None: one segment.
        side: "earlier" rows only, or all "others".
        other: (m, d) rows to compare with instead; segment s of x with segment s of other.
        other_offsets: int64 (segments + 1,), from 0 to m. None: one segment.
        device: None or "auto" is the GPU that x and other live on, or the CPU: host arrays stay
            there. "cpu". "cuda" or "cuda:1" streams host arrays through a GPU (extra cuda13).

    Returns:
        cosine: float32 (n,), -inf where there is nothing to compare with.
        index: int64 (n,), a row number in x (or in other), -1 there. Both are arrays of x's library
        where x is on a GPU, in the order of the caller's stream.

    Raises:
        ValueError: bad rows (counted, the first named), or offsets that do not fit.

    Example:
        >>> cosine, index = max_cosine([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> cosine.round(3), index
        (array([-inf,  0. ,  0.8], dtype=float32), array([-1,  0,  1]))
    """
    if side not in ("earlier", "others"):
        raise ValueError(f'side must be "earlier" or "others", got {side!r}')
    if other is None and other_offsets is not None:
        raise ValueError("other_offsets: expected other to be given too")
    ordinal = cuda_of(device, x=x, other=other)
    if ordinal is not None:
        from tamis.cuda.max_cosine import max_cosine as max_cosine_there

        return max_cosine_there(ordinal, x, offsets, side == "others", other, other_offsets)
    rows = canonical_rows(x)
    bounds = as_offsets(offsets, len(rows), "offsets")
    if other is None:
        cosine, index = max_cosine64(rows, bounds, exclude_self=side == "others")
    else:
        columns = canonical_rows(other, "other")
        check_columns(columns.shape, rows.shape)
        cosine, index = max_cosine64(
            rows,
            bounds,
            other=columns,
            other_offsets=as_offsets(other_offsets, len(columns), "other_offsets"),
        )
    return cosine.astype(np.float32), index


def check_columns(columns: tuple[int, ...], rows: tuple[int, ...]) -> None:
    """Raise ValueError where the rows to compare with have another dimension."""
    if columns[1] != rows[1]:
        raise ValueError(f"other: expected {rows[1]} dimensions, as x has, got {columns[1]}")


def pairs_above(x: Any, offsets: npt.ArrayLike | None, threshold: float) -> Iterator[Block]:
    """Iterate over the pairs of each segment whose cosine is above a threshold.

    A pair (i, j), i < j, counts iff float32(cosine) > float32(threshold).

    Args:
        x: (n, d) rows, made canonical first.
        offsets: int64 (segments + 1,), from 0 to n; None: one segment.
        threshold: a cosine.

    Returns:
        An iterator over blocks (i int64, j int64, cosine float32), ordered by (j, i) over all
        blocks; a block holds at most about a million pairs.

    Raises:
        ValueError: bad rows, offsets that do not fit, or a threshold that is NaN.

    Example:
        >>> [(i, j, cosine)] = pairs_above([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]], None, 0.9)
        >>> i.tolist(), j.tolist(), cosine.round(2)
        ([1], [2], array([0.96], dtype=float32))
    """
    if not threshold == threshold:
        raise ValueError("threshold: expected a number, got NaN")
    rows = canonical_rows(x)
    bounds = as_offsets(offsets, len(rows), "offsets")
    return _pairs(rows, bounds, threshold)


def _pairs(
    rows: npt.NDArray[np.float16], bounds: npt.NDArray[np.int64], threshold: float
) -> Iterator[Block]:
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        start, at_once = begin, _ROWS_AT_ONCE
        while start < end:
            blocks: list[Block] = []
            stop = min(start + at_once, end)
            stop = cpu.pairs_above(bits(rows), begin, start, stop, threshold, _into(blocks))
            yield from blocks
            start, at_once = stop, min(_ROWS_AT_ONCE, 2 * (stop - start))


def _into(blocks: list[Block]) -> Callable[..., None]:
    return lambda *block: blocks.append(block)
