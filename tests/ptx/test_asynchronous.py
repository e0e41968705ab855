"""cp.async and mbarrier on the machine that executes PTX."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ptx.library import Array, execute, shared_array

SEEDS = range(25)


def content(n: int) -> Array:
    return np.random.default_rng(n).integers(1, 2**32, n, np.uint32)


@pytest.mark.parametrize(("form", "size"), [("ca", 4), ("ca", 8), ("ca", 16), ("cg", 16)])
@pytest.mark.parametrize("read", [None, 0, 3, "all"])
def test_copies_of_a_thread(form: str, size: int, read: int | str | None) -> None:
    """Of a part of the bytes the rest become zeros; a source that is not read may be nowhere."""
    n = size if read in (None, "all") else int(str(read))
    source = content(32 * size // 4) if n else np.zeros(4, np.uint32)
    found = np.full(32 * size // 4, 9, np.uint32)
    body = f"""
    {shared_array(512)}
    mov.u32 %r1, memory;
    mad.lo.u32 %r1, %t, {size}, %r1;
    mul.wide.u32 %rd1, %t, {size};
    add.s64 %rd2, %rd1, %source;
    {"" if n else "mov.u64 %rd2, 0;"}
    mov.u32 %r2, {n};
    cp.async.{form}.shared.global [%r1], [%rd2], {size}{"" if read is None else ", %r2"};
    cp.async.commit_group;
    cp.async.wait_group 0;
    add.s64 %rd2, %rd1, %found;
    """
    for i in range(size // 4):
        body += f"ld.shared.u32 %r3, [%r1+{4 * i}];\nst.global.u32 [%rd2+{4 * i}], %r3;\n"
    execute(body, found=found, source=source)
    expected = np.zeros((32, size), np.uint8)
    if n:
        expected[:, :n] = source.view(np.uint8).reshape(32, size)[:, :n]
    assert found.view(np.uint8).tolist() == expected.ravel().tolist()


def copied(n_groups: int, wait: str, seed: int = 0) -> Array:
    """Which of some groups of one copy each have come after a wait."""
    source, found = content(32 * n_groups), np.zeros((n_groups, 32), np.uint32)
    body = f"{shared_array(1024)}mov.u32 %r1, memory;\nmad.lo.u32 %r1, %t, 4, %r1;\n"
    for i in range(n_groups):
        body += f"mad.wide.u32 %rd1, %t, 4, %source;\nst.shared.u32 [%r1+{128 * i}], 0;\n"
        body += f"cp.async.ca.shared.global [%r1+{128 * i}], [%rd1+{128 * i}], 4;\n"
        body += "cp.async.commit_group;\n" if i + 1 < n_groups or "all" not in wait else ""
    body += f"{wait}\nmad.wide.u32 %rd1, %t, 4, %found;\n"
    for i in range(n_groups):
        body += f"ld.shared.u32 %r2, [%r1+{128 * i}];\nst.global.u32 [%rd1+{128 * i}], %r2;\n"
    execute(body, found=found, source=source, seed=seed)
    came: Array = found == source.reshape(n_groups, 32)
    assert np.array_equal(came.any(1), came.all(1))
    assert not np.any(found[~came.all(1)] == 0)  # nor is what was there before
    return np.asarray(came.all(1))


@pytest.mark.parametrize("under_way", [0, 1, 3])
def test_copies_come_when_their_group_is_waited_for(under_way: int) -> None:
    """And not before: who reads earlier finds neither the old nor the new."""
    found = copied(4, f"cp.async.wait_group {under_way};")
    assert found.tolist() == [True] * (4 - under_way) + [False] * under_way


def test_copies_come_at_the_latest_when_all_are_waited_for() -> None:
    assert copied(3, "cp.async.wait_all;").tolist() == [True] * 3
    assert copied(3, "").tolist() == [False] * 3


@pytest.mark.parametrize(
    ("copy", "why"),
    [
        ("cp.async.ca.shared.global [%r1+4], [%a], 8;", "multiple of"),
        ("cp.async.ca.shared.global [%r1], [%a+4], 8;", "multiple of"),
        ("cp.async.ca.shared.global [%r1], [%a], 8, 9;", "more than it copies"),
        ("cp.async.cg.shared.global [%r1+1024], [%a], 16;", "outside"),
    ],
)
def test_a_copy_that_cannot_be_is_refused(copy: str, why: str) -> None:
    a = np.zeros(8, np.uint64)
    with pytest.raises(RuntimeError, match=rf"cp\.async.*{why}"):
        execute(f"{shared_array(1024)}mov.u32 %r1, memory;\n{copy}\ncp.async.wait_all;", a=a)


BARRIER = f"""
{shared_array(64)}
mov.u32 %r1, memory;
mov.u32 %r20, 0;
"""


def parities(address: str = "%r1") -> str:
    """%r20 gets two more bits: whether the phase of parity 0, and that of parity 1, has ended."""
    return f"""
    mbarrier.test_wait.parity.shared::cta.b64 %p, [{address}], 0;
    mbarrier.test_wait.parity.shared::cta.b64 %q, [{address}], 1;
    shl.b32 %r20, %r20, 2;
    @%p or.b32 %r20, %r20, 2;
    @%q or.b32 %r20, %r20, 1;
    """


def seen(steps: list[str]) -> list[int]:
    """Of one thread: what parities() says after each step."""
    found = np.zeros(1, np.uint32)
    body = BARRIER + "".join(f"{step}\n{parities()}" for step in steps)
    execute(body + "st.global.u32 [%found], %r20;", found=found, block=1)
    return [int(found[0]) >> 2 * i & 3 for i in reversed(range(len(steps)))]


INIT = "mbarrier.init.shared::cta.b64 [%r1], {};"
ARRIVE = "mbarrier.arrive.shared::cta.b64 _, [%r1];"
EVEN, ODD = 2, 1  # the phase that has ended


def test_phases_take_turns() -> None:
    """Before the first, that of parity 1 has ended."""
    steps = [INIT.format(2), ARRIVE, ARRIVE, ARRIVE, ARRIVE, ARRIVE]
    assert seen(steps) == [ODD, ODD, EVEN, EVEN, ODD, ODD]
    steps = [INIT.format(5), "mbarrier.arrive.shared::cta.b64 %rd1, [%r1], 4;", ARRIVE]
    assert seen(steps) == [ODD, ODD, EVEN]
    steps = [INIT.format(1), ARRIVE, "mbarrier.inval.shared::cta.b64 [%r1];\n" + INIT.format(2)]
    assert seen([*steps, ARRIVE, ARRIVE]) == [ODD, EVEN, ODD, ODD, EVEN]


def test_bytes_hold_a_phase_up() -> None:
    expect = "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r1], {};"
    complete = "mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r1], {};"
    both = "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], {};"
    steps = [INIT.format(1), both.format(64), complete.format(60), complete.format(4)]
    assert seen(steps) == [ODD, ODD, ODD, EVEN]
    steps = [INIT.format(2), expect.format(16), ARRIVE, ARRIVE, complete.format(16), ARRIVE]
    assert seen(steps) == [ODD, ODD, ODD, ODD, EVEN, EVEN]


def test_who_leaves_is_not_expected_again() -> None:
    drop = "mbarrier.arrive_drop.shared::cta.b64 _, [%r1];"
    assert seen([INIT.format(2), drop, ARRIVE, ARRIVE]) == [ODD, ODD, EVEN, ODD]


def test_a_state_says_which_phase_is_meant() -> None:
    """And how many had not arrived before."""
    found = np.zeros(3, np.uint32)
    body = f"""
    {BARRIER}
    {INIT.format(3)}
    mbarrier.arrive.shared::cta.b64 %rd1, [%r1];
    mbarrier.arrive.shared::cta.b64 %rd2, [%r1];
    mbarrier.test_wait.shared::cta.b64 %p, [%r1], %rd1;
    selp.u32 %r2, 1, 0, %p;
    mbarrier.arrive.shared::cta.b64 _, [%r1];
    mbarrier.test_wait.shared::cta.b64 %p, [%r1], %rd1;
    @%p or.b32 %r2, %r2, 2;
    mbarrier.try_wait.shared::cta.b64 %p, [%r1], %rd2;
    @%p or.b32 %r2, %r2, 4;
    st.global.u32 [%found], %r2;
    mbarrier.pending_count.b64 %r3, %rd1;
    st.global.u32 [%found+4], %r3;
    mbarrier.pending_count.b64 %r3, %rd2;
    st.global.u32 [%found+8], %r3;
    """
    execute(body, found=found, block=1)
    assert found.tolist() == [6, 3, 2]


def wait(address: str, parity: str) -> str:
    return f"""
    {{
    .reg .pred %ended;
    AGAIN:
    mbarrier.try_wait.parity.shared::cta.b64 %ended, [{address}], {parity};
    @%ended bra DONE;
    bra AGAIN;
    DONE:
    }}
    """


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_ring_between_two_warps(blocks: int) -> None:
    """One fills two places in turn, the other one empties them, in a cluster that of its
    neighbour: each waits for the other by the parity of its round."""
    body = f"""
    {shared_array(1024)}
    mov.u32 %r1, memory;
    mov.u32 %r2, %cluster_ctarank;
    xor.b32 %r2, %r2, {blocks - 1};
    mapa.shared::cluster.u32 %r3, %r1, %r2;
    setp.eq.u32 %p, %t, 0;
    @!%p bra $L_ready;
    mbarrier.init.shared::cta.b64 [%r1], 32;
    mbarrier.init.shared::cta.b64 [%r1+8], 32;
    mbarrier.init.shared::cta.b64 [%r1+16], 32;
    mbarrier.init.shared::cta.b64 [%r1+24], 32;
    fence.mbarrier_init.release.cluster;
    $L_ready:
    barrier.cluster.arrive.release;
    barrier.cluster.wait.acquire;
    mov.u32 %r4, 0;
    and.b32 %r5, %t, 31;
    mov.u32 %r10, 0;
    $L_round:
    and.b32 %r6, %r4, 1;
    shr.u32 %r7, %r4, 1;
    and.b32 %r7, %r7, 1;
    mad.lo.u32 %r8, %r6, 128, 64;
    mad.lo.u32 %r8, %r5, 4, %r8;
    setp.ge.u32 %p, %t, 32;
    @%p bra $L_empty;
    xor.b32 %r7, %r7, 1;
    mad.lo.u32 %r9, %r6, 8, %r1;
    {wait("%r9+16", "%r7")}
    mad.lo.u32 %r11, %r4, 1000, %r5;
    add.s32 %r12, %r8, %r3;
    st.shared::cluster.u32 [%r12], %r11;
    mad.lo.u32 %r9, %r6, 8, %r3;
    mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r9];
    bra $L_next;
    $L_empty:
    mad.lo.u32 %r9, %r6, 8, %r1;
    {wait("%r9", "%r7")}
    add.s32 %r12, %r8, %r1;
    ld.shared.u32 %r11, [%r12];
    mad.lo.u32 %r10, %r10, 3, %r11;
    mad.lo.u32 %r9, %r6, 8, %r3;
    mbarrier.arrive.shared::cluster.b64 _, [%r9+16];
    $L_next:
    add.s32 %r4, %r4, 1;
    setp.lt.u32 %p, %r4, 7;
    @%p bra $L_round;
    mov.u32 %r13, %ctaid.x;
    mad.lo.u32 %r13, %r13, 64, %t;
    mad.wide.u32 %rd1, %r13, 4, %found;
    st.global.u32 [%rd1], %r10;
    barrier.cluster.arrive;
    barrier.cluster.wait;
    """
    expected = [0] * 32
    for i in range(7):
        expected = [3 * sum_ + 1000 * i + lane for lane, sum_ in enumerate(expected)]
    for seed in SEEDS:
        found = np.zeros((blocks, 64), np.uint32)
        execute(body, found=found, grid=blocks, block=64, cluster=blocks, seed=seed)
        assert found.tolist() == [[0] * 32 + expected] * blocks


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([ARRIVE], "no mbarrier"),
        ([parities()], "no mbarrier"),
        ([INIT.format(1).replace("%r1", "%r1+4")], "multiple of 8"),
        ([INIT.format(0)], "count"),
        ([INIT.format(2**20)], "count"),
        ([INIT.format(1), INIT.format(1)], "already"),
        ([INIT.format(2), "mbarrier.arrive.shared::cta.b64 %rd1, [%r1], 3;"], "3 arrive"),
        ([INIT.format(2), "st.shared.u32 [%r1+4], 0;", ARRIVE], "overwritten"),
        ([INIT.format(2), "mbarrier.inval.shared::cta.b64 [%r1];", ARRIVE], "no mbarrier"),
        ([INIT.format(1), "mbarrier.try_wait.parity.shared::cta.b64 %p, [%r1], 2;"], "0 or 1"),
        ([INIT.format(1), wait("%r1", "0")], "deadlock"),
    ],
)
def test_what_an_mbarrier_does_not_allow_is_refused(steps: list[str], why: str) -> None:
    with pytest.raises(RuntimeError, match=why):
        execute(BARRIER + "\n".join(steps), block=1)
