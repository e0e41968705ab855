"""Where the GPU benchmark runs: a GPU through torch, or a rehearsal (gpu_rehearsal.py).

A lab makes inputs, times calls, and measures what the machine could do at best. Everything that
knows torch is here and in gpu_peers.py.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

import tamis
from bench.gpu_clock import Clock, sampler
from tamis import _native
from tamis.cuda import self_check
from tamis.cuda.mainloop import MAINLOOPS, wanted

WARM_UP = 2
LEAST_ROUNDS, MOST_ROUNDS = 3, 20
MATRIX = 8192  # square, of the ceiling
COPIED = 1 << 32  # bytes, of the ceiling
SPREAD = 0.5  # of a Gaussian of a mixture, as in cases.mixture


class Lab(Protocol):
    """Where everything runs.

    Attributes:
        toy: sizes are small, and times say nothing.
        mainloops: those that are measured, the first one always right.
        says: told of a mainloop that is used from now on.
    """

    toy: bool
    mainloops: Sequence[str]
    says: Callable[[str], None]

    def about(self) -> dict[str, Any]:
        """Which device and which libraries."""
        ...

    def unit_rows(self, n: int, d: int, seed: int) -> Any:
        """Canonical float16 rows of random directions."""
        ...

    def mixture(self, n: int, d: int, centres: int, seed: int) -> tuple[Any, Any]:
        """Canonical rows of a mixture, and the directions of its centres."""
        ...

    def give(self, values: npt.NDArray[Any]) -> Any:
        """A copy on the device."""
        ...

    def take(self, array: Any) -> npt.NDArray[Any]:
        """A copy on the host; waits for the device."""
        ...

    def wait(self) -> None:
        """Wait for the device."""
        ...

    def milliseconds(self, call: Callable[[], Any], seconds: float) -> list[float]:
        """Device times of single calls, warm, about so many seconds of them."""
        ...

    def clock(self) -> dict[str, float]:
        """{"sm_mhz", "watts"} while calls were timed last; empty where nobody knows."""
        ...

    def kernels(self, call: Callable[[], Any]) -> dict[str, float]:
        """Milliseconds of each kernel of one warm call, by name."""
        ...

    def forget_peak(self) -> None:
        """Let `peak_bytes` count from now on."""
        ...

    def peak_bytes(self) -> int:
        """The most device memory in use since, over what was in use then."""
        ...

    def ceilings(self) -> dict[str, float]:
        """What the device reaches at best; empty where nothing can be measured."""
        ...


def open_lab(*, rehearse: bool, mainloops: Sequence[str] = MAINLOOPS) -> tuple[Lab, str]:
    """The GPU's, or the emulation's, and why it has not all of the mainloops."""
    from bench.gpu_mainloops import of_the_device
    from bench.gpu_rehearsal import ToyLab

    lab: Lab = ToyLab() if rehearse else TorchLab()
    trust_the_gpu()
    lab.mainloops, why = of_the_device(mainloops)
    if not lab.mainloops:
        raise RuntimeError(why)
    return lab, why


def trust_the_gpu() -> None:
    """Every row checks its own answers; of a GPU that tamis refuses nothing would be known."""
    self_check._checked.add(0)


def use_the_wanted_mainloop() -> None:
    """What the self-check would do where it finds no fault."""
    _native.cuda().use_mainloop(0, wanted())


def say_nothing(mainloop: str) -> None:
    """Nobody wants to know."""


class TorchLab:
    """GPU 0 through torch: its generator, its events and its allocator."""

    toy = False
    place = "cuda"

    def __init__(self) -> None:
        import torch

        self.mainloops: Sequence[str] = MAINLOOPS[:1]
        self.says: Callable[[str], None] = say_nothing
        self.torch = torch
        torch.ones(1, device=self.place).sum().item()  # the context exists from here on
        self._base = 0
        self._clock, self._timed = Clock(sampler()), (0.0, 0.0)

    def about(self) -> dict[str, Any]:
        torch = self.torch
        free, total = torch.cuda.mem_get_info()
        installed = ["torch", "cupy", "triton", "faiss", "flashlib", "pytest"]
        return {
            "device": torch.cuda.get_device_name(0),
            "memory_gb": total / 1e9,
            "free_gb": free / 1e9,
            "torch": torch.__version__,
            "installed": [name for name in installed if importlib.util.find_spec(name)],
            "cuda": tamis.info()["cuda"],
        }

    def unit_rows(self, n: int, d: int, seed: int) -> Any:
        return self._canonical(self._normal(n, d, seed))

    def mixture(self, n: int, d: int, centres: int, seed: int) -> tuple[Any, Any]:
        centre = self._normal(centres, d, seed + 1000)
        chosen = self.torch.randint(
            centres, (n,), generator=self._generator(seed + 2000), device=self.place
        )
        rows = self._normal(n, d, seed).mul_(SPREAD).add_(centre[chosen])
        return self._canonical(rows), self._canonical(centre)

    def give(self, values: npt.NDArray[Any]) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(values)).to(self.place)

    def take(self, array: Any) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = array.cpu().numpy()
        return values

    def wait(self) -> None:
        self.torch.cuda.synchronize()

    def milliseconds(self, call: Callable[[], Any], seconds: float) -> list[float]:
        for _ in range(WARM_UP):
            call()
        self.wait()
        times: list[float] = []
        started = time.perf_counter()
        until = started + seconds
        while len(times) < LEAST_ROUNDS or (
            len(times) < MOST_ROUNDS and time.perf_counter() < until
        ):
            begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        self._timed = started, time.perf_counter()
        return times

    def clock(self) -> dict[str, float]:
        return self._clock.between(*self._timed)

    def kernels(self, call: Callable[[], Any]) -> dict[str, float]:
        from bench.gpu_profile import kernel_ms

        profiler = self.torch.profiler
        call()
        self.wait()
        with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as seen:
            call()
            self.wait()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            seen.export_chrome_trace(str(path))
            return kernel_ms(json.loads(path.read_text())["traceEvents"])

    def forget_peak(self) -> None:
        cuda = self.torch.cuda
        cuda.synchronize()
        cuda.reset_peak_memory_stats()
        self._base = cuda.memory_allocated()

    def peak_bytes(self) -> int:
        return int(self.torch.cuda.max_memory_allocated() - self._base)

    def ceilings(self) -> dict[str, float]:
        torch, size = self.torch, MATRIX
        a, b = (self._normal(size, size, seed).half() for seed in (1, 2))
        matmul = median(self.milliseconds(lambda: a @ b, 0.5))
        clock = {f"matmul_{name}": value for name, value in self.clock().items()}
        source = torch.empty(COPIED, dtype=torch.uint8, device=self.place).fill_(7)
        target = torch.empty_like(source)
        copy = median(self.milliseconds(lambda: target.copy_(source), 0.3))
        host = torch.empty(COPIED // 4, dtype=torch.uint8, pin_memory=True).fill_(7)
        part = target[: COPIED // 4]
        bus = median(self.milliseconds(lambda: part.copy_(host, non_blocking=True), 0.3))
        return {
            "matmul_tflops": 2 * size**3 / matmul / 1e9,
            "copy_tb_s": 2 * COPIED / copy / 1e9,
            "to_device_gb_s": COPIED / 4 / bus / 1e6,
            **clock,
        }

    def _generator(self, seed: int) -> Any:
        return self.torch.Generator(device=self.place).manual_seed(seed)

    def _normal(self, n: int, d: int, seed: int) -> Any:
        return self.torch.randn(n, d, generator=self._generator(seed), device=self.place)

    def _canonical(self, values: Any) -> Any:
        return tamis.canonical(values)[0]
