"""How the lanes of a warp part and meet again."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ptx.library import by_lanes, execute, shared_array


def collatz(n: int) -> int:
    steps = 0
    while n != 1:
        n, steps = (3 * n + 1 if n % 2 else n // 2), steps + 1
    return steps


def test_lanes_loop_as_often_as_each_needs_to() -> None:
    """A loop with a branch in it; afterwards all are together again."""
    body = """
    add.s32 %r1, %t, 1;
    mov.u32 %d, 0;
    $L_loop:
    setp.eq.u32 %p, %r1, 1;
    @%p bra $L_done;
    add.s32 %d, %d, 1;
    and.b32 %r2, %r1, 1;
    setp.eq.u32 %q, %r2, 0;
    @%q bra $L_even;
    mad.lo.s32 %r1, %r1, 3, 1;
    bra.uni $L_loop;
    $L_even:
    shr.u32 %r1, %r1, 1;
    bra.uni $L_loop;
    $L_done:
    redux.sync.add.u32 %r3, %d, -1;
    mad.lo.s32 %d, %r3, 1000, %d;
    """
    steps = [collatz(n) for n in range(1, 33)]
    assert by_lanes(body).tolist() == [1000 * sum(steps) + n for n in steps]


def test_each_arm_of_a_branch_synchronizes_its_own() -> None:
    body = """
    setp.lt.u32 %p, %t, 12;
    @%p bra $L_few;
    redux.sync.add.u32 %r1, %t, 0xfffff000;
    bar.warp.sync 0xfffff000;
    shfl.sync.down.b32 %d, %r1, 1, 31, 0xfffff000;
    bra $L_end;
    $L_few:
    bar.warp.sync 0xfff;
    redux.sync.max.u32 %r1, %t, 0xfff;
    bar.warp.sync 4095;
    add.s32 %d, %r1, 1000;
    $L_end:
    bar.warp.sync -1;
    redux.sync.min.u32 %r2, %d, -1;
    mad.lo.s32 %d, %r2, 10000, %d;
    """
    found = by_lanes(body)
    total = sum(range(12, 32))
    assert found.tolist() == [10000 * total + (1011 if lane < 12 else total) for lane in range(32)]


def test_lanes_meet_at_different_instructions() -> None:
    """bar.warp.sync waits for whoever executes one with the same mask."""
    body = """
    setp.lt.u32 %p, %t, 12;
    @%p bra $L_few;
    mov.u32 %d, 1;
    bar.warp.sync -1;
    bra $L_end;
    $L_few:
    mov.u32 %d, 2;
    bar.warp.sync -1;
    $L_end:
    """
    found = by_lanes(body)
    assert found.tolist() == [2] * 12 + [1] * 20


def test_lanes_that_ended_are_not_waited_for() -> None:
    found = np.zeros(32, np.uint32)
    body = """
    setp.ge.u32 %p, %t, 20;
    @%p exit;
    redux.sync.add.u32 %r1, 1, -1;
    activemask.b32 %r2;
    shr.u32 %r2, %r2, 20;
    mad.lo.s32 %r1, %r2, 100, %r1;
    mad.wide.u32 %rd1, %t, 4, %found;
    st.global.u32 [%rd1], %r1;
    """
    execute(body, found=found)
    assert found.tolist() == [20] * 20 + [0] * 12


@pytest.mark.parametrize("barrier", ["", "bar.warp.sync -1;"])
def test_lanes_are_together_at_a_barrier_only(barrier: str) -> None:
    """What a lane reads of its neighbour is there where they have met in between."""
    body = f"""
    shl.b32 %r1, %t, 2;
    mov.u32 %r2, memory;
    add.s32 %r1, %r1, %r2;
    st.shared.u32 [%r1], %t;
    {barrier}
    xor.b32 %r3, %r1, 4;
    ld.shared.u32 %r4, [%r3];
    mad.wide.u32 %rd1, %t, 4, %found;
    st.global.u32 [%rd1], %r4;
    """
    expected = [lane ^ 1 for lane in range(32)]
    right = []
    for seed in range(100):
        found = np.zeros(32, np.uint32)
        execute(body, found=found, before=shared_array(128), seed=seed)
        right.append(found.tolist() == expected)
    assert any(right) and all(right) == bool(barrier)


def test_lanes_that_poll_let_others_of_their_warp_work() -> None:
    """In either arm of a branch: whoever has the lower instruction."""
    for waits in ("setp.lt.u32 %g, %t, 7;", "setp.ge.u32 %g, %t, 7;"):
        body = f"""
        mov.u32 %r1, memory;
        setp.eq.u32 %p, %t, 0;
        @%p mbarrier.init.shared::cta.b64 [%r1], 1;
        bar.warp.sync -1;
        {waits}
        @!%g bra $L_arrive;
        $L_wait:
        mbarrier.try_wait.parity.shared::cta.b64 %q, [%r1], 0;
        @!%q bra $L_wait;
        bra $L_end;
        $L_arrive:
        setp.eq.u32 %p, %t, 3;
        setp.eq.or.u32 %p, %t, 9, %p;
        @%p mbarrier.arrive.shared::cta.b64 _, [%r1];
        $L_end:
        """
        execute(body, before=shared_array(128))
