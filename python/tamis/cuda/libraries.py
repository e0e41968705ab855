"""Array libraries that own GPU memory: buffers, streams, and arrays for the caller.

tamis allocates nothing on a GPU itself. Results and work buffers come from the library of the
caller's array, on the stream that is current there, so its caching allocator and its stream order
hold for them too. Host input needs cupy. Arrays of other libraries are taken through DLPack or
`__cuda_array_interface__` by cupy, or by torch where there is no cupy; results go back through
DLPack, or stay cupy's or torch's where the library has no array namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tamis.errors import MissingExtraError, require

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """An address, and strides in bytes; the dtype as NumPy and torch name it."""

    address: int
    shape: Shape
    strides: Shape
    dtype: str


class Event(Protocol):
    """A point in a stream's work."""

    def synchronize(self) -> None:
        """Wait for it on the host."""
        ...


class Stream(Protocol):
    """A queue of work of a GPU."""

    @property
    def ptr(self) -> int:
        """The cudaStream_t."""
        ...

    def record(self) -> Event:
        """An event behind the work so far."""
        ...

    def wait_event(self, event: Event) -> None:
        """Hold back further work until the event."""
        ...


class Library(Protocol):
    """What the kernels need of an array library, on one GPU."""

    ordinal: int
    out_of_memory: type[BaseException]

    def stream(self) -> int:
        """The caller's current stream."""
        ...

    def empty(self, shape: Shape, dtype: str) -> Any:
        """A new C-contiguous array, aligned to 256 bytes at least."""
        ...

    def adopt(self, x: Any) -> Any:
        """An array of this library on the memory of x, which is on this GPU."""
        ...

    def layout(self, array: Any) -> Layout:
        """Where the elements of an array of this library are."""
        ...

    def take(self, array: Any, rows: npt.NDArray[np.int64]) -> Any:
        """Some rows of a 2-D array, as a new array."""
        ...

    def at_least(self, array: Any, value: int) -> Any:
        """Where the elements are value or more, as bool."""
        ...

    def to_float32(self, array: Any) -> Any:
        """A float32 copy, rounded to nearest even."""
        ...

    def stack(self, arrays: Sequence[Any]) -> Any:
        """Arrays of one shape along a new first axis."""
        ...

    def given(self, array: Any) -> Any:
        """An array of `empty` as the caller gets it."""
        ...


