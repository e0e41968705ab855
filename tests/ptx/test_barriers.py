"""Warps of a block and blocks of a cluster wait for each other, in whatever order they run."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ptx.library import execute, shared_array

SEEDS = range(25)


def test_warps_pass_on_what_they_wrote() -> None:
    """In each round every warp reads what the one before it wrote in the round before."""
    body = f"""
    {shared_array(512)}
    mov.u32 %r1, memory;
    mad.lo.u32 %r2, %t, 4, %r1;
    add.s32 %r3, %t, 32;
    and.b32 %r3, %r3, 127;
    mad.lo.u32 %r3, %r3, 4, %r1;
    st.shared.u32 [%r2], %t;
    mov.u32 %r4, 0;
    $L_round:
    bar.sync 0;
    ld.shared.u32 %r5, [%r2];
    bar.sync 0;
    add.s32 %r5, %r5, 1;
    st.shared.u32 [%r3], %r5;
    add.s32 %r4, %r4, 1;
    setp.lt.u32 %p, %r4, 6;
    @%p bra $L_round;
    bar.sync 0;
    ld.shared.u32 %r5, [%r2];
    mad.wide.u32 %rd1, %t, 4, %found;
    st.global.u32 [%rd1], %r5;
    """
    expected = [(thread - 6 * 32) % 128 + 6 for thread in range(128)]
    for seed in SEEDS:
        found = np.zeros(128, np.uint32)
        execute(body, found=found, block=128, seed=seed)
        assert found.tolist() == expected


def test_some_seed_shows_a_barrier_that_is_missing() -> None:
    """Without it, what is read depends on the order in which the warps run."""
    body = f"""
    {shared_array(256)}
    mov.u32 %r1, memory;
    mad.lo.u32 %r2, %t, 4, %r1;
    st.shared.u32 [%r2], %t;
    xor.b32 %r3, %t, 32;
    mad.lo.u32 %r3, %r3, 4, %r1;
    ld.shared.u32 %r4, [%r3];
    mad.wide.u32 %rd1, %t, 4, %found;
    st.global.u32 [%rd1], %r4;
    """
    found = np.zeros((25, 64), np.uint32)
    for seed in SEEDS:
        execute(body, found=found[seed], block=64, seed=seed)
    assert len(np.unique(found, axis=0)) > 1


def test_barriers_of_some_of_the_warps() -> None:
    """Two pairs of warps, each with a barrier of its own, and one that only arrives at a third."""
    body = f"""
    {shared_array(640)}
    mov.u32 %r1, memory;
    mad.lo.u32 %r2, %t, 4, %r1;
    shr.u32 %r3, %t, 6;
    add.s32 %r3, %r3, 1;
    setp.ge.u32 %p, %t, 128;
    @%p bra $L_last;
    st.shared.u32 [%r2], %t;
    bar.sync %r3, 64;
    xor.b32 %r4, %t, 32;
    mad.lo.u32 %r4, %r4, 4, %r1;
    ld.shared.u32 %r5, [%r4];
    bar.sync %r3, 64;
    add.s32 %r5, %r5, 1000;
    st.shared.u32 [%r2], %r5;
    bar.arrive 9, 160;
    bra $L_end;
    $L_last:
    bar.sync 9, 160;
    sub.s32 %r4, %t, 128;
    mov.u32 %r6, 0;
    mad.lo.u32 %r4, %r4, 4, %r1;
    mov.u32 %r7, 0;
    $L_sum:
    ld.shared.u32 %r5, [%r4];
    add.s32 %r6, %r6, %r5;
    add.s32 %r4, %r4, 128;
    add.s32 %r7, %r7, 1;
    setp.lt.u32 %q, %r7, 4;
    @%q bra $L_sum;
    sub.s32 %r4, %t, 128;
    mad.wide.u32 %rd1, %r4, 4, %found;
    st.global.u32 [%rd1], %r6;
    $L_end:
    """
    expected = [sum(1000 + lane + 32 * warp for warp in range(4)) for lane in range(32)]
    for seed in SEEDS:
        found = np.zeros(32, np.uint32)
        execute(body, found=found, block=160, seed=seed)
        assert found.tolist() == expected


@pytest.mark.parametrize("yes", [[], [77], list(range(96)), list(range(0, 96, 5))])
def test_a_barrier_asks_everybody(yes: list[int]) -> None:
    given = np.isin(np.arange(96), yes).astype(np.uint32)
    body = """
    mad.wide.u32 %rd1, %t, 4, %given;
    ld.global.u32 %r1, [%rd1];
    setp.ne.u32 %p, %r1, 0;
    bar.red.or.pred %q, 0, %p;
    selp.u32 %r2, 1, 0, %q;
    bar.red.and.pred %q, 0, %p;
    @%q or.b32 %r2, %r2, 2;
    bar.red.popc.u32 %r3, 0, %p;
    bar.red.or.pred %q, 0, !%p;
    @%q or.b32 %r2, %r2, 4;
    mad.lo.u32 %r2, %r3, 8, %r2;
    mad.wide.u32 %rd1, %t, 4, %found;
    st.global.u32 [%rd1], %r2;
    """
    n = len(yes)
    expected = 8 * n + (n > 0) + 2 * (n == 96) + 4 * (n < 96)
    for seed in range(5):
        found = np.zeros(96, np.uint32)
        execute(body, found=found, given=given, block=96, seed=seed)
        assert found.tolist() == [expected] * 96


@pytest.mark.parametrize(
    "body",
    [
        "bar.sync 1, 96;",
        "setp.lt.u32 %p, %t, 32;\n@%p bra $L_1;\nbar.sync 1;\nbra $L_2;\n$L_1:\nbar.sync 2;\n$L_2:",
        "setp.lt.u32 %p, %t, 16;\n@%p bra $L_1;\nbar.sync 0;\nbra $L_2;\n$L_1:\nbar.sync 0;\n$L_2:",
    ],
    ids=["too few", "at two barriers", "half a warp"],
)
def test_who_waits_forever_is_an_error(body: str) -> None:
    with pytest.raises(RuntimeError, match=r"kernel test.*(deadlock|not all lanes)"):
        execute(body, block=64)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("bar.sync 16;", "0 to 15"),
        ("bar.sync 1, 33;", "multiple of 32"),
        ("setp.lt.u32 %p, %t, 16;\n@%p bar.sync 0;", "not all lanes"),
        (
            "setp.lt.u32 %p, %t, 32;\nselp.u32 %r1, 64, 96, %p;\nbar.sync 1, %r1;",
            "number of threads",
        ),
    ],
)
def test_a_barrier_that_is_none_is_refused(body: str, why: str) -> None:
    with pytest.raises(RuntimeError, match=rf"bar\.sync.*{why}"):
        execute(body, block=64)


CLUSTER = """
    mov.u32 %r1, memory;
    mov.u32 %r2, %cluster_ctarank;
    mov.u32 %r3, %cluster_nctarank;
    add.s32 %r4, %r2, 1;
    setp.eq.u32 %p, %r4, %r3;
    selp.u32 %r4, 0, %r4, %p;
    mapa.shared::cluster.u32 %r5, %r1, %r4;
