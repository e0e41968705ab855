"""Canonical rows on a GPU: a matrix that is there, or a host matrix that comes block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.cuda.device import Array, Device, open_device
from tamis.cuda.feed import Parts, block_parts, feed
from tamis.kernels.canonical import BAD, refuse_bad

ROWS_AT_ONCE = 1 << 22
"""Of a launch on rows that are on the GPU; it fills any GPU many times over."""

Index = npt.NDArray[np.int64]
Blocks = Iterator[tuple[slice, Array]]


def canonical(ordinal: int, x: Any) -> tuple[Any, Any]:
    """`tamis.canonical` of rows on a GPU."""
    device = open_device(ordinal, x)
    rows, state = make_canonical(device, device.matrix(x))
    return device.given(rows), device.given(device.at_least(state, BAD))


def make_canonical(device: Device, x: Array) -> tuple[Array, Array]:
    """(rows float16, state uint8) of a matrix."""
    rows = device.empty(x.shape, "float16")
    state = device.empty((len(x),), "uint8")
    _classify(device, x, rows.address, state)
    return rows, state


def canonical_rows(device: Device, x: Array, name: str = "x") -> Array:
    """The canonical rows of a matrix; itself, without a copy, where it is canonical already.

    Raises:
        ValueError: a row is zero or holds NaN or Inf.
    """
    if x.dtype == "float16":
        found = states(device, x)
        if not found.any():
            return x
        refuse_bad(name, found >= BAD)
    rows, state = make_canonical(device, x)
    refuse_bad(name, device.download(state) >= BAD)
    return rows


def states(device: Device, x: Array) -> npt.NDArray[np.uint8]:
    """The state of every row: 0 where it is canonical already, from BAD on where it is no row."""
    state = device.empty((len(x),), "uint8")
    _classify(device, x, None, state)
    return device.download(state)


class ResidentRows:
    """Canonical rows that are on the GPU."""

    def __init__(self, device: Device, rows: Array) -> None:
        self.device = device
        self.rows = rows
        self.shape = rows.shape

    def blocks(self) -> Blocks:
        """All rows, so many at a time that work buffers stay small beside them."""
        for start in range(0, len(self.rows), ROWS_AT_ONCE):
            part = slice(start, min(start + ROWS_AT_ONCE, len(self.rows)))
            yield part, self.rows.part(part)

    def take(self, numbers: Index) -> ResidentRows:
        """Some rows."""
        if not len(numbers):
            return ResidentRows(self.device, self.rows.part(slice(0, 0)))
        return ResidentRows(self.device, self.device.take(self.rows, numbers))

    def read(self, numbers: Index) -> npt.NDArray[np.float16]:
        """Some rows, in host memory."""
        return self.device.download(self.take(numbers).rows)


class HostRows:
    """Rows of a host matrix, made canonical on the GPU as they come.

    Attributes:
        seen: bool (n,), the rows that were on the GPU.
        bad: bool (n,), those of them that are zero or hold NaN or Inf; they come as zeros.
    """

    def __init__(self, device: Device, matrix: npt.NDArray[Any], *, is_canonical: bool) -> None:
        self.device = device
        self.matrix = matrix
        self.shape = matrix.shape
        self.is_canonical = is_canonical
        self.seen = np.full(len(matrix), is_canonical)
        self.bad = np.zeros(len(matrix), dtype=np.bool_)

    def blocks(self, parts: Parts | None = None, *, look: bool = False) -> Blocks:
        """(part, canonical rows, good until the next step).

        look: note bad rows before a block comes. Without it all rows come, and bad ones are noted
        at the end: the host waits for the GPU once.
        """
        row_bytes = self.matrix.shape[1] * self.matrix.dtype.itemsize
        parts = block_parts(len(self.matrix), row_bytes) if parts is None else parts
        states = None if self.is_canonical else self.device.empty((len(self.matrix),), "uint8")
        for part, block in feed(self.device, self.matrix, parts):
            if states is None:
                yield part, block
                continue
            rows = self.device.empty(block.shape, "float16")
            _classify(self.device, block, rows.address, states.part(part))
            self.seen[part] = True
            if look:
                self.bad[part] = self.device.download(states.part(part)) >= BAD
            yield part, rows
        if states is not None and not look:
            self.bad = self.device.download(states) >= BAD

    def look_at_rest(self) -> None:
        """Note bad rows among those that were not on the GPU yet."""
        edges = np.flatnonzero(np.diff(self.seen, prepend=True, append=True))
        rest = [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
        for _ in self.blocks(rest, look=True):
            pass

    def check(self, name: str = "x") -> None:
        """Look at every row once.

        Raises:
            ValueError: a row is zero or holds NaN or Inf.
        """
        if not self.is_canonical:
            for _ in self.blocks():
                pass
            refuse_bad(name, self.bad)

    def resident(self) -> ResidentRows:
        """All rows on the GPU, checked as `check` does."""
        rows = self.device.empty(self.shape, "float16")
        for part, block in self.blocks():
            target = rows.part(part)
            copy = self.device.module.copy
            copy(target.address, block.address, target.n_bytes, **self.device.on)
        refuse_bad("x", self.bad)
        return ResidentRows(self.device, rows)

    def take(self, numbers: Index) -> HostRows:
        """Some rows."""
        return HostRows(self.device, self.matrix[numbers], is_canonical=self.is_canonical)

    def read(self, numbers: Index) -> npt.NDArray[np.float16]:
        """Some rows, canonical, in host memory."""
        some = self.take(numbers)
        out = np.empty(some.shape, dtype=np.float16)
        for part, block in some.blocks():
            out[part] = self.device.download(block)
        return out


Rows = ResidentRows | HostRows


def _classify(device: Device, x: Array, rows: int | None, state: Array) -> None:
    n_rows, dim = x.shape
    if n_rows:
        device.module.canonical(x.address, x.dtype, n_rows, dim, rows, state.address, **device.on)
