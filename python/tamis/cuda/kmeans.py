"""`tamis.kmeans` on a GPU: every iteration stays there, the host reads the stop flag only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis._array import as_matrix, cuda_ordinal
from tamis.cuda.assign import assign_into, scaled_rows, targets_of
from tamis.cuda.device import Array, Device, open_device
from tamis.cuda.rows import HostRows, ResidentRows, Rows
from tamis.kernels import kmeans as on_cpu
from tamis.kernels import sample
from tamis.kernels.assign import UNIT

ROOM_FOR_ROWS = 0.5
"""The share of the free memory that rows of the host may take; more come block by block."""


def kmeans(ordinal: int, x: Any, n_clusters: int, **options: Any) -> on_cpu.KMeansResult:
    """`tamis.kmeans` with checked options."""
    device = open_device(ordinal, x)
    if cuda_ordinal(x) is None:
        matrix = as_matrix(x, dims=(2, 3))
        if matrix.ndim == 2:
            return _kmeans(device, matrix, n_clusters, **options)
        return on_cpu.stacked([_kmeans(device, m, n_clusters, **options) for m in matrix], np.stack)
    owner = device.library.adopt(x)
    view = device.matrix(x, dims=(2, 3))
    if len(view.shape) == 2:
        return _given(device, _kmeans(device, owner, n_clusters, **options))
    parts = [_kmeans(device, owner[i], n_clusters, **options) for i in range(len(view))]
    return _given(device, on_cpu.stacked(parts, device.stack))


def updates(
    ordinal: int, points: npt.NDArray[np.float16], centroids: npt.NDArray[np.float16], max_iter: int
) -> Iterator[tuple[npt.NDArray[np.float16], bool]]:
    """`tamis.kernels.kmeans.updates` of canonical rows in host memory."""
    device = open_device(ordinal)
    rows = _resident_if_small(device, HostRows(device, points, is_canonical=True))
    lloyd = Lloyd(device, rows, device.upload(centroids), spherical=True)
    for _ in lloyd.updates(max_iter):
        yield device.download(lloyd.centroids), lloyd.converged


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
) -> on_cpu.KMeansResult:
    n, in_host_memory = len(x), cuda_ordinal(x) is None
    on_cpu.check_clusters(n_clusters, n)
    scaled = scaled_rows(device, x, spherical, allow_rounding=allow_rounding)
    everything = _resident_if_small(device, scaled.rows)
    if isinstance(everything, HostRows):
        everything.check()
    train = on_cpu.training_rows(n, n_clusters, max_points_per_centroid, seed)
    points = everything if len(train) == n else everything.take(train)
    points = _resident_if_small(device, points)
    if isinstance(init, str):
        order = np.argsort(sample.keys(seed, sample.INIT, train), kind="stable")
        first = points.read(on_cpu.first_distinct(order, points.read, n_clusters))
    else:
        shape = (n_clusters, scaled.rows.shape[1])
        first = on_cpu.given_centroids(device.host(init), shape, scaled.exponent, spherical)
    lloyd = Lloyd(device, points, device.upload(first), spherical=spherical)
    n_iter = sum(1 for _ in lloyd.updates(max_iter))
    if len(train) != n or not n_iter:
        lloyd.rows = everything
        lloyd.assign()
    total = lloyd.inertia()
    scores = (
        device.download(lloyd.scores).astype(np.float32)
        if in_host_memory
        else device.to_float32(lloyd.scores).owner
    )
    return on_cpu.KMeansResult(
        device.download(lloyd.centroids) if in_host_memory else lloyd.centroids.owner,
        device.download(lloyd.labels) if in_host_memory else lloyd.labels.owner,
        scores,
        n_iter,
        float(np.ldexp(float(total), -48)),
        len(train),
        lloyd.converged,
        scaled.exponent,
        scaled.rounding,
    )


class Sums(NamedTuple):
    """What an update of the centroids is made of, and how many labels changed."""

    sum: Array
    size: Array
    changed: Array


class Lloyd:
    """Lloyd's algorithm on the GPU, from some first centroids.

    Attributes:
        rows: what is assigned.
        centroids: float16 (k, d).
        labels: int32 (n,), scores: float64 (n,); they belong to the centroids.
        converged: whether the last update changed no label.
    """

    labels: Array
    scores: Array

    def __init__(self, device: Device, rows: Rows, centroids: Array, *, spherical: bool) -> None:
        self.device = device
        self.rows = rows
        self.centroids = centroids
        self.spherical = spherical
        self.converged = False
        # A centroid that a caller gave may be far away, and keeps its place while it is empty.
        self._narrow = spherical or self._within_unit()

    def updates(self, max_iter: int) -> Iterator[None]:
        """Every update of the centroids, max_iter of them or until no label changes."""
        if not max_iter:
            return
        sums = self._sums()
        self.assign(sums)
        spare = self.device.empty(self.labels.shape, "int32")
        for left in reversed(range(max_iter)):
            self._next_centroids(sums)
            before, self.labels = self.labels, spare
            self._assign(sums, before, add=left > 0)
            self.converged = not self.device.download(sums.changed)[0]
            yield
            if self.converged:
                return
            spare = before

    def update(self) -> None:
        """The next centroids from the labels that are there."""
        sums = self._sums()
        for buffer in sums:
            self.device.clear(buffer)
        for part, rows in self.rows.blocks():
            self._add(sums, rows, self.labels.part(part))
        self._next_centroids(sums)

    def assign(self, sums: Sums | None = None) -> None:
        """Labels and scores of all rows; with `sums`, also what the next update needs."""
        n_rows = self.rows.shape[0]
        self.labels = self.device.empty((n_rows,), "int32")
        self.scores = self.device.empty((n_rows,), "float64")
        self._assign(sums, None, add=sums is not None)

    def inertia(self) -> int:
        """The sum of |x - c|^2 in units of 2^-48."""
        total = self.device.zeros((2,), "int64")
        for part, rows in self.rows.blocks():
            self.device.module.add_inertia(
                *(rows.address, *rows.shape, self.labels.part(part).address),
                *(self.centroids.address, len(self.centroids), total.address),
                **self.device.on,
            )
        high, low = self.device.download(total)
        return (int(high) << 64) + int(low.view(np.uint64))

    def changed_from(self, before: Array) -> int:
        """How many labels differ from earlier ones."""
        changed = self.device.zeros((1,), "int64")
        self._count_changed(before, changed)
        return int(self.device.download(changed)[0])

    def _assign(self, sums: Sums | None, before: Array | None, *, add: bool) -> None:
        device, targets = self.device, self._targets()
        for buffer in sums or ():
            device.clear(buffer)
        for part, rows in self.rows.blocks():
            labels, scores = self.labels.part(part), self.scores.part(part)
            assign_into(device, rows, targets, not self.spherical, 1, labels, scores)
            if sums is not None and add:
                self._add(sums, rows, labels)
        if sums is not None and before is not None:
            self._count_changed(before, sums.changed)

    def _count_changed(self, before: Array, changed: Array) -> None:
        self.device.module.count_changed(
            self.labels.address, before.address, len(before), changed.address, **self.device.on
        )

    def _sums(self) -> Sums:
        (k, dim), empty = self.centroids.shape, self.device.empty
        return Sums(empty((k, dim), "float64"), empty((k,), "int64"), empty((1,), "int64"))

    def _add(self, sums: Sums, rows: Array, labels: Array) -> None:
        device, n_clusters = self.device, len(self.centroids)
        work = device.work(device.module.add_rows_work_bytes(len(rows), n_clusters))
        device.module.add_rows(
            *(rows.address, *rows.shape, labels.address, n_clusters),
            *(sums.sum.address, sums.size.address, work.address, work.n_bytes),
            **device.on,
        )

    def _next_centroids(self, sums: Sums) -> None:
        following = self.device.empty(self.centroids.shape, "float16")
        self.device.module.next_centroids(
            *(sums.sum.address, sums.size.address, self.centroids.address),
            *(*self.centroids.shape, self.spherical, following.address),
            **self.device.on,
        )
        self.centroids = following

    def _targets(self) -> Array:
        if self._narrow:
            return self.centroids
        given = self.device.download(self.centroids)
        return targets_of(self.device, given, 0, given.shape[1])

    def _within_unit(self) -> bool:
        wide = self.device.download(self.centroids).astype(np.float64)
        return bool(np.sqrt(np.square(wide).sum(axis=1).max()) <= UNIT)


def _resident_if_small(device: Device, rows: Rows) -> Rows:
    if isinstance(rows, ResidentRows):
        return rows
    library: Any = device.library
    n_rows, dim = rows.shape
    room = ROOM_FOR_ROWS * library.free_bytes()
    return rows.resident() if 2 * n_rows * dim <= room else rows


def _given(device: Device, result: on_cpu.KMeansResult) -> on_cpu.KMeansResult:
    given = device.library.given
    return on_cpu.KMeansResult(
        **vars(result)
        | {name: given(getattr(result, name)) for name in ("centroids", "labels", "scores")}
    )