"""


@pytest.mark.parametrize("blocks", [2, 4])
def test_blocks_of_a_cluster_write_to_each_other(blocks: int) -> None:
    """Each gives the next what it has, twice, by its address there."""
    once = """
    barrier.cluster.arrive.release;
    barrier.cluster.wait.acquire;
    """
    body = f"""
    {shared_array(512)}
    {CLUSTER}
    mov.u32 %r6, %ctaid.x;
    mad.lo.u32 %r6, %r6, 100, %t;
    mad.lo.u32 %r7, %t, 4, %r5;
    mad.lo.u32 %r8, %t, 4, %r1;
    {once}
    st.shared::cluster.u32 [%r7], %r6;
    {once}
    ld.shared.u32 %r9, [%r8];
    ld.shared::cluster.u32 %r10, [%r7];
    {once}
    atom.shared::cluster.add.u32 %r11, [%r7], %r9;
    {once}
    ld.shared.u32 %r12, [%r8];
    mov.u32 %r13, %ctaid.x;
    mad.lo.u32 %r13, %r13, 64, %t;
    mad.wide.u32 %rd1, %r13, 16, %found;
    st.global.v4.u32 [%rd1], {{%r9, %r10, %r11, %r12}};
    """
    for seed in SEEDS:
        found = np.zeros((2 * blocks, 64, 4), np.uint32)
        execute(body, found=found, grid=2 * blocks, block=64, cluster=blocks, seed=seed)
        for block, thread in np.ndindex(2 * blocks, 64):
            first = block // blocks * blocks
            before = 100 * (first + (block - first - 1) % blocks) + thread
            two_before = 100 * (first + (block - first - 2) % blocks) + thread
            own = 100 * block + thread
            assert found[block, thread].tolist() == [before, own, own, before + two_before]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("barrier.cluster.arrive;\nbarrier.cluster.arrive;", "did not wait"),
        ("barrier.cluster.wait;", "did not arrive"),
        ("mapa.shared::cluster.u32 %r5, %r1, 2;", "rank 2"),
        ("st.shared::cta.u32 [%r5], %r1;", "another block"),
        ("st.shared.u32 [%r5], %r1;", "another block"),
    ],
)
def test_what_a_cluster_does_not_allow_is_refused(body: str, why: str) -> None:
    sync = "barrier.cluster.arrive;\nbarrier.cluster.wait;\n"
    with pytest.raises(RuntimeError, match=why):
        execute(f"{shared_array(64)}{CLUSTER}{sync}{body}\n{sync}", grid=2, cluster=2)


def test_memory_of_a_block_that_ended_is_not_there() -> None:
    body = f"""
    {shared_array(64)}
    {CLUSTER}
    setp.eq.u32 %p, %r2, 0;
    @%p exit;
    barrier.cluster.arrive;
    barrier.cluster.wait;
    ld.shared::cluster.u32 %r6, [%r5];
    """
    with pytest.raises(RuntimeError, match="has ended"):
        execute(body, grid=2, cluster=2)


def test_a_grid_is_made_of_whole_clusters() -> None:
    with pytest.raises(RuntimeError, match="the grid is not made of whole clusters"):
        execute("mov.u32 %r1, 0;", grid=3, cluster=2)
