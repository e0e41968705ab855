"""For every row, the largest cosine to an earlier row that it is compared with, and which that is.

A row is compared with the rows of its own cluster. With probes, a pair also counts when one of its
rows probes the cluster of the other; pairs of two probers do not. "Earlier" is the global order,
and of equal cosines the row of the lowest rank wins, so the result is a maximum over candidates
under one total order: it does not depend on the cut into batches or tiles, nor on the order in
which they are scored or merged.

**Families.** Only the first row f of a family of bit-identical rows is compared (see `families`). A
later copy r sees everything f sees, then f itself at the self cosine s, then rows between f and r.
s = dot / (|x| |x|) carries four roundings of 2^-53, so s >= 1 - 2^-50. A row g between f and r can
beat f only with a cosine > s to r, hence to f. Let g0 be the first of g's family. If g0 is earlier
than f, then f has seen it. If not, g0 has seen f, so its own value is > 1 - 2^-50. Copies are
therefore also compared with the representatives whose value is at least 1 - 2^-48: rows parallel to
another row, or closer to it than float16 can usually express. Almost always there are none.

This needs labels and probes that depend on the bits of a row alone, as those of `clusters` do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tamis.filters.semdedup.families import Families, collapse
from tamis.filters.semdedup.layout import Batch, Layout, batches
from tamis.filters.semdedup.source import Doubles, Index, Mask, RowSource
from tamis.filters.semdedup.tiles import Side, best_cosine, best_earlier, earlier

NEARLY_PARALLEL = 1.0 - 2.0**-48
TILE_BYTES = 1 << 28


@dataclass(frozen=True)
class Scores:
    """Candidates for some rows; with probes a row may have several, in any batch.

    Attributes:
        rows: int64 (m,), row numbers.
        cosine: float64 (m,), -inf where the row has no earlier row here.
        nearest: int64 (m,), the earlier row, -1 where there is none.
    """

    rows: Index
    cosine: Doubles
    nearest: Index


def tile_rows(dim: int, tile_bytes: int = TILE_BYTES) -> int:
    """Rows of `dim` float16 numbers in a tile; a stage holds up to four tiles at a time."""
    return max(1024, tile_bytes // (2 * dim))


def score_batch(
    source: RowSource, layout: Layout, batch: Batch, row_budget: int
) -> Iterator[Scores]:
    """Score the clusters of a batch.

    Args:
        source: canonical rows.
        layout: the clusters.
        batch: from `layout.batches`.
        row_budget: rows in memory at a time (`tile_rows`); it changes no result.

    Yields:
        Candidates to merge with `merge`.
    """
    for part in batches(layout, row_budget, batch):
        yield from _score_part(source, layout, part, row_budget)


def score_all(
    source: RowSource, layout: Layout, row_budget: int | None = None
) -> tuple[Doubles, Index]:
    """Score every cluster: (float64 cosine (n,), int64 nearest (n,))."""
    row_budget = row_budget or tile_rows(source.shape[1])
    cosine, nearest = empty_scores(len(layout.labels))
    for scores in score_batch(source, layout, Batch(0, layout.n_clusters), row_budget):
        merge(cosine, nearest, scores, layout.rank)
    return cosine, nearest


def empty_scores(n_rows: int) -> tuple[Doubles, Index]:
    """-inf and -1 for every row: what `merge` starts from."""
    return np.full(n_rows, -np.inf), np.full(n_rows, -1, dtype=np.int64)


def merge(cosine: Doubles, nearest: Index, scores: Scores, rank: Index) -> None:
    """Merge candidates into `cosine` and `nearest`, in place.

    The larger cosine wins, then the lower rank of the nearest row.
    """
    rows, found, where = scores.rows, scores.cosine, scores.nearest
    # Of several candidates for one row the last is stored, so repeat until none beats what is.
    while len(rows):
        better = _better(found, where, cosine[rows], nearest[rows], rank)
        rows, found, where = rows[better], found[better], where[better]
        cosine[rows] = found
        nearest[rows] = where


def _better(
    cosine: Doubles, nearest: Index, old_cosine: Doubles, old_nearest: Index, rank: Index
) -> Mask:
    # Where both cosines are -inf both rows are -1, and neither is earlier.
    is_earlier: Mask = rank[nearest] < rank[old_nearest]
    better: Mask = (cosine > old_cosine) | ((cosine == old_cosine) & is_earlier)
    return better


def open_members(source: RowSource, layout: Layout, part: Batch, row_budget: int) -> Side:
    """The members of the clusters of a batch."""
    offsets = layout.offsets[part.first : part.last + 1]
    rows = layout.members[offsets[0] : offsets[-1]]
    return Side.open(source, rows, layout.rank[rows], offsets - offsets[0], row_budget)


def open_probers(source: RowSource, layout: Layout, part: Batch, row_budget: int) -> Side:
    """The probers of the clusters of a batch."""
    offsets = layout.prober_offsets[part.first : part.last + 1]
    rows = layout.probers[offsets[0] : offsets[-1]]
    return Side.open(source, rows, layout.rank[rows], offsets - offsets[0], row_budget)


def _score_part(
    source: RowSource, layout: Layout, part: Batch, row_budget: int
) -> Iterator[Scores]:
    members = collapse(open_members(source, layout, part, row_budget))
    first = members.first
    cosine, position = best_earlier(first)
    nearest = np.where(position >= 0, first.rows[position], -1)
    if layout.n_probes == 0:
        yield _with_copies(members, cosine, nearest, [first.pick(_high(cosine))], layout.rank)
        return
    probers = collapse(open_probers(source, layout, part, row_budget))
    _improve(cosine, nearest, first, probers.first, layout.rank)
    prober_cosine, prober_nearest = empty_scores(len(probers.first))
    _improve(prober_cosine, prober_nearest, probers.first, first, layout.rank)
    high_members, high_probers = first.pick(_high(cosine)), probers.first.pick(_high(prober_cosine))
    yield _with_copies(members, cosine, nearest, [high_members, high_probers], layout.rank)
    yield _with_copies(probers, prober_cosine, prober_nearest, [high_members], layout.rank)


def _high(cosine: Doubles) -> Index:
    return np.flatnonzero(cosine >= NEARLY_PARALLEL)


def _improve(cosine: Doubles, nearest: Index, left: Side, right: Side, rank: Index) -> None:
    """Let the rows of `left` see the earlier rows of `right`."""
    if not len(left) or not len(right):
        return
    found, position = best_cosine(left, right, earlier(left, right))
    where = np.where(position >= 0, right.rows[position], -1)
    better = _better(found, where, cosine, nearest, rank)
    cosine[better] = found[better]
    nearest[better] = where[better]


def _with_copies(
    families: Families,
    cosine: Doubles,
    nearest: Index,
    high: list[Side],
    rank: Index,
) -> Scores:
    """Extend the scores of representatives to all rows of the side that they came from.

    Args:
        families: of the side.
        cosine, nearest: of `families.first`.
        high: rows that a copy may be closer to than to its own family.
        rank: the global order.
    """
    side = families.side
    cosine, nearest = cosine[families.slot], nearest[families.slot]
    copies = families.copies
    if len(copies):
        slots = families.slot[copies]
        copy_cosine, copy_nearest = cosine[copies], nearest[copies]
        represented, which = np.unique(slots, return_inverse=True)
        own = families.first.self_cosine(represented)[which]
        first = families.first.rows[slots]
        better = _better(own, first, copy_cosine, copy_nearest, rank)
        copy_cosine[better], copy_nearest[better] = own[better], first[better]
        for rows in high:
            near = np.flatnonzero(np.isin(side.segment[copies], rows.segment))
            near_cosine, near_nearest = copy_cosine[near], copy_nearest[near]
            _improve(near_cosine, near_nearest, side.pick(copies[near]), rows, rank)
            copy_cosine[near], copy_nearest[near] = near_cosine, near_nearest
        cosine[copies], nearest[copies] = copy_cosine, copy_nearest
    return Scores(side.rows, cosine, nearest)
