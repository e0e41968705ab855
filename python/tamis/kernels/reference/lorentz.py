"""The Lorentz kernels in float64 NumPy, pair by pair: the formulas of the contract.

Float64 keeps these formulas to about 1e-9; the tests hold them, and the compiled kernels, against
50 digits.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Kind = Literal["tangent", "space", "lorentz", "poincare"]

LARGEST_RADIUS = float(np.arcsinh(2.0**15))


def point(row: Float64, kind: Kind, curvature: float) -> tuple[float, Float64]:
    """Return the radius, clamped, and the direction (zeros at the origin) of one row."""
    vector = row[1:] if kind == "lorentz" else row
    norm = float(np.linalg.norm(vector))
    size = np.sqrt(curvature) * norm
    if kind == "tangent":
        radius = size
    elif kind == "poincare":
        radius = 2 * np.arctanh(size)
    else:
        radius = np.arcsinh(size)
    return min(float(radius), LARGEST_RADIUS), vector / norm if norm > 0 else vector * 0.0


def distance(x: Float64, y: Float64, kind: Kind = "tangent", curvature: float = 1.0) -> float:
    """Return the distance of two rows."""
    (rx, u), (ry, v) = point(x, kind, curvature), point(y, kind, curvature)
    chord = np.sum((u - v) ** 2) if u.any() and v.any() else 2.0
    q = np.sinh((rx - ry) / 2) ** 2 + np.sinh(rx) * np.sinh(ry) * chord / 4
    return float(2 / np.sqrt(curvature) * np.arcsinh(np.sqrt(q)))


def inner(x: Float64, y: Float64, kind: Kind = "tangent", curvature: float = 1.0) -> float:
    """Return the Lorentz inner product of two rows."""
    return float(-np.cosh(np.sqrt(curvature) * distance(x, y, kind, curvature)) / curvature)


def half_aperture(
    x: Float64, kind: Kind = "tangent", curvature: float = 1.0, min_radius: float = 0.1
) -> float:
    """Return the half-aperture of the cone at one row."""
    radius = np.sinh(point(x, kind, curvature)[0])
    return float(np.arcsin(min(1.0, 2 * min_radius / radius))) if radius > 0 else np.pi / 2


def exterior_angle(x: Float64, y: Float64, kind: Kind = "tangent", curvature: float = 1.0) -> float:
    """Return the exterior angle at the apex x of the triangle origin, x, y."""
    (rx, u), (ry, v) = point(x, kind, curvature), point(y, kind, curvature)
    if rx == 0:
        return np.pi / 2
    if ry == 0:
        return np.pi
    h, along = np.linalg.norm(u - v), np.linalg.norm(u + v)
    up = h * along / 2 * np.sinh(ry)
    right = np.sinh(ry - rx) - h * h / 2 * np.cosh(rx) * np.sinh(ry)
    return float(np.arctan2(up, right))


def energies(
    apexes: Float64,
    points: Float64,
    kind: Kind = "tangent",
    curvature: float = 1.0,
    min_radius: float = 0.1,
) -> Float64:
    """Return exterior angle - half-aperture of every apex (rows) with every point (columns)."""
    angle = np.array([[exterior_angle(x, y, kind, curvature) for y in points] for x in apexes])
    aper = np.array([half_aperture(x, kind, curvature, min_radius) for x in apexes])
    return np.asarray(angle - aper[:, None])
