"""From any array to checked NumPy views, and where an array lives.

This module and `tamis.cuda.libraries` are the only ones that know array libraries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis import _native

FLOATS = ("float16", "float32", "float64", "bfloat16")
BLOCK_BYTES = 32 << 20  # how much of an input is copied at a time
_DLPACK_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged


def as_matrix(x: Any, name: str = "x", dims: tuple[int, ...] = (2,)) -> npt.NDArray[Any]:
    """An array of one of FLOATS with one of the allowed numbers of dimensions, without a copy.

    Takes NumPy arrays, memory maps, sequences of sequences and torch tensors in host memory.

    Raises:
        TypeError: the elements are not floating-point numbers.
        ValueError: wrong number of dimensions, or no columns.
    """
    ordinal = cuda_ordinal(x)
    if ordinal is not None:
        raise ValueError(f"{name}: expected an array in host memory, got one on cuda:{ordinal}")
    array = np.asarray(_from_torch(x) if _library(x) == "torch" else x)
    check_matrix(array.dtype, array.shape, f"{name}: ", type(x).__name__, dims)
    return array


def check_matrix(
    dtype: Any, shape: tuple[int, ...], name: str, kind: str, dims: tuple[int, ...]
) -> None:
    """Raise TypeError or ValueError unless they are those of a matrix for the kernels."""
    wanted = " or ".join(f"{d}-D" for d in dims)
    if getattr(dtype, "name", dtype) not in FLOATS:
        raise TypeError(
            f"{name}expected a {wanted} array of float16, bfloat16, float32 or float64, "
            f"got {kind} of dtype {dtype}"
        )
    if len(shape) not in dims:
        raise ValueError(f"{name}expected a {wanted} array (rows, dim), got {len(shape)}-D")
    if shape[-1] < 1:
        raise ValueError(f"{name}expected rows of at least 1 dimension, got shape {shape}")


def cuda_ordinal(x: Any) -> int | None:
    """The number of the GPU that holds an array; None for host memory and what is no array."""
    if isinstance(x, (np.ndarray, list, tuple, str)):
        return None
    if _library(x) == "torch":
        return int(x.device.index or 0) if x.device.type == "cuda" else None
    if hasattr(x, "__dlpack_device__"):
        kind, ordinal = x.__dlpack_device__()
        return int(ordinal) if int(kind) in _DLPACK_CUDA else None
    if hasattr(x, "__cuda_array_interface__"):
        return _native.ordinal_of("cuda")
    return None


def cuda_of(device: str | None, **arrays: Any) -> int | None:
    """The GPU on which a call runs, None for the CPU: where its arrays live, or what it asks for.

    Host arrays go to a GPU where the device names one; "auto" leaves them on the CPU.

    Raises:
        ValueError: the arrays are not in one place, or not where the device says.
        RuntimeError: the device is a GPU that cannot be used.
    """
    asked = _native.ordinal_of(device)
    places = {name: cuda_ordinal(x) for name, x in arrays.items() if x is not None}
    name, place = next(((n, p) for n, p in places.items() if p is not None), ("", None))
    if place is None:
        return asked
    for other, elsewhere in places.items():
        if elsewhere != place:
            where = "in host memory" if elsewhere is None else f"on cuda:{elsewhere}"
            raise ValueError(
                f"{name} is on cuda:{place} and {other} {where}; expected them in one place"
            )
    if device == "cpu" or (asked != place and device not in (None, "auto", "cuda")):
        raise ValueError(f'{name} is on cuda:{place}, but device="{device}" was asked for')
    return place


def blocks(matrix: npt.NDArray[Any]) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """C-contiguous native float16, float32 or float64 blocks of rows, each at most a few MiB."""
    width = max(1, matrix.shape[1] * max(4, matrix.dtype.itemsize))
    step = max(1, BLOCK_BYTES // width)
    for start in range(0, len(matrix), step):
        part = slice(start, min(start + step, len(matrix)))
        yield part, contiguous(matrix[part])


def contiguous(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same numbers, C-contiguous, aligned, in native byte order; bfloat16 becomes float32."""
    if block.dtype.name == "bfloat16":
        return widened(np.ascontiguousarray(block).view(np.uint16))
    native = block.dtype.newbyteorder("=")
    return np.require(block, dtype=native, requirements=["C", "A"])


def widened(words: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The float32 numbers of the bits of bfloat16 numbers."""
    return (words.astype(np.uint32) << np.uint32(16)).view(np.float32)


def as_float64(matrix: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """A contiguous float64 copy; every dtype of FLOATS converts exactly."""
    return np.ascontiguousarray(contiguous(matrix), dtype=np.float64)


def as_offsets(offsets: npt.ArrayLike | None, n_rows: int, name: str) -> npt.NDArray[np.int64]:
    """Segment offsets as int64; None is one segment of all rows.

    Raises:
        ValueError: they are not a 1-D integer array that ascends from 0 to n_rows.
    """
    bounds = np.array([0, n_rows]) if offsets is None else np.asarray(offsets)
    if bounds.ndim != 1 or len(bounds) < 1 or bounds.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: expected a 1-D integer array of length segments + 1, "
            f"got {bounds.ndim}-D of dtype {bounds.dtype} and {bounds.size} elements"
        )
    bounds = bounds.astype(np.int64)
    if bounds[0] != 0 or bounds[-1] != n_rows or (np.diff(bounds) < 0).any():
        raise ValueError(f"{name}: expected to ascend from 0 to the number of rows, {n_rows}")
    return bounds


def _library(x: Any) -> str:
    return type(x).__module__.partition(".")[0]


def _from_torch(tensor: Any) -> npt.NDArray[Any]:
    import torch

    tensor = tensor.detach()
    if tensor.device.type != "cpu":
        raise ValueError(f"expected a tensor in host memory, got one on {tensor.device}")
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())
