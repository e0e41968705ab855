"""`python slow_writes.py PAUSE POOL SUBSET OUT`: reshard two samples a shard, writes delayed."""

from __future__ import annotations

import sys
import time
from typing import Any

from tamis.reshard import reshard
from tamis.run import atomic

PAUSE, POOL, SUBSET, OUT = sys.argv[1:]
write, rename = atomic._write, atomic._rename


def slow_write(descriptor: int, data: Any) -> int:
    """Half of what was asked for, after a while."""
    time.sleep(float(PAUSE))
    return write(descriptor, data[: len(data) // 2 + 1])


def slow_rename(source: Any, target: Any) -> None:
    """After a while."""
    time.sleep(float(PAUSE))
    rename(source, target)


atomic._write, atomic._rename = slow_write, slow_rename
print("ready", flush=True)
reshard(POOL, SUBSET, OUT, shard_size=2, threads=2)
