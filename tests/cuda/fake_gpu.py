"""A GPU for the Python layer: arrays that only kernels may read, over the emulated module.

A transfer on a stream aside is done as late as the events allow, so a buffer that is filled or
freed too early is seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tamis import _native
from tamis.cuda import libraries, self_check

ALIGNMENT = 256
POISON = 0xFF
ASIDE = 7  # the handle of a stream aside


class DeviceArray:
    """What a GPU library's array shows of itself; its values are out of NumPy's reach."""

    def __init__(self, values: npt.NDArray[Any], ordinal: int = 0) -> None:
        self.values = values
        self.ordinal = ordinal

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.values.shape,
            "typestr": self.values.dtype.str,
            "data": (self.values.ctypes.data, False),
            "strides": self.values.strides,
            "version": 3,
            "stream": None,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.ordinal

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a device array was converted to NumPy")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: Any) -> DeviceArray:
        return DeviceArray(self.values[key], self.ordinal)


class Gpu:
    """The state of the fake: memory in use, its limit, and transfers that wait."""

    def __init__(self) -> None:
        self.room = 1 << 30
        self.in_use = 0
        self.most = 0
        self.waiting: deque[Callable[[], None]] = deque()
        self.issued = self.done = 0
        self.log: list[str] = []

    def allocate(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        if self.in_use + n_bytes > self.room:
            raise OutOfMemoryError(f"{n_bytes} bytes")
        memory = np.full(n_bytes + ALIGNMENT, POISON, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        self.in_use += n_bytes
        self.most = max(self.most, self.in_use)
        block = _Block(memory[start : start + n_bytes])
        block.free = lambda: self._free(n_bytes)
        return np.asarray(block)

    def transfer_later(self, copy: Callable[[], None]) -> None:
        """A transfer on a stream aside."""
        self.waiting.append(copy)
        self.issued += 1

    def catch_up(self, until: int | None = None) -> None:
        """Do the transfers that wait, up to one."""
        while self.waiting and (until is None or self.done < until):
            self.waiting.popleft()()
            self.done += 1

    def _free(self, n_bytes: int) -> None:
        self.in_use -= n_bytes


class _Block:
    """Memory that says when the last array on it is gone."""

    free: Callable[[], None]

    def __init__(self, memory: npt.NDArray[np.uint8]) -> None:
        self._memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        self._memory[...] = POISON
        self.free()


class OutOfMemoryError(Exception):
    """As cupy and torch have one."""


class Event:
    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.behind = gpu.issued

    def synchronize(self) -> None:
        self.gpu.catch_up(self.behind)


class Stream:
    def __init__(self, gpu: Gpu, ptr: int) -> None:
        self.gpu = gpu
        self.ptr = ptr

    def record(self) -> Event:
        return Event(self.gpu)

    def wait_event(self, event: Event) -> None:
        if self.ptr == ASIDE:
            self.gpu.log.append("wait")
        else:
            self.gpu.catch_up(event.behind)


class FakeLibrary:
    """`tamis.cuda.libraries.HostLibrary` over the fake."""

    out_of_memory = OutOfMemoryError

    def __init__(self, gpu: Gpu, ordinal: int) -> None:
        self.gpu = gpu
        self.ordinal = ordinal

    def stream(self) -> int:
        return 0

    def current(self) -> Stream:
        return Stream(self.gpu, 0)

    def aside(self) -> Stream:
        return Stream(self.gpu, ASIDE)

    def empty(self, shape: tuple[int, ...], dtype: str) -> DeviceArray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        values = self.gpu.allocate(size).view(dtype).reshape(shape)
        return DeviceArray(values, self.ordinal)

    def adopt(self, x: Any) -> DeviceArray:
        assert isinstance(x, DeviceArray)
        return x

    def layout(self, array: DeviceArray) -> libraries.Layout:
        values = array.values
        name = libraries.dtype_name(values.dtype)
        return libraries.Layout(values.ctypes.data, values.shape, values.strides, name)

    def take(self, array: DeviceArray, rows: npt.NDArray[np.int64]) -> DeviceArray:
        return self._made(array.values[rows])

    def at_least(self, array: DeviceArray, value: int) -> DeviceArray:
        return self._made(array.values >= value)

    def to_float32(self, array: DeviceArray) -> DeviceArray:
        return self._made(array.values.astype(np.float32))

    def stack(self, arrays: Sequence[DeviceArray]) -> DeviceArray:
        return self._made(np.stack([array.values for array in arrays]))

    def given(self, array: DeviceArray) -> DeviceArray:
        return array

    def free_bytes(self) -> int:
        return self.gpu.room - self.gpu.in_use

    def pinned(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        return np.full(n_bytes, POISON, np.uint8)

    def _made(self, values: npt.NDArray[Any]) -> DeviceArray:
        array = self.empty(values.shape, values.dtype.name)
        array.values[...] = values
        return array


class FakeModule:
    """The emulated module; transfers aside wait, and a second device is the first again."""

    def __init__(self, module: ModuleType, gpu: Gpu) -> None:
        self._module = module
        self._gpu = gpu

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            if "device" in kwargs:
                kwargs["device"] = 0
            return found(*args, **kwargs)

        return call

    def device_count(self) -> int:
        return 2

    def device(self, ordinal: int) -> dict[str, int]:
        return self._module.device(0) | {"ordinal": ordinal}

    def copy(self, to: int, from_: int, n_bytes: int, *, device: int, stream: int) -> None:
        def copy() -> None:
            self._module.copy(to, from_, n_bytes, device=0, stream=0)

        if stream == ASIDE:
            self._gpu.log.append("transfer")
            self._gpu.transfer_later(copy)
        else:
            copy()

    def synchronize(self, *, device: int, stream: int) -> None:
        if stream == ASIDE:
            self._gpu.catch_up()


@contextmanager
def fake_gpu(module: ModuleType) -> Iterator[Gpu]:
    """tamis with two GPUs that are fakes; cupy is the fake library."""
    gpu = Gpu()

    def library(ordinal: int) -> FakeLibrary:
        return FakeLibrary(gpu, ordinal)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_native, "_module", FakeModule(module, gpu))
        patch.setattr(_native, "_refused", {})
        patch.setattr(self_check, "_checked", {0, 1})
        patch.setitem(libraries.LIBRARIES, "cupy", library)
        patch.setitem(libraries.LIBRARIES, DeviceArray.__module__.partition(".")[0], library)
        yield gpu
