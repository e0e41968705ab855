"""Lorentz kernels: the geometry's own laws, the rules for odd rows, the published formulas."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tamis import lorentz
from tamis.kernels.reference import lorentz as reference

PAIRED = (lorentz.inner, lorentz.distance, lorentz.exterior_angle, lorentz.entailment)
KINDS = ("tangent", "space", "lorentz", "poincare")


def tangents(n: int, d: int = 12, seed: int = 0, high: float = 3.0) -> Any:
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((n, d))
    return u / np.linalg.norm(u, axis=1, keepdims=True) * rng.uniform(0.05, high, (n, 1))


def as_kind(v: Any, kind: str, curvature: float) -> Any:
    """Tangent vectors as rows of another kind."""
    norm = np.linalg.norm(v, axis=1, keepdims=True)
    u, r, root = v / norm, np.sqrt(curvature) * norm, np.sqrt(curvature)
    space = np.sinh(r) * u / root
    return {
        "tangent": v,
        "space": space,
        "lorentz": np.concatenate([np.cosh(r) / root, space], axis=1),
        "poincare": np.tanh(r / 2) * u / root,
    }[kind]


def test_the_angle_falls_as_the_point_moves_out() -> None:
    for angle in (0.01, 0.5, 1.5, 3.0):
        radii = np.linspace(0.01, 10.9, 500)[:, None]
        apex = np.repeat([[0.7, 0.0]], 500, axis=0)
        found = lorentz.exterior_angle(apex, radii * [np.cos(angle), np.sin(angle)])
        assert (np.diff(found) < 0).all()
        assert found[0] <= np.pi and found[-1] >= 0


def test_the_aperture_falls_with_the_radius() -> None:
    rows = np.linspace(0, 11, 300)[:, None] * [[0.6, 0.8]]
    aper = lorentz.half_aperture(rows)
    wide = np.sinh(np.linalg.norm(rows, axis=1)) <= 0.2
    assert (aper[wide] == np.pi / 2).all() and wide.sum() > 3
    assert (np.diff(aper[~wide]) < 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("curvature", [0.1, 1.0, 4.0])
def test_points_on_one_ray(kind: Any, curvature: float) -> None:
    v = tangents(200, high=2.5)
    x = as_kind(v, kind, curvature)
    options: Any = {"curvature": curvature, "kind": kind}
    aper = lorentz.half_aperture(x, **options)
    for factor in (1.0001, 1.1, 2.0):
        y = as_kind(factor * v, kind, curvature)
        np.testing.assert_allclose(lorentz.entailment(x, y, **options), -aper, atol=1e-6)
        np.testing.assert_allclose(lorentz.exterior_angle(y, x, **options), np.pi, atol=1e-6)
        far = (factor - 1) * np.linalg.norm(v, axis=1)
        np.testing.assert_allclose(lorentz.distance(x, y, **options), far, rtol=1e-6)
    assert (lorentz.distance(x, x, **options) == 0).all()
    assert (lorentz.exterior_angle(x, x, **options) == 0).all()
    np.testing.assert_allclose(lorentz.inner(x, x, **options), -1 / curvature, rtol=1e-9)


def test_distances_are_a_metric() -> None:
    x, y, z = (tangents(300, 5, seed) for seed in range(3))
    there, back = lorentz.distance(x, y), lorentz.distance(y, x)
    np.testing.assert_allclose(there, back, rtol=1e-12)
    assert (lorentz.distance(x, z) <= there + lorentz.distance(y, z) + 1e-9).all()
    np.testing.assert_allclose(lorentz.inner(x, y), -np.cosh(there), rtol=1e-9)
    # Rotations change nothing, and small triangles are Euclidean.
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    np.testing.assert_allclose(lorentz.exterior_angle(x @ turn, y @ turn),
                               lorentz.exterior_angle(x, y), atol=1e-7)  # fmt: skip
    small, other = 1e-5 * x, 1e-5 * y
    flat = np.linalg.norm(small - other, axis=1)
    np.testing.assert_allclose(lorentz.distance(small, other), flat, rtol=1e-6)


def test_the_angles_of_a_triangle_fall_short_of_pi() -> None:
    x, y = tangents(300, 4, 1), tangents(300, 4, 2)
    inside = np.arccos((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1))
    total = inside + 2 * np.pi - lorentz.exterior_angle(x, y) - lorentz.exterior_angle(y, x)
    assert (total < np.pi).all()


@pytest.mark.parametrize("curvature", [0.1, 1.0, 7.0])
def test_kinds_and_curvatures_agree(curvature: float) -> None:
    v, w = tangents(200, seed=1, high=1.5), tangents(200, seed=2, high=1.5)
    for function in PAIRED:
        expected = function(v, w, curvature=curvature)
        for kind in KINDS[1:]:
            x, y = as_kind(v, kind, curvature), as_kind(w, kind, curvature)
            found = function(x, y, curvature=curvature, kind=kind)
            np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)
    root = np.sqrt(curvature)
    scaled = lorentz.distance(v * root, w * root) / root
    np.testing.assert_allclose(lorentz.distance(v, w, curvature=curvature), scaled, rtol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_maps_are_inverse(kind: Any) -> None:
    v = tangents(100, high=5)
    x = as_kind(v, kind, 0.5)
    space = lorentz.lift(x, curvature=0.5, kind=kind)
    np.testing.assert_allclose(space, as_kind(v, "space", 0.5), rtol=1e-10)
    np.testing.assert_allclose(lorentz.log_map(x, curvature=0.5, kind=kind), v, rtol=1e-9)
    np.testing.assert_allclose(lorentz.log_map(space, curvature=0.5), v, rtol=1e-9)
    assert lorentz.lift(v.astype(np.float16)).dtype == np.float32


@pytest.mark.parametrize("function", PAIRED)
def test_all_pairs_are_the_pairs(function: Any) -> None:
    x, y = tangents(61, 33, 1), tangents(97, 33, 2)
    y[:5] = x[:5] * 1.0001
    every = function(x, y, all_pairs=True)
    assert every.shape == (61, 97) and every.dtype == np.float32
    paired = function(np.repeat(x, 97, axis=0), np.tile(y, (61, 1))).reshape(61, 97)
    np.testing.assert_allclose(every, paired, rtol=3e-7, atol=2e-6)


def test_equal_to_the_reference() -> None:
    x, y = tangents(60, 7, 1), tangents(60, 7, 2)
    x[0] = y[1] = 0
    for kind in KINDS[:2]:
        expected = reference.energies(x, y, kind, 0.7)
        found = lorentz.entailment(x, y, curvature=0.7, kind=kind, all_pairs=True)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        for name in ("inner", "distance"):
            each = [getattr(reference, name)(a, b, kind, 0.7) for a, b in zip(x, y, strict=True)]
            found = getattr(lorentz, name)(x, y, curvature=0.7, kind=kind)
            np.testing.assert_allclose(found, each, rtol=1e-9)


def test_rows_at_the_origin() -> None:
    zero, x = np.zeros((1, 3)), np.array([[0.3, 0.4, 0.0]])
    for all_pairs in (False, True):
        option = {"all_pairs": all_pairs}
        assert lorentz.exterior_angle(zero, x, **option).item() == pytest.approx(np.pi / 2)
        assert lorentz.exterior_angle(x, zero, **option).item() == pytest.approx(np.pi)
        assert lorentz.exterior_angle(zero, zero, **option).item() == pytest.approx(np.pi / 2)
        assert lorentz.entailment(zero, x, **option).item() == pytest.approx(0, abs=1e-7)
        assert lorentz.distance(zero, x, **option).item() == pytest.approx(0.5)
    assert lorentz.distance(zero, zero).item() == 0
    assert lorentz.radii(zero).counts == {"zero": 1}
    assert (lorentz.lift(zero) == 0).all() and (lorentz.log_map(zero) == 0).all()


def test_odd_rows_are_marked_and_change_no_others() -> None:
    x, y = tangents(70, 5, 1), tangents(70, 5, 2)
    clean = [function(x, y) for function in PAIRED]
    x[3, 2], x[40, 0], y[64, 4] = np.nan, np.inf, -np.inf
    bad = np.isin(np.arange(70), [3, 40, 64])
    for function, expected in zip(PAIRED, clean, strict=True):
        found = function(x, y)
        assert np.isnan(found[bad]).all()
        np.testing.assert_array_equal(found[~bad], expected[~bad])
        every = function(x, y, all_pairs=True)
        assert np.isnan(every[[3, 40]]).all() and np.isnan(every[:, 64]).all()
        assert np.isnan(every).sum() == 2 * 70 + 70 - 2
    assert lorentz.radii(x).counts == {"ok": 68, "not_finite": 2}
    assert np.isnan(lorentz.half_aperture(x)[[3, 40]]).all()
    assert np.isnan(lorentz.lift(x)[[3, 40]]).all() and not np.isnan(lorentz.lift(x)[4]).any()


def test_radii_beyond_the_clamp() -> None:
    x = np.array([[11.0, 0.0], [11.1, 0.0], [500.0, 0.0], [1e300, 0.0], [1.7e308, 1.7e308]])
    found = lorentz.radii(x)
    assert found.counts == {"ok": 1, "clamped": 4}
    assert found.radius[1:] == pytest.approx(lorentz.LARGEST_RADIUS)
    assert abs(lorentz.LARGEST_RADIUS - 11.090354889) < 1e-9
    assert lorentz.distance(x[1:2], x[2:3]).item() == 0
    assert lorentz.distance(x[3:4], x[4:5]).item() > 20
    np.testing.assert_allclose(np.linalg.norm(lorentz.lift(x)[1:], axis=1), 32768)
    rim = np.array([[1 - 1e-9, 0.0], [1.0, 0.0], [2.0, 0.0], [0.5, np.nan]])
    assert lorentz.radii(rim, kind="poincare").state.tolist() == [2, 4, 4, 3]
    assert np.isnan(lorentz.distance(rim, rim, kind="poincare")).tolist() == [False] + [True] * 3


def test_time_parts_that_do_not_fit() -> None:
    x = as_kind(tangents(4), "lorentz", 1.0)
    x[1, 0] *= 1.01
    x[2, 0] = -x[2, 0]
    x[3, 0] = np.nan
    assert lorentz.radii(x, kind="lorentz").state.tolist() == [0, 4, 4, 3]
    assert np.isnan(lorentz.distance(x, x, kind="lorentz")).tolist() == [False, True, True, True]
    half = as_kind(tangents(500, high=9), "lorentz", 1.0).astype(np.float16)
    assert lorentz.radii(half, kind="lorentz").counts == {"ok": 500}


def test_numbers_at_the_ends_of_their_range() -> None:
    x, y = np.array([[3e-300, 4e-300]]), np.array([[3e-300, -4e-300]])
    assert lorentz.distance(x, y).item() == pytest.approx(8e-300)
    assert lorentz.exterior_angle(x, y).item() == pytest.approx(np.pi / 2 + np.arctan(4 / 3))
    tiny = np.array([[6e-8, 0.0]], dtype=np.float16)
    assert lorentz.radii(tiny).radius.item() == 2.0**-24
    low = np.array([[1e-30, 0.0], [0.0, 1e-30]], dtype=np.float32)
    angle = lorentz.exterior_angle(low, low, all_pairs=True)
    assert angle[0, 1] == pytest.approx(3 * np.pi / 4)
    assert lorentz.exterior_angle(x * 1e280, x * 1e285).item() == pytest.approx(0)


@pytest.mark.parametrize("function", PAIRED)
def test_dtypes_and_layouts(function: Any) -> None:
    x, y = tangents(50, 9, 1).astype(np.float16), tangents(50, 9, 2).astype(np.float16)
    expected = function(x.astype(np.float64), y.astype(np.float64))
    layouts = (
        (x, y),
        (x.astype(np.float32), y),
        (x, y.astype(np.float64)),
        (x.astype(">f4"), np.asfortranarray(y)),
        (np.repeat(x, 2, axis=0)[::2], y[::-1][::-1]),
    )
    for left, right in layouts:
        np.testing.assert_allclose(function(left, right), expected, rtol=1e-9, atol=1e-9)
    rounded = x.astype(ml_dtypes.bfloat16)
    wide = rounded.astype(np.float64)
    np.testing.assert_allclose(function(rounded, y), function(wide, y), rtol=1e-9, atol=1e-9)
    empty = np.zeros((0, 9), np.float32)
    assert function(empty, empty).shape == (0,)
    assert function(empty, y, all_pairs=True).shape == (0, 50)
    assert function(y, empty, all_pairs=True).shape == (50, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: lorentz.distance(x, x[:, :2]), "y: expected rows of 3 columns, as x has, got 2"),
        (lambda x: lorentz.entailment(x, x[:1]), "point: expected 4 rows, as apex has, got 1"),
        (lambda x: lorentz.distance(x, x, curvature=0), "curvature must be a finite number above"),
        (lambda x: lorentz.distance(x, x, curvature=-1.0), "curvature must be a finite number abo"),
        (lambda x: lorentz.distance(x, x, curvature=np.nan), "curvature must be a finite number"),
        (lambda x: lorentz.distance(x, x, curvature=np.inf), "curvature must be a finite number"),
        (lambda x: lorentz.distance(x, x, kind="ball"), "kind must be one of tangent, space"),
        (lambda x: lorentz.distance(x, x, mode="exact"), 'mode must be "stable" or "paper"'),
        (lambda x: lorentz.half_aperture(x, min_radius=0), "min_radius must be a finite number"),
        (lambda x: lorentz.radii(x[0]), "expected a 2-D array"),
        (lambda x: lorentz.radii(x[:, :1], kind="lorentz"), "expected a time part and a space"),
        (lambda x: lorentz.specificity(x, x * np.nan), "at least one usable row, got 4 rows"),
        (lambda x: lorentz.specificity(x, x[:0]), "at least one usable row, got 0 rows"),
        (lambda x: lorentz.specificity(x, x, apex="images"), 'apex must be "references" or "rows"'),
        (lambda x: lorentz.specificity(x, x[:, :2]), "references: expected rows of 3 columns"),
    ],
)
def test_what_cannot_be(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(tangents(4, 3))


def test_integers_are_no_points() -> None:
    with pytest.raises(TypeError, match="expected a 2-D array of float16"):
        lorentz.distance(np.ones((2, 2), int), np.ones((2, 2), int))


def test_importing_it_loads_numpy_and_the_kernels_only() -> None:
    names = ("torch", "pyarrow", "pydantic", "mpmath", "scipy", "tamis.data")
    counts = []
    for module in ("tamis", "tamis.lorentz"):
        code = f"import sys, {module}; print(sum(m in sys.modules for m in {names}))"
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        counts.append(int(run.stdout))
    assert counts[0] == counts[1]
