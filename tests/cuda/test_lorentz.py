"""Radii and paired values of the CUDA kernels are those of the CPU module, within 1e-6."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.cuda.library import Library

from bits import assert_same_bits, sha256
from tamis._native import cpu

Values = npt.NDArray[Any]
# In the orders of tamis/lorentz.h.
ELEMENTS = ("float16", "float32", "float64")
KINDS = ("tangent", "space", "lorentz", "poincare")
MEASURES = ("inner", "distance", "angle", "energy")
CURVATURES = {"tangent": 1.0, "space": 0.3, "lorentz": 1.0, "poincare": 2.5}
RADII = (1e-6, 1e-3, 0.1, 0.1987, 0.5, 1.0, 3.0, 6.0, 9.0, 11.0)
ANGLES = (0.0, 1e-7, 1e-3, 1e-2, 0.3, 1.3, np.pi / 2, 2.5, np.pi - 1e-3, np.pi)
FACTORS = (1.0, 1.000001, 1.001, 0.999, 1.01, 0.99, 1.5, 0.3)
TOLERANCE = 1e-6


def words(x: Values) -> Values:
    return x.view(np.uint16) if x.dtype == np.float16 else x


def memory(library: Library, x: Values, shift: int) -> Values:
    """Device memory with these rows, `shift` elements off its alignment."""
    found = library.empty(x.size + shift, words(x).dtype)[shift:].reshape(x.shape)
    found[...] = words(x)
    return found


def radii(library: Library, x: Values, kind: str, curvature: float, shift: int = 0) -> Any:
    radius, norm = library.empty(len(x), np.float64), library.empty(len(x), np.float64)
    state = library.empty(len(x), np.uint8)
    rows = (memory(library, x, shift), ELEMENTS.index(x.dtype.name), *x.shape)
    library.call("emulated_radii", *rows, KINDS.index(kind), curvature, radius, norm, state)
    return radius.copy(), norm.copy(), state.copy()


def paired(
    library: Library,
    x: Values,
    y: Values,
    measure: str,
    kind: str = "tangent",
    curvature: float = 1.0,
    *,
    min_radius: float = 0.1,
    shifts: tuple[int, int] = (0, 0),
) -> Values:
    value = library.empty(len(x), np.float64)
    rows = (memory(library, x, shifts[0]), memory(library, y, shifts[1]))
    shape = (ELEMENTS.index(x.dtype.name), *x.shape, KINDS.index(kind), curvature)
    library.call(
        "emulated_lorentz_paired", *rows, *shape, MEASURES.index(measure), min_radius, value
    )
    return value.copy()


def expected_pairs(
    x: Values, y: Values, measure: str, kind: str = "tangent", curvature: float = 1.0
) -> Values:
    options = (KINDS.index(kind), curvature, MEASURES.index(measure), 0.1)
    return cpu.lorentz_paired(words(x), words(y), *options)


def rows_of(directions: Values, radius: Values, kind: str, curvature: float) -> Any:
    root = np.sqrt(curvature)
    if kind == "tangent":
        return radius * directions / root
    if kind == "poincare":
        return np.tanh(radius / 2) * directions / root
    space = np.sinh(radius) * directions / root
    return np.c_[np.cosh(radius) / root, space] if kind == "lorentz" else space


def pairs(kind: str, element: str, d: int) -> tuple[Values, Values]:
    """Pairs at all radii, angles and factors of radii, with the points of the Poincare rim."""
    rng = np.random.default_rng(d)
    every = np.array([(r, a, f) for r in RADII for a in ANGLES for f in FACTORS if r * f <= 11.05])
    radius, angle, factor = rng.permutation(every)[:300].T[:, :, None]
    u, w = rng.standard_normal((2, len(radius), d))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    if d > 1:
        w -= (w * u).sum(axis=1, keepdims=True) * u
        v = np.cos(angle) * u + np.sin(angle) * w / np.linalg.norm(w, axis=1, keepdims=True)
    else:
        v = np.where(angle > 1, -u, u)
    curvature = CURVATURES[kind]
    x, y = (
        rows_of(t, r, kind, curvature).astype(element)
        for t, r in ((u, radius), (v, radius * factor))
    )
    if kind == "poincare":  # a row that rounds to the rim may be on either side of it
        norms = [np.linalg.norm(rows.astype(np.float64), axis=1) for rows in (x, y)]
        inside = np.sqrt(curvature) * np.maximum(*norms) < 1 - 1e-12
        x, y = x[inside], y[inside]
    return x, y


def assert_close(actual: Values, expected: Values, measure: str, case: object = "") -> None:
    if measure in ("angle", "energy"):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE, err_msg=str(case))
    else:
        np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=1e-40, err_msg=str(case))


@pytest.mark.parametrize("d", [1, 2, 19, 64, 300])
@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_pairs_over_the_whole_range(library: Library, kind: str, element: str, d: int) -> None:
    curvature = CURVATURES[kind]
    x, y = pairs(kind, element, d)
    for measure in MEASURES:
        expected = expected_pairs(x, y, measure, kind, curvature)
        assert np.isfinite(expected).mean() > 0.5
        actual = paired(library, x, y, measure, kind, curvature)
        assert_close(actual, expected, measure, (kind, element, d, measure))
    for rows in (x, y):
        found = radii(library, rows, kind, curvature)
        facts = cpu.lorentz_radii(words(rows), KINDS.index(kind), curvature)
        np.testing.assert_array_equal(found[2], facts[2])
        for one, other in zip(found[:2], facts[:2], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9 if kind == "poincare" else 1e-13)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize(("d", "kind"), [(64, "tangent"), (63, "lorentz"), (37, "space")])
def test_one_hash_for_any_order_split_and_alignment(
    library: Library, d: int, kind: str, element: str
) -> None:
    x, y = pairs(kind, element, d)
    hashes = set()
    for seed, shifts in enumerate(((0, 0), (1, 0), (0, 1), (8, 8))):
        with library.configured(seed=seed, host_threads=1 + seed % 3):
            values = [paired(library, x, y, m, kind, shifts=shifts) for m in MEASURES]
            hashes.add(sha256(*values, *radii(library, x, kind, 1.0, shifts[0])))
        library.forget()
    assert len(hashes) == 1
    for begin, end in ((0, 1), (1, 32), (5, 38), (31, 290)):
        part = paired(library, x[begin:end], y[begin:end], "angle", kind)
        assert_same_bits(part, values[2][begin:end], (begin, end))


@pytest.mark.parametrize("measure", MEASURES)
def test_all_pairs_are_the_pairs_rounded(library: Library, measure: str) -> None:
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((5, 9)) / 3, rng.standard_normal((83, 9)) / 2
    y[7], y[40] = x[3], np.nan
    value = library.empty((5, 83), np.float32)
    sides = (memory(library, x, 0), 5, memory(library, y, 0), 83)
    with library.configured(seed=2):
        library.call(
            "emulated_lorentz_all_pairs", *sides, 2, 9, 0, 1.0, MEASURES.index(measure), 0.1, value
        )
    pairs = paired(library, np.repeat(x, 83, axis=0), np.tile(y, (5, 1)), measure)
    assert_same_bits(value.copy(), pairs.reshape(5, 83).astype(np.float32))


def test_nearly_coincident_points_keep_their_digits(library: Library) -> None:
    x = np.random.default_rng(0).standard_normal((80, 40)) / 4
    aside = np.random.default_rng(1).standard_normal(x.shape)
    for step in (0.0, 1e-12, 1e-9, 1e-6, 1e-3):
        y = x * (1 + step)
        value = paired(library, x, y, "distance")
        truth = np.linalg.norm(y - x, axis=1)
        np.testing.assert_allclose(value, truth, rtol=max(1e-6, 1e-15 / max(step, 1e-9)))
        if step >= 1e-6:
            y = x + step * aside
            for measure in MEASURES:
                assert_close(
                    paired(library, x, y, measure), expected_pairs(x, y, measure), measure, step
                )


def test_marked_rows_and_the_origin(library: Library) -> None:
    x = np.random.default_rng(2).standard_normal((40, 9)) / 4
    y = np.random.default_rng(3).standard_normal((40, 9)) / 4
    x[0, 0], x[1, 8], y[2, 3], y[3] = np.nan, np.inf, -np.inf, np.nan
    x[4], y[5], x[6], y[6] = 0, 0, 0, 0
    y[7] = x[7]
    x[8] *= 1e3
    y[9] *= 1e200
    x[10], y[10] = x[10] * 1e-300, y[10] * 1e-300
    x[11], y[11] = x[11] * 1e-320, y[11] * 1e-320
    x[12], y[12] = x[12] * 1e300, y[12] * 1e300
    for measure in MEASURES:
        actual = paired(library, x, y, measure)
        assert_close(actual, expected_pairs(x, y, measure), measure)
        assert np.isnan(actual[:4]).all() and not np.isnan(actual[4:]).any()
    angle = paired(library, x, y, "angle")
    assert angle[4] == angle[6] == np.pi / 2 and angle[5] == np.pi and angle[7] == 0
    radius, norm, state = radii(library, np.r_[x, y], "tangent", 1.0)
    expected = cpu.lorentz_radii(np.r_[x, y], 0, 1.0)
    np.testing.assert_array_equal(state, expected[2])
    assert set(state) == {0, 1, 2, 3}
    np.testing.assert_allclose(radius, expected[0], rtol=1e-13)
    np.testing.assert_allclose(norm, expected[1], rtol=1e-13)


@pytest.mark.parametrize("element", ELEMENTS)
def test_rows_outside_of_the_space(library: Library, element: str) -> None:
    p = np.full((3, 2), 0.5)
    p[1], p[2] = (1, 0), (0.9, 0.9)
    p = p.astype(element)
    assert radii(library, p, "poincare", 1.0)[2].tolist() == [0, 4, 4]
    assert np.isnan(paired(library, p, p[[0, 0, 0]], "angle", "poincare")).tolist() == [0, 1, 1]
    whole = np.array([[np.sqrt(1.25), 0.5, 0], [1.2, 0.5, 0], [np.inf, 0.5, 0], [-1.118, 0.5, 0]])
    whole = whole.astype(element)
    assert radii(library, whole, "lorentz", 1.0)[2].tolist() == [0, 4, 3, 4]
    for measure in MEASURES:
        actual = paired(library, whole, whole[[0, 0, 0, 0]], measure, "lorentz")
        assert np.isnan(actual).tolist() == [0, 1, 1, 1]


def test_the_aperture_follows_the_minimum_radius(library: Library) -> None:
    x, y = np.random.default_rng(4).standard_normal((2, 40, 5))
    angle = paired(library, x, y, "angle")
    for radius in (1e-3, 0.1, 1.0, 1e6):
        energy = paired(library, x, y, "energy", min_radius=radius)
        size = np.sinh(np.linalg.norm(x, axis=1))
        aper = np.arcsin(np.minimum(1, 2 * radius / size))
        np.testing.assert_allclose(energy, angle - aper, rtol=0, atol=1e-7)


def test_no_rows(library: Library) -> None:
    x = np.zeros((0, 4))
    assert len(paired(library, x, x, "angle")) == len(radii(library, x, "tangent", 1.0)[0]) == 0
