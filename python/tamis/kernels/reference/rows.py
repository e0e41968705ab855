"""Canonical rows, and the sums whose order is part of the definition."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Float16 = npt.NDArray[np.float16]

UNIT_LOW = 1 - 2.0**-10
UNIT_HIGH = 1 + 2.0**-10
TOO_SMALL = 2.0**-900  # squared norms below this one are computed after scaling
LARGEST_ROUNDING = 2.0**-10


def ordered_sum(terms: Float64) -> Float64:
    """Sum the last axis in the fixed order: term i into partial sum i mod 8, then a fixed tree.

    The tree is ((s0+s4)+(s2+s6))+((s1+s5)+(s3+s7)); every operation rounds to float64 once.
    """
    length = terms.shape[-1]
    s = np.zeros((*terms.shape[:-1], 8))
    for start in range(0, length, 8):
        stop = min(start + 8, length)
        s[..., : stop - start] += terms[..., start:stop]
    return np.asarray(
        ((s[..., 0] + s[..., 4]) + (s[..., 2] + s[..., 6]))
        + ((s[..., 1] + s[..., 5]) + (s[..., 3] + s[..., 7]))
    )


def canonical(x: npt.ArrayLike) -> tuple[Float16, npt.NDArray[np.bool_]]:
    """Return the canonical float16 rows of x and which rows are bad (zero, NaN or Inf).

    A row that consists of float16 numbers and has a norm in [1 - 2^-10, 1 + 2^-10] is taken as it
    is. Every other row is divided by its float64 norm (squares summed by `ordered_sum`) and rounded
    once, to nearest even. A row whose squared norm is not finite or below 2^-900 is first divided
    by 2^e, where e is the exponent that frexp gives for its largest magnitude. Bad rows come back
    as zeros.
    """
    values = as_float64(x).copy()
    bad = ~np.isfinite(values).all(axis=1)
    values[bad] = 0.0
    bad |= (values == 0).all(axis=1)
    values[bad] = 0.0  # +0.0, whatever sign the zeros had
    squared = squared_norms(values)
    taken = all_float16(values) & unit_norm(squared)
    extreme = ~bad & (~np.isfinite(squared) | (squared < TOO_SMALL))
    if extreme.any():
        exponent = np.frexp(np.abs(values[extreme]).max(axis=1))[1]
        values[extreme] = np.ldexp(values[extreme], -exponent[:, None])
        squared[extreme] = squared_norms(values[extreme])
    norm = np.sqrt(squared)
    norm[taken | bad] = 1.0
    rows = (values / norm[:, None]).astype(np.float16)  # NumPy rounds float64 to float16 once
    return rows, bad


def checked_rows(x: npt.ArrayLike) -> Float16:
    """Return the canonical rows of x, or raise ValueError when one is bad."""
    rows, bad = canonical(x)
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(bad)} rows are zero or hold NaN or Inf, "
            f"the first is row {np.flatnonzero(bad)[0]}"
        )
    return rows


class ScaledRows(NamedTuple):
    """Rows for Euclidean k-means: the input is about `rows` * 2^`exponent`."""

    rows: Float16
    exponent: int
    rounding: float  # rms over the rows of |rounding error| / |row|


def scaled_rows(x: npt.ArrayLike) -> ScaledRows:
    """Round x to float16 after scaling by one power of two, so that the largest norm is at most 1.

    Where every row has a norm in [1 - 2^-10, 1 + 2^-10] nothing is scaled. Zero rows are legal.
    """
    values = as_float64(x)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{(~finite).sum()} of {len(values)} rows hold NaN or Inf, "
            f"the first is row {np.flatnonzero(~finite)[0]}"
        )
    exponent = 0
    if values.any() and not unit_norm(squared_norms(values)).all():
        largest = int(np.frexp(np.abs(values).max())[1])
        norm = np.sqrt(squared_norms(np.ldexp(values, -largest))).max()
        mantissa, power = np.frexp(norm)
        exponent = largest + int(power) - int(mantissa == 0.5)
    scaled = np.ldexp(values, -exponent)
    rows = scaled.astype(np.float16)
    error = np.sqrt(np.square(scaled - rows.astype(np.float64)).sum(axis=1))
    norm = np.sqrt(np.square(scaled).sum(axis=1))
    relative = error[norm > 0] / norm[norm > 0]
    rounding = float(np.sqrt(np.square(relative).mean())) if len(relative) else 0.0
    return ScaledRows(rows, exponent, rounding)


def as_float64(x: npt.ArrayLike) -> Float64:
    """Return a 2-D array as float64, which every supported input dtype converts to exactly."""
    array: npt.NDArray[Any] = np.asarray(x)
    if array.dtype.name not in ("float16", "float32", "float64", "bfloat16"):
        raise TypeError(f"expected float16, bfloat16, float32 or float64 rows, got {array.dtype}")
    if array.ndim != 2:
        raise ValueError(f"expected a 2-D array (rows, dim), got {array.ndim}-D")
    return np.asarray(array, dtype=np.float64)


def squared_norms(values: Float64) -> Float64:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return ordered_sum(values * values)


def unit_norm(squared: Float64) -> npt.NDArray[np.bool_]:
    norm = np.sqrt(squared)
    return np.asarray((norm >= UNIT_LOW) & (norm <= UNIT_HIGH))


def all_float16(values: Float64) -> npt.NDArray[np.bool_]:
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray((values.astype(np.float16).astype(np.float64) == values).all(axis=1))
