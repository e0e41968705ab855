"""`tamis.assign` on a GPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis._array import as_matrix, cuda_ordinal
from tamis.cuda.device import Array, Device, open_device
from tamis.cuda.rows import HostRows, ResidentRows, Rows, canonical_rows, states
from tamis.kernels import assign as on_cpu
from tamis.kernels.canonical import refuse_bad

LARGEST_TOP = 64
MOST_PASSES = 12
"""On tensor cores each of the best takes a pass; more of them are found by float64 scores alone."""


class Scaled(NamedTuple):
    """Rows for the kernels: the input is about rows * 2^exponent."""

    rows: Rows
    exponent: int
    rounding: float


def assign(
    ordinal: int, x: Any, centroids: Any, metric: on_cpu.Metric, top: int
) -> tuple[Any, Any]:
    """(labels, scores) where x is: arrays of its library, or NumPy arrays."""
    device = open_device(ordinal, x)
    scaled = scaled_rows(device, x, metric == "dot")
    targets = targets_of(device, centroids, scaled.exponent, scaled.rows.shape[1])
    euclidean = metric == "euclidean"
    labels, scores = assigned(device, scaled.rows, targets, euclidean, top)
    if isinstance(scaled.rows, HostRows):
        refuse_bad("x", scaled.rows.bad)
        wide = rescaled(device.download(scores), scaled.exponent, euclidean)
        return device.download(labels), wide.astype(np.float32)
    if scaled.exponent and euclidean:
        wide = rescaled(device.download(scores), scaled.exponent, euclidean)
        scores = device.upload(wide.astype(np.float32))
        return device.given(labels), device.given(scores)
    return device.given(labels), device.given(device.to_float32(scores))


def assign64(
    ordinal: int, rows: npt.NDArray[np.float16], centroids: npt.NDArray[np.float16], top: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """`tamis.kernels.exact.assign64` of canonical rows in host memory."""
    device = open_device(ordinal)
    source = HostRows(device, rows, is_canonical=True)
    labels, scores = assigned(device, source, device.upload(centroids), False, top)
    return device.download(labels), device.download(scores)


def scaled_rows(device: Device, x: Any, spherical: bool, *, allow_rounding: bool = False) -> Scaled:
    """Canonical rows, or for Euclidean metrics rows on one scale of a power of two.

    Euclidean rows are scaled on the host, but for float16 rows on the GPU whose norms are all about
    1: those are taken as they are.
    """
    if cuda_ordinal(x) is None:
        matrix = as_matrix(x)
        if spherical:
            return Scaled(HostRows(device, matrix, is_canonical=False), 0, 0.0)
    else:
        view = device.matrix(x)
        if spherical:
            return Scaled(ResidentRows(device, canonical_rows(device, view)), 0, 0.0)
        if view.dtype == "float16" and not states(device, view).any():
            return Scaled(ResidentRows(device, view), 0, 0.0)
        matrix = device.download(view)
    rows, exponent, rounding = on_cpu.scaled_rows(matrix, allow_rounding=allow_rounding)
    if cuda_ordinal(x) is None:
        return Scaled(HostRows(device, rows, is_canonical=True), exponent, rounding)
    return Scaled(ResidentRows(device, device.upload(rows)), exponent, rounding)


def targets_of(device: Device, centroids: Any, exponent: int, dim: int) -> Array:
    """Centroids of the caller's, wherever they are: float16 of at most unit norm, or float64.

    Raises:
        TypeError, ValueError: they are not centroids for rows of `dim` dimensions.
    """
    if cuda_ordinal(centroids) is None:
        given = as_matrix(centroids, "centroids")
        on_cpu.check_centroids(given.shape, dim)
    else:
        view = device.matrix(centroids, "centroids")
        on_cpu.check_centroids(view.shape, dim)
        if view.dtype == "float16" and exponent == 0 and _within_unit(device, view):
            return view
        given = device.download(view)
    ready = on_cpu.targets(given, exponent)
    return device.upload(ready.view(np.float16) if ready.dtype == np.uint16 else ready)


def assigned(
    device: Device, source: Rows, targets: Array, euclidean: bool, top: int
) -> tuple[Array, Array]:
    """Labels and float64 scores of all rows; shapes (n,) for top = 1, else (n, top)."""
    check_top(top, len(targets))
    shape = source.shape[:1] if top == 1 else (source.shape[0], top)
    labels, scores = device.empty(shape, "int32"), device.empty(shape, "float64")
    for part, rows in source.blocks():
        assign_into(device, rows, targets, euclidean, top, labels.part(part), scores.part(part))
    return labels, scores


def check_top(top: int, n_clusters: int) -> None:
    """Raise ValueError where a GPU cannot give so many centroids."""
    if not 1 <= top <= min(n_clusters, LARGEST_TOP):
        raise ValueError(
            f"top: expected 1 to {min(n_clusters, LARGEST_TOP)} (the number of centroids, on a GPU "
            f"at most {LARGEST_TOP}), got {top}"
        )


def assign_into(
    device: Device,
    rows: Array,
    targets: Array,
    euclidean: bool,
    top: int,
    labels: Array,
    scores: Array | None,
    n_problems: int = 1,
) -> None:
    """Labels int32 and float64 scores of some rows; None: labels alone, which is faster.

    n_problems: so many of one size lie in rows and targets, one after another; more than one only
    for float16 targets and top up to MOST_PASSES.
    """
    if not len(rows):
        return
    module = device.module
    if targets.dtype == "float16" and top <= MOST_PASSES:
        problem = (rows.address, *rows.shape, targets.address, len(targets), euclidean)
        work = device.work(
            module.assign_work_bytes(*problem, n_problems=n_problems, device=device.ordinal)
        )
        to = None if scores is None else scores.address
        module.assign(
            *(*problem, labels.address, to, None, work.address, work.n_bytes),
            n_problems=n_problems,
            top=top,
            **device.on,
        )
        return
    scores = device.empty(labels.shape, "float64") if scores is None else scores
    shape = (rows.address, *rows.shape, targets.address, targets.dtype, len(targets))
    work = device.work(module.assign_exact_work_bytes(*shape, euclidean, device=device.ordinal))
    module.assign_exact(
        *(*shape, euclidean, top, labels.address, scores.address, work.address, work.n_bytes),
        **device.on,
    )


def rescaled(
    scores: npt.NDArray[np.float64], exponent: int, euclidean: bool
) -> npt.NDArray[np.float64]:
    """Scores in the units of the input."""
    return np.ldexp(scores, 2 * exponent) if exponent and euclidean else scores


def _within_unit(device: Device, centroids: Array) -> bool:
    squares = device.empty((len(centroids),), "float64")
    device.module.squared_norms(centroids.address, *centroids.shape, squares.address, **device.on)
    largest = np.sqrt(device.download(squares).max())
    return bool(largest <= on_cpu.UNIT)  # False for NaN
