"""Each mainloop of the device on the same work: mma first, its bits are the others' measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bench.gpu_result import Row
from tamis import _native
from tamis.cuda.device import Array, Device
from tamis.cuda.mainloop import MAINLOOPS


class Work(Protocol):
    """Kernels, ready to be queued."""

    device: Device
    x: Array
    counts: Array

    def run(self, counts: bool = False) -> None: ...


class Timer(Protocol):
    """What of a lab is used here."""

    mainloops: Sequence[str]

    def wait(self) -> None: ...
    def says(self, mainloop: str) -> None: ...
    def milliseconds(self, call: Any, seconds: float) -> list[float]: ...
    def clock(self) -> dict[str, float]: ...
    def forget_peak(self) -> None: ...
    def peak_bytes(self) -> int: ...


@dataclass
class Trial:
    """What one mainloop gave."""

    mainloop: str
    peak_bytes: int = 0
    rescored_per_row: float | None = None
    rescanned: float | None = None
    times_ms: list[float] = field(default_factory=list)
    extra: dict[str, float] = field(default_factory=dict)
    outputs: tuple[npt.NDArray[Any], ...] = ()
    faults: list[str] = field(default_factory=list)

    @property
    def ms(self) -> float:
        return median(self.times_ms)

    def check(self, row: Row, differs: npt.NDArray[np.bool_]) -> None:
        """Count a sample that was compared with the CPU's."""
        wrong = int(differs.sum())
        row.checked, row.mismatches = row.checked + len(differs), row.mismatches + wrong
        if wrong:
            self.faults.append(f"{wrong} of {len(differs)} rows differ from the CPU's")


def of_the_device(asked: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Those of the asked that GPU 0 has, and why it has not all of them."""
    present, why = [], ""
    for name in asked:
        try:
            _native.cuda().use_mainloop(0, name)
            present.append(name)
        except RuntimeError as error:
            why = str(error)
    _native.cuda().use_mainloop(0, MAINLOOPS[0])
    return tuple(present), why


def use(lab: Timer, mainloop: str) -> None:
    """Multiply by it from now on. What was queued is done before, so that a fault has one cause."""
    lab.wait()
    lab.says(mainloop)
    _native.cuda().use_mainloop(0, mainloop)


def each(lab: Timer) -> Iterator[str]:
    """Every mainloop of the lab in turn, in use while it is the loop's."""
    for mainloop in lab.mainloops:
        use(lab, mainloop)
        yield mainloop


def tried(
    lab: Timer, mainloop: str, work: Work, outputs: tuple[Array, ...], seconds: float
) -> Trial:
    """The results of a first run into memory full of ones, what it took, and the times of more."""
    trial, device = Trial(mainloop, lab.peak_bytes()), work.device
    poison(device, outputs)
    work.run(counts=True)
    counted, rescored, climbed = device.download(work.counts).tolist()
    trial.rescored_per_row = rescored / max(1, len(work.x))
    trial.rescanned = climbed / max(1, counted)
    trial.outputs = tuple(device.download(output) for output in outputs)
    trial.times_ms = lab.milliseconds(work.run, seconds)
    trial.extra |= lab.clock()
    for output, first in zip(outputs, trial.outputs, strict=True):  # a moving answer is a race
        if device.download(output).tobytes() != first.tobytes():
            trial.faults.append("two runs of the same kernels differ")
            break
    return trial


def poison(device: Device, outputs: tuple[Array, ...]) -> None:
    """Fill them with ones, so that what is never written is seen."""
    for output in outputs:
        device.module.fill(output.address, 255, output.n_bytes, **device.on)


def settle(lab: Timer, row: Row, trials: Sequence[Trial]) -> Trial:
    """Fill a row with the faster of the right ones, and use it from now on.

    All must have the bits of the first.
    """
    for trial in trials[1:]:
        if any(
            one.tobytes() != other.tobytes()
            for one, other in zip(trials[0].outputs, trial.outputs, strict=True)
        ):
            trial.faults.append(f"other bits than {trials[0].mainloop} gives")
    best = min([trial for trial in trials if not trial.faults] or trials[:1], key=lambda t: t.ms)
    for trial in trials:
        row.extra[f"{trial.mainloop}_ms"] = trial.ms
        for fault in trial.faults:
            row.wrong(f"{trial.mainloop}: {fault}")
    row.times_ms, row.peak_bytes = best.times_ms, best.peak_bytes
    row.rescored_per_row, row.rescanned = best.rescored_per_row, best.rescanned
    row.extra |= best.extra
    if len(trials) > 1:
        others = ", ".join(f"{t.mainloop} {t.ms:.3g} ms" for t in trials if t is not best)
        row.notes(f"by {best.mainloop}; {others}")
    use(lab, best.mainloop)
    return best
