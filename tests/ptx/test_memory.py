"""Loads, stores, atomics and addresses on the machine that executes PTX."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from tests.ptx.library import SHARED_BASE, Array, execute, run, shared_array, written

KINDS = ["u8", "s8", "b8", "u16", "s16", "u32", "s32", "b32", "f32", "u64", "s64", "b64", "f64"]


def register_bits(kind: str) -> int:
    return max(16, int(kind[1:]))


def pattern(n: int) -> Array:
    """Bytes that all differ from their neighbours, with and without a top bit."""
    return (np.arange(n, dtype=np.uint32) * 37 + 129).astype(np.uint8)


def address_of_a_lane(space: str, step: int, pointer: str) -> str:
    """%at becomes that of `memory` or of a pointer, further on by a step for each lane."""
    if space == "shared":
        return f".reg .b32 %at;\nmov.u32 %at, memory;\nmad.lo.u32 %at, %t, {step}, %at;"
    return f".reg .b64 %at;\nmad.wide.u32 %at, %t, {step}, %{pointer};"


VECTORS = [(kind, n) for kind, n in product(KINDS, [1, 2, 4]) if int(kind[1:]) * n <= 128]


@pytest.mark.parametrize("space", ["global", "shared"])
@pytest.mark.parametrize(("kind", "n"), VECTORS)
def test_vectors_are_loaded_and_stored(space: str, kind: str, n: int) -> None:
    """Each lane's own, 32 vectors further on."""
    step = int(kind[1:]) // 8 * n
    source, found = pattern(32 * step), np.zeros(32 * step, np.uint8)
    scratch = np.zeros(64 * step, np.uint8)
    registers = ", ".join(f"%x{i}" for i in range(n))
    access = kind if n == 1 else f"v{n}.{kind}"
    values = registers if n == 1 else f"{{{registers}}}"
    body = f"""
    {shared_array(64 * step)}
    {address_of_a_lane(space, step, "scratch")}
    .reg .b{register_bits(kind)} %x<4>;
    mad.wide.u32 %rd1, %t, {step}, %source;
    ld.global.{access} {values}, [%rd1];
    st.{space}.{access} [%at+{32 * step}], {values};
    ld.{space}.{access} {values}, [%at+{32 * step}];
    mad.wide.u32 %rd1, %t, {step}, %found;
    st.global.{access} [%rd1], {values};
    """
    execute(body, found=found, source=source, scratch=scratch)
    assert found.tolist() == source.tolist()
    if space == "global":
        assert scratch.tolist() == [*(0 for _ in source), *source.tolist()]


@pytest.mark.parametrize("kind", ["u8", "s8", "u16", "s16", "u32", "s32"])
@pytest.mark.parametrize("space", ["global", "shared"])
def test_a_wider_register_is_filled(kind: str, space: str) -> None:
    """By the sign of what has one, with zeros otherwise; a narrow store takes the low bits."""
    size = int(kind[1:]) // 8
    source, found = pattern(32 * size), np.zeros(32, np.int64)
    again = np.zeros(32 * size, np.uint8)
    body = f"""
    {shared_array(128)}
    {address_of_a_lane(space, size, "again")}
    .reg .b{register_bits(kind)} %x;
    mad.wide.u32 %rd1, %t, {size}, %source;
    ld.global.b{8 * size} %x, [%rd1];
    st.{space}.b{8 * size} [%at], %x;
    ld.{space}.{kind} %rd2, [%at];
    mad.wide.u32 %rd1, %t, 8, %found;
    st.global.u64 [%rd1], %rd2;
    add.s64 %rd2, %rd2, {1 << 8 * size};
    mad.wide.u32 %rd1, %t, {size}, %again;
    st.global.{kind} [%rd1], %rd2;
    """
    execute(body, found=found, source=source, again=again)
    numbers = source.view(f"{'i' if kind[0] == 's' else 'u'}{size}")
    assert found.tolist() == numbers.astype(np.int64).tolist()
    assert again.tolist() == source.tolist()


