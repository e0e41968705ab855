"""Between tangent vectors and the space parts of points."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tamis._array import blocks
from tamis.kernels import lorentz_paper as paper
from tamis.kernels.lorentz_rows import Float64, Kind, Matrix, Mode, check_mode, points, radii

Values = npt.NDArray[Any]


def lift(
    x: Any, *, curvature: float = 1.0, kind: Kind = "tangent", mode: Mode = "stable"
) -> Values:
    """The space parts of points: sinh(r) u / sqrt(c), the exponential map at the origin.

    Time parts are sqrt(1/c + |x|^2). A radius beyond asinh(2^15) is set to it, as in MERU.

    Args:
        x: (n, d) rows of any kind, see `radii`; (n, d + 1) for "lorentz".
        curvature: c > 0.
        kind: what a row is.
        mode: "stable", or "paper" for MERU's formula with its clamps, in the precision of x.

    Returns:
        (n, d) float32, or float64 for float64 rows. Marked rows (see `radii`) are NaN.

    Raises:
        TypeError, ValueError: as `radii`.

    Example:
        >>> lift([[1.0, 0.0], [0.0, 0.0]]).round(4)
        array([[1.1752, 0.    ],
               [0.    , 0.    ]])
    """
    check_mode(mode)
    matrix, _ = points(x, "x", curvature, kind)
    if mode == "paper":
        return paper.space_part(matrix, kind, curvature)
    found = radii(matrix, curvature=curvature, kind=kind)
    return _along(matrix, kind, np.sinh(found.radius) / np.sqrt(curvature), found.norm)


def log_map(
    x: Any, *, curvature: float = 1.0, kind: Kind = "space", mode: Mode = "stable"
) -> Values:
    """The tangent vectors of points at the origin: r u / sqrt(c), the inverse of `lift`.

    Args:
        x: (n, d) rows of any kind, see `radii`; (n, d + 1) for "lorentz".
        curvature: c > 0.
        kind: what a row is.
        mode: "stable", or "paper" for MERU's formula with its clamps, in the precision of x.

    Returns:
        (n, d) float32, or float64 for float64 rows. Marked rows (see `radii`) are NaN.

    Raises:
        TypeError, ValueError: as `radii`.

    Example:
        >>> log_map(lift([[0.6, 0.8]], curvature=2.0), curvature=2.0).round(6)
        array([[0.6, 0.8]])
    """
    check_mode(mode)
    matrix, _ = points(x, "x", curvature, kind)
    if mode == "paper":
        return paper.log_map(paper.space_part(matrix, kind, curvature), curvature)
    found = radii(matrix, curvature=curvature, kind=kind)
    return _along(matrix, kind, found.radius / np.sqrt(curvature), found.norm)


def _along(matrix: Matrix, kind: Kind, length: Float64, norm: Float64) -> Values:
    """Rows of these lengths in the directions of the given ones."""
    space = matrix[:, 1:] if kind == "lorentz" else matrix
    out = np.empty(space.shape, dtype=np.float64 if matrix.dtype == np.float64 else np.float32)
    for part, block in blocks(space):
        rows, size = block.astype(np.float64), norm[part].copy()
        huge = np.isinf(size)
        rows[huge] *= 2.0**-600
        size[huge] = np.linalg.norm(rows[huge], axis=1)
        size[size == 0] = 1
        marked = np.isnan(length[part])
        rows[marked], size[marked] = np.nan, 1
        out[part] = rows / size[:, None] * length[part][:, None]
    return out
