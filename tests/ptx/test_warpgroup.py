"""Products of a warpgroup: wgmma on matrices that lie in shared memory as the ISA wants them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ptx.library import Array, execute
from tests.ptx.warpgroup import (
    END,
    FENCE,
    MODES,
    SPACE,
    Layout,
    described,
    exact,
    multiplied,
    product,
    small,
)

LAYOUTS = [(span, transposed) for span in MODES for transposed in (False, True)]


@pytest.mark.parametrize("n", [8, 64, 256])
@pytest.mark.parametrize(("span", "transposed"), LAYOUTS)
def test_a_product_from_shared_memory(span: int, transposed: bool, n: int) -> None:
    """Both matrices in one layout, which fills spans of so many bytes."""
    if transposed and 2 * n < span:
        n = span // 2
    left, right = Layout(span, transposed, 64), Layout(span, transposed, n, SPACE // 2)
    a, b = small(64, left.depth, 1), small(n, right.depth, 2)
    memory, body = np.full(SPACE, 0x7E, np.uint8), FENCE
    left.put(a, memory)
    right.put(b, memory)
    for step in range(left.depth // 16):
        body += described("%a", left, step) + described("%b", right, step)
        tail = "1, 1, 1, 1" if transposed else "1, 1, 0, 0"
        body += product(n, "%a", "%b", str(min(step, 1)), tail)
    assert multiplied(n, body + END, memory).tolist() == exact(a, b).tolist()


@pytest.mark.parametrize("n", [24, 128])
def test_matrices_of_different_layouts(n: int) -> None:
    left, right = Layout(16, True, 64), Layout(128, False, n, SPACE // 2)
    a, b = small(64, 16, 1), small(n, 64, 2)
    memory = np.full(SPACE, 0x7E, np.uint8)
    left.put(a, memory)
    right.put(b, memory)
    body = FENCE + described("%a", left) + described("%b", right, 2)
    found = multiplied(n, body + product(n, "%a", "%b", "0", "1, 1, 1, 0") + END, memory)
    assert found.tolist() == exact(a, b[:, 32:48]).tolist()


def prepared(n: int) -> tuple[Array, Array, Array, str]:
    left, right = Layout(128, False, 64), Layout(128, False, n, SPACE // 2)
    a, b = small(64, 64, 3), small(n, 64, 4)
    memory = np.zeros(SPACE, np.uint8)
    left.put(a, memory)
    right.put(b, memory)
    return memory, a[:, :16], b[:, :16], described("%a", left) + described("%b", right)


@pytest.mark.parametrize("signs", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
@pytest.mark.parametrize("adds", [0, 1])
def test_signs_and_what_is_added_to(signs: tuple[int, int], adds: int) -> None:
    """Without adding, what the registers held is nothing, be it a NaN."""
    memory, a, b, descriptors = prepared(16)
    sums = np.arange(64 * 16).reshape(64, 16) if adds else None
    tail = f"{signs[0]}, {signs[1]}, 0, 0"
    body = FENCE + descriptors + product(16, "%a", "%b", str(adds), tail) + END
    expected = signs[0] * signs[1] * exact(a, b) + (0 if sums is None else sums)
    assert multiplied(16, body, memory, sums).tolist() == expected.tolist()


def test_the_left_matrix_in_registers() -> None:
    memory, _, b, descriptors = prepared(32)
    a = small(64, 16, 9)
    lane = np.arange(128)
    row, column = lane // 32 * 16 + lane % 32 // 4, lane % 4 * 2
    parts = np.zeros((128, 4, 2), np.float16)
    for i in range(4):
        for j in range(2):
            parts[:, i, j] = a[row + i % 2 * 8, column + i // 2 * 8 + j]
    load = "mad.lo.u32 %r1, %t, 16, %memory;\nld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r1];"
    memory[SPACE // 4 : SPACE // 4 + 2048] = parts.view(np.uint8).ravel()
    load = load.replace("[%r1]", f"[%r1+{SPACE // 4}]")
    wgmma = product(32, "{%r10, %r11, %r12, %r13}", "%b", "0", "1, 1, 0")
    found = multiplied(32, load + FENCE + descriptors + wgmma + END, memory)
    assert found.tolist() == exact(a, b).tolist()


def test_sums_are_not_there_before_they_are_waited_for() -> None:
    """Of two groups, the first ends with one that may be under way, the second with none."""
    memory, a, b, descriptors = prepared(8)
    commit = "wgmma.commit_group.sync.aligned;"
    first = product(8, "%a", "%b", "0")
    body = f".reg .f32 %e<4>;\n{FENCE}{descriptors}{first}{commit}"
    body += first.replace("%d", "%e") + commit
    copy = "\n".join(f"mov.f32 %d{i}, %e{i};" for i in range(4))
    expected = exact(a, b).tolist()
    assert multiplied(8, body + "\nwgmma.wait_group.sync.aligned 1;", memory).tolist() == expected
    seen = multiplied(8, f"{body}\nwgmma.wait_group.sync.aligned 1;\n{copy}", memory)
    assert not np.any(seen == exact(a, b))
    seen = multiplied(8, f"{body}\nwgmma.wait_group.sync.aligned 2;", memory)
    assert not np.any(seen == exact(a, b))
    ended = f"{body}\nwgmma.wait_group.sync.aligned 0;\n{copy}"
    assert multiplied(8, ended, memory).tolist() == expected


def test_some_products_take_long() -> None:
    """Others have time for what they should not do before."""
    memory, _, _, descriptors = prepared(8)
    commit, wait = END.splitlines()
    body = f"""
    mov.u32 %r20, 0;
    mov.u32 %r21, 0;
    {descriptors}
    $L_next:
    {FENCE}
    {product(8, "%a", "%b", "0")}
    {commit}
    mov.u64 %rd10, %globaltimer;
    {wait}
    mov.u64 %rd11, %globaltimer;
    sub.s64 %rd11, %rd11, %rd10;
    cvt.u32.u64 %r22, %rd11;
    max.u32 %r20, %r20, %r22;
    add.s32 %r21, %r21, 1;
    setp.lt.u32 %q, %r21, 100;
    @%q bra $L_next;
    mov.b32 %d0, %r20;
    """
    assert multiplied(8, body, memory)[0, 0].view(np.uint32) > 4096


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [
        ("mov.f32 %d1, 0f00000000;", "written before"),
        ("@%q st.shared.u16 [%memory], %rs1;\nbar.sync 0;", "overwritten before"),
        ("", ""),
    ],
)
def test_what_a_product_uses_must_stay(meanwhile: str, why: str) -> None:
    memory, a, b, descriptors = prepared(8)
    body = (
        "mov.u16 %rs1, 1;\nsetp.eq.u32 %q, %t, 0;\n"
        + FENCE
        + descriptors
        + product(8, "%a", "%b", "0")
        + meanwhile
        + END
    )
    if not why:
        assert multiplied(8, body, memory).tolist() == exact(a, b).tolist()
        return
    with pytest.raises(RuntimeError, match=rf"wgmma.*{why}"):
        multiplied(8, body, memory)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("or.b64 %a, %a, 0x0004000000000000;", "base offset"),
        ("or.b64 %b, %b, 0x4000;", "reserved"),
        ("add.s64 %b, %b, 8;", "first row"),
        ("add.s64 %b, %b, 7;", "beyond"),
        ("add.s64 %b, %b, 0x100000000;", "next pattern"),
        ("add.s64 %a, %a, 0x2000;", "outside"),
    ],
)
def test_a_descriptor_that_says_nonsense_is_refused(wrong: str, why: str) -> None:
    memory, _, _, descriptors = prepared(16)
    with pytest.raises(RuntimeError, match=rf"wgmma.*{why}"):
        multiplied(16, FENCE + descriptors + wrong + product(16, "%a", "%b") + END, memory)


def test_a_product_needs_a_fence_and_a_warpgroup() -> None:
    memory, _, _, descriptors = prepared(8)
    with pytest.raises(RuntimeError, match=r"no wgmma\.fence"):
        multiplied(8, descriptors + product(8, "%a", "%b") + END, memory)
    with pytest.raises(RuntimeError, match="128 threads"):
        multiplied(8, FENCE + descriptors + product(8, "%a", "%b") + END, memory, block=64)


def test_sums_of_a_warpgroup_are_cut() -> None:
    """Toward zero, where single precision ends."""
    layouts = Layout(128, False, 64), Layout(128, False, 8, SPACE // 2)
    memory = np.zeros(SPACE, np.uint8)
    sign = np.where(np.arange(64) % 2, -1, 1)
    a, b = np.zeros((64, 16), np.float16), np.zeros((8, 16), np.float16)
    a[:, 5], b[:, 5] = sign, 0.75
    layouts[0].put(a, memory)
    layouts[1].put(b, memory)
    body = FENCE + described("%a", layouts[0]) + described("%b", layouts[1])
    sums = np.repeat(sign * (2.0**23 + 2), 8).reshape(64, 8)
    assert (
        multiplied(8, body + product(8, "%a", "%b") + END, memory, sums).tolist() == sums.tolist()
    )


def test_registers_are_given_back_and_asked_for() -> None:
    body = """
    setp.lt.u32 %p, %t, 128;
    @%p bra $L_few;
    setmaxnreg.inc.sync.aligned.u32 232;
    bra $L_end;
$L_few:
    setmaxnreg.dec.sync.aligned.u32 40;
$L_end:
    """
    directives = ".maxntid 384, 1, 1\n.minnctapersm 1"
    execute(body, block=384, directives=directives)
    with pytest.raises(RuntimeError, match="setmaxnreg"):
        execute(body.replace("232", "234"), block=384, directives=directives)
