"""Kernels of tamis on NVIDIA GPUs; there where the build had CUDA.

Memory goes by its address (None and 0: none), streams by their handle. Work is queued on the stream
and nothing waits for it.
"""
# ruff: noqa: A002 - `sum` and `next` are the names of the C++ functions

import numpy as np
import numpy.typing as npt

_Address = int | None
_Int64 = npt.NDArray[np.int64]

def architectures() -> list[str]: ...
def runtime_version() -> int: ...
def driver_version() -> int: ...
def device_count() -> int: ...
def current_device() -> int: ...
def device(ordinal: int) -> dict[str, int]: ...
def mainloop(ordinal: int) -> str: ...
def use_mainloop(ordinal: int, mainloop: str) -> None: ...
def synchronize(*, device: int, stream: int) -> None: ...
def fill(to: _Address, byte: int, n_bytes: int, *, device: int, stream: int) -> None: ...
def copy(to: _Address, from_: _Address, n_bytes: int, *, device: int, stream: int) -> None: ...
def canonical(
    x: _Address,
    element: str,
    n_rows: int,
    dim: int,
    rows: _Address,
    state: _Address,
    *,
    device: int,
    stream: int,
) -> None: ...
def squared_norms(
    x: _Address, n_rows: int, dim: int, squares: _Address, *, device: int, stream: int
) -> None: ...
def assign_work_bytes(
    x: _Address,
    n_rows: int,
    dim: int,
    centroids: _Address,
    n_clusters: int,
    euclidean: bool,
    *,
    n_problems: int = 1,
    device: int,
) -> int: ...
def assign(
    x: _Address,
    n_rows: int,
    dim: int,
    centroids: _Address,
    n_clusters: int,
    euclidean: bool,
    labels: _Address,
    scores: _Address,
    counts: _Address,
    work: _Address,
    work_bytes: int,
    *,
    n_problems: int = 1,
    top: int = 1,
    device: int,
    stream: int,
) -> None: ...
def score_labels(
    x: _Address,
    n_rows: int,
    dim: int,
    centroids: _Address,
    n_clusters: int,
    euclidean: bool,
    labels: _Address,
    scores: _Address,
    *,
    n_problems: int = 1,
    device: int,
    stream: int,
) -> None: ...
def assign_exact_work_bytes(
    x: _Address,
    n_rows: int,
    dim: int,
    centroids: _Address,
    element: str,
    n_clusters: int,
    euclidean: bool,
    *,
    device: int,
) -> int: ...
def assign_exact(
    x: _Address,
    n_rows: int,
    dim: int,
    centroids: _Address,
    element: str,
    n_clusters: int,
    euclidean: bool,
    top: int,
    labels: _Address,
    scores: _Address,
    work: _Address,
    work_bytes: int,
    *,
    device: int,
    stream: int,
) -> None: ...
def update_work_bytes(n_rows: int, dim: int, n_clusters: int) -> int: ...
def update_centroids(
    x: _Address,
    n_rows: int,
    dim: int,
    labels: _Address,
    centroids: _Address,
    n_clusters: int,
    spherical: bool,
    next: _Address,
    work: _Address,
    work_bytes: int,
    *,
    device: int,
    stream: int,
) -> None: ...
def add_rows_work_bytes(n_rows: int, n_clusters: int) -> int: ...
def add_rows(
    x: _Address,
    n_rows: int,
    dim: int,
    labels: _Address,
    n_clusters: int,
    sum: _Address,
    count: _Address,
    work: _Address,
    work_bytes: int,
    *,
    n_problems: int = 1,
    device: int,
    stream: int,
) -> None: ...
def next_centroids(
    sum: _Address,
    count: _Address,
    centroids: _Address,
    n_clusters: int,
    dim: int,
    spherical: bool,
    next: _Address,
    *,
    device: int,
    stream: int,
) -> None: ...
def add_inertia(
    x: _Address,
    n_rows: int,
    dim: int,
    labels: _Address,
    centroids: _Address,
    n_clusters: int,
    total: _Address,
    *,
    n_problems: int = 1,
    device: int,
    stream: int,
) -> None: ...
def count_changed(
    labels: _Address,
    before: _Address,
    n_rows: int,
    changed: _Address,
    *,
    n_problems: int = 1,
    device: int,
    stream: int,
) -> None: ...

class MaxCosine:
    def __init__(
        self,
        offsets: _Int64,
        other_offsets: _Int64 | None,
        limits: _Int64 | None,
        exclude_self: bool,
        dim: int,
        *,
        device: int,
    ) -> None: ...
    def work_bytes(self, x: _Address, other: _Address) -> int: ...
    def run(
        self,
        x: _Address,
        other: _Address,
        limits: _Address,
        cosine: _Address,
        index: _Address,
        counts: _Address,
        work: _Address,
        work_bytes: int,
        *,
        stream: int,
    ) -> None: ...

def paired_cosine(
    x: _Address,
    n_x: int,
    i: _Address,
    y: _Address,
    n_y: int,
    j: _Address,
    dim: int,
    n_pairs: int,
    cosine: _Address,
    *,
    device: int,
    stream: int,
) -> None: ...
def lorentz_radii(
    x: _Address,
    element: str,
    n_rows: int,
    n_columns: int,
    kind: int,
    curvature: float,
    radius: _Address,
    norm: _Address,
    state: _Address,
    *,
    device: int,
    stream: int,
) -> None: ...
def lorentz_paired(
    apex: _Address,
    point: _Address,
    element: str,
    n_rows: int,
    n_columns: int,
    kind: int,
    curvature: float,
    measure: int,
    min_radius: float,
    value: _Address,
    *,
    device: int,
    stream: int,
) -> None: ...
def lorentz_all_pairs(
    apex: _Address,
    n_apexes: int,
    point: _Address,
    n_points: int,
    element: str,
    n_columns: int,
    kind: int,
    curvature: float,
    measure: int,
    min_radius: float,
    value: _Address,
    *,
    device: int,
    stream: int,
) -> None: ...
def lorentz_specificity_work_bytes(
    rows: _Address,
    n_rows: int,
    references: _Address,
    n_references: int,
    element: str,
    n_columns: int,
    kind: int,
    curvature: float,
    *,
    device: int,
) -> int: ...
def lorentz_specificity(
    rows: _Address,
    n_rows: int,
    references: _Address,
    n_references: int,
    element: str,
    n_columns: int,
    kind: int,
    curvature: float,
    rows_are_apexes: bool,
    min_radius: float,
    sum: _Address,
    square: _Address,
    clamped: _Address,
    entailed: _Address,
    redone: _Address,
    work: _Address,
    work_bytes: int,
    *,
    device: int,
    stream: int,
) -> None: ...
