"""Atomic operations on the machine that executes PTX: what they leave, in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ptx.library import Array, execute, shared_array


@pytest.mark.parametrize("space", ["global", "shared"])
@pytest.mark.parametrize(
    ("operation", "dtype", "function"),
    [
        ("add.u32", np.uint32, np.add),
        ("add.s32", np.int32, np.add),
        ("add.u64", np.uint64, np.add),
        ("min.s32", np.int32, np.minimum),
        ("min.u32", np.uint32, np.minimum),
        ("max.s32", np.int32, np.maximum),
        ("min.u64", np.uint64, np.minimum),
        ("max.s64", np.int64, np.maximum),
        ("and.b32", np.uint32, np.bitwise_and),
        ("or.b64", np.uint64, np.bitwise_or),
        ("xor.b32", np.uint32, np.bitwise_xor),
        ("add.f32", np.float32, np.add),
        ("add.f64", np.float64, np.add),
    ],
)
def test_atomics_of_all_lanes(
    space: str, operation: str, dtype: type[np.generic], function: np.ufunc
) -> None:
    """In global memory those of four blocks. red does the same, and says nothing."""
    rng = np.random.default_rng(5)
    size = np.dtype(dtype).itemsize
    blocks = 4 if space == "global" else 1
    if np.dtype(dtype).kind == "f":  # exact in any order
        given = rng.integers(-1000, 1000, 64 * blocks).astype(dtype)
    else:
        given = rng.integers(0, 256, (64 * blocks, size), np.uint8).view(dtype).ravel()
    start = rng.integers(0, 100, 2).astype(dtype)
    body = f"""
    {shared_array(64)}
    .reg .b{8 * size} %x, %old;
    mov.u32 %r2, memory;
    setp.eq.u32 %p, %t, 0;
    ld.global.v2.b{8 * size} {{%x, %old}}, [%cells];
    @%p st.shared.v2.b{8 * size} [%r2], {{%x, %old}};
    bar.sync 0;
    mov.u32 %r1, %ctaid.x;
    mad.lo.u32 %r1, %r1, 64, %t;
    mad.wide.u32 %rd1, %r1, {size}, %given;
    ld.global.b{8 * size} %x, [%rd1];
    {"mov.u64 %rd3, %cells;" if space == "global" else "cvt.u64.u32 %rd3, %r2;"}
    atom.{space}.{operation} %old, [%rd3], %x;
    red.{space}.{operation} [%rd3+{size}], %x;
    mad.wide.u32 %rd2, %r1, {size}, %olds;
    st.global.b{8 * size} [%rd2], %old;
    bar.sync 0;
    ld.shared.v2.b{8 * size} {{%x, %old}}, [%r2];
    {"setp.ne.u32 %p, %t, %t;" if space == "global" else ""}
    @%p st.global.v2.b{8 * size} [%cells], {{%x, %old}};
    """
    for seed in range(3):
        cells, olds = aligned(start), np.zeros_like(given)
        arguments = {"cells": cells, "olds": olds, "given": given}
        execute(body, **arguments, grid=blocks, block=64, seed=seed)
        expected = [function.reduce(np.append(given, first), dtype=dtype) for first in start]
        assert cells.tolist() == expected
        assert start[0] in olds
        if operation in ("add.u32", "add.u64"):  # what they found differs by what was given
            assert sorted([*(olds + given), start[0]]) == sorted([*olds, cells[0]])


def aligned(values: Array) -> Array:
    """The same at an address that is a multiple of 16."""
    space = np.zeros(len(values) + 4, values.dtype)
    first = -space.ctypes.data % 16 // values.itemsize
    found = space[first : first + len(values)]
    found[:] = values
    return found


def test_exchanges_and_comparisons_chain() -> None:
    """Of 128 lanes that exchange, each finds what another one left."""
    cell, found = np.array([1000], np.uint32), np.zeros(128, np.uint32)
    body = """
    mov.u32 %r1, %ctaid.x;
    mad.lo.u32 %r1, %r1, 64, %t;
    atom.global.exch.b32 %r2, [%cell], %r1;
    mad.wide.u32 %rd1, %r1, 4, %found;
    st.global.u32 [%rd1], %r2;
    """
    execute(body, cell=cell, found=found, grid=2, block=64)
    assert sorted([*found.tolist(), int(cell[0])]) == [*range(128), 1000]


def test_a_loop_of_compare_and_swap() -> None:
    """One lane in each round finds what it expected; a carry of both halves is kept."""
    cell, rounds = np.array([2**32 - 3], np.uint64), np.zeros(64, np.uint32)
    body = """
    mov.u32 %r1, 0;
    ld.global.u64 %rd1, [%cell];
$again:
    add.s32 %r1, %r1, 1;
    add.s64 %rd2, %rd1, 1;
    atom.global.cas.b64 %rd3, [%cell], %rd1, %rd2;
    setp.ne.s64 %p, %rd3, %rd1;
    mov.u64 %rd1, %rd3;
    @%p bra $again;
    mad.wide.u32 %rd4, %t, 4, %rounds;
    st.global.u32 [%rd4], %r1;
    """
    execute(body, cell=cell, rounds=rounds, block=64)
    assert cell[0] == 2**32 + 61
    assert rounds.max() > 1 and rounds.min() == 1


def test_counters_that_wrap() -> None:
    """inc goes to zero after its bound, dec to its bound after zero."""
    cells, bound = np.array([3, 3], np.uint32), np.uint32(5)
    body = """
    atom.global.inc.u32 %r1, [%cells], %bound;
    atom.global.dec.u32 %r1, [%cells+4], %bound;
    """
    expected = [3, 3]
    for n in (1, 2, 3, 32):
        for _ in range(n):
            expected = [(expected[0] + 1) % 6, (expected[1] - 1) % 6]
        execute(body, cells=cells, bound=bound, block=n)
        assert cells.tolist() == expected


@pytest.mark.parametrize("space", ["global", "shared"])
def test_subnormal_numbers_add_up_in_shared_memory_only(space: str) -> None:
    """In global memory those of single precision count as zeros, and become such."""
    tiny = 2.0**-126
    given = np.array([tiny / 4, -tiny / 2, tiny, -tiny * 0.75, tiny * 1.5], np.float32)
    found = np.zeros((5, 5), np.float32)
    body = f"""
    {shared_array(8)}
    ld.global.f32 %f1, [%first];
    ld.global.f32 %f2, [%second];
    mov.u32 %r1, memory;
    st.shared.f32 [%r1], %f1;
    st.global.f32 [%cell], %f1;
    atom.{space}.add.f32 %f3, [{"%cell" if space == "global" else "%r1"}], %f2;
    ld.shared.f32 %f4, [%r1];
    {"" if space == "global" else "st.global.f32 [%cell], %f4;"}
    """
    for i, j in np.ndindex(5, 5):
        cell, first, second = found[i, j : j + 1], given[i : i + 1], given[j : j + 1]
        execute(body, cell=cell, first=first, second=second, block=1)
    read = given if space == "shared" else np.where(np.abs(given) < tiny, 0, given)
    sums = (read[:, None] + read[None, :]).astype(np.float32)
    expected = sums if space == "shared" else np.where(np.abs(sums) < tiny, 0, sums)
    assert found.tolist() == expected.tolist()
