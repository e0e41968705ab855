"""From any array to checked NumPy views; the only module that knows array libraries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

FLOATS = ("float16", "float32", "float64", "bfloat16")
BLOCK_BYTES = 32 << 20  # how much of an input is copied at a time


def as_matrix(x: Any, name: str = "x", dims: tuple[int, ...] = (2,)) -> npt.NDArray[Any]:
    """An array of one of FLOATS with one of the allowed numbers of dimensions, without a copy.

    Takes NumPy arrays, memory maps, sequences of sequences and torch tensors in host memory.

    Raises:
        TypeError: the elements are not floating-point numbers.
        ValueError: wrong number of dimensions, or no columns.
    """
    array = np.asarray(_from_torch(x) if type(x).__module__.split(".")[0] == "torch" else x)
    wanted = " or ".join(f"{d}-D" for d in dims)
    if array.dtype.name not in FLOATS:
        raise TypeError(
            f"{name}: expected a {wanted} array of float16, bfloat16, float32 or float64, "
            f"got {type(x).__name__} of dtype {array.dtype}"
        )
    if array.ndim not in dims:
        raise ValueError(f"{name}: expected a {wanted} array (rows, dim), got {array.ndim}-D")
    if array.shape[-1] < 1:
        raise ValueError(f"{name}: expected rows of at least 1 dimension, got shape {array.shape}")
    return array


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
        words = np.ascontiguousarray(block).view(np.uint16).astype(np.uint32)
        return (words << np.uint32(16)).view(np.float32)
    native = block.dtype.newbyteorder("=")
    return np.require(block, dtype=native, requirements=["C", "A"])


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


def _from_torch(tensor: Any) -> npt.NDArray[Any]:
    import torch

    tensor = tensor.detach()
    if tensor.device.type != "cpu":
        raise ValueError(f"expected a tensor in host memory, got one on {tensor.device}")
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())