def test_parameters_lie_at_their_alignment() -> None:
    """Mixed sizes, an array of bytes that is read in pieces, and an address of it."""
    text = """
    .version 8.0
    .target sm_80
    .address_size 64
    .visible .entry test(
      .param .u8 test_param_0,
      .param .u64 .ptr .align 1 test_param_1,
      .param .u16 test_param_2,
      .param .align 64 .b8 test_param_3[128],
      .param .u8 test_param_4,
      .param .f64 test_param_5,
      .param .f32 test_param_6
    )
    {
      .reg .b16 %rs<9>;
      .reg .b32 %r<5>;
      .reg .b64 %rd<8>;
      .reg .f32 %f<2>;
      .reg .f64 %fd<2>;
      ld.param.u64 %rd1, [test_param_1];
      cvta.to.global.u64 %rd2, %rd1;
      ld.param.s8 %rs1, [test_param_0];
      cvt.s64.s16 %rd3, %rs1;
      st.global.u64 [%rd2], %rd3;
      ld.param.u16 %rs2, [test_param_2];
      cvt.u64.u16 %rd3, %rs2;
      st.global.u64 [%rd2+8], %rd3;
      ld.param.v4.u8 {%rs3, %rs4, %rs5, %rs6}, [test_param_3+4];
      cvt.u64.u16 %rd3, %rs6;
      st.global.u64 [%rd2+16], %rd3;
      ld.param.v2.u32 {%r1, %r2}, [test_param_3+120];
      mov.b64 %rd3, {%r2, %r1};
      st.global.u64 [%rd2+24], %rd3;
      mov.b64 %rd4, test_param_3;
      mov.u64 %rd5, %rd4;
      add.s64 %rd6, %rd5, 72;
      ld.param.u64 %rd3, [%rd6+-8];
      st.global.u64 [%rd2+32], %rd3;
      ld.param.u8 %rs7, [test_param_4];
      cvt.u64.u16 %rd3, %rs7;
      st.global.u64 [%rd2+40], %rd3;
      ld.param.f64 %fd1, [test_param_5];
      st.global.f64 [%rd2+48], %fd1;
      ld.param.f32 %f1, [test_param_6];
      cvt.f64.f32 %fd1, %f1;
      st.global.f64 [%rd2+56], %fd1;
      ld.param.v2.u8 {%rs7, %rs8}, [test_param_3+10];
      cvt.u64.u16 %rd3, %rs8;
      st.global.u64 [%rd2+64], %rd3;
      ret;
    }
    """
    found, content = np.zeros(9, np.uint64), pattern(128)
    arguments = (np.uint8(200), found, np.uint16(60000), np.void(content.tobytes()), np.uint8(255))
    run(text, "test", *arguments, np.float64(0.1), np.float32(0.5), block=1)
    words = content.view(np.uint32).astype(np.uint64)
    expected = [2**64 - 56, 60000, content[7], words[30] << np.uint64(32) | words[31]]
    expected += [content.view(np.uint64)[8], 255, np.float64(0.1).view(np.uint64)]
    expected += [np.float64(0.5).view(np.uint64), content[11]]
    assert found.tolist() == [int(number) for number in expected]


