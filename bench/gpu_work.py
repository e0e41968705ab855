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
from bench.gpu_mainloops import Trial, each, poison, settle, tried
from bench.gpu_result import Row
from bench.inputs import usable
from tamis._native import bits, cpu, halves
from tamis.cuda.device import Array, Device, open_device

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

SAMPLE = 2048  # rows that are compared
SEGMENTS = 40  # of which they come
CLUSTERS = 20  # whose next centroid is compared
CALL_S = 0.5
ALONE = 0.3  # of the time, for labels without scores and for scores without labels


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
        self._queue(self.scores.address, self.counts.address if counts else None)

    def labels_alone(self) -> None:
        """Queue those of labels without scores."""
        self._queue(None, None)

    def scores_alone(self) -> None:
        """Queue the one that scores the labels that are there."""
        where = self.labels.address, self.scores.address
        self.device.module.score_labels(*self._problem, *where, **self.device.on)

    def _queue(self, scores: int | None, counts: int | None) -> None:
        self.device.module.assign(
            *(*self._problem, self.labels.address, scores, counts),
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


def assign(lab: Lab, row: Row, rows: Any, centroids: Any, seconds: float) -> Int32:
    """Fill a row with the assignment of rows to centroids, and return the labels."""
    (n, d), k = tuple(rows.shape), len(centroids)
    row.flops = 2.0 * n * d * k
    trials = [_assign_once(lab, name, rows, centroids, seconds) for name in each(lab)]
    device = open_device(0, rows)
    sample = sample_rows(n, SAMPLE)
    some = usable(_taken(device, device.matrix(rows), sample))
    targets = bits(device.download(device.matrix(centroids)))
    expected, exact, _ = cpu.assign(bits(some), targets, False, 1)
    for trial in trials:
        labels, scores = trial.outputs
        trial.check(row, (labels[sample] != expected[:, 0]) | _differ(scores[sample], exact[:, 0]))
    labels = settle(lab, row, trials).outputs[0]
    row.call_ms = _call_ms(lab, lambda: tamis.assign(rows, centroids))
    if not np.array_equal(lab.take(tamis.assign(rows, centroids)[0]), labels):
        row.wrong("tamis.assign gives other labels than its kernels")
    return labels


def max_cosine(lab: Lab, row: Row, rows: Any, offsets: Int64, seconds: float) -> None:
    """Fill a row with the largest cosines to earlier rows."""
    d, sizes = rows.shape[1], np.diff(offsets).astype(np.float64)
    row.flops = float((sizes * (sizes - 1)).sum() * d)  # pairs are half of it, an element is two
    trials = [_compare_once(lab, name, rows, offsets, seconds) for name in each(lab)]
    device = open_device(0, rows)
    chosen, expected = _earlier_on_cpu(device, device.matrix(rows), offsets)
    for trial in trials:
        cosine, index = trial.outputs
        trial.check(row, _differ(cosine[chosen], expected[0]) | (index[chosen] != expected[1]))
    index = settle(lab, row, trials).outputs[1]
    row.call_ms = _call_ms(lab, lambda: tamis.max_cosine(rows, offsets))
    if not np.array_equal(lab.take(tamis.max_cosine(rows, offsets)[1]), index):
        row.wrong("tamis.max_cosine gives other rows than its kernels")


def kmeans(lab: Lab, row: Row, rows: Any, init: Any, n_iter: int, seconds: float) -> None:
    """Fill a row with a whole k-means from given centroids; the last labels included."""
    k = len(init)

    def run(most: int = n_iter) -> Any:
        return tamis.kmeans(rows, k, init=init, max_iter=most, max_points_per_centroid=None)

    trials = []
    for mainloop in each(lab):
        lab.forget_peak()
        last = run()
        trial = Trial(mainloop, lab.peak_bytes())
        centroids, labels = lab.take(last.centroids), lab.take(last.labels)
        trial.outputs = (centroids, labels, np.array(last.n_iter))
        trial.times_ms = lab.milliseconds(run, seconds)
        trial.extra |= lab.clock()
        trials.append(trial)
    centroids, labels, done = settle(lab, row, trials).outputs
    n, d = rows.shape
    row.flops = 2.0 * n * d * k * (int(done) + 1)
    if done != n_iter:
        row.notes(f"it converged after {done} updates")
    device = open_device(0, rows)
    x = device.matrix(rows)
    sample = sample_rows(n, SAMPLE)
    expected = cpu.assign(bits(_taken(device, x, sample)), bits(centroids), False, 1)[0][:, 0]
    row.checked, row.mismatches = len(sample), int((labels[sample] != expected).sum())
    before = run(int(done) - 1)
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


def _assign_once(lab: Lab, mainloop: str, rows: Any, centroids: Any, seconds: float) -> Trial:
    """By the mainloop in use; labels and scores, then each of them alone, with the same bits."""
    lab.forget_peak()
    work = Assignment(rows, centroids)
    trial = tried(lab, mainloop, work, (work.labels, work.scores), seconds)
    for what, run, output, found in (
        ("labels", work.labels_alone, work.labels, trial.outputs[0]),
        ("scores", work.scores_alone, work.scores, trial.outputs[1]),
    ):
        poison(work.device, (output,))
        ms = float(np.median(lab.milliseconds(run, seconds * ALONE)))
        trial.extra[f"{what}_ms"] = trial.extra[f"{mainloop}_{what}_ms"] = ms
        if work.device.download(output).tobytes() != found.tobytes():
            trial.faults.append(f"{what} alone are others than together")
            break
    return trial


def _compare_once(lab: Lab, mainloop: str, rows: Any, offsets: Int64, seconds: float) -> Trial:
    lab.forget_peak()
    work = Comparison(rows, offsets)
    return tried(lab, mainloop, work, (work.cosine, work.index), seconds)


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
