"""Where the GPU benchmark runs: a GPU through torch, or the emulation of the tests for a rehearsal.

A lab makes inputs, times calls, and measures what the machine could do at best. Everything that
knows torch or the emulation is here and in gpu_peers.py.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

import cases
import tamis
from tamis import _native

WARM_UP = 2
LEAST_ROUNDS, MOST_ROUNDS = 3, 20
MATRIX = 8192  # square, of the ceiling
COPIED = 1 << 32  # bytes, of the ceiling
SPREAD = 0.5  # of a Gaussian of a mixture, as in cases.mixture


class Lab(Protocol):
    """Where everything runs."""

    toy: bool

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

    def forget_peak(self) -> None:
        """Let `peak_bytes` count from now on."""
        ...

    def peak_bytes(self) -> int:
        """The most device memory in use since, over what was in use then."""
        ...

    def ceilings(self) -> dict[str, float]:
        """What the device reaches at best; empty where nothing can be measured."""
        ...


def open_lab(*, rehearse: bool) -> Lab:
    """The GPU's, or the emulation's."""
    use_whatever_the_self_check_says()
    return ToyLab() if rehearse else TorchLab()


def use_whatever_the_self_check_says() -> None:
    """Every row checks its own answers; of a GPU that tamis refuses nothing would be known."""
    from tamis import _native
    from tamis.cuda import self_check
    from tamis.cuda.mainloop import wanted

    self_check._checked.add(0)
    _native.cuda().use_mainloop(0, wanted())


class TorchLab:
    """GPU 0 through torch: its generator, its events and its allocator."""

    toy = False
    place = "cuda"

    def __init__(self) -> None:
        import torch

        self.torch = torch
        torch.ones(1, device=self.place).sum().item()  # the context exists from here on
        self._base = 0

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
        until = time.perf_counter() + seconds
        while len(times) < LEAST_ROUNDS or (
            len(times) < MOST_ROUNDS and time.perf_counter() < until
        ):
            begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        return times

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
        }

    def _generator(self, seed: int) -> Any:
        return self.torch.Generator(device=self.place).manual_seed(seed)

    def _normal(self, n: int, d: int, seed: int) -> Any:
        return self.torch.randn(n, d, generator=self._generator(seed), device=self.place)

    def _canonical(self, values: Any) -> Any:
        return tamis.canonical(values)[0]


class ToyLab:
    """The emulated device of the tests. Its times say nothing."""

    toy = True

    def __init__(self) -> None:
        from tests.cuda.extension import emulated_cuda
        from tests.cuda.fake_gpu import DeviceArray, fake_gpu

        self._stay = ExitStack()
        self.gpu = self._stay.enter_context(fake_gpu(emulated_cuda()))
        self._array = DeviceArray
        self._base = 0

    def close(self) -> None:
        """Let tamis be as it was."""
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

    def forget_peak(self) -> None:
        self.gpu.most = self._base = self.gpu.in_use

    def peak_bytes(self) -> int:
        return self.gpu.most - self._base

    def ceilings(self) -> dict[str, float]:
        return {}
