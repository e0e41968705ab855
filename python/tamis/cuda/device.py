"""A GPU as the kernels use it: buffers of the caller's library, copies, and the caller's stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis import _native
from tamis._array import check_matrix, cuda_ordinal, widened
from tamis.cuda.libraries import Library, Shape, host_library, library_of

_SIZES = {
    **dict.fromkeys(("bool", "int8", "uint8"), 1),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("float32", "int32", "uint32"), 4),
    **dict.fromkeys(("float64", "int64", "uint64"), 8),
}


class GpuMemoryError(MemoryError, RuntimeError):
    """A GPU has no room for what a call needs."""


@dataclass(frozen=True)
class Array:
    """A C-contiguous array on a GPU: an address, and what keeps its memory."""

    owner: Any
    address: int
    shape: Shape
    dtype: str

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def n_bytes(self) -> int:
        return prod(self.shape) * _SIZES[self.dtype]

    def part(self, rows: slice) -> Array:
        """Some rows, without a copy; the owner stays the whole."""
        width = prod(self.shape[1:]) * _SIZES[self.dtype]
        shape = (rows.stop - rows.start, *self.shape[1:])
        return replace(self, address=self.address + rows.start * width, shape=shape)


class Device:
    """One GPU and one array library, on the stream that is current when it is made.

    Attributes:
        module: the compiled kernels.
        on: the keyword arguments that every kernel takes.
    """

    def __init__(self, module: ModuleType, library: Library) -> None:
        self.module: Any = module
        self.library = library
        self.ordinal = library.ordinal
        self.stream = library.stream()
        self.on = {"device": self.ordinal, "stream": self.stream}

    def empty(self, shape: Shape, dtype: str) -> Array:
        """A new array.

        Raises:
            GpuMemoryError: there is no room.
        """
        with self._room(prod(shape) * _SIZES[dtype]):
            return self._own(self.library.empty(shape, dtype))

    def zeros(self, shape: Shape, dtype: str) -> Array:
        """A new array of zeros."""
        array = self.empty(shape, dtype)
        self.clear(array)
        return array

    def clear(self, array: Array) -> None:
        """Set every byte to zero."""
        self.module.fill(array.address, 0, array.n_bytes, **self.on)

    def work(self, n_bytes: int) -> Array:
        """A buffer for one call; the library may reuse it behind that call on the stream."""
        return self.empty((max(1, n_bytes),), "uint8")

    def upload(self, values: npt.NDArray[Any]) -> Array:
        """A copy of a host array; waits for the stream, as the array may go then."""
        values = np.ascontiguousarray(values)
        array = self.empty(values.shape, values.dtype.name)
        if values.size:
            self.module.copy(array.address, values.ctypes.data, array.n_bytes, **self.on)
            self.synchronize()
        return array

    def download(self, array: Array) -> npt.NDArray[Any]:
        """A copy in host memory, bfloat16 as float32; waits for the stream."""
        is_bfloat16 = array.dtype == "bfloat16"
        values = np.empty(array.shape, dtype=np.uint16 if is_bfloat16 else array.dtype)
        if values.size:
            self.module.copy(values.ctypes.data, array.address, array.n_bytes, **self.on)
        self.synchronize()
        return widened(values) if is_bfloat16 else values

    def synchronize(self) -> None:
        """Wait for the stream."""
        self.module.synchronize(**self.on)

    def view(self, x: Any) -> Array:
        """An array on this GPU as it is, without a copy.

        Raises:
            ValueError: its rows are not contiguous.
        """
        owner = self.library.adopt(x)
        address, shape, strides, dtype = self.library.layout(owner)
        if dtype in _SIZES and not _is_contiguous(shape, strides, _SIZES[dtype]):
            raise ValueError(
                f"expected C-contiguous rows on a GPU, got shape {shape} with strides of {strides} "
                "bytes; make a contiguous copy first"
            )
        return Array(owner, address, shape, dtype)

    def matrix(self, x: Any, name: str = "x", dims: tuple[int, ...] = (2,)) -> Array:
        """`view` of rows for the kernels.

        Raises:
            TypeError, ValueError: as `tamis._array.as_matrix`, and rows that are not contiguous.
        """
        try:
            array = self.view(x)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from None
        except (BufferError, NotImplementedError) as error:  # what DLPack refuses
            raise TypeError(f"{name}: {error}") from None
        check_matrix(array.dtype, array.shape, f"{name}: ", type(x).__name__, dims)
        return array

    def host(self, x: Any) -> Any:
        """A host copy of what lives on a GPU; anything else as it is."""
        return x if cuda_ordinal(x) is None else self.download(self.view(x))

    def take(self, array: Array, rows: npt.NDArray[np.int64]) -> Array:
        """Some rows of a whole matrix, copied."""
        with self._room(len(rows) * array.shape[1] * _SIZES[array.dtype]):
            return self._own(self.library.take(array.owner, rows))

    def at_least(self, array: Array, value: int) -> Array:
        """Where the elements of a whole array are value or more, as bool."""
        with self._room(prod(array.shape)):
            return self._own(self.library.at_least(array.owner, value))

    def to_float32(self, array: Array) -> Array:
        """A whole array as float32, rounded to nearest even."""
        with self._room(4 * prod(array.shape)):
            return self._own(self.library.to_float32(array.owner))

    def stack(self, arrays: Sequence[Any]) -> Any:
        """Arrays of the library, of one shape, along a new first axis."""
        with self._room(sum(self._own(array).n_bytes for array in arrays)):
            return self.library.stack(arrays)

    def given(self, array: Array) -> Any:
        """A whole array of `empty`, as the caller gets it."""
        return self.library.given(array.owner)

    def _own(self, owner: Any) -> Array:
        address, shape, _, dtype = self.library.layout(owner)
        return Array(owner, address, shape, dtype)

    @contextmanager
    def _room(self, n_bytes: int) -> Iterator[None]:
        try:
            yield
        except self.library.out_of_memory:
            raise GpuMemoryError(
                f"cuda:{self.ordinal} has no room for {n_bytes:,} bytes more; free some, or give "
                "fewer rows at a time"
            ) from None


def open_device(ordinal: int, like: Any = None) -> Device:
    """A GPU for a caller whose array is `like`; cupy's buffers where that is in host memory.

    The first use of a GPU in a process compares its bits with the CPU's.

    Raises:
        RuntimeError: the GPU cannot be used; the text says why.
        MissingExtraError: host memory, and cupy is not installed.
    """
    from tamis.cuda.self_check import verify

    refuse_absent(ordinal)
    in_host_memory = like is None or cuda_ordinal(like) is None
    library = host_library(ordinal) if in_host_memory else library_of(like, ordinal)
    device = Device(_native.cuda(), library)
    verify(device)
    refuse_absent(ordinal)
    return device


def refuse_absent(ordinal: int) -> None:
    """Raise RuntimeError where a GPU cannot be used."""
    why = _native.cuda_absent(ordinal)
    if why is not None:
        raise RuntimeError(f'cuda:{ordinal} cannot be used: {why}; use device="cpu"')


def _is_contiguous(shape: Shape, strides: tuple[int, ...], size: int) -> bool:
    if 0 in shape:
        return True
    for extent, stride in zip(reversed(shape), reversed(strides), strict=True):
        if extent != 1 and stride != size:
            return False
        size *= extent
    return True
