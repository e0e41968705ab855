"""The lab of a rehearsal: the emulated device of the tests, toy sizes, no GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

import cases
import tamis
from bench.gpu_lab import say_nothing
from tamis import _native
from tamis.cuda.mainloop import MAINLOOPS


class ToyLab:
    """The emulated device of the tests. Its times say nothing."""

    toy = True

    def __init__(self) -> None:
        from tests.cuda.extension import emulated_cuda
        from tests.cuda.fake_gpu import DeviceArray, fake_gpu

        self.mainloops: Sequence[str] = MAINLOOPS[:1]
        self.says: Callable[[str], None] = say_nothing
        self._stay = ExitStack()
        self.gpu = self._stay.enter_context(fake_gpu(emulated_cuda()))
        self._array = DeviceArray
        self._base = 0

    def close(self) -> None:
        """Let tamis be as it was."""
        self.wait()
        _native.cuda().use_mainloop(0, MAINLOOPS[0])
        self._stay.close()

    def about(self) -> dict[str, Any]:
        return {"device": "rehearsal", "installed": [], "cuda": tamis.info()["cuda"]}

    def unit_rows(self, n: int, d: int, seed: int) -> Any:
        return self.give(cases.unit_rows(n, d, seed))

    def mixture(self, n: int, d: int, centres: int, seed: int) -> tuple[Any, Any]:
        return (
            self.give(cases.mixture(n, d, seed, centres=centres)),
            self.give(cases.unit_rows(centres, d, seed + 1)),
        )

    def give(self, values: npt.NDArray[Any]) -> Any:
        return self._array(np.array(values))

    def take(self, array: Any) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = array.values.copy()
        return values

    def wait(self) -> None:
        _native.cuda().synchronize(device=0, stream=0)

    def milliseconds(self, call: Callable[[], Any], seconds: float) -> list[float]:
        times = []
        for _ in range(2):
            begin = time.perf_counter()
            call()
            self.wait()
            times.append((time.perf_counter() - begin) * 1e3)
        return times

    def clock(self) -> dict[str, float]:
        return {}

    def kernels(self, call: Callable[[], Any]) -> dict[str, float]:
        return {"rehearsed": self.milliseconds(call, 0.0)[-1]}

    def forget_peak(self) -> None:
        self.gpu.most = self._base = self.gpu.in_use

    def peak_bytes(self) -> int:
        return self.gpu.most - self._base

    def ceilings(self) -> dict[str, float]:
        return {}
