"""How much memory this process has used at most, and what keeps that low."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_highest = 0


def peak_memory_bytes() -> int:
    """The most resident memory so far, in bytes; never less than an earlier call said.

    Linux keeps it for the program (VmHWM); getrusage also counts what the process was before it
    became this program, which may be a large parent. Each thread adds its pages up now and then,
    so the kernel's own number can step back by a few of them.
    """
    global _highest
    _highest = max(_highest, _counted())
    return _highest


def _counted() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


@contextmanager
def frugal_arrow() -> Iterator[None]:
    """Let pyarrow allocate with malloc, unless ARROW_DEFAULT_MEMORY_POOL says otherwise.

    Its usual allocator keeps what is freed for a while: a run of 200,000 narrow rows peaked 40 MB
    higher with it, and now and then another 40 MB above that.
    """
    import pyarrow as pa

    usual = pa.default_memory_pool()
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(usual)
