"""A GPU for the Python layer: arrays that only kernels may read, over the emulated module.

All work is done as late as the streams, their events and the host's waiting allow, and freed memory
is overwritten in the order of the stream: a buffer that is filled or freed too early is seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tamis import _native
from tamis.cuda import libraries, self_check

ALIGNMENT = 256
POISON = 0xFF
ASIDE = 7  # the handle of a stream aside


class Queue:
    """A stream's work, done when somebody waits for it, or at once."""

    def __init__(self, *, late: bool) -> None:
        self._late = late
        self._waiting: deque[Callable[[], None]] = deque()
        self.issued = self.done = 0

    def add(self, work: Callable[[], None]) -> None:
        self._waiting.append(work)
        self.issued += 1
        if not self._late:
            self.run()

    def run(self, until: int | None = None) -> None:
        """Do the work up to a point, or all of it."""
        while self._waiting and (until is None or self.done < until):
            work = self._waiting.popleft()
            self.done += 1
            work()


class DeviceArray:
    """What a GPU library's array shows of itself; its values are out of NumPy's reach."""

    def __init__(
        self, values: npt.NDArray[Any], ordinal: int = 0, stream: Queue | None = None
    ) -> None:
        self.memory = values
        self.ordinal = ordinal
        self._stream = stream

    @property
    def values(self) -> npt.NDArray[Any]:
        """What is there when the stream's work is done."""
        if self._stream is not None:
            self._stream.run()
        return self.memory

    @property
    def shape(self) -> tuple[int, ...]:
        return self.memory.shape

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.memory.shape,
            "typestr": self.memory.dtype.str,
            "data": (self.memory.ctypes.data, False),
            "strides": self.memory.strides,
            "version": 3,
            "stream": None,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.ordinal

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a device array was converted to NumPy")

    def __len__(self) -> int:
        return len(self.memory)

    def __getitem__(self, key: Any) -> DeviceArray:
        return DeviceArray(self.memory[key], self.ordinal, self._stream)


class Gpu:
    """The state of the fake: its streams, memory in use, and its limit."""

    def __init__(self, *, late: bool) -> None:
        self.stream, self.aside = Queue(late=late), Queue(late=late)
        self.room = 1 << 30
        self.in_use = 0
        self.most = 0
        self.log: list[str] = []

    def allocate(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        if self.in_use + n_bytes > self.room:
            raise OutOfMemoryError(f"{n_bytes} bytes")
        memory = np.full(n_bytes + ALIGNMENT, POISON, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        self.in_use += n_bytes
        self.most = max(self.most, self.in_use)
        return np.asarray(_Block(self, memory[start : start + n_bytes]))

    def queue(self, stream: int) -> Queue:
        return self.aside if stream == ASIDE else self.stream


class _Block:
    """Memory that goes back when the last array on it is gone, in the order of the stream."""

    def __init__(self, gpu: Gpu, memory: npt.NDArray[np.uint8]) -> None:
        self._gpu, self._memory = gpu, memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        memory = self._memory
        self._gpu.in_use -= memory.nbytes
        self._gpu.stream.add(lambda: memory.fill(POISON))


class OutOfMemoryError(Exception):
    """As cupy and torch have one."""


class Event:
    def __init__(self, queue: Queue) -> None:
        self._queue, self._behind = queue, queue.issued

    def synchronize(self) -> None:
        self._queue.run(self._behind)


class Stream:
    def __init__(self, gpu: Gpu, ptr: int) -> None:
        self.gpu = gpu
        self.ptr = ptr

    def record(self) -> Event:
        return Event(self.gpu.queue(self.ptr))

    def wait_event(self, event: Event) -> None:
        if self.ptr == ASIDE:
            self.gpu.log.append("wait")
        self.gpu.queue(self.ptr).add(event.synchronize)


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
        return DeviceArray(values, self.ordinal, self.gpu.stream)

    def adopt(self, x: Any) -> DeviceArray:
        assert isinstance(x, DeviceArray)
        return x

    def layout(self, array: DeviceArray) -> libraries.Layout:
        values = array.memory
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
        array.memory[...] = values
        return array


class FakeModule:
    """The emulated module; what goes to a stream waits, and a second device is the first again.

    Attributes:
        replaced: functions in the place of the module's.
    """

    def __init__(self, module: ModuleType, gpu: Gpu) -> None:
        self._module = module
        self._gpu = gpu
        self.replaced: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self._call(self.kernel(name), *args, **kwargs)

    def kernel(self, name: str) -> Any:
        """A function of the module, or what replaces it."""
        return self.replaced.get(name, getattr(self._module, name))

    def _call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        if "device" in kwargs:
            kwargs["device"] = 0
        if "stream" not in kwargs:
            return function(*args, **kwargs)
        queue = self._gpu.queue(kwargs.pop("stream"))
        queue.add(lambda: function(*args, **kwargs, stream=0))
        return None

    def device_count(self) -> int:
        return 2

    def device(self, ordinal: int) -> dict[str, int]:
        return self._module.device(0) | {"ordinal": ordinal}

    def copy(self, to: int, from_: int, n_bytes: int, *, device: int, stream: int) -> None:
        if stream == ASIDE:
            self._gpu.log.append("transfer")
        self._call(self._module.copy, to, from_, n_bytes, device=device, stream=stream)

    def synchronize(self, *, device: int, stream: int) -> None:
        self._gpu.queue(stream).run()

    def MaxCosine(self, *args: Any, device: int) -> Any:  # noqa: N802 - as the module names it
        plan = self.kernel("MaxCosine")(*args, device=0)
        run = lambda *args, stream: self._call(plan.run, *args, stream=stream)  # noqa: E731
        return SimpleNamespace(work_bytes=plan.work_bytes, run=run)


@contextmanager
def fake_gpu(module: ModuleType, *, late: bool = True) -> Iterator[Gpu]:
    """tamis with two GPUs that are fakes; cupy is the fake library."""
    gpu = Gpu(late=late)

    def library(ordinal: int) -> FakeLibrary:
        return FakeLibrary(gpu, ordinal)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_native, "_module", FakeModule(module, gpu))
        patch.setattr(_native, "_refused", {})
        patch.setattr(self_check, "_checked", {0, 1})
        patch.setitem(libraries.LIBRARIES, "cupy", library)
        patch.setitem(libraries.LIBRARIES, DeviceArray.__module__.partition(".")[0], library)
        yield gpu


def changed_plan(plan: Any, run: Any) -> Any:
    """MaxCosine as `plan` makes it, but for run(its own run, *args, **kwargs)."""

    class Changed:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.plan = plan(*args, **kwargs)
            self.work_bytes = self.plan.work_bytes

        def run(self, *args: Any, **kwargs: Any) -> None:
            run(self.plan.run, *args, **kwargs)

    return Changed
