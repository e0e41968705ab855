"""Everyone who runs a task: tamis at each of its levels, and the rivals that are installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import tamis
from bench.check import Verdict
from bench.rivals import Rival
from bench.tasks import AssignTask, KMeansTask, MaxCosineTask, SemDeDupTask, Task
from tamis._native import bits, cpu

PEAK_OF_LEVEL = {
    "avx2": "avx2",
    "avx512": "avx512",
    "avx512bf16": "avx512",  # shares avx512's kernels
    "avx512vnni": "int8",
}
ARITHMETIC = {"avx512vnni": "int8, then float64"}


@dataclass(frozen=True)
class Contender:
    """A timed call. What `run` needs in a rival's own dtype was prepared before."""

    name: str
    arithmetic: str
    task: Task
    run: Callable[[], Any]
    warm_up: Callable[[], Any]
    exact: bool
    peak: str | None = None
    effort: Callable[[], dict[str, float]] | None = None
    """What exactness cost, in one untimed call: rescored_per_row and climbed."""


def tamis_contender(task: Task, *, level: str | None = None, name: str | None = None) -> Contender:
    """tamis' public function on canonical float16 rows; level None is the machine's best one."""
    used = level or best_level()
    return Contender(
        name=name or ("tamis" if level is None else f"tamis {level}"),
        arithmetic=ARITHMETIC.get(used, "float32, then float64"),
        task=task,
        run=_pinned_call(task, level),
        warm_up=_pinned_call(task.small(), level),
        exact=True,
        peak=PEAK_OF_LEVEL.get(used),
        effort=lambda: _effort(task, level),
    )


def tamis_contenders(task: Task, pins: Sequence[str]) -> list[Contender]:
    """The best level, then those of `pins` that this machine has and that are not the best."""
    levels = [pin for pin in pins if pin in cpu.levels() and pin != best_level()]
    return [tamis_contender(task), *(tamis_contender(task, level=level) for level in levels)]


def rival_contenders(task: Task, rivals: Sequence[Rival]) -> list[Contender]:
    """One contender for each way that a rival offers to do the task."""
    return [
        Contender(
            name=offer.name,
            arithmetic=offer.arithmetic,
            task=task,
            run=offer.prepare(task),
            warm_up=offer.prepare(task.small()),
            exact=False,
            peak=offer.peak,
        )
        for rival in rivals
        for offer in rival.offers.get(task.op, ())
    ]


def best_level() -> str:
    """The level that tamis chooses by itself."""
    with _level(None):
        return str(cpu.level())


def call(task: Task) -> Callable[[], Any]:
    """tamis' answer to a task, through its public functions."""
    match task:
        case AssignTask(rows, centroids):
            return lambda: tamis.assign(rows, centroids)
        case KMeansTask(rows, init, n_iter):
            return lambda: _kmeans(rows, init, n_iter)
        case MaxCosineTask(rows, offsets):
            return lambda: tamis.max_cosine(rows, offsets)
        case SemDeDupTask(rows, n_clusters, _, eps):
            return lambda: _semdedup(rows, n_clusters, eps)


def _kmeans(rows: Any, init: Any, n_iter: int) -> tuple[Any, Any]:
    result = tamis.kmeans(rows, len(init), init=init, max_iter=n_iter, max_points_per_centroid=None)
    if result.n_iter != n_iter:
        raise ValueError(f"the rows converge after {result.n_iter} updates, take fewer than that")
    return result.centroids, result.labels


def _semdedup(rows: Any, n_clusters: int, eps: float) -> tuple[Any, ...]:
    # Recall is a measurement that no rival makes: left out of the comparison.
    dedup = tamis.SemDeDup(n_clusters, eps=eps, recall_sample=0).fit(rows)
    clusters = dedup.labels_, dedup.cluster_centers_
    return dedup.keep_mask_, *clusters, dedup.max_cosine_, dedup.nearest_


def _pinned_call(task: Task, level: str | None) -> Callable[[], Any]:
    run = call(task)

    def pinned() -> Any:
        with _level(level):
            return run()

    return pinned


def _effort(task: Task, level: str | None) -> dict[str, float]:
    with _level(level):
        match task:
            case AssignTask(rows, centroids):
                counts = cpu.assign(bits(rows), bits(centroids), False, 1)[2]
            case KMeansTask(rows, init, _):
                counts = cpu.assign(bits(rows), bits(init), False, 1)[2]
            case MaxCosineTask(rows, offsets):
                counts = cpu.max_cosine(bits(rows), offsets, None, None, None, False)[2]
            case _:
                return {}
    n_rows = len(task.rows)
    return {
        "rescored_per_row": counts["rescored"] / n_rows,
        "climbed": counts["climbed"] / max(1, counts["rows"]),
    }


@contextmanager
def _level(level: str | None) -> Iterator[None]:
    """TAMIS_CPU_ISA for one call; the kernels read it each time."""
    before = os.environ.pop("TAMIS_CPU_ISA", None)
    try:
        if level is not None:
            os.environ["TAMIS_CPU_ISA"] = level
        yield
    finally:
        os.environ.pop("TAMIS_CPU_ISA", None)
        if before is not None:
            os.environ["TAMIS_CPU_ISA"] = before


def judge_all(contenders: Sequence[Contender], answers: Mapping[str, Any]) -> dict[str, Verdict]:
    """Everyone's verdict by name. tamis' other levels must give the bits of its best, on all rows.

    The first contender is tamis at its best level.
    """
    first = contenders[0]
    verdicts: dict[str, Verdict] = {}
    for contender in contenders:
        answer = answers[contender.name]
        if contender is first or not contender.exact or contender.task is not first.task:
            verdict = contender.task.judge(answer, exact=contender.exact)
        elif _same_bits(answer, answers[first.name]):
            verdict = verdicts[first.name]
        else:
            note = f"other bits than {first.name}"
            verdict = Verdict(len(contender.task.rows), 1, wrong=True, note=note)
        verdicts[contender.name] = verdict
    return verdicts


def _same_bits(answer: Sequence[Any], other: Sequence[Any]) -> bool:
    return all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
        for a, b in zip(answer, other, strict=True)
    )
