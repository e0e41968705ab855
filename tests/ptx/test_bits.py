"""Bits on the machine that executes PTX: logic, shifts, counts and fields."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.ptx.library import Array, crossed, each

SHIFTS = [0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 2**31, 2**32 - 1]


def numbers(bits: int, signed: bool = False) -> Array:
    unsigned = f"u{bits // 8}"
    ones = (1 << bits) - 1
    powers = [1 << power for power in (0, 1, 5, bits // 2, bits - 2, bits - 1)]
    found = [0, ones, ones - 1, 0xA5A5_0123_89AB_CDEF & ones, 0x0000_F0F0_1234_5678 & ones]
    made = np.array([*found, *powers, *(power - 1 for power in powers)], unsigned)
    return made.view(f"i{bits // 8}") if signed else made


def values(column: Array) -> list[int]:
    return [int(number) for number in column.tolist()]


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_logic(bits: int) -> None:
    a, b = crossed(numbers(bits), numbers(bits))
    for name, expected in [("and", a & b), ("or", a | b), ("xor", a ^ b)]:
        assert each(f"{name}.b{bits} %d, %a, %b;", a.dtype, a, b).tolist() == expected.tolist()
    assert each(f"not.b{bits} %d, %a;", a.dtype, a).tolist() == (~a).tolist()
    assert each(f"cnot.b{bits} %d, %a;", a.dtype, a).tolist() == (a == 0).astype(int).tolist()


@pytest.mark.parametrize("table", [0x00, 0x80, 0xFE, 0x96, 0x3A, 0xE2, 0xFF])
def test_logic_by_a_table(table: int) -> None:
    """A bit of the result is the one of the table that three bits name."""
    n = numbers(32)
    a, b, c = crossed(n, n[::2], n[1::2])
    expected = np.zeros_like(a)
    for i in range(32):
        at = (a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1)
        expected |= (np.uint32(table) >> at & 1) << np.uint32(i)
    assert (
        each(f"lop3.b32 %d, %a, %b, %c, {table};", a.dtype, a, b, c).tolist() == expected.tolist()
    )


@pytest.mark.parametrize("kind", ["b16", "b32", "b64", "u16", "u32", "u64", "s16", "s32", "s64"])
def test_shifts(kind: str) -> None:
    """By more than all bits: as if by all."""
    bits = int(kind[1:])
    a, b = crossed(numbers(bits, kind[0] == "s"), np.array(SHIFTS, np.uint32))
    rows = list(zip(values(a), values(b), strict=True))
    found = each(f"shr.{kind} %d, %a, %b;", a.dtype, a, b)
    assert values(found) == [x >> min(y, bits) for x, y in rows]
    if kind[0] == "b":
        found = each(f"shl.{kind} %d, %a, %b;", a.dtype, a, b)
        assert values(found) == [(x << min(y, bits)) % 2**bits for x, y in rows]


@pytest.mark.parametrize("mode", ["clamp", "wrap"])
def test_shifts_of_two_registers(mode: str) -> None:
    n = numbers(32)
    a, b, c = crossed(n[::2], n[1::2], np.array(SHIFTS, np.uint32))
    rows = zip(values(a), values(b), values(c), strict=True)
    both = [(y << 32 | x, min(z, 32) if mode == "clamp" else z % 32) for x, y, z in rows]
    found = each(f"shf.l.{mode}.b32 %d, %a, %b, %c;", a.dtype, a, b, c)
    assert values(found) == [(pair << n >> 32) % 2**32 for pair, n in both]
    found = each(f"shf.r.{mode}.b32 %d, %a, %b, %c;", a.dtype, a, b, c)
    assert values(found) == [(pair >> n) % 2**32 for pair, n in both]


@pytest.mark.parametrize("bits", [32, 64])
def test_counts_of_bits(bits: int) -> None:
    a = numbers(bits)
    expected: dict[str, Callable[[int], int]] = {
        "popc": int.bit_count,
        "clz": lambda x: bits - x.bit_length(),
    }
    for name, count in expected.items():
        found = each(f"{name}.b{bits} %d, %a;", np.uint32, a)
        assert values(found) == [count(x) for x in values(a)]
    found = each(f"brev.b{bits} %d, %a;", a.dtype, a)
    assert values(found) == [int(f"{x:0{bits}b}"[::-1], 2) for x in values(a)]


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_the_place_of_the_first_bit(kind: str) -> None:
    """Of a negative number, that of the first zero; all ones where there is none."""
    bits = int(kind[1:])
    a = numbers(bits, kind[0] == "s")
    places = [(~x if x < 0 else x).bit_length() - 1 for x in values(a)]
    found = each(f"bfind.{kind} %d, %a;", np.uint32, a)
    assert values(found) == [place % 2**32 for place in places]
    found = each(f"bfind.shiftamt.{kind} %d, %a;", np.uint32, a)
    assert values(found) == [2**32 - 1 if place < 0 else bits - 1 - place for place in places]


FIELDS = [0, 1, 6, 26, 31, 32, 33, 63, 64, 255, 256, 257, 2**32 - 1]  # of which 8 bits count


def bit(number: int, place: int) -> int:
    return number >> place & 1


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("at", FIELDS)
def test_a_field_is_inserted(bits: int, at: int) -> None:
    n = numbers(bits)
    a, b, c = crossed(n[::2], n[1::2], np.array(FIELDS, np.uint32))
    found = each(f"mov.u32 %r1, {at};\nbfi.b{bits} %d, %a, %b, %r1, %c;", a.dtype, a, b, c)

    def inserted(x: int, y: int, length: int) -> int:
        for i in range(length & 255):
            if (at & 255) + i < bits:
                y = y & ~(1 << (at & 255) + i) | bit(x, i) << (at & 255) + i
        return y

    rows = zip(values(a), values(b), values(c), strict=True)
    assert values(found) == [inserted(*row) for row in rows]


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_a_field_is_extracted(kind: str) -> None:
    bits, is_signed = int(kind[1:]), kind[0] == "s"
    a, b, c = crossed(numbers(bits), *(np.array(FIELDS, np.uint32),) * 2)
    found = each(f"bfe.{kind} %d, %a, %b, %c;", a.dtype, a, b, c)

    def extracted(x: int, at: int, length: int) -> int:
        at, length = at & 255, length & 255
        fill = bit(x, min(at + length - 1, bits - 1)) if is_signed and length else 0
        inside = [bit(x, at + i) if i < length and at + i < bits else fill for i in range(bits)]
        return sum(one << i for i, one in enumerate(inside))

    rows = zip(values(a), values(b), values(c), strict=True)
    assert values(found) == [extracted(*row) for row in rows]


def test_bytes_are_permuted() -> None:
    """Each nibble of the third names one of eight bytes; its top bit asks for the sign alone."""
    a = np.full(512, 0x83_72_11_90, np.uint32)
    b = np.full(512, 0x7F_A5_44_C7, np.uint32)
    c = np.random.default_rng(1).integers(0, 2**16, 512).astype(np.uint32)
    found = each("prmt.b32 %d, %a, %b, %c;", np.uint32, a, b, c)
    sources = b"\x90\x11\x72\x83\xc7\x44\xa5\x7f"

    def chosen(selector: int) -> int:
        byte = sources[selector & 7]
        return 255 * (byte >> 7) if selector & 8 else byte

    expected = [sum(chosen(s >> 4 * i & 15) << 8 * i for i in range(4)) for s in values(c)]
    assert values(found) == expected


def test_registers_are_packed_and_unpacked() -> None:
    """The first is the lowest."""
    a = np.array([0x0123_4567_89AB_CDEF], np.uint64)
    assert values(each("mov.b64 {%r1, %r2}, %a;\nmov.b64 %d, {%r2, %r1};", np.uint64, a)) == [
        0x89AB_CDEF_0123_4567
    ]
    body = "mov.b64 {_, %r1}, %a;\nmov.b32 {%rs1, %rs2}, %r1;\nmov.b32 %d, {%rs2, %rs1};"
    assert values(each(body, np.uint32, a)) == [0x4567_0123]
    body = "mov.b64 {%rs1, %rs2, %rs3, %rs4}, %a;\nmov.b64 %d, {%rs4, %rs3, %rs2, %rs1};"
    assert values(each(body, np.uint64, a)) == [0xCDEF_89AB_4567_0123]
    body = "mov.b64 {%r1, %r2}, %a;\nmov.b64 %fd1, {%r1, %r2};\nmov.b64 %d, %fd1;"
    assert values(each(body, np.uint64, a)) == values(a)
