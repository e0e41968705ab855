"""The work of the GPU table: kernels timed alone and through the public functions, then checked.

Every check compares bits with the CPU's kernels, on a random sample of what was computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import tamis
from bench.check import sample_rows
from bench.gpu_lab import Lab
from bench.gpu_result import WRONG, Row
from bench.inputs import usable
from tamis._native import bits, cpu, halves
from tamis.cuda.device import Array, Device, open_device

Int64 = npt.NDArray[np.int64]

SAMPLE = 2048  # rows that are compared
SEGMENTS = 40  # of which they come
CLUSTERS = 20  # whose next centroid is compared
CALL_S = 0.5


class Assignment:
    """Kernels that give every row its centroid, ready to be queued."""

    def __init__(self, rows: Any, centroids: Any) -> None:
        self.device = open_device(0, rows)
        self.x, self.centroids = self.device.matrix(rows), self.device.matrix(centroids)
        n, d = self.x.shape
        self._problem = (self.x.address, n, d, self.centroids.address, len(self.centroids), False)
        module = self.device.module
        n_bytes = module.assign_work_bytes(*self._problem, device=self.device.ordinal)
        self.labels = self.device.empty((n,), "int32")
        self.scores = self.device.empty((n,), "float64")
        self.counts = self.device.zeros((3,), "int64")
        self._work = self.device.work(n_bytes)

    def run(self, counts: bool = False) -> None:
        """Queue them."""
        to = self.counts.address if counts else None
        self.device.module.assign(
            *(*self._problem, self.labels.address, self.scores.address, to),
            *(self._work.address, self._work.n_bytes),
            **self.device.on,
        )


class Comparison:
    """Kernels that find every row's largest cosine to an earlier row of its segment."""

    def __init__(self, rows: Any, offsets: Int64) -> None:
        self.device = open_device(0, rows)
        self.x, self.offsets = self.device.matrix(rows), offsets
        n, d = self.x.shape
        make = self.device.module.MaxCosine
        self._plan = make(offsets, None, None, False, d, device=self.device.ordinal)
        self.cosine = self.device.empty((n,), "float64")
        self.index = self.device.empty((n,), "int64")
        self.counts = self.device.zeros((3,), "int64")
        self._work = self.device.work(self._plan.work_bytes(self.x.address, None))

    def run(self, counts: bool = False) -> None:
        """Queue them."""
        to = self.counts.address if counts else None
        self._plan.run(
            *(self.x.address, None, None, self.cosine.address, self.index.address, to),
            *(self._work.address, self._work.n_bytes),
            stream=self.device.stream,
        )


def assign(lab: Lab, row: Row, rows: Any, centroids: Any, seconds: float) -> tuple[Any, ...]:
    """Fill a row with the assignment of rows to centroids; returns (labels, scores)."""
    lab.forget_peak()
    work = Assignment(rows, centroids)
    row.peak_bytes = lab.peak_bytes()
    n, d = work.x.shape
    row.flops = 2.0 * n * d * len(work.centroids)
    found = _poisoned_run(row, work, (work.labels, work.scores))
    row.times_ms = lab.milliseconds(work.run, seconds)
    _same_again(row, work.device, (work.labels, work.scores), found)
    labels, scores = found
    sample = sample_rows(n, SAMPLE)
    some = usable(_taken(work.device, work.x, sample))
    expected = cpu.assign(bits(some), bits(work.device.download(work.centroids)), False, 1)
    differs = (labels[sample] != expected[0][:, 0]) | _differ(scores[sample], expected[1][:, 0])
    row.checked, row.mismatches = row.checked + len(sample), row.mismatches + int(differs.sum())
    row.call_ms = _call_ms(lab, lambda: tamis.assign(rows, centroids))
    called = lab.take(tamis.assign(rows, centroids)[0])
    if not np.array_equal(called, labels):
        row.status, row.note = WRONG, "tamis.assign gives other labels than its kernels"
    return labels, scores


def max_cosine(lab: Lab, row: Row, rows: Any, offsets: Int64, seconds: float) -> None:
    """Fill a row with the largest cosines to earlier rows."""
    lab.forget_peak()
    work = Comparison(rows, offsets)
    row.peak_bytes = lab.peak_bytes()
    d, sizes = work.x.shape[1], np.diff(offsets).astype(np.float64)
    row.flops = float((sizes * (sizes - 1)).sum() * d)  # pairs are half of it, an element is two
    cosine, index = _poisoned_run(row, work, (work.cosine, work.index))
    row.times_ms = lab.milliseconds(work.run, seconds)
    _same_again(row, work.device, (work.cosine, work.index), (cosine, index))
    chosen, expected = _earlier_on_cpu(work.device, work.x, offsets)
    differs = _differ(cosine[chosen], expected[0]) | (index[chosen] != expected[1])
    row.checked, row.mismatches = len(chosen), int(differs.sum())
    row.call_ms = _call_ms(lab, lambda: tamis.max_cosine(rows, offsets))
    if not np.array_equal(lab.take(tamis.max_cosine(rows, offsets)[1]), index):
        row.status, row.note = WRONG, "tamis.max_cosine gives other rows than its kernels"


