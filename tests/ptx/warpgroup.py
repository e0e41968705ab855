"""Matrices in shared memory as wgmma reads them, and programs that multiply them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tests.ptx.library import Array, execute, shared_array

MODES = {16: 0, 128: 1, 64: 2, 32: 3}  # by the bytes in which chunks are exchanged
SPACE = 65536  # bytes of shared memory; B lies in its second half


@dataclass(frozen=True)
class Layout:
    """Of a matrix of so many rows: 16-byte chunks in spans, by rows or (transposed) by columns."""

    span: int
    transposed: bool
    rows: int
    first: int = 0

    @property
    def depth(self) -> int:
        """Columns: as many as a span holds where it is by rows, 16 otherwise."""
        return 16 if self.transposed or self.span == 16 else self.span // 2

    @property
    def leading(self) -> int:
        if self.span == 16:
            return 128 * (self.rows // 8) + 128
        return 2 * 8 * self.span if self.transposed else 0

    @property
    def stride(self) -> int:
        return 128 if self.span == 16 else 8 * self.span

    def address(self, row: int, column: int) -> int:
        """Of an element, before the exchange of chunks, and then with it."""
        step = self.span // 2  # elements
        if self.span == 16:
            inner, outer = (row, column) if self.transposed else (column, row)
            blocks = row // 8 * self.stride + column // 8 * self.leading
            return self.first + blocks + outer % 8 * 16 + inner % 8 * 2
        if self.transposed:
            blocks = row // step * self.leading + column // 8 * self.stride
            line, place = column % 8, row % step
        else:
            blocks, line, place = row // 8 * self.stride, row % 8, column
        chunk = place // 8 ^ line // (128 // self.span)
        return self.first + blocks + line * self.span + chunk * 16 + place % 8 * 2

    def put(self, matrix: Array, memory: Array) -> None:
        for row, column in np.ndindex(matrix.shape):
            at = self.address(row, column)
            memory[at : at + 2] = np.frombuffer(matrix[row, column].tobytes(), np.uint8)

    def descriptor(self) -> int:
        """But for the address."""
        return self.leading // 16 << 16 | self.stride // 16 << 32 | MODES[self.span] << 62


def accumulator(n: int) -> tuple[Array, Array]:
    """Row and column of each register of each of 128 threads."""
    thread, i = np.arange(128)[:, None], np.arange(n // 2)[None, :]
    rows = thread // 32 * 16 + thread % 32 // 4 + i // 2 % 2 * 8
    return rows, i // 4 * 8 + thread % 4 * 2 + i % 2


def registers(n: int) -> str:
    return "{" + ", ".join(f"%d{i}" for i in range(n // 2)) + "}"


def product(n: int, a: str, b: str, adds: str = "1", tail: str = "1, 1, 0, 0") -> str:
    name = f"wgmma.mma_async.sync.aligned.m64n{n}k16.f32.f16.f16"
    return f"setp.ne.u32 %p, {adds}, 0;\n{name} {registers(n)}, {a}, {b}, %p, {tail};"


FENCE = "wgmma.fence.sync.aligned;"
END = "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;"


def described(register: str, layout: Layout, step: int = 0) -> str:
    """Where it is, further on by 32 bytes for each step."""
    return f"""
    add.s32 %r1, %memory, {layout.first + 32 * step};
    cvt.u64.u32 {register}, %r1;
    shr.u64 {register}, {register}, 4;
    or.b64 {register}, {register}, {layout.descriptor()};
    """


def multiplied(
    n: int, body: str, memory: Array, sums: Array | None = None, block: int = 128
) -> Array:
    """The 64 x n accumulators after the body, with shared memory filled before."""
    rows, columns = accumulator(n)
    start = np.full((64, n), np.nan, np.float32) if sums is None else sums.astype(np.float32)
    parts = np.ascontiguousarray(start[rows, columns])
    around = f"""
    {shared_array(SPACE)}
    .reg .f32 %d<{n // 2}>;
    .reg .b32 %memory;
    .reg .b64 %a, %b;
    mov.u32 %memory, memory;
    mul.lo.u32 %r1, %t, 16;
$L_fill:
    cvt.u64.u32 %rd1, %r1;
    add.s64 %rd1, %rd1, %content;
    ld.global.v4.u32 {{%r2, %r3, %r4, %r5}}, [%rd1];
    add.s32 %r6, %memory, %r1;
    st.shared.v4.u32 [%r6], {{%r2, %r3, %r4, %r5}};
    add.s32 %r1, %r1, {16 * block};
    setp.lt.u32 %p, %r1, {SPACE};
    @%p bra $L_fill;
    fence.proxy.async;
    bar.sync 0;
    mad.wide.u32 %rd2, %t, {2 * n}, %parts;
    """
    around += "\n".join(f"ld.global.f32 %d{i}, [%rd2+{4 * i}];" for i in range(n // 2))
    around += f"\n{body}\n"
    around += "\n".join(f"st.global.f32 [%rd2+{4 * i}], %d{i};" for i in range(n // 2))
    execute(around, content=memory, parts=parts, block=block)
    found = np.zeros((64, n), np.float32)
    found[rows, columns] = parts
    return found


def small(rows: int, depth: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(-30, 30, (rows, depth)).astype(np.float16)


def exact(a: Array, b: Array) -> Array:
    return a.astype(np.float32) @ b.astype(np.float32).T
