"""The stages of a run, each cut into units that are done once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tamis.data.pool import Pool, Unit
from tamis.errors import RunError
from tamis.filters.semdedup.clusters import (
    Assignment,
    ClusterPlan,
    assign_block,
    first_centroids,
    training_points,
    update_steps,
)
from tamis.filters.semdedup.layout import Batch, Layout, batches
from tamis.filters.semdedup.recall import RecallSample, recall_sample
from tamis.filters.semdedup.score import Scores, empty_scores, merge, score_batch
from tamis.filters.semdedup.source import Index, Rows, Singles
from tamis.kernels.canonical import canonical
from tamis.run.directory import RunDirectory
from tamis.run.embeddings import EmbeddingStore, commit_unit
from tamis.run.plan import MemoryPlan
from tamis.run.progress import Advance, Progress
from tamis.run.quarantine import reasons_of

SCORES = np.dtype([("row", "<i8"), ("cosine", "<f8"), ("nearest", "<i8")])
LARGEST_BATCH = 1 << 18
"""Rows: however much memory there is, a kill costs no more than the scores of these."""


def _unwatched(steps: int) -> None:
    pass


@dataclass(frozen=True)
class StoreSource:
    """The stored rows of a run as a `RowSource`."""

    store: EmbeddingStore
    block_rows: int
    advance: Advance = _unwatched

    @property
    def shape(self) -> tuple[int, int]:
        return self.store.shape

    def take(self, indices: Index) -> Rows:
        rows: Rows = self.store.take(indices)
        return rows

    def blocks(self) -> Iterator[tuple[int, Rows]]:
        for start, rows in self.store.blocks(self.block_rows):
            yield start, rows
            self.advance(len(rows))

    def watched(self, advance: Advance) -> StoreSource:
        """The same rows; every block that has been used is reported."""
        return replace(self, advance=advance)


def embed(run: RunDirectory, pool: Pool, units: list[Unit], progress: Progress) -> EmbeddingStore:
    """Make every unit of the pool canonical and store it."""
    with progress.stage("reading", pool.n_rows, "rows") as advance:
        for unit in units:
            if not run.done("embed", unit.name):
                read = pool.read_embeddings(unit)
                rows, bad = canonical(read)
                reasons = reasons_of(read, bad, pool.bad_reasons(unit))
                commit_unit(run, unit, rows, reasons)
            advance(unit.n_rows)
    store = EmbeddingStore(run.path, units)
    store.commit_index(run)
    return store


def train(
    run: RunDirectory, source: StoreSource, plan: ClusterPlan, seed: int, progress: Progress
) -> tuple[Rows, int, bool]:
    """Centroids of k-means, update by update: (centroids, updates, converged)."""
    with progress.stage("k-means", plan.max_iter, "updates") as advance:
        step, centroids, converged = _last_update(run)
        advance(step)
        if centroids is None or (step < plan.max_iter and not converged):
            points, numbers = training_points(source, plan, seed)
            if centroids is None:
                centroids = first_centroids(points, numbers, plan, seed)
            start = centroids
            for centroids, converged in update_steps(points, start, plan.max_iter - step):
                step += 1
                name = f"clusters/updates/{step:04d}"
                content = {f"{name}.npy": centroids, f"{name}.json": {"converged": converged}}
                run.commit("kmeans", f"{step:04d}", content)
                advance(1)
        advance(plan.max_iter - step)
    if not run.done("kmeans", "centroids"):
        run.commit("kmeans", "centroids", {"clusters/centroids.npy": centroids})
    return centroids, step, converged


def _last_update(run: RunDirectory) -> tuple[int, Rows | None, bool]:
    """What an earlier process reached: (updates, centroids, whether they converged)."""
    step = 0
    while run.done("kmeans", f"{step + 1:04d}"):
        step += 1
    if not step:
        return 0, None, False
    name = run.path / f"clusters/updates/{step:04d}"
    centroids = np.load(name.with_suffix(".npy"), allow_pickle=False)
    return step, centroids, bool(json.loads(name.with_suffix(".json").read_text())["converged"])


def assign(
    run: RunDirectory,
    source: StoreSource,
    centroids: Rows,
    plan: ClusterPlan,
    rows_per_unit: int,
    progress: Progress,
) -> Assignment:
    """The clusters of every stored row."""
    n_rows = source.shape[0]
    labels = np.empty(n_rows, dtype=np.int32)
    dots = np.empty(n_rows, dtype=np.float64)
    probed = np.empty((n_rows, plan.n_probes), dtype=np.int32)
    with progress.stage("assigning", n_rows, "rows") as advance:
        for start in range(0, n_rows, rows_per_unit):
            stop = min(start + rows_per_unit, n_rows)
            unit = f"{start // rows_per_unit:05d}"
            names = {part: f"clusters/{unit}.{part}.npy" for part in ("labels", "dots", "probed")}
            if not run.done("assign", unit):
                found = assign_block(
                    source.store.read(start, stop), centroids, n_probes=plan.n_probes
                )
                content = dict(zip(names.values(), map(np.ascontiguousarray, found), strict=True))
                run.commit("assign", unit, content)
            part = slice(start, stop)
            labels[part] = np.load(run.path / names["labels"], allow_pickle=False)
            dots[part] = np.load(run.path / names["dots"], allow_pickle=False)
            probed[part] = np.load(run.path / names["probed"], allow_pickle=False)
            advance(stop - start)
    return Assignment(labels, dots, probed)


def score(
    run: RunDirectory, source: StoreSource, layout: Layout, memory: MemoryPlan, progress: Progress
) -> tuple[Singles, Index]:
    """Every row's largest cosine to an earlier row, and which row that is."""
    cosine, nearest = empty_scores(source.shape[0])
    budget = memory.rows_per_batch
    with progress.stage("comparing", source.shape[0], "rows") as advance:
        for batch in batches(layout, min(budget, LARGEST_BATCH)):
            unit = f"{batch.first:07d}"
            name = f"scores/clusters/{unit}.npy"
            if not run.done("score", unit):
                parts = list(score_batch(source, layout, batch, budget))
                run.commit("score", unit, {name: _best_of(parts, layout.rank)})
            merge(cosine, nearest, _unpacked(np.load(run.path / name)), layout.rank)
            advance(_members(layout, batch))
    return cosine.astype(np.float32), nearest


