"""Rows as points of hyperbolic space: what a row is, how far out it lies, which rows are marked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tamis._array import as_matrix, blocks, contiguous, cuda_of
from tamis._native import bits, cpu
from tamis.kernels.place import on_host

Kind = Literal["tangent", "space", "lorentz", "poincare"]
Mode = Literal["stable", "paper"]
Matrix = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Shape = tuple[int, ...]

KINDS: tuple[Kind, ...] = get_args(Kind)
LARGEST_RADIUS = math.asinh(2.0**15)
"""11.0904: MERU's limit of sqrt(c) |v|; larger radii are set to it and counted."""

STATES = ("ok", "zero", "clamped", "not_finite", "outside")
"""The states of a row, by code. Rows from `not_finite` on are marked: their results are NaN."""
_MARKED = 3


@dataclass(frozen=True)
class Radii:
    """How far from the origin each row lies, in units of the curvature.

    Attributes:
        radius: float64 (n,), r = sqrt(c) d(origin, x), at most 11.0904; NaN for marked rows.
        norm: float64 (n,), |x| of the vector as it was given (without the time part).
        state: uint8 (n,), an index into STATES.
    """

    radius: Float64
    norm: Float64
    state: npt.NDArray[np.uint8]

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each state that occurs."""
        return state_counts(on_host(self.state))


def state_counts(state: npt.NDArray[np.uint8]) -> dict[str, int]:
    """Rows of each state that occurs, by its name in STATES."""
    rows = np.bincount(state, minlength=len(STATES))
    return {name: int(count) for name, count in zip(STATES, rows, strict=True) if count}


def radii(x: Any, *, curvature: float = 1.0, kind: Kind = "tangent") -> Radii:
    """The radius and the state of every row.

    A row is `zero` at the origin, `clamped` beyond a radius of asinh(2^15) = 11.0904, `not_finite`
    where it holds NaN or Inf, `outside` where it is no point of the space: on or beyond the rim of
    the ball, or with a time part that is off the hyperboloid by more than 2^-8 of it.

    Args:
        x: (n, d) float16, bfloat16, float32 or float64; (n, d + 1) for "lorentz".
        curvature: c > 0; the space has the curvature -c.
        kind: what a row is: "tangent" (a vector at the origin), "space" (the space part of a point
            of the hyperboloid), "lorentz" (a whole point, its time part first) or "poincare" (a
            point of the ball of radius 1 / sqrt(c)).

    Rows on a GPU must be C-contiguous; the results are then arrays of the same library.

    Raises:
        TypeError: x does not hold floating-point numbers.
        ValueError: x is not 2-D, or curvature or kind is not as above.

    Example:
        >>> found = radii([[3.0, 4.0], [0.0, 0.0], [30.0, 0.0]], curvature=0.25)
        >>> found.radius.round(4), found.counts
        (array([ 2.5   ,  0.    , 11.0904]), {'ok': 1, 'zero': 1, 'clamped': 1})
    """
    ordinal = cuda_of(None, x=x)
    if ordinal is not None:
        from tamis.cuda.lorentz import radii as radii_there

        return radii_there(ordinal, x, curvature, kind)
    matrix, code = points(x, "x", curvature, kind)
    n = len(matrix)
    found = Radii(np.empty(n), np.empty(n), np.empty(n, dtype=np.uint8))
    for part, block in blocks(matrix):
        radius, norm, state = cpu.lorentz_radii(crossing(block), code, curvature)
        found.radius[part], found.norm[part], found.state[part] = radius, norm, state
    return found


def marked(state: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """True for rows that have no results."""
    return state >= _MARKED


def points(x: Any, name: str, curvature: float, kind: Kind) -> tuple[Matrix, int]:
    """The rows as a matrix, and the code of their kind, all checked."""
    code = kind_code(kind, curvature)
    matrix = as_matrix(x, name)
    check_width(matrix.shape, kind, name)
    return matrix, code


def kind_code(kind: Kind, curvature: float) -> int:
    """The code of a kind that exists, in a space that does."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not (isinstance(curvature, int | float | np.number) and 0 < curvature < 1e300):
        raise ValueError(f"curvature must be a finite number above 0, got {curvature!r}")
    return KINDS.index(kind)


def check_width(shape: tuple[int, ...], kind: Kind, name: str) -> None:
    """Rows that are wide enough for their kind."""
    if kind == "lorentz" and shape[1] < 2:
        raise ValueError(f"{name}: expected a time part and a space part, got {shape[1]}")


def same_columns(x: Shape, y: Shape, names: tuple[str, str]) -> None:
    """Shapes of two matrices whose rows can meet."""
    if x[1] != y[1]:
        raise ValueError(
            f"{names[1]}: expected rows of {x[1]} columns, as {names[0]} has, got {y[1]}"
        )


def same_rows(x: Shape, y: Shape, names: tuple[str, str]) -> None:
    """Shapes of two matrices whose rows are pairs."""
    if x[0] != y[0]:
        raise ValueError(
            f"{names[1]}: expected {x[0]} rows, as {names[0]} has, got {y[0]}; "
            "all_pairs=True takes any numbers of rows"
        )


def check_radius(min_radius: float) -> None:
    """The constant K of the aperture."""
    if not (isinstance(min_radius, int | float | np.number) and 0 < min_radius < 1e300):
        raise ValueError(f"min_radius must be a finite number above 0, got {min_radius!r}")


def check_mode(mode: Mode) -> None:
    """A mode that exists."""
    if mode not in get_args(Mode):
        raise ValueError(f'mode must be "stable" or "paper", got {mode!r}')


def as_crossing(matrix: Matrix, dtype: np.dtype[Any] | None = None) -> Matrix:
    """The numbers as they cross the binding: contiguous, float16 as its bits."""
    block = contiguous(matrix)
    return crossing(block if dtype is None else block.astype(dtype, copy=False))


def crossing(block: Matrix) -> Matrix:
    """A contiguous block, float16 as its bits."""
    return bits(block) if block.dtype == np.float16 else block


def common_dtype(x: Matrix, y: Matrix) -> np.dtype[Any]:
    """The dtype that holds the numbers of both exactly."""
    return np.result_type(*(np.float32 if m.dtype.name == "bfloat16" else m.dtype for m in (x, y)))
