"""Floats on the machine that executes PTX, against NumPy's and against fractions."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from tests.ptx.exact import FORMATS, TYPES, assert_same, awkward, scattered
from tests.ptx.library import Array, crossed, each


def pairs(name: str) -> list[Array]:
    a, b = crossed(awkward(name), awkward(name))
    return [np.concatenate([a, scattered(name, 500)]), np.concatenate([b, scattered(name, 500, 1)])]


TWO: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "add.rn": np.add,
    "sub": np.subtract,
    "sub.rn": np.subtract,
    "mul": np.multiply,
    "mul.rn": np.multiply,
    "div.rn": np.divide,
}


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_an_operation_of_two_floats(name: str, kind: str) -> None:
    a, b = pairs(kind)
    with np.errstate(all="ignore"):
        expected = TWO[name](a, b)
    assert_same(each(f"{name}.{kind} %d, %a, %b;", a.dtype, a, b), expected)


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_roots_and_reciprocals(kind: str) -> None:
    a = np.concatenate([awkward(kind), scattered(kind, 2000)])
    with np.errstate(all="ignore"):
        assert_same(each(f"sqrt.rn.{kind} %d, %a;", a.dtype, a), np.sqrt(a))
        assert_same(each(f"rcp.rn.{kind} %d, %a;", a.dtype, a), np.divide(a.dtype.type(1), a))


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_signs(kind: str) -> None:
    """copysign takes the sign of its first operand, and the size of its second."""
    a, b = crossed(awkward(kind), awkward(kind))
    assert_same(each(f"abs.{kind} %d, %a;", a.dtype, a), np.abs(a))
    assert_same(each(f"neg.{kind} %d, %a;", a.dtype, a), -a)
    assert_same(each(f"copysign.{kind} %d, %a, %b;", a.dtype, a, b), np.copysign(b, a))


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("name", ["min", "max"])
def test_the_less_and_the_greater(kind: str, name: str) -> None:
    """Of a NaN and a number, the number; the zero with a sign is less than the other."""
    a, b = pairs(kind)

    def chosen(x: float, y: float) -> float:
        if math.isnan(x) or math.isnan(y):
            return y if math.isnan(x) else x
        order = sorted([x, y], key=lambda number: (number, math.copysign(1, number)))
        return order[0 if name == "min" else 1]

    expected = np.array([chosen(x, y) for x, y in zip(a, b, strict=True)], a.dtype)
    assert_same(each(f"{name}.{kind} %d, %a, %b;", a.dtype, a, b), expected)


@pytest.mark.parametrize("name", ["min", "max"])
def test_the_less_and_the_greater_where_nan_counts(name: str) -> None:
    a, b = crossed(awkward("f32"), awkward("f32"))
    found = each(f"{name}.NaN.f32 %d, %a, %b;", np.float32, a, b)
    assert np.array_equal(np.isnan(found), np.isnan(a) | np.isnan(b))


def exact(kind: str, mode: str, function: Callable[..., Fraction], *columns: Array) -> Array:
    found = [
        FORMATS[kind].rounded(function(*(Fraction(float(x)) for x in row)), mode)
        for row in zip(*columns, strict=True)
    ]
    return np.array(found, TYPES[kind])


def finite(*columns: Array) -> list[Array]:
    kept = np.logical_and.reduce([np.isfinite(column) for column in columns])
    return [column[kept] for column in columns]


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
def test_a_sum_after_an_exact_product(kind: str, mode: str) -> None:
    a, b, c = finite(*(scattered(kind, 400, seed) for seed in (2, 3, 4)))
    step = TYPES[kind](2.0 ** (1 - FORMATS[kind].digits))
    one = TYPES[kind](1)
    x = np.concatenate([a, 1 + step * np.arange(1, 40, dtype=a.dtype)])
    y = np.concatenate([b, np.full(39, one - step)])
    with np.errstate(all="ignore"):  # what is left of a product when its rounded self is taken
        z = np.concatenate(
            [np.where(np.arange(len(c)) % 2, c, -(a * b)), -x[len(a) :] * y[len(a) :]]
        )
    x, y, z = finite(x, y, z)
    found = each(f"fma.{mode}.{kind} %d, %a, %b, %c;", x.dtype, x, y, z)
    expected = exact(kind, mode, lambda p, q, r: p * q + r, x, y, z)
    zero = (found == 0) & (expected == 0)  # its sign is another matter
    assert_same(
        np.where(zero, 0, found).astype(x.dtype), np.where(zero, 0, expected).astype(x.dtype)
    )


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_a_sum_after_a_product_of_what_is_no_number(kind: str) -> None:
    a, b, c = crossed(*(np.array([0.0, -0.0, 1, -2, np.inf, -np.inf, np.nan], TYPES[kind]),) * 3)
    with np.errstate(invalid="ignore"):  # exact but for the signs of zeros, which add up likewise
        expected = a * b + c
    assert_same(each(f"fma.rn.{kind} %d, %a, %b, %c;", a.dtype, a, b, c), expected)


@pytest.mark.parametrize("mode", ["rz", "rm", "rp"])
@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_sums_and_products_rounded_otherwise(kind: str, mode: str) -> None:
    a, b = finite(scattered(kind, 600, 5), scattered(kind, 600, 6))
    operations: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
        "add": lambda x, y: x + y,
        "sub": lambda x, y: x - y,
        "mul": lambda x, y: x * y,
    }
    for name, function in operations.items():
        expected = exact(kind, mode, function, a, b)
        rows = expected != 0
        found = each(f"{name}.{mode}.{kind} %d, %a, %b;", a.dtype, a, b)
        assert_same(found[rows], expected[rows])


def test_subnormal_numbers_are_flushed_where_that_is_asked_for() -> None:
    a, b = crossed(awkward("f32"), awkward("f32"))
    tiny = np.finfo(np.float32).tiny

    def flushed(x: Array) -> Array:
        return np.where(np.abs(x) < tiny, np.copysign(np.float32(0), x), x)

    with np.errstate(all="ignore"):
        for name, function in [("add", np.add), ("mul", np.multiply), ("sub", np.subtract)]:
            expected = flushed(function(flushed(a), flushed(b)))
            assert_same(each(f"{name}.ftz.f32 %d, %a, %b;", a.dtype, a, b), expected)


def test_saturation() -> None:
    """Into 0 to 1; NaN becomes 0."""
    a, b = finite(*crossed(awkward("f32"), awkward("f32")))
    with np.errstate(all="ignore"):
        expected = np.clip(np.nan_to_num(a * b, nan=0.0, posinf=1, neginf=0), 0, 1)
    found = each("mul.rn.sat.f32 %d, %a, %b;", a.dtype, a, b)
    assert np.array_equal(found, expected)


ORDERED: dict[str, Callable[[float, float], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_comparisons(kind: str) -> None:
    """With a NaN all are false, those that end in u true."""
    a, b = crossed(awkward(kind), awkward(kind))
    rows = list(zip(a.tolist(), b.tolist(), strict=True))
    with_nan = [math.isnan(x) or math.isnan(y) for x, y in rows]
    names = [*ORDERED, *(f"{name}u" for name in ORDERED), "num", "nan"]
    for name in names:
        body = f"setp.{name}.{kind} %p|%q, %a, %b;\nselp.u32 %r1, 1, 0, %p;"
        found = each(f"{body}\nselp.u32 %r2, 2, 0, %q;\nor.b32 %d, %r1, %r2;", np.uint32, a, b)
        if name in ("num", "nan"):
            expected = [is_nan == (name == "nan") for is_nan in with_nan]
        else:
            holds = ORDERED[name.removesuffix("u")]
            expected = [
                name.endswith("u") if is_nan else holds(*row)
                for row, is_nan in zip(rows, with_nan, strict=True)
            ]
        assert found.tolist() == [1 if one else 2 for one in expected], name


@pytest.mark.parametrize("name", ["min", "max"])
def test_the_size_by_comparison_and_the_sign_by_both(name: str) -> None:
    a, b = pairs("f32")
    a, b = finite(a, b)
    sizes = np.minimum(np.abs(a), np.abs(b)) if name == "min" else np.maximum(np.abs(a), np.abs(b))
    expected = np.where(np.signbit(a) ^ np.signbit(b), -sizes, sizes)
    assert_same(each(f"{name}.xorsign.abs.f32 %d, %a, %b;", np.float32, a, b), expected)
