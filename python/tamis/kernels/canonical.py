"""Canonical rows: what every exact decision of tamis is defined on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tamis._array import as_matrix, blocks, cuda_of
from tamis._native import bits, cpu

BAD = 2  # states from here on: zero, not finite


def canonical(x: Any) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]:
    """L2-normalise rows in float64 and round them once to float16.

    A row whose elements are all float16 numbers and whose norm lies in [1 - 2^-10, 1 + 2^-10] is
    taken as it is, whatever its dtype. Dots of two canonical rows are exact in float64, in any
    order; that is what makes results equal on every instruction set and thread count. Rounding
    float32 rows moves a cosine by about 1e-5 (d = 512: mean 9e-6, 99th percentile 3e-5).

    Args:
        x: (n, d) float16, bfloat16, float32 or float64; any strides, read-only and memory-mapped
            arrays too, which are read in blocks. Rows on a GPU must be C-contiguous; the results
            are then arrays of the same library, on the caller's stream.

    Returns:
        rows: (n, d) float16, a new array. Bad rows are zeros.
        bad: (n,) bool, True for rows that are zero or hold NaN or Inf.

    Raises:
        TypeError: x does not hold floating-point numbers.
        ValueError: x is not 2-D.

    Example:
        >>> rows, bad = canonical([[3.0, 4.0], [0.0, 0.0]])
        >>> rows
        array([[0.6, 0.8],
               [0. , 0. ]], dtype=float16)
        >>> bad
        array([False,  True])
    """
    ordinal = cuda_of(None, x=x)
    if ordinal is not None:
        from tamis.cuda.rows import canonical as canonical_there

        return canonical_there(ordinal, x)
    matrix = as_matrix(x)
    rows = np.empty(matrix.shape, dtype=np.float16)
    bad = np.empty(len(matrix), dtype=np.bool_)
    for part, block in blocks(matrix):
        bad[part] = cpu.canonical(_crossing(block), bits(rows[part])) >= BAD
    return rows, bad


def canonical_rows(x: Any, name: str = "x") -> npt.NDArray[np.float16]:
    """The canonical rows of x; x itself, without a copy, where it is canonical already.

    Raises:
        ValueError: a row is zero or holds NaN or Inf; the text counts them and names the first.
    """
    matrix = as_matrix(x, name)
    flags = matrix.flags
    native = matrix.dtype == np.float16 and matrix.dtype.isnative
    whole = native and flags.c_contiguous and flags.aligned
    if whole and not cpu.canonical(bits(matrix), None).any():
        return np.asarray(matrix)
    rows, bad = canonical(matrix)
    refuse_bad(name, bad)
    return rows


def refuse_bad(name: str, bad: npt.NDArray[np.bool_]) -> None:
    """Raise ValueError where a row is bad; the text counts them and names the first."""
    if bad.any():
        raise ValueError(
            f"{name}: {bad.sum()} of {len(bad)} rows are zero or hold NaN or Inf, the first is row "
            f"{bad.argmax()}; drop the rows that tamis.canonical marks as bad"
        )


def _crossing(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return bits(block) if block.dtype == np.float16 else block