def recall(
    run: RunDirectory,
    source: StoreSource,
    layout: Layout,
    count: int,
    seed: int,
    budget: int,
    progress: Progress,
) -> RecallSample | None:
    """Rows compared with all rows, to measure what the clustering missed."""
    if not count:
        return None
    name = "scores/recall.npy"
    kind = np.dtype([("row", "<i8"), ("any_cosine", "<f4"), ("compared_cosine", "<f4")])
    if not run.done("recall", "sample"):
        with progress.stage("recall", source.shape[0], "rows") as advance:
            watched = source.watched(advance)
            found = recall_sample(watched, layout, count, seed=seed, row_budget=budget)
        table = np.empty(len(found.rows), dtype=kind)
        table["row"] = found.rows
        table["any_cosine"], table["compared_cosine"] = found.any_cosine, found.compared_cosine
        run.commit("recall", "sample", {name: table})
    return load_recall(run)


def load_recall(run: RunDirectory) -> RecallSample | None:
    """The recall sample of a run, or None where it measured none."""
    path = run.path / "scores/recall.npy"
    if not path.exists():
        return None
    table = np.load(path, allow_pickle=False)
    return RecallSample(
        *(np.ascontiguousarray(table[part]) for part in ("row", "any_cosine", "compared_cosine"))
    )


def check_training(plan: ClusterPlan, memory: MemoryPlan) -> None:
    """Refuse more training rows than the budget holds: fewer would be another result.

    Raises:
        RunError: with what to do.
    """
    if plan.n_train > memory.max_train_rows:
        raise RunError(
            f"k-means trains {plan.n_clusters:,} clusters on {plan.n_train:,} rows, the memory "
            f"budget holds {memory.max_train_rows:,}; raise --memory or lower --clusters"
        )


def _members(layout: Layout, batch: Batch) -> int:
    return int(layout.offsets[batch.last] - layout.offsets[batch.first])


def _best_of(parts: list[Scores], rank: Index) -> np.ndarray:
    """One line for each row of the parts, its best candidate."""
    rows = np.unique(np.concatenate([part.rows for part in parts] or [np.empty(0, np.int64)]))
    cosine, nearest = empty_scores(len(rows))
    for part in parts:
        place = np.searchsorted(rows, part.rows)
        merge(cosine, nearest, Scores(place, part.cosine, part.nearest), rank)
    table = np.empty(len(rows), dtype=SCORES)
    table["row"], table["cosine"], table["nearest"] = rows, cosine, nearest
    return table


def _unpacked(table: np.ndarray) -> Scores:
    return Scores(*(np.ascontiguousarray(table[part]) for part in ("row", "cosine", "nearest")))
