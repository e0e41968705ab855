"""The rows of the GPU table, the most important first, with their bars."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import cases
import tamis
from bench import gpu_lorentz, gpu_peers, gpu_profile, gpu_work
from bench.check import sample_rows
from bench.gpu_lab import Lab
from bench.gpu_mainloops import each
from bench.gpu_result import NOT_RUN, Bar, Row
from bench.inputs import equal_segments
from tamis._native import bits, cpu

TIMED_S = 1.0  # of timing, for a row
PASSES = 4  # how often the resident rows fit into the host's


@dataclass(frozen=True)
class Sizes:
    """Of the inputs; toy ones say whether all of it works."""

    n: int = 1 << 20
    dims: tuple[int, int, int] = (512, 768, 1024)
    k: int = 16384
    few_k: int = 1024
    many_k: int = 50_000
    kmeans_k: int = 10_000
    kmeans_iter: int = 10
    many_segments: int = 1000
    few_segments: int = 120
    largest: int = 200_000
    copies: int = 20_000
    agree_n: int = 20_000
    agree_k: int = 3000
    seeds: int = 10
    pairs: int = 10_000_000
    points: int = 262_144
    references: int = 8192


TOY = Sizes(300, (40, 48, 65), 150, 20, 200, 20, 3, 30, 4, 100, 150, 150, 20, 2, 90, 70, 60)

Measure = Callable[[Lab, Sizes, Row], None]
ROWS: dict[str, Measure] = {}
BARS: Mapping[str, tuple[Bar, ...]] = {
    "assign d=512": (Bar("tflops", least=600),),
    "assign d=768": (Bar("tflops", least=620),),
    "assign d=1024": (Bar("tflops", least=620),),
    "assign k=50000": (Bar("tflops", least=610),),
    "assign k=1024": (Bar("tflops", least=560),),
    "kmeans": (Bar("ms", most=280),),
    "max cosine ~1k": (Bar("ms", most=3.5),),
    "max cosine ~8.7k": (Bar("ms", most=18),),
    "max cosine Zipf": (Bar("times_slower_than_8.7k", most=1.5),),
    "near-copies": (Bar("times_slower_than_random", most=4),),
    "from the host": (Bar("times_the_kernel", most=1.1),),
    "lorentz pairs": (Bar("ms", most=5.0),),
    "lorentz means": (Bar("ms", most=12),),
    "agreement": (Bar("percent_equal", least=100),),
}


def measured(lab: Lab, name: str, sizes: Sizes) -> Row:
    """One row, judged; the inputs are gone when it returns."""
    row = Row(name)
    begin = time.perf_counter()
    ROWS[name](lab, sizes, row)
    row.extra["seconds"] = time.perf_counter() - begin
    return row if row.status == NOT_RUN else row.judged()


def _row(name: str) -> Callable[[Measure], Measure]:
    def keep(measure: Measure) -> Measure:
        ROWS[name] = measure
        return measure

    return keep


def _assign(lab: Lab, row: Row, n: int, d: int, k: int, *, peers: bool = True) -> None:
    rows, centroids = lab.unit_rows(n, d, 1), lab.unit_rows(k, d, 2)
    row.about = f"{n} x {d} random rows, k = {k} random centroids"
    labels = gpu_work.assign(lab, row, rows, centroids, TIMED_S)
    if peers:
        row.peers |= gpu_peers.assignments(lab, rows, centroids, labels)


@_row("assign d=768")
def _assign_768(lab: Lab, sizes: Sizes, row: Row) -> None:
    _assign(lab, row, sizes.n, sizes.dims[1], sizes.k)


@_row("max cosine ~1k")
def _max_cosine_1k(lab: Lab, sizes: Sizes, row: Row) -> None:
    _max_cosine(lab, row, sizes, equal_segments(sizes.n, sizes.many_segments))


@_row("kmeans")
def _kmeans(lab: Lab, sizes: Sizes, row: Row) -> None:
    k, d = sizes.kmeans_k, sizes.dims[1]
    rows, init = lab.unit_rows(sizes.n, d, 1), lab.unit_rows(k, d, 2)
    row.about = f"{sizes.n} x {d} random rows, k = {k}, {sizes.kmeans_iter} updates"
    gpu_work.kmeans(lab, row, rows, init, sizes.kmeans_iter, TIMED_S)
    row.peers |= gpu_peers.clusterings(lab, rows, init, sizes.kmeans_iter)


@_row("agreement")
def _agreement(lab: Lab, sizes: Sizes, row: Row) -> None:
    """Many seeds, two kinds of rows, several dimensions: every bit as on the CPU."""
    n, k = sizes.agree_n, sizes.agree_k
    row.about = f"{sizes.seeds} seeds, {n} rows, k = {k}: assign, max_cosine, kmeans"
    dims = (768, 512, 1024, 384, 100) if not lab.toy else (48, 5, 64)
    for seed in range(sizes.seeds):
        d = dims[seed % len(dims)]
        random = lab.unit_rows(n, d, seed), lab.unit_rows(k, d, seed + 100)
        for kind, (rows, centroids) in (
            ("random", random),
            ("mixture", lab.mixture(n, d, k, seed)),
        ):
            for name, checked, wrong in _disagreements(lab, rows, centroids, seed):
                row.checked, row.mismatches = row.checked + checked, row.mismatches + wrong
                if wrong and not row.note:
                    row.notes(f"first: {name}, seed {seed}, {kind}, d = {d}")
    row.extra["percent_equal"] = 100 * (1 - row.mismatches / row.checked)


def _disagreements(
    lab: Lab, rows: Any, centroids: Any, seed: int
) -> Iterator[tuple[str, int, int]]:
    """(function and mainloop, rows compared, rows that differ)."""
    here, targets = lab.take(rows), lab.take(centroids)
    some = sample_rows(len(here), 2 * gpu_work.SAMPLE, seed)
    wanted, exact, _ = cpu.assign(bits(here[some]), bits(targets), False, 1)
    offsets = cases.ragged(len(here), seed)
    expected = tamis.max_cosine(here, offsets)
    options: dict[str, Any] = {"max_iter": 3, "max_points_per_centroid": None, "seed": seed}
    n_clusters = max(2, len(targets) // 30)
    alone = tamis.kmeans(here, n_clusters, **options)
    for mainloop in each(lab):
        labels, scores = map(lab.take, tamis.assign(rows, centroids))
        wrong = (labels[some] != wanted[:, 0]) | (scores[some] != exact[:, 0].astype(np.float32))
        yield f"assign by {mainloop}", len(some), int(wrong.sum())
        found = [lab.take(array) for array in tamis.max_cosine(rows, offsets)]
        apart = (found[0].view(np.int32) != expected[0].view(np.int32)) | (found[1] != expected[1])
        yield f"max_cosine by {mainloop}", len(here), int(apart.sum())
        there = tamis.kmeans(rows, n_clusters, **options)
        moved = lab.take(there.labels) != alone.labels
        same = lab.take(there.centroids).tobytes() == alone.centroids.tobytes()
        same &= there.inertia == alone.inertia and there.n_iter == alone.n_iter
        yield f"kmeans by {mainloop}", len(here), int(moved.sum()) if same else len(here)


@_row("assign k=50000")
def _assign_50000(lab: Lab, sizes: Sizes, row: Row) -> None:
    _assign(lab, row, sizes.n, sizes.dims[1], sizes.many_k)


@_row("max cosine ~8.7k")
def _max_cosine_8k(lab: Lab, sizes: Sizes, row: Row) -> None:
    _max_cosine(lab, row, sizes, equal_segments(sizes.n, sizes.few_segments))


@_row("assign d=512")
def _assign_512(lab: Lab, sizes: Sizes, row: Row) -> None:
    _assign(lab, row, sizes.n, sizes.dims[0], sizes.k)


@_row("assign d=1024")
def _assign_1024(lab: Lab, sizes: Sizes, row: Row) -> None:
    _assign(lab, row, sizes.n, sizes.dims[2], sizes.k)


@_row("kernels")
def _kernels(lab: Lab, sizes: Sizes, row: Row) -> None:
    d, offsets = sizes.dims[1], equal_segments(sizes.n, sizes.many_segments)
    rows, centroids = lab.unit_rows(sizes.n, d, 1), lab.unit_rows(sizes.k, d, 2)
    row.about = "each kernel of the rows before, traced; below the table"
    init, title = lab.unit_rows(sizes.kmeans_k, d, 2), f"d = {d}, k = {sizes.k}"
    gpu_profile.profile(lab, row, rows, centroids, init, offsets, title)


@_row("max cosine Zipf")
def _max_cosine_zipf(lab: Lab, sizes: Sizes, row: Row) -> None:
    rows = lab.unit_rows(sizes.n, sizes.dims[1], 1)
    offsets = zipf_offsets(sizes.n, sizes.largest)
    row.about = (
        f"{sizes.n} x {sizes.dims[1]} in {len(offsets) - 1} segments of 1 to {sizes.largest}"
    )
    gpu_work.max_cosine(lab, row, rows, offsets, TIMED_S)
    uniform = Row("uniform")
    even = equal_segments(sizes.n, sizes.few_segments)
    gpu_work.max_cosine(lab, uniform, rows, even, TIMED_S / 2)
    row.rest_on(uniform, "uniform segments")
    row.extra["times_slower_than_8.7k"] = (uniform.tflops or 0) / (row.tflops or 1)


@_row("assign mixture")
def _assign_mixture(lab: Lab, sizes: Sizes, row: Row) -> None:
    rows, centroids = lab.mixture(sizes.n, sizes.dims[1], sizes.k, 3)
    row.about = f"{sizes.n} x {sizes.dims[1]}, a mixture of {sizes.k} Gaussians, k their centres"
    gpu_work.assign(lab, row, rows, centroids, TIMED_S)


@_row("near-copies")
def _near_copies(lab: Lab, sizes: Sizes, row: Row) -> None:
    n, d = sizes.copies, sizes.dims[1]
    offsets = np.array([0, n], dtype=np.int64)
    row.about = f"one segment of {n} x {d} near-copies, cosines 0.9988 to 0.9993"
    gpu_work.max_cosine(lab, row, lab.give(cases.near_copies(n, d, 1)), offsets, TIMED_S)
    random = Row("random")
    gpu_work.max_cosine(lab, random, lab.unit_rows(n, d, 1), offsets, TIMED_S / 2)
    row.rest_on(random, "random rows")
    row.extra["times_slower_than_random"] = (row.ms or 0) / (random.ms or 1)
    row.notes(f"random rows: {random.ms:.3g} ms")


@_row("assign k=1024")
def _assign_1024_clusters(lab: Lab, sizes: Sizes, row: Row) -> None:
    _assign(lab, row, sizes.n, sizes.dims[1], sizes.few_k)


@_row("kmeans mixture")
def _kmeans_mixture(lab: Lab, sizes: Sizes, row: Row) -> None:
    k, d = sizes.kmeans_k, sizes.dims[1]
    rows, _ = lab.mixture(sizes.n, d, min(4 * k, sizes.n // 8), 5)
    init = lab.mixture(k, d, k, 6)[0]
    row.about = f"{sizes.n} x {d}, a mixture of four Gaussians a cluster, k = {k}"
    gpu_work.kmeans(lab, row, rows, init, sizes.kmeans_iter, TIMED_S)


@_row("from the host")
def _from_the_host(lab: Lab, sizes: Sizes, row: Row) -> None:
    """Rows in host memory, streamed: the resident ones over and over, so the labels are known."""
    if not lab.toy and not gpu_peers.is_installed("cupy"):
        row.status, row.note = NOT_RUN, "cupy is not installed"
        return
    n, d, k = sizes.n, sizes.dims[1], sizes.many_k
    rows, centroids = lab.unit_rows(n, d, 1), lab.unit_rows(k, d, 2)
    alone = Row("alone")
    labels = gpu_work.assign(lab, alone, rows, centroids, TIMED_S / 2)
    host = np.empty((PASSES * n, d), dtype=np.float16)
    host.reshape(PASSES, n, d)[...] = lab.take(rows)
    targets = lab.take(centroids)
    row.about = f"{len(host)} x {d} float16 in host memory, k = {k}"
    tamis.assign(host[: n // 8], targets, device="cuda")
    times, found = [], np.empty(0, dtype=np.int32)
    for _ in range(2):
        begin = time.perf_counter()
        found = tamis.assign(host, targets, device="cuda")[0]
        times.append((time.perf_counter() - begin) * 1e3)
    row.call_ms = min(times)
    row.flops = 2.0 * len(host) * d * k
    row.checked = len(host)
    row.mismatches = int((found.reshape(PASSES, n) != labels).sum())
    row.rest_on(alone, "resident rows")
    row.extra["times_the_kernel"] = row.call_ms / (PASSES * (alone.ms or 1))
    row.extra["gb_s"] = host.nbytes / row.call_ms / 1e6


@_row("lorentz pairs")
def _lorentz_pairs(lab: Lab, sizes: Sizes, row: Row) -> None:
    gpu_lorentz.paired(lab, row, sizes.pairs, sizes.dims[0], TIMED_S)


@_row("lorentz means")
def _lorentz_means(lab: Lab, sizes: Sizes, row: Row) -> None:
    gpu_lorentz.specificity(lab, row, sizes.points, sizes.references, sizes.dims[0], TIMED_S)


def _max_cosine(lab: Lab, row: Row, sizes: Sizes, offsets: npt.NDArray[np.int64]) -> None:
    rows = lab.unit_rows(sizes.n, sizes.dims[1], 1)
    row.about = f"{sizes.n} x {sizes.dims[1]} random rows in {len(offsets) - 1} equal segments"
    gpu_work.max_cosine(lab, row, rows, offsets, TIMED_S)
    row.peers |= gpu_peers.triangles(lab, rows, offsets)


def zipf_offsets(n: int, largest: int) -> npt.NDArray[np.int64]:
    """Segments whose sizes fall as a power of their rank, from `largest` down to 1, shuffled."""
    rank = np.arange(1, n + 1, dtype=np.float64)
    low, high = 0.5, 4.0
    for _ in range(40):  # the power at which they nearly fill n rows; single ones do the rest
        power = (low + high) / 2
        total = np.floor(largest * rank**-power).sum()
        low, high = (power, high) if total > n else (low, power)
    sizes = np.floor(largest * rank**-high).astype(np.int64)
    sizes = np.concatenate([sizes[sizes > 0], np.ones(n - int(sizes.sum()), dtype=np.int64)])
    offsets = np.concatenate([[0], np.cumsum(np.random.default_rng(1).permutation(sizes))])
    return offsets.astype(np.int64)
