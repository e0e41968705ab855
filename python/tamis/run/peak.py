"""How much memory this process has used at most."""

from __future__ import annotations

import resource
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