def kmeans(lab: Lab, row: Row, rows: Any, init: Any, n_iter: int, seconds: float) -> None:
    """Fill a row with a whole k-means from given centroids; the last labels included."""
    k = len(init)

    def run(most: int) -> Any:
        return tamis.kmeans(rows, k, init=init, max_iter=most, max_points_per_centroid=None)

    lab.forget_peak()
    last = run(n_iter)
    row.peak_bytes = lab.peak_bytes()
    n, d = rows.shape
    row.times_ms = lab.milliseconds(lambda: run(n_iter), seconds)
    row.flops = 2.0 * n * d * k * (last.n_iter + 1)
    if last.n_iter != n_iter:
        row.note = f"it converged after {last.n_iter} updates"
    device = open_device(0, rows)
    x = device.matrix(rows)
    centroids, labels = lab.take(last.centroids), lab.take(last.labels)
    sample = sample_rows(n, SAMPLE)
    expected = cpu.assign(bits(_taken(device, x, sample)), bits(centroids), False, 1)[0][:, 0]
    row.checked, row.mismatches = len(sample), int((labels[sample] != expected).sum())
    before = run(last.n_iter - 1)
    known, starts = lab.take(before.labels), lab.take(before.centroids)
    sizes = np.bincount(known, minlength=k)
    row.extra["empty_clusters"] = int((sizes == 0).sum())
    for cluster in np.random.default_rng(1).choice(k, size=min(k, CLUSTERS), replace=False):
        members = _taken(device, x, np.flatnonzero(known == cluster))
        start = starts[cluster : cluster + 1]
        zeros = np.zeros(len(members), dtype=np.int32)
        following = halves(cpu.update_centroids(bits(members), zeros, bits(start), True))
        row.checked += 1
        row.mismatches += following.tobytes() != centroids[cluster].tobytes()


def _poisoned_run(row: Row, work: Any, outputs: tuple[Array, ...]) -> tuple[Any, ...]:
    """Results of a first run into memory full of ones, and the effort it took."""
    device = work.device
    for output in outputs:
        device.module.fill(output.address, 255, output.n_bytes, **device.on)
    work.run(counts=True)
    counted, rescored, climbed = device.download(work.counts).tolist()
    row.rescored_per_row = rescored / max(1, len(work.x))
    row.rescanned = climbed / max(1, counted)
    return tuple(device.download(output) for output in outputs)


def _same_again(
    row: Row, device: Device, outputs: tuple[Array, ...], found: tuple[Any, ...]
) -> None:
    """A moving answer is a race."""
    for output, first in zip(outputs, found, strict=True):
        if device.download(output).tobytes() != first.tobytes():
            row.status, row.note = WRONG, "two runs of the same kernels differ"


def _earlier_on_cpu(device: Device, x: Array, offsets: Int64) -> tuple[Int64, tuple[Any, Any]]:
    """Some rows of the largest, the smallest and random segments, and the CPU's answers."""
    rng, sizes = np.random.default_rng(2), np.diff(offsets)
    order = np.argsort(-sizes, kind="stable")
    random = rng.permutation(len(sizes))[:SEGMENTS]
    segments = np.unique(np.concatenate([order[:2], order[-4:], random]))[: SEGMENTS + 6]
    share = max(1, SAMPLE // len(segments))
    places = [_some(rng, int(sizes[s]), share) for s in segments]
    chosen = np.concatenate([offsets[s] + p for s, p in zip(segments, places, strict=True)])
    columns = np.concatenate([np.arange(offsets[s], offsets[s + 1]) for s in segments])
    starts = _running(sizes[segments])
    cosine, index, _ = cpu.max_cosine(
        bits(_taken(device, x, chosen)),
        _running(np.array([len(p) for p in places])),
        bits(usable(_taken(device, x, columns))),
        starts,
        np.concatenate(places),  # a row sees as many columns as there are rows before it
        False,
    )
    seen = index >= 0
    index[seen] = columns[index[seen]]
    return chosen, (cosine, index)


def _some(rng: np.random.Generator, size: int, share: int) -> Int64:
    """Places in a segment, ascending; the last one always, which sees the most."""
    if size <= share:
        return np.arange(size, dtype=np.int64)
    chosen: Int64 = np.sort(rng.choice(size - 1, size=share - 1, replace=False)).astype(np.int64)
    return np.append(chosen, size - 1)


def _running(sizes: npt.NDArray[np.integer]) -> Int64:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _taken(device: Device, x: Array, numbers: Int64) -> npt.NDArray[np.float16]:
    if not len(numbers):
        return np.empty((0, x.shape[1]), dtype=np.float16)
    return device.download(device.take(x, numbers))


def _differ(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Bit by bit."""
    differs: npt.NDArray[np.bool_] = one.view(np.int64) != np.ascontiguousarray(other).view(
        np.int64
    )
    return differs


def _call_ms(lab: Lab, call: Callable[[], Any]) -> float:
    return float(np.median(lab.milliseconds(call, CALL_S)))
