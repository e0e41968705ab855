"""The published formulas with their clamps, for comparison: MERU's, which HYPE's code repeats.

They run in float32, or in float64 for float64 rows, and lose the digits that the published code
loses: 1 - 1e-8 is 1 in float32, and acos and acosh have none near the ends of their ranges.
Space parts are (n, d). Sources: meru/lorentz.py (arXiv 2304.09172) and hyperbolic.py of HYPE
(arXiv 2404.17507).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tamis._array import contiguous

Values = npt.NDArray[Any]
EPS = 1e-8


def space_part(x: Values, kind: str, curvature: float) -> Values:
    """The space parts of rows of any kind; tangent vectors go through the exponential map."""
    rows: Values = contiguous(x)
    rows = rows.astype(np.float64 if rows.dtype == np.float64 else np.float32, copy=False)
    if kind == "lorentz":
        return np.asarray(rows[:, 1:])
    if kind == "poincare":
        square = np.square(rows).sum(axis=1, keepdims=True)
        return np.asarray(2 * rows / (1 - _number(curvature, rows) * square))
    if kind == "tangent":
        size = _number(np.sqrt(curvature), rows) * np.linalg.norm(rows, axis=1, keepdims=True)
        radius = np.clip(size, _number(EPS, rows), _number(np.arcsinh(2.0**15), rows))
        return np.asarray(np.sinh(radius) * rows / np.maximum(size, _number(EPS, rows)))
    return np.asarray(rows)


def log_map(x: Values, curvature: float) -> Values:
    """acosh(max(sqrt(1 + c |x|^2), 1 + eps)) x / max(sqrt(c) |x|, eps)."""
    size = _number(np.sqrt(curvature), x) * np.linalg.norm(x, axis=1, keepdims=True)
    cosh = np.sqrt(1 + np.square(size))
    radius = np.arccosh(np.maximum(cosh, _number(1 + EPS, x)))
    return np.asarray(radius * x / np.maximum(size, _number(EPS, x)))


def inner(x: Values, y: Values, curvature: float, all_pairs: bool) -> Values:
    """x.y - x0 y0."""
    x0, y0 = _times(x, curvature), _times(y, curvature)
    if all_pairs:
        return np.asarray(x @ y.T - x0[:, None] * y0[None, :])
    return np.asarray((x * y).sum(axis=1) - x0 * y0)


def distance(x: Values, y: Values, curvature: float, all_pairs: bool) -> Values:
    """acosh(max(-c <x, y>, 1 + eps)) / sqrt(c), as in MERU."""
    cosh = -_number(curvature, x) * inner(x, y, curvature, all_pairs)
    return np.asarray(np.arccosh(np.maximum(cosh, _number(1 + EPS, cosh))) / np.sqrt(curvature))


def half_aperture(x: Values, curvature: float, min_radius: float) -> Values:
    """asin(clamp(2 K / (sqrt(c) |x| + eps), -1 + eps, 1 - eps))."""
    size = _number(np.sqrt(curvature), x) * np.linalg.norm(x, axis=1)
    ratio = _number(2 * min_radius, x) / (size + _number(EPS, x))
    return np.asarray(np.arcsin(np.clip(ratio, _number(-1 + EPS, x), _number(1 - EPS, x))))


def exterior_angle(x: Values, y: Values, curvature: float, all_pairs: bool) -> Values:
    """acos(clamp((y0 + x0 q) / (|x| sqrt(max(q^2 - 1, eps)) + eps))) with q = c <x, y>."""
    x0, y0, norm = _times(x, curvature), _times(y, curvature), np.linalg.norm(x, axis=1)
    if all_pairs:
        x0, y0, norm = x0[:, None], y0[None, :], norm[:, None]
    q = _number(curvature, x) * inner(x, y, curvature, all_pairs)
    root = np.sqrt(np.maximum(np.square(q) - 1, _number(EPS, q)))
    cosine = (y0 + x0 * q) / (norm * root + _number(EPS, q))
    return np.asarray(np.arccos(np.clip(cosine, _number(-1 + EPS, q), _number(1 - EPS, q))))


def _times(x: Values, curvature: float) -> Values:
    """The time parts, sqrt(1/c + |x|^2)."""
    return np.asarray(np.sqrt(_number(1 / curvature, x) + np.square(x).sum(axis=1)))


def _number(value: float, like: Values) -> Any:
    """A constant in the precision of an array, so that it is rounded as the published code does."""
    return like.dtype.type(value)
