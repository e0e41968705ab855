"""What the lanes of a warp do together, by models in Python."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.ptx.library import Array, by_lanes

FULL = 0xFFFF_FFFF
MASKS = [FULL, 0xFF, 0xFFFF_0000, 0x8000_0001, 0x1234_5678]


def lanes_of(mask: int) -> list[int]:
    return [lane for lane in range(32) if mask >> lane & 1]


def source_of(mode: str, lane: int, b: int, c: int) -> tuple[int, bool]:
    """As the ISA writes it."""
    value, clamp, segment = b & 31, c & 31, c >> 8 & 31
    most = (lane & segment) | (clamp & ~segment & 31)
    least = lane & segment
    j = {
        "up": lane - value,
        "down": lane + value,
        "bfly": lane ^ value,
        "idx": least | (value & ~segment & 31),
    }[mode]
    inside = j >= most if mode == "up" else j <= most
    return (j if inside else lane), inside


@pytest.mark.parametrize("mode", ["up", "down", "bfly", "idx"])
@pytest.mark.parametrize("width", [1, 2, 8, 16, 32])
def test_shuffles(mode: str, width: int) -> None:
    """In segments, by the same offset in all lanes and by different ones, beyond 31 too."""
    rng = np.random.default_rng(width)
    a = rng.integers(0, 2**32, 32, np.uint32)
    clamps = [0 if mode == "up" else 31, int(rng.integers(0, 32))]
    offsets = [np.full(32, b, np.uint32) for b in (0, 1, 3, width, 16, 31, 33)]
    offsets += [rng.integers(0, 2**32, 32, np.uint32) for _ in range(4)]
    for clamp, b in [(clamp, b) for clamp in clamps for b in offsets]:
        c = (32 - width) << 8 | clamp
        body = f"shfl.sync.{mode}.b32 %d|%p, %a, %b, {c}, -1;\n@%p add.s32 %d, %d, 1;"
        sources = [source_of(mode, lane, int(b[lane]), c) for lane in range(32)]
        expected = [(int(a[j]) + inside) % 2**32 for j, inside in sources]
        assert by_lanes(body, a=a, b=b).tolist() == expected
        body = f"shfl.sync.{mode}.b32 %d, %a, %b, %c, -1;"
        assert by_lanes(body, a=a, b=b, c=np.array(c)).tolist() == [int(a[j]) for j, _ in sources]


def test_a_shuffle_into_its_own_source() -> None:
    a = np.arange(32, dtype=np.uint32)
    body = (
        "shfl.sync.bfly.b32 %a, %a, 1, 31, -1;\nshfl.sync.up.b32 %a, %a, 1, 0, -1;\nmov.u32 %d, %a;"
    )
    swapped = [lane ^ 1 for lane in range(32)]
    assert by_lanes(body, a=a).tolist() == [swapped[0], *swapped[:31]]


@pytest.mark.parametrize("mask", MASKS)
def test_some_lanes_shuffle(mask: int) -> None:
    """The others do something else in the meantime, and a lane that does not take part says
    nothing to those that do."""
    lanes = lanes_of(mask)
    next_one = {lane: lanes[(i + 1) % len(lanes)] for i, lane in enumerate(lanes)}
    b = [next_one.get(lane, 0) for lane in range(32)]
    body = """
    shr.u32 %r1, %mask, %t;
    and.b32 %r1, %r1, 1;
    setp.eq.u32 %p, %r1, 0;
    @%p bra $L_other;
    shfl.sync.idx.b32 %d, %a, %b, 31, %mask;
    bra $L_end;
    $L_other:
    mov.u32 %d, 1;
    $L_end:
    bar.warp.sync -1;
    """
    a = np.arange(100, 132, dtype=np.uint32)
    found = by_lanes(body, a=a, b=np.array(b), mask=np.array(mask))
    assert found.tolist() == [100 + next_one[lane] if lane in next_one else 1 for lane in range(32)]


def test_a_lane_that_does_not_take_part_says_nothing() -> None:
    """What is read from one is undefined: it does not look like a lane's number."""
    body = """
    setp.lt.u32 %p, %t, 16;
    @%p shfl.sync.idx.b32 %d, %t, 20, 31, 0xffff;
    """
    found = by_lanes(body).tolist()
    assert found[16:] == [0xDEAD] * 16
    assert not set(found[:16]) & set(range(32))


@pytest.mark.parametrize(
    "wrong",
    [
        "shfl.sync.idx.b32 %d, %t, 0, 31, 0xfffffffe;",
        "vote.sync.any.pred %p, %p, 1;",
        "redux.sync.add.u32 %d, %t, 0x7fffffff;",
        "selp.b32 %r1, 0xffff, -1, %p;\nvote.sync.ballot.b32 %d, %p, %r1;\nbar.warp.sync -1;",
    ],
)
def test_a_mask_that_is_not_of_those_who_come_is_refused(wrong: str) -> None:
    with pytest.raises(RuntimeError, match=r"mask|deadlock"):
        by_lanes(f"setp.lt.u32 %p, %t, 16;\n{wrong}")


