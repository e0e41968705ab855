"""One piece of work each: its input, its useful arithmetic, and who judges the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench import check
from bench.inputs import Offsets, Rows


@dataclass(frozen=True)
class AssignTask:
    """Rows to the centroid with the largest dot product. Answer: (labels, scores or None)."""

    rows: Rows
    centroids: Rows
    op = "assign"

    @property
    def flops(self) -> float:
        return 2.0 * len(self.rows) * self.centroids.size

    def small(self) -> AssignTask:
        return AssignTask(self.rows[: len(self.rows) // 8 + 1], self.centroids)

    def judge(self, answer: Any, *, exact: bool) -> check.Verdict:
        labels, scores = answer
        return check.judge_labels(self.rows, self.centroids, labels, scores=scores, exact=exact)


@dataclass(frozen=True)
class KMeansTask:
    """Spherical Lloyd from one init: n_iter updates and the labels of the final centroids.

    Answer: (centroids, labels). Everyone assigns n_iter + 1 times.
    """

    rows: Rows
    init: Rows
    n_iter: int
    op = "kmeans"

    @property
    def flops(self) -> float:
        return 2.0 * len(self.rows) * self.init.size * (self.n_iter + 1)

    def small(self) -> KMeansTask:
        return KMeansTask(self.rows[: len(self.rows) // 8 + len(self.init)], self.init, 1)

    def judge(self, answer: Any, *, exact: bool) -> check.Verdict:
        centroids, labels = answer
        if not np.isfinite(centroids).all() or np.shape(centroids) != self.init.shape:
            return check.Verdict(0, len(self.rows), wrong=True, note="centroids are not usable")
        verdict = check.Verdict(0, 0)
        if exact:
            verdict = check.judge_labels(self.rows, centroids, labels, scores=None, exact=True)
        empty = len(self.init) - len(np.unique(labels))
        return check.Verdict(
            verdict.checked,
            verdict.mismatches,
            verdict.wrong,
            verdict.note or (f"{empty} clusters empty" if empty else ""),
            check.objective(self.rows, centroids),
        )


@dataclass(frozen=True)
class MaxCosineTask:
    """The largest cosine to an earlier row of the segment. Answer: (cosine, index or None).

    Useful arithmetic is the strict upper triangle: sum of n (n - 1) / 2 * 2 d.
    """

    rows: Rows
    offsets: Offsets
    op = "max_cosine"

    @property
    def flops(self) -> float:
        sizes = np.diff(self.offsets).astype(np.float64)
        return float((sizes * (sizes - 1)).sum() * self.rows.shape[1])

    def small(self) -> MaxCosineTask:
        end = min(int(self.offsets[-1]), 2048)
        return MaxCosineTask(self.rows[:end], np.minimum(self.offsets, end))

    def judge(self, answer: Any, *, exact: bool) -> check.Verdict:
        cosine, index = answer
        return check.judge_cosines(self.rows, self.offsets, cosine, index, exact=exact)


@dataclass(frozen=True)
class SemDeDupTask:
    """Rows in, keep mask out: k-means, order inside clusters, cosines, removal at eps.

    Answer: (keep, labels, centroids, cosine, nearest or None). Rivals run the published steps;
    their k-means starts elsewhere, so their mask is not compared. No useful-arithmetic figure: rows
    per second instead.
    """

    rows: Rows
    n_clusters: int
    n_iter: int
    eps: float
    op = "end_to_end"
    flops = 0.0

    def small(self) -> SemDeDupTask:
        return SemDeDupTask(self.rows[: len(self.rows) // 8 + 1], 2, 1, self.eps)

    def judge(self, answer: Any, *, exact: bool) -> check.Verdict:
        keep, labels, centroids, cosine, nearest = answer
        note = f"{np.mean(keep):.1%} kept"
        if not exact:
            return check.Verdict(0, 0, note=note)
        found = check.judge_labels(self.rows, centroids, labels, scores=None, exact=True)
        if not found.wrong:
            found = self._judge_cosines(labels, centroids, cosine, nearest)
        if not np.array_equal(keep, ~(cosine > np.float32(1 - self.eps))):
            return check.Verdict(len(keep), 1, wrong=True, note="the mask does not follow eps")
        return found if found.wrong else replace(found, note=note)

    def _judge_cosines(
        self, labels: Any, centroids: Any, cosine: Any, nearest: Any
    ) -> check.Verdict:
        """In the "hard" order: the float64 dot with the own centroid, ascending, then the row."""
        dots = check.paired_dots(self.rows, centroids, labels)
        order = np.lexsort((dots, labels))
        place = np.empty(len(order) + 1, dtype=np.int64)
        place[order] = np.arange(len(order))
        place[-1] = -1  # nearest -1: no earlier row
        offsets = np.searchsorted(labels[order], np.arange(self.n_clusters + 1))
        return check.judge_cosines(
            self.rows[order], offsets, cosine[order], place[nearest[order]], exact=True
        )


Task = AssignTask | KMeansTask | MaxCosineTask | SemDeDupTask
