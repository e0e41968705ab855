"""Copies by the hardware (cp.async.bulk): boxes of a matrix, to one block or several, and back."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ptx.library import Array, execute
from tests.ptx.tensor import BULK, EXPECT, LOAD, MARK, aligned, map_of, ready, stored, wait

SEEDS = range(25)


def box_of(matrix: Array, box: tuple[int, int], x: int, y: int) -> Array:
    """What lies in a box, zeros where the matrix has ended or not begun."""
    found = np.zeros((box[1], box[0]), matrix.dtype)
    for i, j in np.ndindex(found.shape):
        if 0 <= y + i < matrix.shape[0] and 0 <= x + j < matrix.shape[1]:
            found[i, j] = matrix[y + i, x + j]
    return found


def exchanged(rows: Array, swizzle: int) -> Array:
    """The bytes of a box in shared memory that begins at a multiple of 1024."""
    content = np.ascontiguousarray(rows).view(np.uint8).reshape(-1, 16)
    if not swizzle:
        return content.ravel()
    chunks = np.arange(len(content))
    line = chunks // 8 % 8  # of 128 bytes
    found = np.zeros_like(content)
    found[chunks ^ line % (swizzle // 16)] = content
    return found.ravel()


def loaded(tensor: Array, n: int, x: int, y: int, by_value: bool = False, seed: int = 0) -> Array:
    """n bytes of shared memory after one copy."""
    found = np.zeros(n, np.uint8)
    body = f"""
    {ready()}
    {"mov.b64 %rd1, tensor; cvta.param.u64 %tensor, %rd1;" if by_value else ""}
    @%p prefetch.tensormap [%tensor];
    add.s32 %r2, %r1, 1024;
    {EXPECT.format(n)}
    @%p {LOAD} [%r2], [%tensor, {{%x, %y}}], [%r1];
    {wait("%r1", "0")}
    {stored(n)}
    """
    if by_value:
        body = f".reg .b64 %tensor;\n{body}"
    passed = np.void(tensor.tobytes()) if by_value else tensor
    execute(body, found=found, tensor=passed, x=np.int32(x), y=np.int32(y), seed=seed)
    return found


@pytest.mark.parametrize(
    ("dtype", "box"),
    [(np.uint8, (32, 5)), (np.uint16, (64, 7)), (np.uint32, (4, 256)), (np.float64, (6, 9))],
)
@pytest.mark.parametrize("place", [(0, 0), (3, 2), (-5, -2), (60, 20), (75, 26), (500, 3)])
def test_a_box_is_filled(
    dtype: type[np.generic], box: tuple[int, int], place: tuple[int, int]
) -> None:
    """With zeros outside of the matrix; what lies behind its rows is none of it."""
    matrix = aligned((27, 77), 640, dtype)
    found = loaded(map_of(matrix, box), box[0] * box[1] * matrix.itemsize, *place)
    assert found.view(dtype).tolist() == box_of(matrix, box, *place).ravel().tolist()


@pytest.mark.parametrize("swizzle", [32, 64, 128])
@pytest.mark.parametrize("rows", [3, 8, 24])
def test_chunks_are_exchanged(swizzle: int, rows: int) -> None:
    """Rows of the width of the pattern."""
    matrix, box = aligned((40, 100), 256, np.uint16), (swizzle // 2, rows)
    found = loaded(map_of(matrix, box, swizzle), swizzle * rows, 5, 25, by_value=True)
    assert found.tolist() == exchanged(box_of(matrix, box, 5, 25), swizzle).tolist()


def test_what_is_copied_is_not_there_at_once() -> None:
    """Whatever the order in which the hardware works."""
    matrix = aligned((8, 32), 64, np.uint16)
    body = f"""
    {ready()}
    mov.u32 %r20, 0;
    add.s32 %r2, %r1, 1024;
    {EXPECT.format(512)}
    @%p {LOAD} [%r2], [%tensor, {{%r20, %r20}}], [%r1];
    {stored(512)}
    {wait("%r1", "0")}
    """
    early = []
    for seed in SEEDS:
        found = np.zeros(256, np.uint16)
        execute(body, found=found, tensor=map_of(matrix, (32, 8)), seed=seed)
        early.append(np.any(found == matrix.ravel()))
    assert sum(early) < len(early) / 2  # who comes late may find it


@pytest.mark.parametrize("blocks", [2, 4])
def test_one_copy_for_several_blocks(blocks: int) -> None:
    """Each block copies its rows to all of a cluster, whose mbarriers all count the bytes."""
    matrix = aligned((4 * blocks, 32), 64, np.uint16)
    body = f"""
    {ready()}
    mov.u32 %r3, %cluster_ctarank;
    mad.lo.u32 %r2, %r3, 256, %r1;
    add.s32 %r2, %r2, 1024;
    mul.lo.u32 %r4, %r3, 4;
    mov.u32 %r20, 0;
    mov.u16 %rs1, {(1 << blocks) - 1};
    {EXPECT.format(256 * blocks)}
    @%p {LOAD}.multicast::cluster [%r2], [%tensor, {{%r20, %r4}}], [%r1], %rs1;
    {wait("%r1", "0")}
    mad.wide.u32 %found, %r3, {256 * blocks}, %found;
    {stored(256 * blocks)}
    barrier.cluster.arrive;
    barrier.cluster.wait;
    """
    for seed in SEEDS:
        found = np.zeros((blocks, 4 * blocks, 32), np.uint16)
        tensor = map_of(matrix, (32, 4))
        execute(body, found=found, tensor=tensor, grid=blocks, cluster=blocks, seed=seed)
        assert found.tolist() == [matrix.tolist()] * blocks


@pytest.mark.parametrize("dimensions", [3, 4, 5])
@pytest.mark.parametrize("place", [0, -1, 2])
def test_a_box_of_more_dimensions(dimensions: int, place: int) -> None:
    """The innermost is the first that a coordinate is given of."""
    shape, box = (4, 3, 4, 5, 64)[-dimensions:], (16, 3, 2, 2, 2)[:dimensions]
    tensor = np.arange(1, np.prod(shape) + 1).astype(np.uint16).reshape(shape)
    starts = [place + i for i in range(dimensions)]
    names = ", ".join(f"%x{i}" for i in range(dimensions))
    n = int(np.prod(box)) * 2
    body = f"""
    {ready()}
    add.s32 %r2, %r1, 1024;
    {EXPECT.format(n)}
    @%p {LOAD.replace("2d", f"{dimensions}d")} [%r2], [%tensor, {{{names}}}], [%r1];
    {wait("%r1", "0")}
    {stored(n)}
    """
    found = np.zeros(n, np.uint8)
    coordinates = {f"x{i}": np.int32(start) for i, start in enumerate(starts)}
    execute(body, found=found, tensor=map_of(tensor, box), **coordinates)
    around = np.pad(tensor, 8)
    part = tuple(slice(8 + at, 8 + at + size) for at, size in zip(starts, box, strict=True))
    assert found.view(np.uint16).tolist() == around[part[::-1]].ravel().tolist()


def test_bytes_in_a_row() -> None:
    """There by cp.async.bulk, and back by its groups."""
    source, found = aligned((1, 64), 256, np.uint32), aligned((1, 64), 256, np.uint32)
    found[:] = 0
    body = f"""
    {ready()}
    add.s32 %r2, %r1, 1024;
    {EXPECT.format(192)}
    @%p {BULK} [%r2], [%source], 192, [%r1];
    {wait("%r1", "0")}
    @!%p ret;
    fence.proxy.async.shared::cta;
    cp.async.bulk.global.shared::cta.bulk_group [%found+32], [%r2], 192;
    cp.async.bulk.commit_group;
    cp.async.bulk.wait_group 0;
    """
    execute(body, found=found[0], source=source[0])
    assert found[0].tolist() == [0] * 8 + source[0, :48].tolist() + [0] * 8


@pytest.mark.parametrize("swizzle", [0, 64])
def test_a_box_is_written_back(swizzle: int) -> None:
    """What would lie outside of the matrix is not written."""
    matrix, other = aligned((20, 40), 128, np.uint16), aligned((20, 40), 128, np.uint16)
    other[:] = 0
    body = f"""
    {ready()}
    add.s32 %r2, %r1, 1024;
    mov.u32 %r5, 10;
    mov.u32 %r6, 14;
    {EXPECT.format(512)}
    @%p {LOAD} [%r2], [%tensor, {{%r5, %r6}}], [%r1];
    {wait("%r1", "0")}
    @!%p ret;
    cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%other, {{%r5, %r6}}], [%r2];
    cp.async.bulk.commit_group;
    cp.async.bulk.wait_group.read 0;
    """
    maps = [map_of(each, (32, 8), swizzle) for each in (matrix, other)]
    execute(body, tensor=maps[0], other=maps[1])
    expected = np.zeros_like(matrix)
    expected[14:, 10:] = matrix[14:, 10:]
    assert other.tolist() == expected.tolist()


def attempt(load: str, expect: int = 512, mark: int = MARK, shift: int = 0) -> None:
    """A copy of 8 rows of 64 bytes, from a map with such a mark, at so many bytes further."""
    matrix = aligned((8, 32), 64, np.uint16)
    tensor = map_of(matrix, (32, 8), 64)
    tensor["mark"] = mark
    body = f"""
    {ready()}
    mov.u32 %r20, 0;
    mov.u16 %rs1, 6;
    add.s64 %rd1, %tensor, {shift};
    add.s32 %r2, %r1, 1024;
    {EXPECT.format(expect)}
    @%p {LOAD}{load};
    {wait("%r1", "0")}
    """
    execute(body, tensor=tensor)


GOOD = " [%r2], [%rd1, {%r20, %r20}], [%r1]"


@pytest.mark.parametrize(
    ("wrong", "options", "why"),
    [
        (GOOD, {"mark": MARK + 1}, "no tensor map"),
        (GOOD, {"shift": 32}, "multiple of 64"),
        (GOOD.replace("[%r2]", "[%r2+16]"), {}, "multiple of"),
        (GOOD.replace("[%r2]", "[%r2+8192]"), {}, "outside"),
        (GOOD.replace("[%r1]", "[%r1+8]"), {}, "no mbarrier"),
        (GOOD.replace("[%r1]", "[%r1+4]"), {}, "multiple of 8"),
        (f".multicast::cluster{GOOD}, %rs1", {}, "mask"),
        (GOOD, {"expect": 528}, "deadlock"),
        (GOOD, {"expect": 496}, "deadlock"),
    ],
)
def test_a_copy_that_is_told_nonsense_is_refused(
    wrong: str, options: dict[str, int], why: str
) -> None:
    attempt(GOOD)
    with pytest.raises(RuntimeError, match=why):
        attempt(wrong, **options)


def test_a_copy_must_come_before_its_block_ends() -> None:
    matrix = aligned((8, 32), 64, np.uint16)
    load = f"@%p {LOAD}{GOOD};".replace("%rd1", "%tensor")
    body = f"{ready()}mov.u32 %r20, 0;\nadd.s32 %r2, %r1, 1024;\n{EXPECT.format(512)}\n{load}"
    with pytest.raises(RuntimeError, match="ended"):
        execute(body, tensor=map_of(matrix, (32, 8)), seed=1)
