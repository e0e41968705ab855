"""The Lorentz kernels against 50 digits, over the whole useful range."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from tamis import lorentz

KINDS = ("tangent", "space", "lorentz", "poincare")
RADII = (1e-6, 1e-3, 0.1, 0.1987, 0.5, 1.0, 3.0, 6.0, 9.0, 11.0)
ANGLES = (0.0, 1e-7, 1e-3, 1e-2, 0.3, 1.3, np.pi / 2, 2.5, np.pi - 1e-3, np.pi)
FACTORS = (1.0, 1.000001, 1.001, 0.999, 1.01, 0.99, 1.5, 0.3)
TOLERANCE = 1e-6
mp = mpmath.mp


@pytest.fixture(autouse=True)
def digits() -> Any:
    with mpmath.workdps(110):  # textbook formulas lose up to half of them
        yield


def pairs(kind: str, curvature: float, dtype: str, d: int = 19) -> tuple[Any, Any]:
    """Pairs at all radii, angles and factors of radii, a sample of them, as rows of a kind."""
    rng = np.random.default_rng(3)
    every = [(r, a, f) for r in RADII for a in ANGLES for f in FACTORS if r * f <= 11.05]
    u = rng.standard_normal((len(every), d))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    w = rng.standard_normal((len(every), d))
    w -= (w * u).sum(axis=1, keepdims=True) * u
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    r, angle, factor = np.array(every).T[:, :, None]
    v = np.cos(angle) * u + np.sin(angle) * w
    x, y = (rows(t, s, kind, curvature).astype(dtype) for t, s in ((u, r), (v, r * factor)))
    if kind == "poincare":
        inside = [np.sqrt(curvature) * np.linalg.norm(p.astype(float), axis=1) < 1 for p in (x, y)]
        x, y = x[inside[0] & inside[1]], y[inside[0] & inside[1]]
    return x, y


def rows(u: Any, r: Any, kind: str, curvature: float) -> Any:
    root = np.sqrt(curvature)
    if kind == "tangent":
        return r * u / root
    if kind == "poincare":
        return np.tanh(r / 2) * u / root
    space = np.sinh(r) * u / root
    if kind == "space":
        return space
    return np.concatenate([np.cosh(r) / root, space], axis=1)


def polar(row: Any, kind: str, curvature: float) -> tuple[Any, Any]:
    vector = [mp.mpf(float(v)) for v in (row[1:] if kind == "lorentz" else row)]
    norm = mp.sqrt(mp.fdot(vector, vector))
    size = mp.sqrt(mp.mpf(curvature)) * norm
    radius = {"tangent": lambda s: s, "poincare": lambda s: 2 * mp.atanh(s)}.get(kind, mp.asinh)(
        size
    )
    radius = min(radius, mp.asinh(mp.mpf(2) ** 15))
    return radius, [v / norm for v in vector] if norm else vector


def exact(x: Any, y: Any, kind: str, curvature: float) -> tuple[Any, Any, Any, Any]:
    """Inner product, distance, exterior angle and half-aperture, by the textbook formulas."""
    (rx, u), (ry, v) = polar(x, kind, curvature), polar(y, kind, curvature)
    g = mp.fdot(u, v)
    cosh = mp.cosh(rx) * mp.cosh(ry) - mp.sinh(rx) * mp.sinh(ry) * g
    distance = mp.acosh(max(cosh, mp.mpf(1))) / mp.sqrt(mp.mpf(curvature))
    aper = mp.asin(min(mp.mpf(1), mp.mpf(0.2) / mp.sinh(rx))) if rx else mp.pi / 2
    if not rx or not ry:
        return -cosh / curvature, distance, mp.pi / (1 if rx else 2), aper
    up = mp.sqrt(max(mp.mpf(0), (1 - g) * (1 + g))) * mp.sinh(ry)
    right = g * mp.cosh(rx) * mp.sinh(ry) - mp.sinh(rx) * mp.cosh(ry)
    angle = mp.mpf(0) if (x == y).all() else mp.atan2(up, right)
    return -cosh / curvature, distance, angle, aper


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_pairs_over_the_whole_range(
    kind: Any, dtype: str, levels: tuple[str, ...], pinned: Any
) -> None:
    curvature = {"tangent": 1.0, "space": 0.3, "lorentz": 1.0, "poincare": 2.5}[kind]
    x, y = pairs(kind, curvature, dtype)
    if dtype != "float64":
        x, y = x[::3], y[::3]
    keep = ~np.isnan(lorentz.distance(x, y, curvature=curvature, kind=kind))
    assert keep.sum() > 0.5 * len(x)
    x, y = x[keep], y[keep]
    truth = np.array(
        [[float(v) for v in exact(a, b, kind, curvature)] for a, b in zip(x, y, strict=True)]
    ).T
    for isa in levels[:3]:
        with pinned(isa=isa):
            options = {"curvature": curvature, "kind": kind}
            inner = lorentz.inner(x, y, **options)
            distance = lorentz.distance(x, y, **options)
            angle = lorentz.exterior_angle(x, y, **options)
            aper = lorentz.half_aperture(x, **options)
            energy = lorentz.entailment(x, y, **options)
            every = lorentz.exterior_angle(x, y[:50], all_pairs=True, **options)
        np.testing.assert_allclose(inner, truth[0], rtol=TOLERANCE)
        np.testing.assert_allclose(distance, truth[1], rtol=TOLERANCE, atol=1e-40)
        np.testing.assert_allclose(angle, truth[2], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(aper, truth[3], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(energy, truth[2] - truth[3], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(np.diag(every), truth[2][:50], rtol=0, atol=5e-6)


def test_the_distance_of_points_that_hardly_differ() -> None:
    x = np.random.default_rng(0).standard_normal((40, 8)) / 4
    for factor in (1 + 1e-9, 1 - 1e-12, 1 + 1e-14):
        y = x * factor
        found = lorentz.distance(x, y)
        truth = [float(exact(a, b, "tangent", 1.0)[1]) for a, b in zip(x, y, strict=True)]
        np.testing.assert_allclose(found, truth, rtol=TOLERANCE if factor != 1 + 1e-14 else 0.05)
