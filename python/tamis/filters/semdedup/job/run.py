"""One run of SemDeDup, from a pool to a subset."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tamis.data.pool import Pool, open_pool
from tamis.errors import BadRowsError
from tamis.filters.semdedup.clusters import ClusterPlan, plan_clusters
from tamis.filters.semdedup.explain import explain
from tamis.filters.semdedup.job import results, stages
from tamis.filters.semdedup.job.recipe import Recipe
from tamis.filters.semdedup.layout import Layout, make_layout
from tamis.filters.semdedup.order import global_ranks
from tamis.filters.semdedup.recall import (
    RecallReport,
    RecallSample,
    Share,
    residual_duplicates,
)
from tamis.filters.semdedup.rules import compare_rules, keep_by_rule
from tamis.filters.semdedup.select import Selection, select
from tamis.filters.semdedup.source import Index, Rows
from tamis.kernels.place import running_on
from tamis.run.accounting import check_accounting
from tamis.run.directory import RunDirectory
from tamis.run.embeddings import EmbeddingStore
from tamis.run.peak import frugal_arrow
from tamis.run.plan import MemoryPlan
from tamis.run.pool_link import remember_pool
from tamis.run.progress import Progress, Quiet
from tamis.run.status import require_ended

DEFAULT_MEMORY = 3_000_000_000
SUMMARY = "summary.json"
RESULT = ("result", "files")


@dataclass(frozen=True)
class Outline:
    """What a run would do; made from the headers and the ids.

    Attributes:
        pool: the opened pool.
        clusters: the plan of the clustering, as if no row were bad.
        memory: rows held at a time.
    """

    pool: Pool
    clusters: ClusterPlan
    memory: MemoryPlan


def outline(pool: Path | str, recipe: Recipe, *, memory_bytes: int = DEFAULT_MEMORY) -> Outline:
    """Open the pool and plan the run, without writing anything.

    Raises:
        PoolError: the pool cannot be read.
        RunError: the memory budget is too small, or the pool is an embed step that has not ended.
        ValueError: more clusters than rows.
    """
    require_ended(pool)
    opened = open_pool(pool, embedding=recipe.embedding, ids=recipe.ids)
    clusters = plan_clusters(opened.n_rows, opened.dim, recipe.clusters, probes=recipe.probes)
    recipe.check_rows(opened.n_rows)
    if recipe.column is not None:
        opened.read_column(recipe.column)
    memory = MemoryPlan.of(
        opened.n_rows,
        opened.dim,
        clusters.n_clusters,
        memory_bytes,
        id_bytes=math.ceil(opened.ids().nbytes / opened.n_rows),
        n_probes=clusters.n_probes,
    )
    stages.check_training(clusters, memory)
    return Outline(opened, clusters, memory)


@frugal_arrow()
def run_job(
    pool: Path | str,
    out: Path | str,
    recipe: Recipe,
    *,
    memory_bytes: int = DEFAULT_MEMORY,
    max_bad_fraction: float = 0.01,
    device: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Deduplicate a pool into the run directory `out`; continue where an earlier call stopped.

    Args:
        pool: what `open_pool` takes.
        out: the run directory; new, empty, or a run of the same recipe and inputs.
        recipe: what is asked.
        memory_bytes: the budget; changes no result.
        max_bad_fraction: most rows that may be quarantined, as a share of all.
        device: where rows are clustered and compared: None, "auto" or "cpu", or "cuda" or "cuda:1";
            changes no result.
        progress: shows the stages.

    Returns:
        The content of `summary.json`.

    Raises:
        PoolError, RunError, ValueError: one sentence each; `tamis.errors` gives the exit codes.
    """
    progress = progress or Quiet()
    plan = outline(pool, recipe, memory_bytes=memory_bytes)
    with running_on(device):
        remember_pool(out, pool)
        with RunDirectory.open(
            out,
            recipe.for_manifest(),
            plan.pool.inputs(),
            plan=dataclasses.asdict(plan.memory),
            settings={"memory_bytes": memory_bytes, "device": device},
        ) as run:
            # A run that continues keeps the plan that it was started with: units must not move.
            memory = MemoryPlan(**run.plan)
            summary = _Job(run, plan.pool, recipe, memory, progress).run(max_bad_fraction)
            run.finish()
    return summary


