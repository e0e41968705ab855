"""Functions that the ISA says a bound of the error of, and no more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.ptx.exact import assert_same, awkward, scattered
from tests.ptx.library import Array, each

TINY = np.finfo(np.float64).tiny


def without_subnormals(x: Array) -> Array:
    return np.where(np.abs(x) < TINY, np.copysign(0.0, x), x)


@pytest.mark.parametrize("name", ["rcp", "rsqrt"])
def test_the_gross_functions_of_double_precision(name: str) -> None:
    """They read and write the upper 32 bits, and have no subnormal numbers."""
    a = np.concatenate([awkward("f64"), scattered("f64", 3000, 7), np.linspace(1, 4, 3000)])
    found = each(f"{name}.approx.ftz.f64 %d, %a;", np.float64, a)
    assert not np.any(found.view(np.uint64) << np.uint64(32))
    upper = (a.view(np.uint64) >> np.uint64(32) << np.uint64(32)).view(np.float64)
    read = without_subnormals(upper)
    with np.errstate(all="ignore"):
        root = np.where(read == 0, read, np.sqrt(read))
        expected = without_subnormals(1 / (read if name == "rcp" else root))
    special = ~np.isfinite(expected) | (expected == 0)
    assert_same(found[special], expected[special])
    assert np.all(np.abs(found[~special] / expected[~special] - 1) <= 2.0**-20)


def root(x: Array) -> Array:
    return 1 / np.sqrt(x)


# A relative bound; what zeros, infinity and NaN give.
RELATIVE: dict[str, tuple[Callable[[Array], Array], float, list[float]]] = {
    "rcp.approx": (np.reciprocal, 2.0**-23, [np.inf, -np.inf, 0, np.nan]),
    "rsqrt.approx": (root, 2.0**-22.9, [np.inf, -np.inf, 0, np.nan]),
    "sqrt.approx": (np.sqrt, 2.0**-23, [0, -0.0, np.inf, np.nan]),
}


@pytest.mark.parametrize("name", RELATIVE)
def test_roots_and_reciprocals_of_single_precision(name: str) -> None:
    function, bound, ends = RELATIVE[name]
    a = np.abs(scattered("f32", 3000, 8))
    a = a[(a > 1e-30) & (a < 1e30)]
    found = each(f"{name}.f32 %d, %a;", np.float32, a)
    assert np.all(np.abs(found / function(a.astype(np.float64)) - 1) <= bound)
    odd = np.array([0.0, -0.0, np.inf, np.nan], np.float32)
    assert_same(each(f"{name}.f32 %d, %a;", np.float32, odd), np.array(ends, np.float32))


@pytest.mark.parametrize("name", ["div.full", "div.approx"])
def test_quotients(name: str) -> None:
    """Within two units of the last place."""
    a, b = scattered("f32", 3000, 9), scattered("f32", 3000, 10)
    sizes = [np.abs(x) for x in (a, b)]
    kept = np.logical_and.reduce([(x > 1e-18) & (x < 1e18) for x in sizes])
    a, b = a[kept], b[kept]
    found = each(f"{name}.f32 %d, %a, %b;", np.float32, a, b)
    exact = a.astype(np.float64) / b
    assert np.all(np.abs(found - exact) <= 2 * np.spacing(np.abs(exact).astype(np.float32)))


def test_powers_and_logarithms_of_two() -> None:
    x = np.linspace(-120, 120, 3001).astype(np.float32)
    power = np.exp2(x.astype(np.float64))
    found = each("ex2.approx.f32 %d, %a;", np.float32, x)
    assert np.all(np.abs(found / power - 1) <= 2.0**-22)
    a = power.astype(np.float32)
    logarithm = np.log2(a.astype(np.float64))
    found = each("lg2.approx.f32 %d, %a;", np.float32, a)
    inside = (a > 0.5) & (a < 2)
    assert np.all(
        np.abs(found - logarithm) <= np.where(inside, 2.0**-22, 2.0**-22 * abs(logarithm))
    )


@pytest.mark.parametrize(("name", "function"), [("sin", np.sin), ("cos", np.cos)])
def test_sines(name: str, function: Callable[[Array], Array]) -> None:
    a = np.linspace(-np.pi, np.pi, 3001).astype(np.float32)
    found = each(f"{name}.approx.f32 %d, %a;", np.float32, a)
    assert np.all(np.abs(found - function(a.astype(np.float64))) <= 2.0**-20.5)


def test_the_hyperbolic_tangent() -> None:
    a = np.linspace(-10, 10, 3001).astype(np.float32)
    found = each("tanh.approx.f32 %d, %a;", np.float32, a)
    assert np.all(np.abs(found - np.tanh(a.astype(np.float64))) <= 2.0**-10.9 * np.abs(np.tanh(a)))
