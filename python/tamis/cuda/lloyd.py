"""Lloyd's algorithm on a GPU: every iteration stays there, the host reads the stop flags only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.cuda.assign import targets_of
from tamis.cuda.batch import assign_each
from tamis.cuda.device import Array, Device
from tamis.cuda.rows import HostRows, Rows
from tamis.kernels.assign import UNIT


class Sums(NamedTuple):
    """What an update of the centroids is made of, and how many labels of each problem changed."""

    sum: Array
    size: Array
    changed: Array


class Lloyd:
    """Lloyd's algorithm on the GPU, from some first centroids of one problem or of several.

    A problem that has converged is a fixed point: further updates change none of its bits.

    Attributes:
        rows: what is assigned; that of several problems comes in one block.
        centroids: float16 (n_problems * k, d).
        labels: int32 (n,), of the centroids.
        scores: float64 (n,), of the labels; None where nobody asked for them yet.
        n_iter: the updates of each problem until it converged.
        converged: whether the last update changed no label of a problem.
    """

    labels: Array
    scores: Array | None

    def __init__(
        self, device: Device, rows: Rows, centroids: Array, n_problems: int = 1, *, spherical: bool
    ) -> None:
        self.device = device
        self.rows = rows
        self.centroids = centroids
        self.n_problems = n_problems
        self.spherical = spherical
        self.n_iter = np.zeros(n_problems, np.int64)
        self.converged = np.zeros(n_problems, np.bool_)
        # A centroid that a caller gave may be far away, and keeps its place while it is empty.
        self._narrow = spherical or self._within_unit()

    def updates(self, max_iter: int) -> Iterator[None]:
        """Every update of the centroids, max_iter of them or until no label changes."""
        if not max_iter:
            return
        sums = self._sums()
        # Rows that come from the host once more, to be scored, cost more than scores do.
        self.assign(sums, scored=isinstance(self.rows, HostRows))
        spare = self.device.empty(self.labels.shape, "int32")
        for left in reversed(range(max_iter)):
            self._next_centroids(sums)
            before, self.labels = self.labels, spare
            self._assign(sums, before, add=left > 0)
            self.n_iter += ~self.converged
            self.converged = self.device.download(sums.changed) == 0
            yield
            if self.converged.all():
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

    def assign(self, sums: Sums | None = None, *, scored: bool = True) -> None:
        """Labels, and scores, of all rows; with `sums`, also what the next update needs."""
        n_rows = self.rows.shape[0]
        self.labels = self.device.empty((n_rows,), "int32")
        self.scores = self.device.empty((n_rows,), "float64") if scored else None
        self._assign(sums, None, add=sums is not None)

    def score(self) -> None:
        """The scores of the labels that are there, unless they are there, too."""
        if self.scores is not None:
            return
        targets, device = self._targets(), self.device
        self.scores = device.empty(self.labels.shape, "float64")
        if targets.dtype != "float16":
            self._assign(None, None, add=False)
            return
        for part, rows in self.rows.blocks():
            device.module.score_labels(
                *(rows.address, *rows.shape, targets.address, len(targets), not self.spherical),
                *(self.labels.part(part).address, self.scores.part(part).address),
                n_problems=self.n_problems,
                **device.on,
            )

    def inertias(self) -> list[int]:
        """The sum of |x - c|^2 of each problem in units of 2^-48."""
        totals = self.device.zeros((self.n_problems, 2), "int64")
        for part, rows in self.rows.blocks():
            self.device.module.add_inertia(
                *(rows.address, *rows.shape, self.labels.part(part).address),
                *(self.centroids.address, len(self.centroids), totals.address),
                n_problems=self.n_problems,
                **self.device.on,
            )
        words = self.device.download(totals)
        return [(int(high) << 64) + int(low.view(np.uint64)) for high, low in words]

    def changed_from(self, before: Array) -> npt.NDArray[np.int64]:
        """How many labels of each problem differ from earlier ones."""
        changed = self.device.zeros((self.n_problems,), "int64")
        self._count_changed(before, changed)
        return self.device.download(changed)

    def _assign(self, sums: Sums | None, before: Array | None, *, add: bool) -> None:
        device, targets = self.device, self._targets()
        # Where nothing changed before, labels and scores are there already, in both buffers.
        settled = np.zeros_like(self.converged) if before is None else self.converged
        for buffer in sums or ():
            device.clear(buffer)
        for part, rows in self.rows.blocks():
            labels = self.labels.part(part)
            scores = None if self.scores is None else self.scores.part(part)
            assign_each(device, rows, targets, not self.spherical, labels, scores, settled)
            if sums is not None and add:
                self._add(sums, rows, labels)
        if sums is not None and before is not None:
            self._count_changed(before, sums.changed)

    def _count_changed(self, before: Array, changed: Array) -> None:
        self.device.module.count_changed(
            *(self.labels.address, before.address, len(before), changed.address),
            n_problems=self.n_problems,
            **self.device.on,
        )

    def _sums(self) -> Sums:
        (k, dim), empty = self.centroids.shape, self.device.empty
        changed = empty((self.n_problems,), "int64")
        return Sums(empty((k, dim), "float64"), empty((k,), "int64"), changed)

    def _add(self, sums: Sums, rows: Array, labels: Array) -> None:
        device, n_clusters = self.device, len(self.centroids)
        work = device.work(device.module.add_rows_work_bytes(len(rows), n_clusters))
        device.module.add_rows(
            *(rows.address, *rows.shape, labels.address, n_clusters),
            *(sums.sum.address, sums.size.address, work.address, work.n_bytes),
            n_problems=self.n_problems,
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
