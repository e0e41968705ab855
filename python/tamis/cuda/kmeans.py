"""`tamis.kmeans` on a GPU: every iteration stays there, the host reads the stop flags only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis._array import as_matrix, cuda_ordinal
from tamis.cuda import rows as on_gpu
from tamis.cuda.assign import scaled_rows
from tamis.cuda.batch import (
    MOST_PROBLEMS,
    Batch,
    initial_rows,
    of_each,
    resident_batch,
    shares,
)
from tamis.cuda.device import Device, open_device
from tamis.cuda.lloyd import Lloyd
from tamis.cuda.rows import HostRows, ResidentRows, Rows
from tamis.kernels import kmeans as on_cpu
from tamis.kernels import sample

ROOM_FOR_ROWS = 0.5
"""The share of the free memory that rows of the host may take; more come block by block."""


def kmeans(ordinal: int, x: Any, n_clusters: int, **options: Any) -> on_cpu.KMeansResult:
    """`tamis.kmeans` with checked options."""
    device = open_device(ordinal, x)
    in_host_memory = cuda_ordinal(x) is None
    matrix: Any = as_matrix(x, dims=(2, 3)) if in_host_memory else device.library.adopt(x)
    shape = matrix.shape if in_host_memory else device.matrix(x, dims=(2, 3)).shape
    if len(shape) == 2:
        [result] = _kmeans(device, matrix, n_clusters, **options)
    else:
        found: list[on_cpu.KMeansResult] = []
        for group in _groups(device, matrix, n_clusters):
            found += _kmeans(device, group, n_clusters, **options)
        result = on_cpu.stacked(found, np.stack if in_host_memory else device.stack)
    return result if in_host_memory else _given(device, result)


def updates(
    ordinal: int, points: npt.NDArray[np.float16], centroids: npt.NDArray[np.float16], max_iter: int
) -> Iterator[tuple[npt.NDArray[np.float16], bool]]:
    """`tamis.kernels.kmeans.updates` of canonical rows in host memory."""
    device = open_device(ordinal)
    rows = _resident_if_small(device, HostRows(device, points, is_canonical=True))
    lloyd = Lloyd(device, rows, device.upload(centroids), spherical=True)
    for _ in lloyd.updates(max_iter):
        yield device.download(lloyd.centroids), bool(lloyd.converged[0])


def _groups(device: Device, x: Any, n_clusters: int) -> Iterator[Any]:
    """3-D parts whose problems have room on the GPU together; 2-D ones, where no two have."""
    n_problems, n_rows, dim = tuple(x.shape)
    at_once = min(MOST_PROBLEMS, on_gpu.ROWS_AT_ONCE // max(1, n_rows))
    rows = 2 * dim * n_rows
    clusters = 12 * dim * n_clusters  # of each a float64 sum and two centroids
    if cuda_ordinal(x) is None:
        at_once = min(at_once, int(_room(device) // max(1, rows + clusters)))
    else:  # no more than x itself takes
        at_once = min(at_once, max(1, n_problems * rows // max(1, clusters)))
    if at_once < 2:
        yield from (x[problem] for problem in range(n_problems))
        return
    yield from (x[start : start + at_once] for start in range(0, n_problems, at_once))


def _kmeans(
    device: Device,
    x: Any,
    n_clusters: int,
    *,
    max_iter: int,
    init: on_cpu.Init,
    spherical: bool,
    max_points_per_centroid: int | None,
    seed: int,
    allow_rounding: bool,
) -> list[on_cpu.KMeansResult]:
    """The result of every problem; a 2-D x is one."""
    n, dim = tuple(x.shape)[-2:]
    on_cpu.check_clusters(n_clusters, n)
    make = resident_batch if len(x.shape) == 3 else _batch_of_one
    batch = make(device, x, spherical=spherical, allow_rounding=allow_rounding)
    everything, n_problems = batch.rows, len(batch.exponents)
    train = on_cpu.training_rows(n, n_clusters, max_points_per_centroid, seed)
    points = everything if len(train) == n else everything.take(of_each(train, n, n_problems))
    points = _resident_if_small(device, points)
    if isinstance(init, str):
        order = np.argsort(sample.keys(seed, sample.INIT, train), kind="stable")
        first = initial_rows(points, order, n_problems, n_clusters)
    else:
        given, shape = device.host(init), (n_clusters, dim)
        each = [on_cpu.given_centroids(given, shape, e, spherical) for e in batch.exponents]
        first = np.concatenate(each)
    lloyd = Lloyd(device, points, device.upload(first), n_problems, spherical=spherical)
    for _ in lloyd.updates(max_iter):
        pass
    if len(train) != n or not max_iter:
        lloyd.rows = everything
        lloyd.assign()
    lloyd.score()
    return _results(lloyd, batch, len(train), in_host_memory=cuda_ordinal(x) is None)


def _batch_of_one(device: Device, x: Any, *, spherical: bool, allow_rounding: bool) -> Batch:
    scaled = scaled_rows(device, x, spherical, allow_rounding=allow_rounding)
    rows = _resident_if_small(device, scaled.rows)
    if isinstance(rows, HostRows):
        rows.check()
    return Batch(rows, [scaled.exponent], [scaled.rounding])


def _results(
    lloyd: Lloyd, batch: Batch, n_train: int, *, in_host_memory: bool
) -> list[on_cpu.KMeansResult]:
    """That of every problem; its arrays are views of those of all."""
    device, n_problems = lloyd.device, lloyd.n_problems
    totals = lloyd.inertias()
    assert lloyd.scores is not None
    if in_host_memory:
        scores = device.download(lloyd.scores).astype(np.float32)
        arrays = [device.download(lloyd.centroids), device.download(lloyd.labels), scores]
    else:
        scores = device.to_float32(lloyd.scores).owner
        arrays = [lloyd.centroids.owner, lloyd.labels.owner, scores]
    parts = [shares(len(array), n_problems) for array in arrays]
    found = []
    for p in range(n_problems):
        own: list[Any] = [array[part[p]] for array, part in zip(arrays, parts, strict=True)]
        inertia = float(np.ldexp(float(totals[p]), -48))
        own += [int(lloyd.n_iter[p]), inertia, n_train, bool(lloyd.converged[p])]
        own += [batch.exponents[p], batch.roundings[p]]
        found.append(on_cpu.KMeansResult(*own))
    return found


def _resident_if_small(device: Device, rows: Rows) -> Rows:
    if isinstance(rows, ResidentRows):
        return rows
    n_rows, dim = rows.shape
    return rows.resident() if 2 * n_rows * dim <= _room(device) else rows


def _room(device: Device) -> float:
    """Bytes that rows of the host may take."""
    library: Any = device.library
    return ROOM_FOR_ROWS * float(library.free_bytes())


def _given(device: Device, result: on_cpu.KMeansResult) -> on_cpu.KMeansResult:
    given = device.library.given
    return on_cpu.KMeansResult(
        **vars(result)
        | {name: given(getattr(result, name)) for name in ("centroids", "labels", "scores")}
    )
