"""Host rows, block by block on a GPU, each transfer hidden behind the kernels of the block before.

host    fill 0 | fill 1   | fill 2 ...          two page-locked buffers
aside          | copy 0   | copy 1 ...          a stream of its own
stream                    | kernels 0 | ...     the caller's stream
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.cuda.device import Array, Device

BLOCK_BYTES = 128 << 20
"""Of an input block: large for the bus, small beside a GPU's memory."""
_FILLERS = min(8, os.cpu_count() or 1)
_LEAST_FILL = 4 << 20  # bytes that are worth a thread

Parts = Sequence[slice]


def block_parts(n_rows: int, row_bytes: int) -> list[slice]:
    """All rows, in blocks of BLOCK_BYTES."""
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def feed(device: Device, matrix: npt.NDArray[Any], parts: Parts) -> Iterator[tuple[slice, Array]]:
    """Yields (part, its rows on the GPU) for parts of a host matrix.

    The rows are good until the next step, for work on the device's stream.
    """
    parts = [part for part in parts if part.stop > part.start]
    if not parts:
        return
    library: Any = device.library
    shape = (max(part.stop - part.start for part in parts), *matrix.shape[1:])
    blocks = [device.empty(shape, matrix.dtype.name) for _ in range(min(2, len(parts)))]
    pinned = [library.pinned(block.n_bytes) for block in blocks]
    stream, aside = library.current(), library.aside()
    # The buffers may be memory that earlier work on the stream still reads.
    aside.wait_event(stream.record())
    copied: list[Any] = [None] * len(blocks)
    used: list[Any] = [None] * len(blocks)
    try:
        with ThreadPoolExecutor(_FILLERS) as fillers:
            for number, part in enumerate(parts):
                slot = number % len(blocks)
                if copied[slot] is not None:
                    copied[slot].synchronize()
                    aside.wait_event(used[slot])
                block = blocks[slot].part(slice(0, part.stop - part.start))
                _fill(pinned[slot], matrix[part], fillers)
                address = pinned[slot].ctypes.data
                device.module.copy(
                    block.address, address, block.n_bytes, device=device.ordinal, stream=aside.ptr
                )
                copied[slot] = aside.record()
                stream.wait_event(copied[slot])
                yield part, block
                used[slot] = stream.record()
    finally:
        # Neither kind of buffer goes while it is copied.
        device.module.synchronize(device=device.ordinal, stream=aside.ptr)


def _fill(
    pinned: npt.NDArray[np.uint8], rows: npt.NDArray[Any], fillers: ThreadPoolExecutor
) -> None:
    native = rows.dtype.newbyteorder("=")
    target = pinned[: rows.nbytes].view(native).reshape(rows.shape)
    share = max(1, -(-len(rows) * _LEAST_FILL // max(rows.nbytes, 1)), -(-len(rows) // _FILLERS))
    if share >= len(rows):
        np.copyto(target, rows)
        return
    starts = range(0, len(rows), share)
    list(fillers.map(lambda s: np.copyto(target[s : s + share], rows[s : s + share]), starts))
