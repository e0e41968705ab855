"""Tensor maps, and what the kernels have in common that copy boxes of tensors."""

from __future__ import annotations

import numpy as np
from tests.ptx.library import Array, shared_array

MARK = 0x74616D69735F6D61
MAP = np.dtype(
    [
        ("mark", "u8"),
        ("address", "u8"),
        ("sizes", "u8", 2),
        ("row_bytes", "u8"),
        ("box", "u4", 2),
        ("element_bytes", "u4"),
        ("swizzle_bytes", "u4"),
        ("n_outer", "u4"),
        ("outer_box", "u4", 3),
        ("outer_sizes", "u8", 3),
        ("outer_bytes", "u8", 3),
        ("rest", "u8"),
    ]
)
assert MAP.itemsize == 128


def aligned(shape: tuple[int, int], pitch: int, dtype: type[np.generic]) -> Array:
    """Different numbers, in rows of so many bytes that begin at multiples of 16."""
    size = np.dtype(dtype).itemsize
    space = np.zeros(shape[0] * pitch + 16, np.uint8)
    begin = -space.ctypes.data % 16
    numbers = np.arange(1, shape[0] * pitch // size + 1).astype(dtype)
    space[begin : begin + shape[0] * pitch] = numbers.view(np.uint8)
    rows = space[begin : begin + shape[0] * pitch].view(dtype).reshape(shape[0], -1)
    return rows[:, : shape[1]]


def map_of(tensor: Array, box: tuple[int, ...], swizzle: int = 0) -> Array:
    """box: elements of each dimension, the innermost first. At a multiple of 64."""
    space = np.zeros(3 * 128, np.uint8)
    begin = -space.ctypes.data % 64
    found = space[begin : begin + 128].view(MAP)
    sizes, steps = tensor.shape[::-1], tensor.strides[::-1]
    empty = (0,) * (5 - tensor.ndim)
    found[0] = (
        *(MARK, tensor.ctypes.data, sizes[:2], steps[1], box[:2], tensor.itemsize, swizzle),
        *(tensor.ndim - 2, (*box[2:], *empty), (*sizes[2:], *empty), (*steps[2:], *empty), 0),
    )
    return found


def wait(address: str, parity: str) -> str:
    return f"""
    {{
    .reg .pred %ended;
    AGAIN:
    mbarrier.try_wait.parity.shared::cta.b64 %ended, [{address}], {parity};
    @!%ended bra AGAIN;
    }}
    """


def ready(arrivals: int = 1) -> str:
    """%r1: shared memory, its first KiB for two mbarriers, of which the first is initialized."""
    return f"""
    {shared_array(9216)}
    mov.u32 %r1, memory;
    setp.eq.u32 %p, %t, 0;
    @%p mbarrier.init.shared::cta.b64 [%r1], {arrivals};
    fence.mbarrier_init.release.cluster;
    barrier.cluster.arrive;
    barrier.cluster.wait;
    """


def stored(n: int) -> str:
    """n bytes from the second KiB on, to %found."""
    return f"""
    mul.lo.u32 %r10, %t, 4;
    $L_more:
    setp.ge.u32 %g, %r10, {n};
    @%g bra $L_all;
    cvt.u64.u32 %rd5, %r10;
    add.s64 %rd5, %rd5, %found;
    add.s32 %r11, %r1, %r10;
    ld.shared.u32 %r12, [%r11+1024];
    st.global.u32 [%rd5], %r12;
    add.s32 %r10, %r10, 128;
    bra $L_more;
    $L_all:
    """


EXPECT = "@%p mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], {};"
BULK = "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
LOAD = "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
