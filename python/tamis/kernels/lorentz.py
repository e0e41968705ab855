"""Points of hyperbolic space: distances and cones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tamis._array import blocks, cuda_of
from tamis._native import cpu
from tamis.kernels import lorentz_paper as paper
from tamis.kernels.lorentz_rows import (
    Float64,
    Kind,
    Matrix,
    Mode,
    as_crossing,
    check_mode,
    check_radius,
    common_dtype,
    crossing,
    points,
    radii,
    same_columns,
    same_rows,
)
from tamis.kernels.place import mapped

Values = npt.NDArray[Any]
_INNER, _DISTANCE, _ANGLE, _ENERGY = range(4)


def inner(
    x: Any,
    y: Any,
    *,
    curvature: float = 1.0,
    kind: Kind = "tangent",
    mode: Mode = "stable",
    all_pairs: bool = False,
) -> Values:
    """The Lorentz inner product <x, y> = x.y - x0 y0, at most -1/c.

    Arguments, returns and errors are those of `distance`; cosh(sqrt(c) d) = -c <x, y>.

    Example:
        >>> inner([[1.0, 0.0]], [[1.0, 0.0]])
        array([-1.])
    """
    return _pairs(x, y, _INNER, curvature, kind, mode, all_pairs)


def distance(
    x: Any,
    y: Any,
    *,
    curvature: float = 1.0,
    kind: Kind = "tangent",
    mode: Mode = "stable",
    all_pairs: bool = False,
) -> Values:
    """The distance d = (2 / sqrt c) asinh sqrt(sinh^2(D/2) + sinh r_x sinh r_y |u_x - u_y|^2 / 4).

    The Lorentz distance of MERU (arXiv 2304.09172), in a form that keeps its digits: within 1e-6 of
    its value for radii from 1e-6 to 11, from coincident points (exactly 0) to opposite ones.

    Args:
        x: (n, d) float16, bfloat16, float32 or float64 rows; (n, d + 1) for "lorentz".
        y: (n, d) rows, of any of these dtypes; (m, d) with all_pairs. Rows on a GPU must be
            C-contiguous, both on the same one; the result is then an array of the library of x.
        curvature: c > 0; the space has the curvature -c.
        kind: what a row is, see `radii`.
        mode: "stable", or "paper" for MERU's acosh(max(-c <x, y>, 1 + 1e-8)) / sqrt(c) in the
            precision of the rows. (HYPE's code clamps at 1e-8 instead of 1 + 1e-8, and so
            returns NaN where rounding puts coincident points below 1. This never does.) "paper"
            takes rows in host memory.
        all_pairs: every row of x with every row of y.

    Returns:
        float64 (n,), or float32 (n, m) with all_pairs; NaN where a row is marked (see `radii`).

    Raises:
        TypeError, ValueError: as `radii`, and where the shapes do not fit each other.

    Example:
        >>> distance([[1.0, 0.0], [1.0, 0.0]], [[-1.0, 0.0], [1.0, 0.0]])
        array([2., 0.])
    """
    return _pairs(x, y, _DISTANCE, curvature, kind, mode, all_pairs)


def half_aperture(
    apex: Any,
    *,
    curvature: float = 1.0,
    kind: Kind = "tangent",
    min_radius: float = 0.1,
    mode: Mode = "stable",
) -> Float64:
    """The half-aperture of the entailment cone at each row: asin min(1, 2 K / sinh r), in radians.

    It is pi/2 up to sinh r = 2 K (r = 0.1987 for K = 0.1) and falls with the radius.

    Args:
        apex: (n, d) rows, see `radii`.
        curvature: c > 0.
        kind: what a row is.
        min_radius: K.
        mode: "stable", or "paper" for MERU's formula with its clamps, in the precision of apex.

    Returns:
        float64 (n,), NaN where a row is marked.

    Raises:
        TypeError, ValueError: as `radii`, or min_radius is not above 0.

    Example:
        >>> half_aperture([[0.1, 0.0], [1.0, 0.0]]).round(4)
        array([1.5708, 0.171 ])
    """
    check_mode(mode)
    check_radius(min_radius)
    if mode == "paper":
        matrix, _ = points(apex, "apex", curvature, kind)
        space = paper.space_part(matrix, kind, curvature)
        return paper.half_aperture(space, curvature, min_radius).astype(np.float64)

    def of_radius(radius: Float64) -> Float64:
        edge, sinh = 2 * min_radius, np.sinh(radius)
        rest = np.maximum(sinh - edge, 0.0)
        return np.asarray(np.arctan2(edge, np.sqrt(rest * (sinh + edge))))

    found: Float64 = mapped(radii(apex, curvature=curvature, kind=kind).radius, of_radius)
    return found


def exterior_angle(
    apex: Any,
    point: Any,
    *,
    curvature: float = 1.0,
    kind: Kind = "tangent",
    mode: Mode = "stable",
    all_pairs: bool = False,
) -> Values:
    """The exterior angle at the apex of the triangle origin, apex, point, in radians.

    ext = atan2(s / cosh r_x, sinh D / (cosh r_x sinh r_y) - w) with h = |u_x - u_y|, w = h^2 / 2,
    s = h |u_x + u_y| / 2, D = r_y - r_x. It is 0 for a point straight behind the apex and pi for
    one in front of it. By rule an apex at the origin sees everything at pi/2, the origin is seen at
    pi, and a coincident point at 0.

    Paired angles are within 1e-6 rad for radii from 1e-6 to 11. All pairs come from float32
    products: within 8 eps + 3e-7 to first order, eps = (min(d, 64) + ceil(d / 64) + 8) 2^-24 (4e-6
    is the most that was seen); ill-conditioned pairs are computed as paired ones. The derivation is
    in cpp/include/tamis/lorentz.h.

    Args:
        apex: (n, d) rows, see `distance`.
        point: (n, d) rows; (m, d) with all_pairs.
        curvature: c > 0.
        kind: what a row is, see `radii`.
        mode: "stable", or "paper" for MERU's acos form with its clamps, in the rows' precision.
        all_pairs: every apex with every point.

    Returns:
        float64 (n,), or float32 (n, m) with all_pairs; NaN where a row is marked (see `radii`).

    Raises:
        TypeError, ValueError: as `distance`.

    Example:
        >>> exterior_angle([[1.0, 0.0]], [[2.0, 0.0], [0.5, 0.0]], all_pairs=True)
        array([[0.       , 3.1415927]], dtype=float32)
    """
    return _pairs(apex, point, _ANGLE, curvature, kind, mode, all_pairs, names=("apex", "point"))


def entailment(
    apex: Any,
    point: Any,
    *,
    curvature: float = 1.0,
    kind: Kind = "tangent",
    min_radius: float = 0.1,
    mode: Mode = "stable",
    all_pairs: bool = False,
) -> Values:
    """The energy e = exterior_angle - half_aperture; a point is inside the cone where e <= 0.

    MERU trains with max(0, e) of text and image; HYPE's specificity is a mean of e.

    Args, Returns, Raises: as `exterior_angle` and `half_aperture`.

    Example:
        >>> entailment([[1.0, 0.0]], [[2.0, 0.0]]).round(4)
        array([-0.171])
    """
    check_radius(min_radius)
    names = ("apex", "point")
    return _pairs(apex, point, _ENERGY, curvature, kind, mode, all_pairs, min_radius, names)


def _pairs(
    x: Any,
    y: Any,
    measure: int,
    curvature: float,
    kind: Kind,
    mode: Mode,
    all_pairs: bool,
    min_radius: float = 0.1,
    names: tuple[str, str] = ("x", "y"),
) -> Values:
    check_mode(mode)
    ordinal = cuda_of(None, **dict(zip(names, (x, y), strict=True)))
    if ordinal is not None:
        if mode == "paper":
            raise ValueError(
                f'mode="paper" takes arrays in host memory, {names[0]} is on cuda:{ordinal}'
            )
        from tamis.cuda.lorentz import paired

        there: Values = paired(
            ordinal, (x, y), measure, curvature, kind, min_radius, names, all_pairs
        )
        return there
    left, code = points(x, names[0], curvature, kind)
    right, _ = points(y, names[1], curvature, kind)
    same_columns(left.shape, right.shape, names)
    if not all_pairs:
        same_rows(left.shape, right.shape, names)
    if mode == "paper":
        return _paper_pairs(left, right, measure, curvature, kind, all_pairs, min_radius)
    dtype = common_dtype(left, right)
    if all_pairs:
        first, second = as_crossing(left, dtype), as_crossing(right, dtype)
        return cpu.lorentz_all_pairs(first, second, code, curvature, measure, min_radius)
    values = np.empty(len(left))
    for part, block in blocks(left):
        first = crossing(block.astype(dtype, copy=False))
        second = as_crossing(right[part], dtype)
        values[part] = cpu.lorentz_paired(first, second, code, curvature, measure, min_radius)
    return values


def _paper_pairs(
    left: Matrix,
    right: Matrix,
    measure: int,
    curvature: float,
    kind: Kind,
    all_pairs: bool,
    min_radius: float,
) -> Values:
    x = paper.space_part(left, kind, curvature)
    y = paper.space_part(right, kind, curvature)
    if measure == _INNER:
        values = paper.inner(x, y, curvature, all_pairs)
    elif measure == _DISTANCE:
        values = paper.distance(x, y, curvature, all_pairs)
    else:
        values = paper.exterior_angle(x, y, curvature, all_pairs)
    if measure == _ENERGY:
        aper = paper.half_aperture(x, curvature, min_radius)
        values = values - (aper[:, None] if all_pairs else aper)
    return values.astype(np.float32 if all_pairs else np.float64)
