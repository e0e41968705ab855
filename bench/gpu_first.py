"""The first use of a GPU in a process, and the self-check by each mainloop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import cases
import tamis
from bench.gpu_lab import Lab
from bench.gpu_mainloops import each
from tamis.cuda import self_check
from tamis.cuda.device import open_device


def first_calls(lab: Lab) -> Iterator[dict[str, Any]]:
    """For each mainloop the milliseconds of its first use, self-check included, and of the
    self-check once kernels are loaded; and how its bits differ, where they do.

    The context is there already. What all mainloops share is loaded by the first one.
    """
    rows = lab.give(cases.unit_rows(256, 64, 1))
    for mainloop in each(lab):
        lab.wait()
        begin = time.perf_counter()
        why = self_check.difference(open_device(0, rows))
        if why is None:
            tamis.assign(rows, rows)
            lab.wait()
        used = time.perf_counter()
        if why is None and not lab.toy:  # where it takes seconds, and nobody asks how many
            why = self_check.difference(open_device(0, rows))
        yield {
            "mainloop": mainloop,
            "first_call_ms": (used - begin) * 1e3,
            "self_check_ms": (time.perf_counter() - used) * 1e3,
            "why": why or "",
        }
