"""SemDeDup as an estimator: rows in memory in, a keep mask and its explanation out."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tamis.filters.semdedup.clusters import assign_clusters, fit_clusters, plan_clusters
from tamis.filters.semdedup.explain import Groups, explain
from tamis.filters.semdedup.layout import Layout, make_layout
from tamis.filters.semdedup.order import check_order, global_ranks, id_ranks
from tamis.filters.semdedup.recall import RecallReport, recall_sample, residual_duplicates
from tamis.filters.semdedup.rules import check_rule, keep_by_rule
from tamis.filters.semdedup.score import score_all
from tamis.filters.semdedup.select import Selection, check_choice, eps_curve, select
from tamis.filters.semdedup.source import ArraySource, Index, Labels, Mask, Rows, RowSource, Singles
from tamis.kernels.canonical import canonical
from tamis.kernels.place import device_of, on_host, running_on


class SemDeDup:
    """Remove near-copies from embeddings (SemDeDup, arXiv 2303.09540, section 3 and table A7).

    Rows are clustered by `tamis.kmeans`; inside a cluster rows are ordered by `which_to_keep`, and
    a row is removed iff float32 of its largest cosine to an earlier row is > float32(1 - eps).
    Cosines are exact on canonical rows (see `tamis.canonical`), so the result does not depend on
    the machine, the number of threads or the batch size. Zero, NaN and Inf rows are quarantined:
    not kept, label -1, cosine NaN; the other rows get the result that they have without them.

    Args:
        n_clusters: clusters; 1 compares all pairs; "auto" picks a number by a cost model (`plan_`).
        eps: remove a row closer than this to an earlier one, in [0, 2]. 0 removes nothing; copies
            go from 6e-8 on.
        keep: or the fraction of the usable rows to keep, in (0, 1], rounded down.
        keep_rows: or how many rows to keep. Rows are taken by (cosine, id), so exactly that many
            stay. At most one of the three; with none the scores and the eps curve are computed and
            nothing is selected.
        which_to_keep: "hard" keeps the row farthest from its centroid, "easy" the nearest, "random"
            any (seeded), "asc" and "desc" the one with the smallest or largest `rank` value. Ties
            go to the smallest id (with "easy", the largest).
        rule: "semdedup"; or, with eps and without probes, "greedy" (every removed row is close to a
            kept row) or "components" (one row of each connected component).
        probes: also compare each row with this many next-nearest clusters.
        recall_sample: rows that are compared with all rows to measure recall; 0 for none.
        seed: of every random choice.
        device: where rows are clustered and compared, which changes no bit. None or "auto" is the
            GPU that x lives on, or the CPU; "cpu"; "cuda" or "cuda:1" (extra cuda13). Results are
            NumPy arrays.

    Attributes:
        keep_mask_: bool (n,), or None where nothing was selected.
        max_cosine_: float32 (n,), largest cosine to an earlier row; -inf where there is no earlier
            row, NaN for a quarantined row.
        nearest_: int64 (n,), that earlier row, or -1.
        labels_: int32 (n,), cluster, or -1 for a quarantined row.
        eps_: the eps that was given or that `keep` came to (`select.Selection`), or None.
        ties_at_cut_: rows of equal cosine through which the cut of `keep` goes, decided by id; else
            0.
        groups_: dict of columns of equal length, one line for each removed row and each kept row
            that stands for some: group, row, role ("kept", "removed"), representative, nearest,
            cosine, cluster, rank, orphan (see `explain.Groups`); None without selection.
        n_orphans_: removed rows that are close to no kept row of their cluster; None without
            selection.
        recall_: `recall.RecallReport`, or None where recall_sample is 0.
        eps_curve_: {"eps", "kept", "removed"} of the semdedup rule.
        plan_: dict with the number of clusters and what the cost model says.
        cluster_centers_: float16 (k, d).

    Example:
        >>> import numpy as np
        >>> x = np.array([[1, 0], [0.99, 0.1], [0, 1], [1, 0], [0, 0]], dtype=np.float32)
        >>> dedup = SemDeDup(n_clusters=1, eps=0.1).fit(x)
        >>> dedup.keep_mask_.tolist()
        [True, False, True, False, False]
        >>> dedup.nearest_.tolist(), dedup.labels_.tolist()
        ([2, 0, -1, 0, -1], [0, 0, 0, 0, -1])
        >>> dedup.recall_.found.value
        1.0
    """

    keep_mask_: Mask | None
    max_cosine_: Singles
    nearest_: Index
    labels_: Labels
    eps_: float | None
    ties_at_cut_: int
    groups_: dict[str, NDArray[Any]] | None
    n_orphans_: int | None
    recall_: RecallReport | None
    eps_curve_: dict[str, NDArray[Any]]
    plan_: dict[str, Any]
    cluster_centers_: Rows

    def __init__(
        self,
        n_clusters: int | str = "auto",
        *,
        eps: float | None = None,
        keep: float | None = None,
        keep_rows: int | None = None,
        which_to_keep: str = "hard",
        rule: str = "semdedup",
        probes: int = 0,
        recall_sample: int = 2000,
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.eps = eps
        self.keep = keep
        self.keep_rows = keep_rows
        self.which_to_keep = which_to_keep
        self.rule = rule
        self.probes = probes
        self.recall_sample = recall_sample
        self.seed = seed
        self.device = device

    def fit(self, x: Any, ids: ArrayLike | None = None, *, rank: ArrayLike | None = None) -> Self:
        """Score the rows of x and select.

        Args:
            x: (n, d) embeddings, any input of `tamis.canonical`.
            ids: (n,) integers or strings that break ties; None for the row number.
            rank: (n,) metadata values, with which_to_keep "asc" or "desc" only; missing values
                (NaN) come last.

        Returns:
            self.

        Raises:
            ValueError: a parameter is out of range or contradicts another, a shape is wrong, no row
                is usable, or there are more clusters, or more rows to keep, than usable rows.
        """
        self._check(has_rank=rank is not None)
        device = device_of(self.device, x)
        rows, bad = map(on_host, canonical(x))
        usable = np.flatnonzero(~bad)
        if not len(usable):
            raise ValueError(
                f"expected at least one usable row, got {len(bad)}, all of them zero, NaN or Inf"
                if len(bad)
                else "expected at least one row, got an empty array"
            )
        with running_on(device):
            result = self._fit_usable(
                ArraySource(rows if len(usable) == len(rows) else rows[usable]),
                _of_usable(ids, usable, len(bad), "ids"),
                _of_usable(rank, usable, len(bad), "rank"),
            )
        self._publish(result, usable, len(bad))
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters by name."""
        return {name: getattr(self, name) for name in _parameters()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters. Raises ValueError for an unknown name."""
        for name, value in params.items():
            if name not in _parameters():
                raise ValueError(
                    f"SemDeDup has no parameter {name!r}; it has {', '.join(_parameters())}"
                )
            setattr(self, name, value)
        return self

    def _check(self, *, has_rank: bool) -> None:
        check_choice(self.eps, self.keep, self.keep_rows)
        check_order(self.which_to_keep, has_values=has_rank)
        check_rule(self.rule, probes=self.probes, eps=self.eps)
        if self.recall_sample < 0:
            raise ValueError(f"recall_sample must be 0 or more, got {self.recall_sample}")

    def _fit_usable(
        self, source: RowSource, ids: NDArray[Any] | None, rank_values: NDArray[Any] | None
    ) -> _Result:
        n_rows, dim = source.shape
        id_rank = id_ranks(ids, n_rows)
        plan = plan_clusters(n_rows, dim, self.n_clusters, probes=self.probes)
        clusters = fit_clusters(source, plan, seed=self.seed)
        where = assign_clusters(source, clusters.centroids, n_probes=plan.n_probes)
        rank = global_ranks(
            self.which_to_keep, dots=where.dots, id_rank=id_rank, seed=self.seed, values=rank_values
        )
        layout = make_layout(where.labels, rank, plan.n_clusters, where.probed)
        cosine64, nearest = score_all(source, layout)
        cosine = cosine64.astype(np.float32)
        selection = select(cosine, id_rank, eps=self.eps, keep=self.keep, keep_rows=self.keep_rows)
        selection, groups = self._explain(source, layout, nearest, selection)
        recall = None
        if self.recall_sample:
            sampled = recall_sample(source, layout, self.recall_sample, seed=self.seed)
            recall = RecallReport(sampled, None, None)
            if selection is not None:
                left = residual_duplicates(
                    source, selection.keep, selection.eps, self.recall_sample, seed=self.seed
                )
                recall = RecallReport(sampled, sampled.at(selection.eps), left)
        plan_dict = plan.as_dict() | {"n_iter": clusters.n_iter, "converged": clusters.converged}
        return _Result(
            cosine, nearest, layout.labels, selection, groups, recall, plan_dict, clusters.centroids
        )

    def _explain(
        self, source: RowSource, layout: Layout, nearest: Index, selection: Selection | None
    ) -> tuple[Selection | None, Groups | None]:
        if selection is None:
            return None, None
        component = None
        if self.rule != "semdedup":
            keep, component = keep_by_rule(source, layout, self.rule, selection.eps)
            selection = replace(selection, keep=keep)
        groups = explain(
            source,
            layout,
            keep=selection.keep,
            nearest=nearest,
            threshold=selection.threshold,
            component=component,
        )
        return selection, groups

    def _publish(self, result: _Result, usable: Index, n_rows: int) -> None:
        """Store results by the row numbers of x."""
        numbers = np.append(usable, -1)  # number -1 stays -1
        self.max_cosine_ = _spread(result.cosine, usable, n_rows, np.nan)
        self.nearest_ = _spread(numbers[result.nearest], usable, n_rows, -1)
        self.labels_ = _spread(result.labels, usable, n_rows, -1)
        self.eps_curve_ = eps_curve(result.cosine)
        self.plan_ = result.plan
        self.cluster_centers_ = result.centroids
        self.keep_mask_, self.eps_, self.ties_at_cut_ = None, None, 0
        if result.selection is not None:
            self.keep_mask_ = _spread(result.selection.keep, usable, n_rows, False)
            self.eps_, self.ties_at_cut_ = result.selection.eps, result.selection.ties_at_cut
        self.groups_, self.n_orphans_ = None, None
        if result.groups is not None:
            self.groups_, self.n_orphans_ = (
                _columns(result.groups, numbers),
                result.groups.n_orphans,
            )
        self.recall_ = result.recall
        if result.recall is not None:
            sampled = replace(result.recall.sample, rows=usable[result.recall.sample.rows])
            self.recall_ = replace(result.recall, sample=sampled)


@dataclass(frozen=True)
class _Result:
    """What `fit` found, by the numbers of the usable rows."""

    cosine: Singles
    nearest: Index
    labels: Labels
    selection: Selection | None
    groups: Groups | None
    recall: RecallReport | None
    plan: dict[str, Any]
    centroids: Rows


def _parameters() -> list[str]:
    return [name for name in inspect.signature(SemDeDup.__init__).parameters if name != "self"]


def _of_usable(
    values: ArrayLike | None, usable: Index, n_rows: int, name: str
) -> NDArray[Any] | None:
    if values is None:
        return None
    column = np.asarray(values)
    if column.shape != (n_rows,):
        raise ValueError(
            f"{name} must have shape ({n_rows},), one for each row of x, got {column.shape}"
        )
    return column[usable]


def _spread(values: NDArray[Any], usable: Index, n_rows: int, missing: Any) -> NDArray[Any]:
    if len(usable) == n_rows:
        return values
    spread = np.full(n_rows, missing, dtype=values.dtype)
    spread[usable] = values
    return spread


def _columns(groups: Groups, numbers: Index) -> dict[str, NDArray[Any]]:
    return {
        "group": groups.group,
        "row": numbers[groups.row],
        "role": np.where(groups.removed, "removed", "kept"),
        "representative": numbers[groups.representative],
        "nearest": numbers[groups.nearest],
        "cosine": groups.cosine,
        "cluster": groups.cluster,
        "rank": groups.rank,
        "orphan": groups.orphan,
    }
