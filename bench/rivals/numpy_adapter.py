"""NumPy with its BLAS: the published inner step of SemDeDup."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.inputs import Rows
from bench.rivals import Offer, Rival
from bench.tasks import MaxCosineTask


def rival(threads: int) -> Rival:  # its BLAS reads the environment
    return Rival(
        "numpy",
        f"numpy {np.__version__}",
        {"max_cosine": [Offer("numpy", "float32", _max_cosine, "avx512")]},
    )


def _max_cosine(task: MaxCosineTask) -> Callable[[], Any]:
    rows = unit_float32(task.rows)
    return lambda: (largest_earlier_cosines(rows, task.offsets), None)


def unit_float32(rows: Rows) -> npt.NDArray[np.float32]:
    """The rows divided by their norms: a plain matrix product then gives cosines."""
    wide = rows.astype(np.float32)
    wide /= np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    return wide


def largest_earlier_cosines(
    rows: npt.NDArray[np.float32], offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """triu(X X^T, 1).max(0) of each segment; the zeros below the diagonal count."""
    out = np.zeros(len(rows), dtype=np.float32)
    for begin, end in zip(offsets[:-1], offsets[1:], strict=True):
        if end - begin > 1:
            segment = rows[begin:end]
            out[begin:end] = np.triu(segment @ segment.T, 1).max(axis=0)
    return out
