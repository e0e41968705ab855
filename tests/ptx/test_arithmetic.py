"""Integers on the machine that executes PTX, against Python's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from tests.ptx.library import Array, crossed, each, execute

ALL = "s16 u16 s32 u32 s64 u64"


def dtype_of(kind: str) -> np.dtype[np.generic]:
    return np.dtype(f"{'i' if kind[0] == 's' else 'u'}{int(kind[1:]) // 8}")


def bits_in(kind: str) -> int:
    return int(kind[1:])


def wrapped(value: int, kind: str) -> int:
    """The low bits of an integer, as that type reads them."""
    bits = bits_in(kind)
    value &= (1 << bits) - 1
    return value - (1 << bits) if kind[0] == "s" and value >> (bits - 1) else value


def bounds(kind: str) -> list[int]:
    """Numbers at which something happens: of both signs, and next to powers of two."""
    bits = bits_in(kind)
    near = [1 << power for power in (0, 1, 3, bits // 2, bits - 1)]
    found = [number + step for number in near for step in (-1, 0, 1)]
    found += [-number for number in found] + [0x5555_5555_5555_5555, 0x0123_4567_89AB_CDEF]
    return sorted({wrapped(number, kind) for number in found})


def column(values: list[int], kind: str) -> Array:
    return np.array(values, dtype_of(kind))


def mapped(kind: str, function: Callable[..., int], *columns: Array) -> list[int]:
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [wrapped(function(*row), kind) for row in rows]


def quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


TWO: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul.lo": lambda a, b: a * b,
    "min": min,
    "max": max,
    "div": quotient,
    "rem": lambda a, b: a - quotient(a, b) * b,
}


@pytest.mark.parametrize(("name", "kind"), list(product(TWO, ALL.split())))
def test_an_operation_of_two_integers(name: str, kind: str) -> None:
    a, b = crossed(column(bounds(kind), kind), column(bounds(kind), kind))
    found = each(f"{name}.{kind} %d, %a, %b;", a.dtype, a, b)
    if name in ("div", "rem"):  # what the ISA leaves open: by zero, and a quotient that overflows
        defined = (b != 0) & ~((a == wrapped(1 << (bits_in(kind) - 1), kind)) & (b + 1 == 0))
        a, b, found = a[defined], b[defined], found[defined]
    assert found.tolist() == mapped(kind, TWO[name], a, b)


@pytest.mark.parametrize("kind", ALL.split())
def test_the_upper_half_of_a_product(kind: str) -> None:
    a, b = crossed(column(bounds(kind), kind), column(bounds(kind), kind))
    found = each(f"mul.hi.{kind} %d, %a, %b;", a.dtype, a, b)
    assert found.tolist() == mapped(kind, lambda x, y: (x * y) >> bits_in(kind), a, b)


@pytest.mark.parametrize("kind", ["s16", "u16", "s32", "u32"])
def test_a_wide_product(kind: str) -> None:
    wide = f"{kind[0]}{2 * bits_in(kind)}"
    a, b = crossed(column(bounds(kind), kind), column(bounds(kind), kind))
    found = each(f"mul.wide.{kind} %d, %a, %b;", dtype_of(wide), a, b)
    assert found.tolist() == mapped(wide, lambda x, y: x * y, a, b)
    c = column(bounds(wide) * (len(a) // len(bounds(wide)) + 1), wide)[: len(a)]
    found = each(f"mad.wide.{kind} %d, %a, %b, %c;", dtype_of(wide), a, b, c)
    assert found.tolist() == mapped(wide, lambda x, y, z: x * y + z, a, b, c)


@pytest.mark.parametrize("kind", ALL.split())
def test_a_product_and_a_sum(kind: str) -> None:
    numbers = column(bounds(kind)[::3], kind)
    a, b, c = crossed(numbers, numbers, numbers)
    found = each(f"mad.lo.{kind} %d, %a, %b, %c;", a.dtype, a, b, c)
    assert found.tolist() == mapped(kind, lambda x, y, z: x * y + z, a, b, c)
    found = each(f"mad.hi.{kind} %d, %a, %b, %c;", a.dtype, a, b, c)
    high = bits_in(kind)
    assert found.tolist() == mapped(kind, lambda x, y, z: ((x * y) >> high) + z, a, b, c)


@pytest.mark.parametrize(("name", "kind"), list(product(["abs", "neg"], ["s16", "s32", "s64"])))
def test_an_operation_of_one_integer(name: str, kind: str) -> None:
    a = column(bounds(kind), kind)
    found = each(f"{name}.{kind} %d, %a;", a.dtype, a)
    assert found.tolist() == mapped(kind, abs if name == "abs" else lambda x: -x, a)


@pytest.mark.parametrize(("name", "sign"), [("add", 1), ("sub", -1)])
@pytest.mark.parametrize("kind", ["s32", "u32", "s64", "u64"])
def test_a_carry(name: str, sign: int, kind: str) -> None:
    """Three limbs, with additions in between that say nothing of a carry."""
    limb = f"u{bits_in(kind)}"
    a, b = crossed(column(bounds(limb), limb), column(bounds(limb), limb))
    steps = [f"{name}.cc", f"{name}c.cc", f"{name}c"]
    for n_limbs in (1, 2, 3):
        lines = []
        for i, step in enumerate(steps[:n_limbs]):
            second = "%b" if i == 0 else "%a"
            lines += [f"{step}.{kind} %d, %a, {second};", f"add.{kind} %d, %d, 0;"]
        base = 1 << bits_in(kind)

        def limbs(x: int, y: int, n_limbs: int = n_limbs, base: int = base) -> int:
            first = sum(x * base**i for i in range(n_limbs))
            second = sum((x if i else y) * base**i for i in range(n_limbs))
            return int((first + sign * second) // base ** (n_limbs - 1)) % base

        found = each("\n".join(lines), a.dtype, a, b)
        assert found.tolist() == mapped(limb, limbs, a, b)


def test_a_product_in_two_limbs_with_a_carry() -> None:
    a, b = crossed(column(bounds("u64"), "u64"), column(bounds("u64"), "u64"))
    body = """
    mad.lo.cc.u64 %rd1, %a, %b, %a;
    madc.hi.u64 %d, %a, %b, %b;
    """
    found = each(body, np.uint64, a, b)
    assert found.tolist() == mapped("u64", lambda x, y: ((x * y + x) >> 64) + y, a, b)


COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lo": lambda a, b: a < b,
    "ls": lambda a, b: a <= b,
    "hi": lambda a, b: a > b,
    "hs": lambda a, b: a >= b,
}


@pytest.mark.parametrize("kind", f"{ALL} b16 b32 b64".split())
def test_a_comparison(kind: str) -> None:
    a, b = crossed(column(bounds(kind), kind), column(bounds(kind), kind))
    for name, holds in COMPARISONS.items():
        if (kind[0] == "b" and name not in ("eq", "ne")) or (
            kind[0] == "s" and name in ("lo", "ls", "hi", "hs")
        ):
            continue
        body = f"setp.{name}.{kind} %p, %a, %b;\nselp.u32 %d, 1, 0, %p;"
        found = each(body, np.uint32, a, b)
        rows = zip(a.tolist(), b.tolist(), strict=True)
        assert found.tolist() == [int(holds(x, y)) for x, y in rows], name


@pytest.mark.parametrize("joined", ["and", "or", "xor"])
@pytest.mark.parametrize("negated", [False, True])
def test_a_comparison_joined_with_a_predicate(joined: str, negated: bool) -> None:
    """Of both results, the second is that of the opposite comparison, joined likewise."""
    a, b, c = crossed(*(np.array([0, 1], np.uint32),) * 3)
    body = f"""
    setp.ne.u32 %g, %c, 0;
    setp.lt.{joined}.u32 %p|%q, %a, %b, {"!" if negated else ""}%g;
    selp.u32 %r1, 2, 0, %p;
    selp.u32 %r2, 1, 0, %q;
    or.b32 %d, %r1, %r2;
    """
    found = each(body, np.uint32, a, b, c)
    join = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}[joined]
    third = c ^ np.uint32(negated)
    less = (a < b).astype(np.uint32)
    assert found.tolist() == (2 * join(less, third) + join(1 - less, third)).tolist()


@pytest.mark.parametrize("kind", ["b16", "b32", "b64", "u16", "s32", "u64", "f32", "f64"])
def test_a_selection(kind: str) -> None:
    size = bits_in(kind) // 8
    a = np.arange(1, 9, dtype=f"u{size}")
    b, c = ~a, (np.arange(8) % 3).astype(np.uint32)
    found = each(f"setp.eq.u32 %p, %c, 0;\nselp.{kind} %d, %a, %b, %p;", a.dtype, a, b, c)
    assert found.tolist() == np.where(c == 0, a, b).tolist()
    found = each(f"setp.eq.u32 %p, %c, 0;\nselp.{kind} %d, %a, %b, !%p;", a.dtype, a, b, c)
    assert found.tolist() == np.where(c == 0, b, a).tolist()


def test_operations_of_predicates() -> None:
    a, b = crossed(*(np.array([0, 1], np.uint32),) * 2)
    body = """
    .reg .pred %x<8>;
    setp.ne.u32 %p, %a, 0;
    setp.ne.u32 %q, %b, 0;
    and.pred %x0, %p, %q;
    or.pred %x1, %p, %q;
    xor.pred %x2, %p, %q;
    not.pred %x3, %p;
    mov.pred %x4, %q;
    mov.pred %x5, -1;
    mov.pred %x6, 0;
    mov.u32 %d, 0;
    """ + "\n".join(f"selp.u32 %r1, {1 << i}, 0, %x{i};\nor.b32 %d, %d, %r1;" for i in range(7))
    found = each(body, np.uint32, a, b)
    expected = (a & b) | (a | b) << 1 | (a ^ b) << 2 | (a ^ 1) << 3 | b << 4 | 1 << 5
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "producer",
    [
        "mov.u32 %r1, -5;",
        "neg.s32 %r1, %a;",
        "sub.s32 %r1, %a, 10;",
        "ld.global.s32 %r1, [%in_a];",
        "not.b32 %r1, 4;",
        "shr.s32 %r1, -80, 4;",
        "mov.f32 %f1, 0fFFFFFFFB;\nmov.b32 %r1, %f1;",
        "cvt.u16.u32 %rs1, %a;\nneg.s16 %rs1, %rs1;\ncvt.s32.s16 %r1, %rs1;",
        "mul.wide.s32 %rd1, %a, -1;\ncvt.u32.u64 %r1, %rd1;",
        "mov.b64 %rd1, -5;\nmov.b64 {%r1, %r2}, %rd1;",
        "setp.eq.u32 %p, %a, 5;\nselp.b32 %r1, -5, 1, %p;",
    ],
)
def test_32_bits_of_a_register_are_all_there_is(producer: str) -> None:
    """However -5 came to be, it is 2**32 - 5 for all that read it as unsigned."""
    a = np.array([-5 if "ld.global" in producer else 5], np.int32)
    found = np.zeros(8, np.uint64)
    body = f"""
    .reg .b32 %a;
    mov.u32 %a, 5;
    {producer}
    cvt.u64.u32 %rd0, %r1;
    st.global.u64 [%out], %rd0;
    mov.b64 %rd0, {{%r1, %r1}};
    st.global.u64 [%out+8], %rd0;
    shr.u32 %r2, %r1, 1;
    st.global.u32 [%out+16], %r2;
    div.u32 %r2, %r1, 3;
    st.global.u32 [%out+24], %r2;
    mul.wide.u32 %rd0, %r1, %r1;
    st.global.u64 [%out+32], %rd0;
    setp.gt.u32 %p, %r1, 5;
    setp.eq.and.s32 %p, %r1, -5, %p;
    setp.eq.and.u32 %p, %r1, 4294967291, %p;
    selp.u64 %rd0, 1, 0, %p;
    st.global.u64 [%out+40], %rd0;
    clz.b32 %r2, %r1;
    st.global.u32 [%out+48], %r2;
    cvt.s64.s32 %rd0, %r1;
    st.global.u64 [%out+56], %rd0;
    """
    execute(body, out=found, in_a=a)
    n = 2**32 - 5
    assert found.tolist() == [n, n << 32 | n, n >> 1, n // 3, n * n, 1, 0, 2**64 - 5]
