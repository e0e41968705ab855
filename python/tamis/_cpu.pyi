"""Kernels of tamis on the CPU. float16 crosses as uint16 views."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_Bits = npt.NDArray[np.uint16]
_Int32 = npt.NDArray[np.int32]
_Int64 = npt.NDArray[np.int64]
_Float64 = npt.NDArray[np.float64]
_Points = _Bits | npt.NDArray[np.float32] | _Float64

def canonical(
    x: _Bits | npt.NDArray[np.float32] | _Float64, rows: _Bits | None
) -> npt.NDArray[np.uint8]: ...
def squared_norms(x: _Float64) -> _Float64: ...
def assign(
    x: _Bits,
    centroids: _Bits | _Float64,
    euclidean: bool,
    top: int,
    guess: _Int32 | None = None,
) -> tuple[_Int32, _Float64, dict[str, int]]: ...
def update_centroids(x: _Bits, labels: _Int32, centroids: _Bits, spherical: bool) -> _Bits: ...
def inertia(x: _Bits, labels: _Int32, centroids: _Bits) -> int: ...
def max_cosine(
    x: _Bits,
    offsets: _Int64,
    other: _Bits | None,
    other_offsets: _Int64 | None,
    limits: _Int64 | None,
    exclude_self: bool,
) -> tuple[_Float64, _Int64, dict[str, int]]: ...
def paired_cosine(x: _Bits, i: _Int64, y: _Bits, j: _Int64) -> _Float64: ...
def pairs_above(
    x: _Bits,
    segment_begin: int,
    begin: int,
    end: int,
    threshold: float,
    sink: Callable[[_Int64, _Int64, npt.NDArray[np.float32]], object],
) -> int: ...
def greedy_keep(x: _Bits, offsets: _Int64, threshold: float) -> npt.NDArray[np.bool_]: ...
def components(x: _Bits, offsets: _Int64, threshold: float) -> _Int64: ...
def lorentz_radii(
    x: _Points, kind: int, curvature: float
) -> tuple[_Float64, _Float64, npt.NDArray[np.uint8]]: ...
def lorentz_paired(
    apex: _Points, point: _Points, kind: int, curvature: float, measure: int, min_radius: float
) -> _Float64: ...
def lorentz_all_pairs(
    apex: _Points, point: _Points, kind: int, curvature: float, measure: int, min_radius: float
) -> npt.NDArray[np.float32]: ...
def lorentz_specificity(
    rows: _Points,
    references: _Points,
    kind: int,
    curvature: float,
    rows_are_apexes: bool,
    min_radius: float,
) -> tuple[_Float64, _Float64, _Float64, _Int64, int]: ...
def levels() -> list[str]: ...
def level() -> str: ...
def thread_count() -> int: ...