@pytest.mark.parametrize("mask", MASKS)
def test_votes(mask: int) -> None:
    """Of the lanes that take part, with a predicate or its opposite."""
    takes_part = np.array([mask >> lane & 1 for lane in range(32)])
    body = """
    setp.eq.u32 %p, %part, 0;
    @%p bra $L_end;
    setp.ne.u32 %p, %a, 0;
    vote.sync.all.pred %q, %p, %mask;
    selp.u32 %d, 1, 0, %q;
    vote.sync.any.pred %q, %p, %mask;
    @%q or.b32 %d, %d, 2;
    vote.sync.uni.pred %q, %p, %mask;
    @%q or.b32 %d, %d, 4;
    vote.sync.any.pred %q, !%p, %mask;
    @%q or.b32 %d, %d, 8;
    vote.sync.ballot.b32 %r1, %p, %mask;
    vote.sync.ballot.b32 %r2, !%p, %mask;
    setp.eq.u32 %q, %r1, %yes;
    @%q or.b32 %d, %d, 16;
    setp.eq.u32 %q, %r2, %no;
    @%q or.b32 %d, %d, 32;
    $L_end:
    """
    rng = np.random.default_rng(0)
    for a in (np.zeros(32, int), np.ones(32, int), *rng.integers(0, 2, (3, 32))):
        yes = sum(1 << lane for lane in lanes_of(mask) if a[lane])
        no = mask & ~yes
        expected = (not no) | (yes != 0) << 1 | (not yes or not no) << 2 | (no != 0) << 3 | 48
        numbers = {"yes": np.array(yes), "no": np.array(no), "mask": np.array(mask)}
        found = by_lanes(body, a=a, part=takes_part, **numbers)
        assert found.tolist() == [expected if part else 0xDEAD for part in takes_part]


REDUCTIONS: dict[str, Callable[[Array], int]] = {
    "add.u32": lambda a: int(a.sum(dtype=np.uint64)),
    "add.s32": lambda a: int(a.sum(dtype=np.uint64)),
    "min.u32": lambda a: int(a.min()),
    "max.u32": lambda a: int(a.max()),
    "min.s32": lambda a: int(a.view(np.int32).min()),
    "max.s32": lambda a: int(a.view(np.int32).max()),
    "and.b32": lambda a: int(np.bitwise_and.reduce(a)),
    "or.b32": lambda a: int(np.bitwise_or.reduce(a)),
    "xor.b32": lambda a: int(np.bitwise_xor.reduce(a)),
}


@pytest.mark.parametrize("operation", REDUCTIONS)
def test_reductions(operation: str) -> None:
    a = np.random.default_rng(1).integers(0, 2**32, 32, np.uint32) | np.uint32(0x40)
    for mask in MASKS:
        part = np.array([mask >> lane & 1 for lane in range(32)])
        body = f"setp.ne.u32 %p, %part, 0;\n@%p redux.sync.{operation} %d, %a, %mask;"
        expected = REDUCTIONS[operation](a[part == 1]) % 2**32
        found = by_lanes(body, a=a, part=part, mask=np.array(mask))
        assert found.tolist() == [expected if one else 0xDEAD for one in part]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("bits", [32, 64])
def test_lanes_find_those_with_the_same_number(mask: int, bits: int) -> None:
    """any: their mask; all: the membermask if all have it, and a predicate that says so."""
    part = np.array([mask >> lane & 1 for lane in range(32)])
    of_a = "%a" if bits == 32 else "%rd2"
    body = f"""
    mov.b64 %rd2, {{%t, %a}};
    and.b64 %rd2, %rd2, 0xffffffff00000000;
    setp.eq.u32 %p, %part, 0;
    @%p bra $L_end;
    match.any.sync.b{bits} %d, {of_a}, %mask;
    match.all.sync.b{bits} %r1|%q, {of_a}, %mask;
    setp.ne.u32 %g, %r1, %all;
    @%g trap;
    selp.u32 %r1, %mask, 0, %q;
    setp.ne.u32 %g, %r1, %all;
    @%g trap;
    $L_end:
    """
    for a in (np.arange(32) % 3, np.full(32, 7), np.arange(32) // 16):
        own = [sum(1 << j for j in lanes_of(mask) if a[j] == a[lane]) for lane in range(32)]
        same = mask if len({int(a[lane]) for lane in lanes_of(mask)}) == 1 else 0
        numbers = {"mask": np.array(mask), "all": np.array(same)}
        found = by_lanes(body, a=a, part=part, **numbers)
        assert found.tolist() == [
            number if one else 0xDEAD for number, one in zip(own, part, strict=True)
        ]


@pytest.mark.parametrize("mask", [FULL, 0xFF00])
def test_one_lane_is_elected(mask: int) -> None:
    """The same for all that ask, and one of them."""
    part = np.array([mask >> lane & 1 for lane in range(32)])
    body = "setp.eq.u32 %p, %part, 0;\n@%p bra $L_end;\nelect.sync %r1|%q, %mask;\n"
    body += "selp.u32 %r2, 32, 0, %q;\nadd.s32 %d, %r1, %r2;\n$L_end:"
    found = by_lanes(body, part=part, mask=np.array(mask))[part == 1].tolist()
    (leader,) = {number % 32 for number in found}
    assert sorted(found) == [leader] * (len(found) - 1) + [leader + 32]
    assert lanes_of(mask)[found.index(leader + 32)] == leader
