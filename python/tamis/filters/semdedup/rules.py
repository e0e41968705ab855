"""Three rules on one graph: rows of a cluster are joined where float32(cosine) > float32(1 - eps).

| rule | a row stays iff | property |
|---|---|---|
| semdedup | no earlier row is joined to it | no two kept rows are joined; monotone in eps |
| greedy | no earlier kept row is joined to it | every removed row is joined to a kept one |
| components | it is the first of its component | keeps least; monotone in eps |

For one eps, kept by components is a subset of kept by semdedup, which is a subset of kept by
greedy. Pairs are never materialised.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from tamis.filters.semdedup.families import collapse
from tamis.filters.semdedup.layout import Batch, Layout, batches
from tamis.filters.semdedup.score import open_members, score_all, tile_rows
from tamis.filters.semdedup.select import threshold_of
from tamis.filters.semdedup.source import Index, Mask, RowSource, Singles
from tamis.filters.semdedup.tiles import Side, best_cosine
from tamis.kernels.exact import components, greedy_keep

RULES = ("semdedup", "greedy", "components")


@dataclass(frozen=True)
class RuleComparison:
    """What the three rules keep at one eps.

    Attributes:
        eps: the threshold.
        kept: rows kept, by rule.
        differences: (a, b) -> rows that rule a keeps and rule b removes.
    """

    eps: float
    kept: dict[str, int]
    differences: dict[tuple[str, str], int]


def check_rule(rule: str, *, probes: int, eps: float | None) -> None:
    """Raise ValueError unless the rule is known; all but semdedup need an eps and no probes."""
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    if rule == "semdedup":
        return
    if eps is None:
        why = "its kept sets are not nested" if rule == "greedy" else "it works at one threshold"
        raise ValueError(
            f"rule={rule!r} needs eps, because {why}; keep and keep_rows need rule='semdedup'"
        )
    if probes:
        raise ValueError(
            f"rule={rule!r} works inside clusters, so it needs probes=0, got probes={probes}"
        )


def keep_by_rule(
    source: RowSource, layout: Layout, rule: str, eps: float, row_budget: int | None = None
) -> tuple[Mask, Index | None]:
    """Apply greedy or components to every cluster.

    Args:
        source: canonical rows.
        layout: clusters without probes.
        rule: "greedy" or "components".
        eps: in [0, 2].
        row_budget: rows in memory at a time. A cluster with more distinct rows is handled in tiles
            by greedy.

    Returns:
        keep: bool (n,).
        component: int64 (n,), with rule "components" the kept row of each row's component; else
            None.

    Raises:
        ValueError: another rule, a layout with probes, eps out of range, or components on a cluster
            that does not fit the budget.
    """
    check_rule(rule, probes=layout.n_probes, eps=eps)
    threshold = threshold_of(eps)
    row_budget = row_budget or tile_rows(source.shape[1])
    n_rows = len(layout.labels)
    keep = np.ones(n_rows, dtype=np.bool_)
    component = np.arange(n_rows, dtype=np.int64) if rule == "components" else None
    # A float32 cosine is at most 1, and copies reach it: below this threshold families collapse,
    # from it on nothing is joined.
    if threshold >= 1:
        return keep, component
    for part in batches(layout, row_budget, Batch(0, layout.n_clusters)):
        families = collapse(open_members(source, layout, part, row_budget))
        side = families.first
        if component is None:
            keep[families.side.rows[families.copies]] = False
            keep[side.rows] = _greedy(side, threshold)
        else:
            component[families.side.rows] = side.rows[_components(side, threshold)][families.slot]
    if component is not None:
        keep = component == np.arange(n_rows)
    return keep, component


def compare_rules(
    source: RowSource,
    layout: Layout,
    eps: float,
    *,
    cosine: Singles | None = None,
    row_budget: int | None = None,
) -> RuleComparison:
    """Count what the three rules keep at one eps.

    Args:
        source: canonical rows.
        layout: clusters; probes are left out, because only semdedup can use them.
        eps: in [0, 2].
        cosine: float32 (n,) scores of this layout without probes; computed where None.
        row_budget: rows in memory at a time.
    """
    layout = layout.without_probes() if layout.n_probes else layout
    if cosine is None:
        cosine = score_all(source, layout, row_budget)[0].astype(np.float32)
    keep = {"semdedup": ~(cosine > threshold_of(eps))}
    for rule in ("greedy", "components"):
        keep[rule] = keep_by_rule(source, layout, rule, eps, row_budget)[0]
    return RuleComparison(
        eps=eps,
        kept={rule: int(keep[rule].sum()) for rule in RULES},
        differences={(a, b): int((keep[a] & ~keep[b]).sum()) for a, b in permutations(RULES, 2)},
    )


def _greedy(side: Side, threshold: np.float32) -> Mask:
    """Tile by tile: what earlier kept rows remove can remove nothing itself, so the native rule
    decides among the rest.
    """
    keep = np.zeros(len(side), dtype=np.bool_)
    for start, rows, offsets in side.tiles():
        index = np.arange(start, start + len(rows), dtype=np.int64)
        if start:
            cosine, _ = best_cosine(side.pick(index), side.pick(np.flatnonzero(keep)))
            free = ~(cosine.astype(np.float32) > threshold)
            index, rows = index[free], np.ascontiguousarray(rows[free])
            offsets = np.array([0, len(rows)], dtype=np.int64)
        keep[index] = greedy_keep(rows, offsets, float(threshold))
    return keep


def _components(side: Side, threshold: np.float32) -> Index:
    if side.data is None:
        raise ValueError(
            f"rule='components' needs a whole cluster in memory, but one has {len(side)} distinct "
            f"rows and the budget is {side.tile_rows}; allow more memory or ask for more clusters"
        )
    lowest: Index = components(side.data, side.offsets, float(threshold))
    return lowest