class HostLibrary(Library, Protocol):
    """A library that also moves host arrays."""

    def free_bytes(self) -> int:
        """What an allocation may take now."""
        ...

    def pinned(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        """Page-locked host memory."""
        ...

    def current(self) -> Stream:
        """The stream that `stream` names."""
        ...

    def aside(self) -> Stream:
        """A new stream that waits for no other."""
        ...


class Torch:
    """torch tensors."""

    def __init__(self, ordinal: int) -> None:
        import torch

        self.ordinal = ordinal
        self.out_of_memory: type[BaseException] = torch.cuda.OutOfMemoryError
        self._torch = torch
        self._place = torch.device("cuda", ordinal)

    def stream(self) -> int:
        return int(self._torch.cuda.current_stream(self.ordinal).cuda_stream)

    def empty(self, shape: Shape, dtype: str) -> Any:
        return self._torch.empty(shape, dtype=getattr(self._torch, dtype), device=self._place)

    def adopt(self, x: Any) -> Any:
        if isinstance(x, self._torch.Tensor):
            return x.detach()
        if hasattr(x, "__dlpack__"):
            return self._torch.from_dlpack(x)
        return self._torch.as_tensor(x, device=self._place)

    def layout(self, array: Any) -> Layout:
        size = array.element_size()
        strides = tuple(step * size for step in array.stride())
        dtype = str(array.dtype).removeprefix("torch.")
        return Layout(int(array.data_ptr()), tuple(array.shape), strides, dtype)

    def take(self, array: Any, rows: npt.NDArray[np.int64]) -> Any:
        return array.index_select(0, self._torch.from_numpy(rows).to(array.device))

    def at_least(self, array: Any, value: int) -> Any:
        return array >= value

    def to_float32(self, array: Any) -> Any:
        return array.to(self._torch.float32)

    def stack(self, arrays: Sequence[Any]) -> Any:
        return self._torch.stack(list(arrays))

    def given(self, array: Any) -> Any:
        return array


class CupyStream:
    """A stream of cupy's, on its own GPU whichever is the current one."""

    def __init__(self, stream: Any, scope: Callable[[], AbstractContextManager[Any]]) -> None:
        self._stream = stream
        self._scope = scope

    @property
    def ptr(self) -> int:
        return int(self._stream.ptr)

    def record(self) -> Event:
        with self._scope():
            event: Event = self._stream.record()
        return event

    def wait_event(self, event: Event) -> None:
        with self._scope():
            self._stream.wait_event(event)


class Cupy:
    """cupy arrays; also host arrays, through page-locked memory."""

    def __init__(self, ordinal: int) -> None:
        self._cupy = require("cupy", extra="cuda13")
        self.ordinal = ordinal
        self.out_of_memory: type[BaseException] = self._cupy.cuda.memory.OutOfMemoryError

    def stream(self) -> int:
        return int(self.current().ptr)

    def current(self) -> Stream:
        with self._scope():
            return CupyStream(self._cupy.cuda.get_current_stream(), self._scope)

    def aside(self) -> Stream:
        with self._scope():
            return CupyStream(self._cupy.cuda.Stream(non_blocking=True), self._scope)

    def empty(self, shape: Shape, dtype: str) -> Any:
        with self._scope():
            return self._cupy.empty(shape, dtype=np.dtype(dtype))

    def adopt(self, x: Any) -> Any:
        with self._scope():
            if isinstance(x, self._cupy.ndarray):
                return x
            if type(x).__module__.partition(".")[0] == "torch":
                x = x.detach()  # what needs a gradient is not exported
            if hasattr(x, "__dlpack__"):
                return self._cupy.from_dlpack(x)
            return self._cupy.asarray(x)

    def layout(self, array: Any) -> Layout:
        return Layout(int(array.data.ptr), array.shape, array.strides, dtype_name(array.dtype))

    def take(self, array: Any, rows: npt.NDArray[np.int64]) -> Any:
        with self._scope():
            return array[self._cupy.asarray(rows)]

    def at_least(self, array: Any, value: int) -> Any:
        with self._scope():
            return array >= value

    def to_float32(self, array: Any) -> Any:
        with self._scope():
            return array.astype(np.float32)

    def stack(self, arrays: Sequence[Any]) -> Any:
        with self._scope():
            return self._cupy.stack(list(arrays))

    def given(self, array: Any) -> Any:
        return array

    def free_bytes(self) -> int:
        with self._scope():
            free, _ = self._cupy.cuda.runtime.memGetInfo()
            return int(free + self._cupy.get_default_memory_pool().free_bytes())

    def pinned(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        size = (
            1 << max(n_bytes - 1, 0).bit_length()
        )  # cupy's pool keeps blocks, and reuses equal ones
        with self._scope():  # else another GPU gets a context
            memory = self._cupy.cuda.alloc_pinned_memory(size)
        return np.frombuffer(memory, np.uint8, n_bytes)

    def _scope(self) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = self._cupy.cuda.Device(self.ordinal)
        return scope


def dtype_name(dtype: np.dtype[Any]) -> str:
    """As torch names it too; one that no kernel reads where the byte order is foreign."""
    return dtype.name if dtype.isnative else f"{dtype.name} of foreign byte order"


LIBRARIES: dict[str, Callable[[int], Library]] = {"torch": Torch, "cupy": Cupy}
"""By the top-level module of an array's type."""


def library_of(x: Any, ordinal: int) -> Library:
    """The library that allocates for a caller whose array is x."""
    make = LIBRARIES.get(type(x).__module__.partition(".")[0])
    return _through_another(x, ordinal) if make is None else make(ordinal)


def host_library(ordinal: int) -> HostLibrary:
    """The library that allocates where the arrays are in host memory.

    Raises:
        MissingExtraError: cupy is not installed.
    """
    library: Any = LIBRARIES["cupy"](ordinal)
    return library  # type: ignore[no-any-return]


def _through_another(x: Any, ordinal: int) -> Library:
    """cupy or torch, whose arrays go back through DLPack where x's library takes them."""
    library: Any
    try:
        library = LIBRARIES["cupy"](ordinal)
    except MissingExtraError:
        if find_spec("torch") is None:
            raise
        library = LIBRARIES["torch"](ordinal)
    namespace = getattr(x, "__array_namespace__", None)
    if namespace is not None:
        library.given = namespace().from_dlpack
    return library  # type: ignore[no-any-return]
