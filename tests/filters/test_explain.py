"""Representatives, orphans and the table of groups."""

from __future__ import annotations

import numpy as np
import pytest
from tests.filters.layouts import nearest_clusters
from tests.filters.oracle import Oracle
from tests.filters.pools import clustered, rows_of

from tamis.filters.semdedup.explain import Groups, explain, representatives
from tamis.filters.semdedup.layout import Layout, make_layout
from tamis.filters.semdedup.rules import keep_by_rule
from tamis.filters.semdedup.score import score_all
from tamis.filters.semdedup.select import Selection, select, threshold_of
from tamis.filters.semdedup.source import ArraySource


def check(groups: Groups, layout: Layout, oracle: Oracle, selection: Selection) -> None:
    keep = selection.keep.tolist()
    nearest = oracle.scores()[1]
    removed = [row for row in range(oracle.n) if not keep[row]]
    stands = {row: oracle.representative(row, keep, nearest) for row in removed}
    shown = {row for row in stands.values() if row >= 0}
    assert sorted(groups.row.tolist()) == sorted([*removed, *shown])
    assert len({len(column) for column in vars(groups).values()}) == 1

    place = layout.rank_in_cluster()
    leaders = sorted(shown, key=lambda row: (oracle.labels[row], oracle.rank[row]))
    lines = []
    for line, row in enumerate(groups.row.tolist()):
        stand = stands.get(row, row)
        assert groups.removed[line] == (not keep[row])
        assert groups.representative[line] == stand
        assert groups.nearest[line] == nearest[row]
        assert groups.cluster[line] == oracle.labels[row]
        assert groups.rank[line] == place[row]
        assert groups.orphan[line] == oracle.is_orphan(row, keep, selection.threshold)
        if stand < 0:
            assert groups.group[line] == -1
            assert np.isnan(groups.cosine[line])
        else:
            assert groups.group[line] == leaders.index(stand)
            expected = oracle.cosines[row][stand] if row != stand else 1.0
            assert groups.cosine[line] == np.float32(expected)
        lines.append((groups.group[line], groups.removed[line], oracle.rank[row]))
    assert lines == sorted(lines)
    assert groups.n_orphans == sum(oracle.is_orphan(r, keep, selection.threshold) for r in removed)


@pytest.mark.parametrize("probes", [0, 2])
@pytest.mark.parametrize(
    "choice", [{"eps": 0.05}, {"eps": 0.3}, {"eps": 2.0}, {"keep": 0.3}, {"keep_rows": 2}]
)
def test_every_removal_is_explained(choice: dict[str, float], probes: int) -> None:
    for seed in range(3):
        rows = clustered(80, 4, seed, spread=0.5)
        source = ArraySource(rows)
        layout, oracle = nearest_clusters(rows, 5, probes, seed=seed)
        cosine, nearest = score_all(source, layout)
        chosen = select(cosine.astype(np.float32), **choice)
        for row_budget in (None, 9):
            groups = explain(
                source,
                layout,
                keep=chosen.keep,
                nearest=nearest,
                threshold=chosen.threshold,
                row_budget=row_budget,
            )
            check(groups, layout, oracle, chosen)


def test_an_arc_leaves_orphans() -> None:
    """Each row is close to the one before it only: all but the first go, the second rightly."""
    arc = rows_of(np.array([[np.cos(a), np.sin(a)] for a in np.radians(np.arange(6) * 20)]))
    source = ArraySource(arc)
    layout = make_layout(np.zeros(6, dtype=np.int32), np.arange(6), 1)
    cosine, nearest = score_all(source, layout)
    chosen = select(cosine.astype(np.float32), eps=0.1)
    groups = explain(source, layout, keep=chosen.keep, nearest=nearest, threshold=chosen.threshold)
    assert groups.row.tolist() == [0, 1, 2, 3, 4, 5]
    assert groups.representative.tolist() == [0] * 6
    assert groups.orphan.tolist() == [False, False, True, True, True, True]


def test_a_kept_row_elsewhere_in_the_cluster_saves_from_being_an_orphan() -> None:
    """The representative of the last row is too far away, but another kept row is near."""
    angles = np.radians([0.0, 20, 38, 57])  # 38 degrees follows 20, whose representative is 0
    rows = rows_of(np.column_stack((np.cos(angles), np.sin(angles))))
    source = ArraySource(rows)
    layout = make_layout(np.zeros(4, dtype=np.int32), np.array([0, 2, 3, 1]), 1)
    cosine, nearest = score_all(source, layout)
    chosen = select(cosine.astype(np.float32), eps=0.07)
    assert chosen.keep.tolist() == [True, False, False, True]
    groups = explain(source, layout, keep=chosen.keep, nearest=nearest, threshold=chosen.threshold)
    row_38 = groups.row.tolist().index(2)
    assert groups.representative[row_38] == 0
    assert groups.cosine[row_38] < 1 - 0.07
    assert not groups.orphan.any()


def test_greedy_leaves_no_orphans_and_components_name_their_first_row() -> None:
    for seed in range(4):
        rows = clustered(90, 3, seed, spread=0.5)
        source = ArraySource(rows)
        layout, oracle = nearest_clusters(rows, 3, seed=seed)
        _, nearest = score_all(source, layout)
        threshold = threshold_of(0.05)
        keep, _ = keep_by_rule(source, layout, "greedy", 0.05)
        greedy = explain(source, layout, keep=keep, nearest=nearest, threshold=threshold)
        assert greedy.n_orphans == 0
        assert keep[greedy.representative].all()

        keep, component = keep_by_rule(source, layout, "components", 0.05)
        found = explain(
            source, layout, keep=keep, nearest=nearest, threshold=threshold, component=component
        )
        np.testing.assert_array_equal(found.representative, component[found.row])
        assert (np.bincount(found.group) >= 2).all()
        expected = [oracle.is_orphan(row, keep.tolist(), threshold) for row in found.row.tolist()]
        assert found.orphan.tolist() == expected


def test_long_chains_end_at_their_kept_row() -> None:
    n_rows = 100_000
    nearest = np.arange(-1, n_rows - 1)
    keep = np.zeros(n_rows, dtype=np.bool_)
    keep[[0, 500]] = True
    found = representatives(keep, nearest)
    assert (found[:500] == 0).all()
    assert (found[500:] == 500).all()
    keep[0] = False
    assert (representatives(keep, nearest)[:500] == -1).all()


def test_nothing_removed_gives_an_empty_table() -> None:
    rows = clustered(20, 4, 0)
    source = ArraySource(rows)
    layout, _ = nearest_clusters(rows, 2, seed=0)
    groups = explain(
        source,
        layout,
        keep=np.ones(20, dtype=np.bool_),
        nearest=score_all(source, layout)[1],
        threshold=threshold_of(0.0),
    )
    assert len(groups.row) == 0
    assert groups.n_orphans == 0
