"""What is run: one case is one table, its contenders interleaved, with the bars it must pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tamis
from bench import inputs
from bench.bars import Bar, objective, share, speed
from bench.contenders import Contender, rival_contenders, tamis_contender, tamis_contenders
from bench.inputs import Rows
from bench.rivals import Rival
from bench.tasks import AssignTask, KMeansTask, MaxCosineTask, SemDeDupTask

PINS = ("avx512", "avx2")
CLUSTERING_BARS = (
    speed("tamis", "faiss", 3.0),
    speed("tamis avx512", "faiss", 1.6),
    share("tamis avx2", 0.75),
)
COSINE_BARS = (speed("tamis", "numpy", 4.0), speed("tamis", "torch", 4.0))


@dataclass(frozen=True)
class Case:
    """`build` makes the inputs and everyone's prepared calls."""

    name: str
    op: str
    about: str
    build: Callable[[Sequence[Rival]], list[Contender]]
    bars: tuple[Bar, ...] = ()


def select(cases: Sequence[Case], ops: Sequence[str], names: Sequence[str]) -> list[Case]:
    """The cases of the ops (none: all) whose name contains one of `names` (none: all).

    Raises:
        ValueError: nothing fits.
    """
    chosen = [
        case
        for case in cases
        if (not ops or case.op in ops) and (not names or any(part in case.name for part in names))
    ]
    if not chosen:
        known = ", ".join(case.name for case in cases)
        raise ValueError(f"no case of op {ops or 'any'} is named like {names}; there are {known}")
    return chosen


def all_cases(*, quick: bool) -> list[Case]:
    """Every case; quick: the same on toy sizes, to see that all of it works."""
    n, small_k, large_k = (1500, 20, 40) if quick else (200_000, 1000, 4096)
    segment_rows, many, few = (2000, 20, 4) if quick else (100_000, 100, 12)
    d1, d2 = (32, 48) if quick else (512, 768)
    family = 600 if quick else 20_000
    updates_small, updates_large = (2, 2) if quick else (5, 3)
    return [
        _assign(n, d1, small_k, "mixture"),
        _assign(n, d1, small_k, "random"),
        _assign(n, d2, large_k, "mixture"),
        _assign(n, d2, large_k, "random"),
        _kmeans(n, d1, small_k, updates_small),
        _kmeans(n, d2, large_k, updates_large),
        _max_cosine(segment_rows, d2, many),
        _max_cosine(segment_rows, d2, few),
        _random_max_cosine(segment_rows, d2, many),
        _zipf(segment_rows, d2, many),
        _near_copies(family, d2),
        _semdedup(n // 2, d1, small_k // 4),
    ]


def _rows(n: int, d: int, k: int, data: str) -> Rows:
    return inputs.mixture_rows(n, d, k) if data == "mixture" else inputs.random_rows(n, d)


def _assign(n: int, d: int, k: int, data: str) -> Case:
    def build(rivals: Sequence[Rival]) -> list[Contender]:
        rows = _rows(n, d, k, data)
        # Centroids as k-means leaves them, not raw rows: the gaps between them are what counts.
        centroids = tamis.kmeans(rows, k, max_iter=2, max_points_per_centroid=32).centroids
        task = AssignTask(rows, centroids)
        return [*tamis_contenders(task, PINS), *rival_contenders(task, rivals)]

    about = f"{n} x {d} {data} rows to k = {k} centroids after 2 Lloyd updates"
    return Case(f"assign-{d}-k{k}-{data}", "assign", about, build, CLUSTERING_BARS)


def _kmeans(n: int, d: int, k: int, n_iter: int) -> Case:
    def build(rivals: Sequence[Rival]) -> list[Contender]:
        # Four centres for each centroid: no cluster empties, which each library treats in its way.
        rows = inputs.mixture_rows(n, d, 4 * k)
        task = KMeansTask(rows, rows[:k].copy(), n_iter)
        return [*tamis_contenders(task, PINS), *rival_contenders(task, rivals)]

    about = f"{n} x {d} mixture rows, k = {k}, one init, {n_iter} updates and the final labels"
    bars = (*CLUSTERING_BARS, objective("tamis", "faiss", 1e-4))
    return Case(f"kmeans-{d}-k{k}", "kmeans", about, build, bars)


def _max_cosine(n: int, d: int, segments: int) -> Case:
    def build(rivals: Sequence[Rival]) -> list[Contender]:
        offsets = inputs.equal_segments(n, segments)
        task = MaxCosineTask(inputs.clustered_rows(offsets, d), offsets)
        return [*tamis_contenders(task, PINS), *rival_contenders(task, rivals)]

    about = f"{n} x {d} clustered rows in {segments} equal segments"
    return Case(f"max_cosine-{segments}", "max_cosine", about, build, COSINE_BARS)


def _random_max_cosine(n: int, d: int, segments: int) -> Case:
    def build(rivals: Sequence[Rival]) -> list[Contender]:
        task = MaxCosineTask(inputs.random_rows(n, d), inputs.equal_segments(n, segments))
        return [*tamis_contenders(task, PINS), *rival_contenders(task, rivals)]

    about = f"{n} x {d} random rows in {segments} equal segments"
    return Case(f"max_cosine-{segments}-random", "max_cosine", about, build, COSINE_BARS)


def _zipf(n: int, d: int, segments: int) -> Case:
    def build(rivals: Sequence[Rival]) -> list[Contender]:
        ragged, equal = inputs.zipf_segments(n, segments), inputs.equal_segments(n, segments)
        task = MaxCosineTask(inputs.clustered_rows(ragged, d), ragged)
        uniform = MaxCosineTask(inputs.clustered_rows(equal, d), equal)
        return [
            tamis_contender(task),
            tamis_contender(uniform, name="tamis, equal segments"),
            *rival_contenders(task, rivals),
        ]

    about = f"{n} x {d} clustered rows in {segments} segments of Zipf sizes"
    bars = (speed("tamis", "tamis, equal segments", 1 / 1.3), *COSINE_BARS)
    return Case("max_cosine-zipf", "max_cosine", about, build, bars)


def _near_copies(n: int, d: int) -> Case:
    def build(rivals: Sequence[Rival]) -> list[Contender]:
        offsets = inputs.equal_segments(n, 1)
        task = MaxCosineTask(inputs.near_copies(n, d), offsets)
        random = MaxCosineTask(inputs.random_rows(n, d), offsets)
        return [
            tamis_contender(task),
            tamis_contender(random, name="tamis, random rows"),
            *rival_contenders(task, rivals),
        ]

    about = f"one segment of {n} x {d} near-copies, pairwise cosine 0.9988 to 0.9993"
    bars = (speed("tamis", "tamis, random rows", 1 / 4),)
    return Case("max_cosine-copies", "max_cosine", about, build, bars)


def _semdedup(n: int, d: int, k: int) -> Case:
    def build(rivals: Sequence[Rival]) -> list[Contender]:
        task = SemDeDupTask(inputs.pool_rows(n, d, n // 20), k, 20, 0.05)
        return [tamis_contender(task), *rival_contenders(task, rivals)]

    about = f"SemDeDup of {n} x {d} pool rows, {k} clusters, at most 20 updates, eps = 0.05"
    return Case("end_to_end-semdedup", "end_to_end", about, build)
