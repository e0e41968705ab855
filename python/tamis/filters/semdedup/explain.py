"""Why each row was removed: the kept row that stands for it, and whether any kept row is close."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tamis.filters.semdedup.families import collapse
from tamis.filters.semdedup.layout import Batch, Layout, batches
from tamis.filters.semdedup.score import open_members, tile_rows
from tamis.filters.semdedup.source import BLOCK_ROWS, Index, Labels, Mask, RowSource, Singles
from tamis.filters.semdedup.tiles import best_cosine
from tamis.kernels.exact import paired_cosine64


@dataclass(frozen=True)
class Groups:
    """Columns with one line for every removed row and for every kept row that stands for one.

    Lines are ordered by group, then kept before removed, then by the global order. Row numbers are
    those of the source.

    Attributes:
        group: int64, numbered from 0 by (cluster, rank) of the representative; -1 for rows without
            one.
        row: int64.
        removed: bool, the role: removed or kept.
        representative: int64, the first kept row reached by following `nearest`; -1 where the chain
            ends at a removed row, which only `keep_rows` (or `keep`) below the number of rows
            without an earlier row can do. A kept row represents itself. With rule components it is
            the kept row of the component.
        nearest: int64, the earlier row with the largest cosine, kept or not; -1 where there is
            none.
        cosine: float32, to the representative; NaN where there is none.
        cluster: int32, of the row.
        rank: int64, position of the row in its cluster, from 0.
        orphan: bool, removed and no kept row of its own cluster is within the threshold.
    """

    group: Index
    row: Index
    removed: Mask
    representative: Index
    nearest: Index
    cosine: Singles
    cluster: Labels
    rank: Index
    orphan: Mask

    @property
    def n_orphans(self) -> int:
        return int(self.orphan.sum())


def explain(
    source: RowSource,
    layout: Layout,
    *,
    keep: Mask,
    nearest: Index,
    threshold: np.float32,
    component: Index | None = None,
    row_budget: int | None = None,
) -> Groups:
    """Explain a kept set.

    Args:
        source: canonical rows.
        layout: the clusters.
        keep: bool (n,).
        nearest: int64 (n,) from scoring.
        threshold: float32; a kept row is within it iff float32(cosine) > threshold
            (`Selection.threshold`, or `threshold_of(eps)`).
        component: from `keep_by_rule` with rule components, else None.
        row_budget: rows in memory at a time.
    """
    removed = np.flatnonzero(~keep)
    target = component if component is not None else representatives(keep, nearest)
    target = target[removed]
    cosine = _cosine_to(source, removed, target)
    orphan = _orphans(
        source,
        layout,
        keep,
        removed,
        target,
        cosine,
        threshold,
        row_budget or tile_rows(source.shape[1]),
    )

    shown = np.unique(target[target >= 0])
    row = np.concatenate((shown, removed))
    representative = np.concatenate((shown, target))
    place = np.empty(len(keep), dtype=np.int64)
    place[layout.members] = np.arange(len(keep))  # by (cluster, rank)
    leaders = np.sort(place[shown])
    group = np.where(representative >= 0, np.searchsorted(leaders, place[representative]), -1)
    is_removed = np.repeat([False, True], (len(shown), len(removed)))
    order = np.lexsort((layout.rank[row], is_removed, group))
    kept_cosine = np.ones(len(shown), dtype=np.float32)
    return Groups(
        group=group[order],
        row=row[order],
        removed=is_removed[order],
        representative=representative[order],
        nearest=nearest[row][order],
        cosine=np.concatenate((kept_cosine, cosine))[order],
        cluster=layout.labels[row][order],
        rank=layout.rank_in_cluster()[row][order],
        orphan=np.concatenate((np.zeros(len(shown), dtype=np.bool_), orphan))[order],
    )


def representatives(keep: Mask, nearest: Index) -> Index:
    """For every row, the first kept row on the chain row, nearest[row], nearest[nearest[row]], ...;
    -1 where none is.

    Every step goes to an earlier row, so the chain ends. It is followed by doubling: log2 of the
    longest chain passes.

    Example:
        >>> representatives(np.array([True, False, False]), np.array([-1, 0, 1])).tolist()
        [0, 0, 0]
    """
    n_rows = len(keep)
    end = np.int64(n_rows)  # a kept row of its own kind: where chains without a kept row end
    step = np.where(keep, np.arange(n_rows), np.where(nearest >= 0, nearest, end))
    step = np.append(step, end)
    while not np.array_equal(further := step[step], step):
        step = further
    return np.where(step[:-1] == end, -1, step[:-1])


def _cosine_to(source: RowSource, rows: Index, targets: Index) -> Singles:
    cosine = np.full(len(rows), np.nan, dtype=np.float32)
    known = np.flatnonzero(targets >= 0)
    for start in range(0, len(known), BLOCK_ROWS):
        part = known[start : start + BLOCK_ROWS]
        index = np.arange(len(part), dtype=np.int64)
        found = paired_cosine64(source.take(rows[part]), index, source.take(targets[part]), index)
        cosine[part] = found.astype(np.float32)
    return cosine


def _orphans(
    source: RowSource,
    layout: Layout,
    keep: Mask,
    removed: Index,
    target: Index,
    cosine: Singles,
    threshold: np.float32,
    row_budget: int,
) -> Mask:
    """Which removed rows have no kept row of their cluster within the threshold; only where the
    representative does not settle it.
    """
    same_cluster = (target >= 0) & (layout.labels[target] == layout.labels[removed])
    open_rows = removed[~(same_cluster & (cosine > threshold))]
    is_orphan = np.zeros(len(keep), dtype=np.bool_)
    is_orphan[open_rows] = True
    clusters = np.unique(layout.labels[open_rows])
    for part in batches(layout, row_budget, Batch(0, layout.n_clusters)):
        if not len(clusters) or np.searchsorted(clusters, part.first) == np.searchsorted(
            clusters, part.last
        ):
            continue
        side = open_members(source, layout, part, row_budget)
        families = collapse(side.pick(np.flatnonzero(is_orphan[side.rows])))
        kept = side.pick(np.flatnonzero(keep[side.rows]))
        best, _ = best_cosine(families.first, kept)
        is_orphan[families.side.rows] = ~(best.astype(np.float32) > threshold)[families.slot]
    return is_orphan[removed]