class _Job:
    def __init__(
        self,
        run: RunDirectory,
        pool: Pool,
        recipe: Recipe,
        memory: MemoryPlan,
        progress: Progress,
    ) -> None:
        self.dir = run
        self.pool = pool
        self.recipe = recipe
        self.memory = memory
        self.progress = progress
        self.units = pool.units(memory.rows_per_unit)
        self.ids = pool.ids()

    def run(self, max_bad_fraction: float) -> dict[str, Any]:
        store = stages.embed(self.dir, self.pool, self.units, self.progress)
        if len(store.bad) > max_bad_fraction * self.pool.n_rows or not len(store):
            self._refuse(store, max_bad_fraction)
        self.recipe.check_rows(len(store))
        # What only the decision needs is let go before the results are written.
        decision = self._decide(stages.StoreSource(store, self.memory.rows_per_unit))
        if decision is None:
            summary: dict[str, Any] = json.loads((self.dir.path / SUMMARY).read_text())
            return summary
        return self._write(decision)

    def _decide(self, source: stages.StoreSource) -> results.Decision | None:
        """Everything up to the result; None where an earlier process has written it."""
        plan = plan_clusters(*source.shape, self.recipe.clusters, probes=self.recipe.probes)
        stages.check_training(plan, self.memory)
        centroids, n_iter, converged = stages.train(
            self.dir, source, plan, self.recipe.seed, self.progress
        )
        input_rows = source.store.input_rows()
        id_rank = self._id_rank(input_rows)
        layout = self._layout(source, centroids, plan, input_rows, id_rank)
        cosine, nearest = stages.score(self.dir, source, layout, self.memory, self.progress)
        sample = stages.recall(
            self.dir,
            source,
            layout,
            self.recipe.recall_sample,
            self.recipe.seed,
            self.memory.rows_per_batch,
            self.progress,
        )
        if self.dir.done(*RESULT):
            return None
        found = results.Found(input_rows, source.store.bad, cosine, nearest, layout.labels)
        described = plan.as_dict() | {"n_iter": n_iter, "converged": converged}
        return self._select(source, layout, found, id_rank, sample, described)

    def _layout(
        self,
        source: stages.StoreSource,
        centroids: Rows,
        plan: ClusterPlan,
        input_rows: Index,
        id_rank: Index,
    ) -> Layout:
        where = stages.assign(
            self.dir, source, centroids, plan, self.memory.rows_per_unit, self.progress
        )
        rank = global_ranks(
            self.recipe.order,
            dots=where.dots,
            id_rank=id_rank,
            seed=self.recipe.seed,
            values=self._order_values(input_rows),
        )
        return make_layout(where.labels, rank, plan.n_clusters, where.probed)

    def _select(
        self,
        source: stages.StoreSource,
        layout: Layout,
        found: results.Found,
        id_rank: Index,
        sample: RecallSample | None,
        plan: dict[str, Any],
    ) -> results.Decision:
        recipe, budget = self.recipe, self.memory.rows_per_batch
        selection = select(
            found.cosine, id_rank, eps=recipe.eps, keep=recipe.keep, keep_rows=recipe.keep_rows
        )
        if selection is None:
            recall = RecallReport(sample, None, None) if sample else None
            return results.Decision(found, plan, None, None, recall, None)
        component = None
        if recipe.rule != "semdedup":
            keep, component = keep_by_rule(source, layout, recipe.rule, selection.eps, budget)
            selection = dataclasses.replace(selection, keep=keep)
        recall = None
        if sample is not None:
            left = self._left(source, selection)
            recall = RecallReport(sample, sample.at(selection.eps), left)
        groups = explain(
            source,
            layout,
            keep=selection.keep,
            nearest=found.nearest,
            threshold=selection.threshold,
            component=component,
            row_budget=min(budget, stages.LARGEST_BATCH),
        )
        rules = None
        if recipe.compare_rules:
            cosine = found.cosine if not layout.n_probes else None
            rules = compare_rules(source, layout, selection.eps, cosine=cosine, row_budget=budget)
        return results.Decision(found, plan, selection, groups, recall, rules)

    def _left(self, source: stages.StoreSource, selection: Selection) -> Share:
        """The share of kept rows that still have a kept duplicate."""
        with self.progress.stage("left over", source.shape[0], "rows") as advance:
            return residual_duplicates(
                source.watched(advance),
                selection.keep,
                selection.eps,
                self.recipe.recall_sample,
                seed=self.recipe.seed,
            )

    def _write(self, decision: results.Decision) -> dict[str, Any]:
        found, selection, groups = decision.found, decision.selection, decision.groups
        summary = results.summary(decision, self.pool.n_rows)
        files: dict[str, Any] = {
            results.SCORES_FILE: results.scores_writer(found, self.ids),
            "eps_curve.parquet": results.curve_table(found.cosine),
            "quarantine.parquet": results.quarantine(self.pool, self.units, found.bad, self.ids),
            SUMMARY: summary,
        }
        if selection is not None and groups is not None:
            check_accounting(
                self.pool.n_rows,
                kept=summary["kept"],
                removed=summary["removed"],
                quarantined=summary["quarantined"],
            )
            files["groups.parquet"] = results.groups_writer(groups, found.input_rows, self.ids)
            files |= results.subset_file(self.ids, found.input_rows[selection.keep])
        self.dir.commit(*RESULT, files)
        return summary

    def _id_rank(self, input_rows: Index) -> Index:
        rank = self.ids.rank()[input_rows]
        if len(input_rows) == self.pool.n_rows:
            return rank
        order = np.argsort(rank)
        dense = np.empty_like(rank)
        dense[order] = np.arange(len(rank))
        return dense

    def _order_values(self, input_rows: Index) -> np.ndarray | None:
        if self.recipe.column is None:
            return None
        return self.pool.read_column(self.recipe.column)[input_rows]

    def _refuse(self, store: EmbeddingStore, max_bad_fraction: float) -> None:
        table = results.quarantine(self.pool, self.units, store.bad, self.ids)
        self.dir.commit("quarantine", "all", {"quarantine.parquet": table})
        reasons = ", ".join(sorted(set(store.bad.values())))
        raise BadRowsError(
            f"{len(store.bad):,} of {self.pool.n_rows:,} rows are bad ({reasons}), more than "
            f"--max-bad-fraction {max_bad_fraction:g}; they are listed in "
            f"{self.dir.path / 'quarantine.parquet'}"
        )
