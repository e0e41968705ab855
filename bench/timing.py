"""Interleaved rounds: every contender once per round, so that a slow minute hurts all alike."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

PAUSE_S = 0.25  # idle threads of one library must not spin into the next one's time
MIN_ROUNDS, MAX_ROUNDS = 3, 9

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TAMIS_NUM_THREADS",
)


@dataclass
class Timing:
    """Seconds of each round."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return median(self.wall_s)

    @property
    def best_s(self) -> float:
        return min(self.wall_s)

    @property
    def worst_s(self) -> float:
        return max(self.wall_s)


def pin_threads(threads: int) -> None:
    """The same number for everyone. Libraries read it when they are imported: call this first."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    os.environ.pop("TAMIS_CPU_ISA", None)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def measure(
    calls: Mapping[str, Callable[[], Any]],
    *,
    budget_s: float,
    rounds: int | None = None,
    pause_s: float = PAUSE_S,
) -> tuple[dict[str, Timing], dict[str, Any]]:
    """Timings and last answers by name, after MIN_ROUNDS to MAX_ROUNDS rounds.

    The first round tells how many fit into the budget; `rounds` fixes the number instead. Each
    round starts with another contender. Warm everyone up before.
    """
    names = list(calls)
    timings = {name: Timing() for name in names}
    answers: dict[str, Any] = {}
    wanted, done = rounds or MIN_ROUNDS, 0
    while done < wanted:
        start = time.perf_counter()
        first = done % len(names)
        for name in names[first:] + names[:first]:
            answers[name] = None  # the former answer is freed outside the timed call
            gc.collect()
            time.sleep(pause_s)
            wall, cpu = time.perf_counter(), time.process_time()
            answers[name] = calls[name]()
            timings[name].wall_s.append(time.perf_counter() - wall)
            timings[name].cpu_s.append(time.process_time() - cpu)
        done += 1
        if rounds is None and done == 1:
            fit = int(budget_s / (time.perf_counter() - start))
            wanted = max(MIN_ROUNDS, min(MAX_ROUNDS, fit))
    return timings, answers
