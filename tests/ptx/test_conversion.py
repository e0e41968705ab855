"""cvt on the machine that executes PTX: every number of half precision, and ties of the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from tests.ptx.exact import FORMATS, TYPES, Format, assert_same, awkward
from tests.ptx.library import Array, crossed, each

INTEGERS = ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"]
HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16)
TO_WHOLE: dict[str, Callable[[Fraction], int]] = {
    "rni": round,
    "rzi": math.trunc,
    "rmi": math.floor,
    "rpi": math.ceil,
}


def dtype_of(kind: str) -> np.dtype[np.generic]:
    return np.dtype(f"{'i' if kind[0] == 's' else 'u'}{int(kind[1:]) // 8}")


def ends_of(kind: str) -> tuple[int, int]:
    bits, signed = int(kind[1:]), int(kind[0] == "s")
    return -signed << bits - 1, (1 << bits - signed) - 1


def integers(kind: str) -> Array:
    low, high = ends_of(kind)
    near = [1 << power for power in (0, 7, 8, 11, 15, 16, 24, 31, 32, 53, 62, 63)]
    found = {sign * number + step for number in near for step in (-1, 0, 1) for sign in (1, -1)}
    found |= {(1 << 25) + 2, (1 << 25) + 6, (1 << 54) + 2, (1 << 54) + 6, low, high}
    return np.array(sorted(n for n in found if low <= n <= high), dtype_of(kind))


@pytest.mark.parametrize(("to", "kind"), list(product(INTEGERS, INTEGERS)))
def test_integers_to_integers(to: str, kind: str) -> None:
    """Low bits, or more of them by the sign; with .sat the nearest that there is."""
    a = integers(kind)
    assert each(f"cvt.{to}.{kind} %d, %a;", dtype_of(to), a).tolist() == (
        a.astype(dtype_of(to)).tolist()
    )
    low, high = ends_of(to)
    own_low, own_high = ends_of(kind)
    if own_low < low or own_high > high:
        found = each(f"cvt.sat.{to}.{kind} %d, %a;", dtype_of(to), a)
        assert found.tolist() == [min(max(n, low), high) for n in a.tolist()]


@pytest.mark.parametrize("kind", ["s8", "s16"])
def test_a_narrow_integer_fills_its_register(kind: str) -> None:
    a = np.array([0x1280, 0x7FFF_8000, 0xFF, 0xFFFF_7F7F], np.uint32)
    found = each(f"cvt.{kind}.u32 %d, %a;", np.int32, a)
    assert found.tolist() == a.astype(dtype_of(kind)).tolist()
    found = each(f"cvt.u{kind[1:]}.u32 %d, %a;", np.int32, a)
    assert found.tolist() == a.astype(f"u{int(kind[1:]) // 8}").tolist()


@pytest.mark.parametrize(
    ("to", "kind", "mode"), list(product(["f16", "f32", "f64"], INTEGERS, ["rn", "rz", "rm", "rp"]))
)
def test_integers_to_floats(to: str, kind: str, mode: str) -> None:
    a = integers(kind)
    found = each(f"cvt.{mode}.{to}.{kind} %d, %a;", TYPES[to], a)
    expected = [FORMATS[to].rounded(Fraction(n), mode) for n in a.tolist()]
    assert_same(found, np.array(expected, TYPES[to]))


def near_integers(kind: str, name: str) -> Array:
    """Numbers next to the ends of an integer type, halves, and what is no number."""
    dtype = TYPES[name]
    low, high = ends_of(kind)
    numbers = [n + half / 2 for n in (-3, -2, -1, 0, 1, 2, 3, 100, low, high) for half in range(4)]
    with np.errstate(over="ignore"):
        found = np.concatenate([np.array(numbers, dtype), awkward(name)])
        near = [np.nextafter(found, dtype(sign * np.inf)) for sign in (1, -1)]
    return np.concatenate([found, *near])


@pytest.mark.parametrize(
    ("to", "kind", "mode"), list(product(INTEGERS, ["f16", "f32", "f64"], TO_WHOLE))
)
def test_floats_to_integers(to: str, kind: str, mode: str) -> None:
    """The nearest that there is; NaN is zero, or the top bit where 64 bits have to do with it."""
    a = near_integers(to, kind)
    low, high = ends_of(to)
    bits = int(to[1:])
    nan = 0 if kind != "f64" and bits < 64 else (low or 1 << (bits - 1))

    def converted(x: float) -> int:
        if math.isnan(x):
            return nan
        if math.isinf(x):
            return high if x > 0 else low
        return min(max(TO_WHOLE[mode](Fraction(x)), low), high)

    found = each(f"cvt.{mode}.{to}.{kind} %d, %a;", dtype_of(to), a)
    assert found.tolist() == [converted(float(x)) for x in a]


@pytest.mark.parametrize(("kind", "mode"), list(product(["f32", "f64"], TO_WHOLE)))
def test_floats_to_whole_floats(kind: str, mode: str) -> None:
    """What becomes zero keeps its sign."""
    a = near_integers("s64", kind)
    whole = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[mode]
    assert_same(each(f"cvt.{mode}.{kind}.{kind} %d, %a;", a.dtype, a), whole(a))


def test_every_half_is_exact_in_wider_floats() -> None:
    assert_same(each("cvt.f32.f16 %d, %a;", np.float32, HALVES), HALVES.astype(np.float32))
    assert_same(each("cvt.f64.f16 %d, %a;", np.float64, HALVES), HALVES.astype(np.float64))


def test_every_half_comes_back() -> None:
    body = "cvt.f32.f16 %f1, %a;\ncvt.rn.f16.f32 %d, %f1;"
    assert_same(each(body, np.float16, HALVES), HALVES)


def test_single_precision_is_exact_in_double() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 4000, np.uint32).view(np.float32)
    a = np.concatenate([awkward("f32"), bits])
    with np.errstate(invalid="ignore"):
        expected = a.astype(np.float64)
    assert_same(each("cvt.f64.f32 %d, %a;", np.float64, a), expected)


def ties(narrow: str, wide: str) -> Array:
    """Halfway between neighbours of the narrow format, and next to that, beyond its ends too."""
    if narrow == "f16":
        near = HALVES[np.isfinite(HALVES)].astype(np.float64)
    else:
        rng = np.random.default_rng(3)
        bits = rng.integers(0, 2**32, 3000, np.uint32).view(np.float32)
        bits = np.concatenate([bits, rng.integers(0, 40, 50, np.uint32).view(np.float32)])
        near = bits[np.isfinite(bits)].astype(np.float64)
    near = np.unique(near)[:: 1 if narrow == "f32" else 7]
    form = FORMATS[narrow]
    near = np.concatenate([near, [2.0**form.most * (1 - 2.0**-form.digits)]])
    exponent = np.frexp(np.abs(near))[1] - 1
    half_step = np.ldexp(0.5, np.maximum(exponent - form.digits + 1, form.least))
    middle = (near + half_step).astype(TYPES[wide])
    dtype = TYPES[wide]
    found = [middle, np.nextafter(middle, dtype(np.inf)), np.nextafter(middle, dtype(-np.inf))]
    return np.concatenate([*found, *(-column for column in found), awkward(wide)])


@pytest.mark.parametrize(("narrow", "wide"), [("f16", "f32"), ("f16", "f64"), ("f32", "f64")])
@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
def test_floats_to_narrower_floats(narrow: str, wide: str, mode: str) -> None:
    a = ties(narrow, wide)
    if mode != "rn":
        a = a[:: 1 + len(a) // 4000]

    def rounded(x: float) -> float:
        if not math.isfinite(x) or x == 0:
            return x
        return FORMATS[narrow].rounded(Fraction(x), mode)

    expected = np.array([rounded(float(x)) for x in a], TYPES[narrow])
    assert_same(each(f"cvt.{mode}.{narrow}.{wide} %d, %a;", TYPES[narrow], a), expected)


def test_two_halves_in_a_register() -> None:
    """The first operand is the upper half."""
    a, b = crossed(awkward("f32"), awkward("f32"))
    found = each("cvt.rn.f16x2.f32 %d, %a, %b;", np.uint32, a, b)
    with np.errstate(over="ignore"):
        assert_same((found >> 16).astype(np.uint16).view(np.float16), a.astype(np.float16))
        assert_same((found & 0xFFFF).astype(np.uint16).view(np.float16), b.astype(np.float16))


def test_brain_floats() -> None:
    """The upper half of single precision, to the nearest, ties to even."""
    upper = np.arange(0, 2**16, 3, dtype=np.uint32) << 16
    low = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    a = (upper[:, None] | low).ravel()
    a = a[np.isfinite(a.view(np.float32))]
    expected = (a + 0x7FFF + (a >> 16 & 1)) >> 16
    found = each("cvt.rn.bf16.f32 %d, %a;", np.uint16, a.view(np.float32))
    assert found.tolist() == expected.tolist()
    back = each("cvt.f32.bf16 %d, %a;", np.uint32, found)
    assert back.tolist() == (expected << 16).tolist()


def test_integers_to_brain_floats() -> None:
    """Rounded once: what lies next to a tie is none, however far the last bit is away."""
    form = Format("bf16", 8, -133, 128)
    numbers = [2**63 + 2**55 + step for step in (-1, 0, 1)] + [2**63 + 3 * 2**55, 257, 259]
    found = each("cvt.rn.bf16.u64 %d, %a;", np.uint16, np.array(numbers, np.uint64))
    expected = np.array([form.rounded(Fraction(n)) for n in numbers], np.float32)
    assert found.tolist() == (expected.view(np.uint32) >> 16).tolist()
