"""Half precision, one number or two in a register, on the machine that executes PTX."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from tests.ptx.exact import HALF, assert_same, awkward, scattered
from tests.ptx.library import Array, crossed, each

TWO: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "add.rn": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "min": np.fmin,
    "max": np.fmax,
}


def columns(n: int) -> list[Array]:
    """Numbers that are awkward to each other, and others."""
    near = crossed(*(awkward("f16")[::4],) * n)
    return [np.concatenate([one, scattered("f16", 800, i)]) for i, one in enumerate(near)]


def paired(low: Array, high: Array) -> Array:
    return low.view(np.uint16) | high.view(np.uint16).astype(np.uint32) << np.uint32(16)


def halves(pairs: Array) -> tuple[Array, Array]:
    low, high = pairs.view(np.uint16).reshape(-1, 2).T
    return np.ascontiguousarray(low).view(np.float16), np.ascontiguousarray(high).view(np.float16)


@pytest.mark.parametrize("name", TWO)
def test_an_operation_of_two_halves(name: str) -> None:
    a, b = columns(2)
    if name in ("min", "max"):  # the sign of the zero is not NumPy's
        kept = (a != 0) | (b != 0)
        a, b = a[kept], b[kept]
    with np.errstate(all="ignore"):
        expected, other = TWO[name](a, b), TWO[name](b, b)
    assert_same(each(f"{name}.f16 %d, %a, %b;", np.float16, a, b), expected)
    both = each(f"{name}.f16x2 %d, %a, %b;", np.uint32, paired(a, b), paired(b, b))
    for found, one in zip(halves(both), (expected, other), strict=True):
        rows = b != 0
        assert_same(found[rows], one[rows])


def test_signs_of_halves() -> None:
    a, b = columns(2)
    assert_same(each("neg.f16 %d, %a;", np.float16, a), -a)
    assert_same(each("abs.f16 %d, %a;", np.float16, a), np.abs(a))
    low, high = halves(each("neg.f16x2 %d, %a;", np.uint32, paired(a, b)))
    assert_same(low, -a)
    assert_same(high, -b)


def test_a_sum_after_an_exact_product_of_halves() -> None:
    a, b, c = (scattered("f16", 2000, i) for i in (3, 4, 5))
    finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
    a, b, c = a[finite], b[finite], c[finite]
    rows = zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    sums = [HALF.rounded(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in rows]
    expected = np.array(sums, np.float16)
    known = expected != 0
    found = each("fma.rn.f16 %d, %a, %b, %c;", np.float16, a, b, c)
    assert_same(found[known], expected[known])
    columns_of_pairs = (paired(x, -x) for x in (a, b, c))
    low, high = halves(each("fma.rn.f16x2 %d, %a, %b, %c;", np.uint32, *columns_of_pairs))
    assert_same(low[known], expected[known])
    negated = [
        HALF.rounded(Fraction(x) * Fraction(y) - Fraction(z))
        for x, y, z in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    ]
    known = np.array(negated) != 0
    assert_same(high[known], np.array(negated, np.float16)[known])


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge", "ltu", "neu"])
def test_comparisons_of_halves(name: str) -> None:
    a, b = crossed(awkward("f16"), awkward("f16"))
    found = each(f"setp.{name}.f16 %p, %a, %b;\nselp.u32 %d, 1, 0, %p;", np.uint32, a, b)
    compared: dict[str, Callable[[Array, Array], Array]] = {
        "eq": np.equal,
        "ne": np.not_equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
    is_nan = np.isnan(a) | np.isnan(b)
    expected = np.where(is_nan, name.endswith("u"), compared[name[:2]](a, b))
    assert found.tolist() == expected.astype(int).tolist()