@pytest.mark.parametrize(("kind", "offset"), [("u32", 2), ("u64", 4), ("v4.u32", 8), ("v2.f32", 4)])
@pytest.mark.parametrize("space", ["global", "shared"])
@pytest.mark.parametrize("access", ["ld", "st"])
def test_an_address_that_is_not_aligned_is_refused(
    kind: str, offset: int, space: str, access: str
) -> None:
    count = int(kind[1]) if kind[0] == "v" else 1
    registers = ["%x", "{%x, %x1}", "", "{%x, %x1, %x2, %x3}"][count - 1]
    bits = int(kind[-2:])
    at = "[%rd1]" if space == "global" else "[%r1]"
    body = f"""
    .reg .b{bits} %x, %x1, %x2, %x3;
    add.s64 %rd1, %a, {offset};
    mov.u32 %r1, memory;
    add.s32 %r1, %r1, {offset};
    {f"ld.{space}.{kind} {registers}, {at};" if access == "ld" else ""}
    {f"st.{space}.{kind} {at}, {registers};" if access == "st" else ""}
    """
    memory = np.zeros(16, np.uint64)
    aligned = memory[memory.ctypes.data // 8 % 2 :]
    with pytest.raises(RuntimeError, match=rf"line \d+, {access}\.{space}.*multiple of"):
        execute(shared_array(64) + body, a=aligned, block=1)


END = SHARED_BASE + 2048


@pytest.mark.parametrize(
    ("inside", "outside", "access"),
    [
        (END - 8, END - 4, "ld.shared.v2.b16 {%rs1, %rs2}, [%r3+4];"),
        (END - 8, END, "ld.shared.v2.u32 {%r1, %r2}, [%r3];"),
        (END - 1, END, "ld.shared.u8 %rs1, [%r3];"),
        (END - 4, END, "st.shared.u32 [%r3], %r3;"),
        (SHARED_BASE, SHARED_BASE - 4, "ld.shared.u32 %r1, [%r3];"),
        (SHARED_BASE + 4, SHARED_BASE, "ld.shared.u32 %r1, [%r3+-4];"),
        (SHARED_BASE, 0, "st.shared.u8 [%r3], 1;"),
        (END - 4, END, "atom.shared.add.u32 %r1, [%r3], 1;"),
        (END - 4, 2**25 + SHARED_BASE, "ld.shared.u32 %r1, [%r3];"),
    ],
)
def test_what_is_outside_of_shared_memory_is_refused(
    inside: int, outside: int, access: str
) -> None:
    """1024 bytes with a name, and as many of the launch."""
    body = f"{shared_array(1024)}mov.u32 %r3, %at;\n{access}"
    execute(body, at=np.uint32(inside), shared=1024, block=1)
    with pytest.raises(RuntimeError, match="shared"):
        execute(body, at=np.uint32(outside), shared=1024, block=1)


@pytest.mark.parametrize("offset", [0, 16, 60])
def test_addresses_go_to_the_generic_space_and_back(offset: int) -> None:
    """There loads and stores find what the address was made of."""
    found = np.zeros(5, np.uint64)
    body = f"""
    {shared_array(64)}
    mov.u64 %rd1, memory;
    cvta.shared.u64 %rd2, %rd1;
    add.s64 %rd2, %rd2, {offset};
    cvta.to.shared.u64 %rd3, %rd2;
    sub.s64 %rd4, %rd3, %rd1;
    st.global.u64 [%found], %rd4;
    cvta.global.u64 %rd4, %found;
    cvta.to.global.u64 %rd5, %rd4;
    sub.s64 %rd5, %rd5, %found;
    st.global.u64 [%found+8], %rd5;
    cvt.u32.u64 %r1, %rd1;
    st.shared.u32 [%r1+{offset}], 77;
    ld.shared.u32 %r2, [%rd3];
    st.global.u32 [%found+16], %r2;
    ld.u32 %r2, [%rd2];
    st.u32 [%rd4+24], %r2;
    atom.add.u32 %r3, [%rd2], 3;
    ld.shared.u32 %r2, [%r1+{offset}];
    st.u32 [%rd4+32], %r2;
    """
    execute(body, found=found, block=1)
    assert found.tolist() == [offset, 0, 77, 77, 80]


def test_the_array_without_a_size_follows_the_others() -> None:
    """It is as large as the launch says, aligned to 1024, and begins after what has a size."""
    text = written(
        """
    .shared .align 8 .b8 inner[100];
    mov.u32 %r1, memory;
    st.global.u32 [%found], %r1;
    mov.u32 %r2, inner;
    st.global.u32 [%found+4], %r2;
    mov.u32 %r3, other;
    st.global.u32 [%found+8], %r3;
    mov.u32 %r4, %dynamic_smem_size;
    st.global.u32 [%found+12], %r4;
    add.s32 %r1, %r1, %r4;
    st.shared.u32 [%r1+-4], %r4;
    """,
        "found",
        before=".shared .align 16 .b8 other[20];\n.extern .shared .align 1024 .b8 memory[];",
    )
    found = np.zeros(4, np.uint32)
    run(text, "test", found, block=1, shared=4096)
    dynamic, inner, other, size = (int(number) for number in found)
    assert dynamic % 1024 == 0 and inner % 8 == 0 and other % 16 == 0
    assert size == 4096
    spans = sorted([(dynamic, 4096), (inner, 100), (other, 20)])
    assert spans[-1][0] == dynamic
    assert all(at + n <= after for (at, n), (after, _) in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize("shared", [0, 1024])
def test_nothing_lies_between_the_names_and_the_array_without_a_size(shared: int) -> None:
    """Where that begins is for its alignment to say."""
    body = shared_array(100, 4) + "st.shared.u32 [memory+{}], 1;"
    execute(body.format(96), shared=shared)
    with pytest.raises(RuntimeError, match="outside"):
        execute(body.format(100), shared=shared)


def test_memory_that_nobody_wrote_is_no_zero() -> None:
    found = np.zeros(1, np.uint32)
    execute(
        shared_array(64) + "mov.u32 %r1, memory;\nld.shared.u32 %r2, [%r1];\n"
        "st.global.u32 [%found], %r2;",
        found=found,
        block=1,
    )
    assert found[0] != 0
