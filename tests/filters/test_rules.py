"""Three rules on one graph."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from tests.filters.layouts import shuffled_clusters
from tests.filters.oracle import Oracle
from tests.filters.pools import clustered, parallel, rows_of

from tamis.filters.semdedup.layout import Layout, make_layout
from tamis.filters.semdedup.rules import RULES, check_rule, compare_rules, keep_by_rule
from tamis.filters.semdedup.score import score_all
from tamis.filters.semdedup.select import select
from tamis.filters.semdedup.source import ArraySource

# Three rows on an arc: neighbours are 25 degrees apart (cosine 0.906), the ends 50 (0.643).
CHAIN = rows_of(np.array([[np.cos(a), np.sin(a)] for a in np.radians([0, 25, 50])]))


def case_of(rows: np.ndarray, k: int, seed: int) -> tuple[ArraySource, Layout, Oracle]:
    return ArraySource(rows), *shuffled_clusters(rows, k, seed=seed)


def in_order(rows: np.ndarray) -> tuple[ArraySource, Layout]:
    return ArraySource(rows), make_layout(
        np.zeros(len(rows), dtype=np.int32), np.arange(len(rows)), 1
    )


def test_a_chain_of_three_tells_the_rules_apart() -> None:
    source, layout = in_order(CHAIN)
    eps = 0.1
    semdedup = select(score_all(source, layout)[0].astype(np.float32), eps=eps)
    greedy, _ = keep_by_rule(source, layout, "greedy", eps)
    components, component = keep_by_rule(source, layout, "components", eps)
    assert semdedup.keep.tolist() == [True, False, False]
    assert greedy.tolist() == [True, False, True]
    assert components.tolist() == [True, False, False]
    assert component.tolist() == [0, 0, 0]

    # With the middle row last, both ends stay under semdedup and greedy; they are one component.
    source, layout = in_order(CHAIN[[0, 2, 1]])
    semdedup = select(score_all(source, layout)[0].astype(np.float32), eps=eps)
    assert semdedup.keep.tolist() == [True, True, False]
    assert keep_by_rule(source, layout, "greedy", eps)[0].tolist() == [True, True, False]
    assert keep_by_rule(source, layout, "components", eps)[0].tolist() == [True, False, False]


def test_all_three_rules_differ_at_once() -> None:
    rows = np.concatenate(
        [
            rows_of(np.pad(CHAIN, ((0, 0), (0, 2)))),
            rows_of(np.pad(CHAIN[[0, 2, 1]], ((0, 0), (2, 0)))),
        ]
    )
    found = compare_rules(*in_order(rows), 0.1)
    assert found.kept == {"semdedup": 3, "greedy": 4, "components": 2}
    assert found.differences == {
        ("semdedup", "greedy"): 0,
        ("greedy", "semdedup"): 1,
        ("components", "semdedup"): 0,
        ("semdedup", "components"): 1,
        ("components", "greedy"): 0,
        ("greedy", "components"): 2,
    }


def test_greedy_is_not_monotone() -> None:
    """Cosines ab = 0.85, bc = 0.90, ac = 0.70 in the order a, b, c: c leaves, then returns."""
    gram = np.array([[1, 0.85, 0.7], [0.85, 1, 0.9], [0.7, 0.9, 1]])
    source, layout = in_order(rows_of(np.linalg.cholesky(gram)))
    assert keep_by_rule(source, layout, "greedy", 0.13)[0].tolist() == [True, True, False]
    assert keep_by_rule(source, layout, "greedy", 0.20)[0].tolist() == [True, False, True]


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("eps", [0.0, 2e-8, 6e-8, 1e-3, 0.05, 0.3, 1.0, 2.0])
def test_rules_equal_the_oracle(eps: float, k: int) -> None:
    for rows in (clustered(70, 5, seed=k), parallel(50, seed=k)):
        source, layout, oracle = case_of(rows, k, seed=int(eps * 1000))
        greedy, none = keep_by_rule(source, layout, "greedy", eps)
        components, component = keep_by_rule(source, layout, "components", eps)
        assert none is None
        assert greedy.tolist() == oracle.greedy(eps)
        assert components.tolist() == oracle.components(eps)
        assert components[component].all()

        found = compare_rules(source, layout, eps)
        assert found.kept["semdedup"] == sum(oracle.semdedup(eps))
        assert found.kept["components"] <= found.kept["semdedup"] <= found.kept["greedy"]
        keep = {"semdedup": oracle.semdedup(eps), "greedy": greedy, "components": components}
        for a, b in permutations(RULES, 2):
            expected = sum(x and not y for x, y in zip(keep[a], keep[b], strict=True))
            assert found.differences[a, b] == expected
        assert found.differences["components", "semdedup"] == 0
        assert found.differences["semdedup", "greedy"] == 0


@pytest.mark.parametrize("row_budget", [1, 3, 10, 40])
def test_greedy_in_tiles_changes_nothing(row_budget: int) -> None:
    source, layout, oracle = case_of(clustered(120, 4, seed=9, spread=0.4), 3, seed=1)
    for eps in (0.02, 0.1, 0.4):
        assert keep_by_rule(source, layout, "greedy", eps, row_budget)[0].tolist() == oracle.greedy(
            eps
        )


def test_components_of_a_cluster_beyond_the_budget_are_refused() -> None:
    source, layout, _ = case_of(clustered(50, 4, seed=0, copies=0), 1, seed=0)
    with pytest.raises(ValueError, match="has 50 distinct rows and the budget is 10"):
        keep_by_rule(source, layout, "components", 0.1, 10)


def test_comparing_leaves_probes_out() -> None:
    source, layout, _ = case_of(clustered(60, 4, seed=0), 3, seed=0)
    probed = ((layout.labels + 1) % 3)[:, None].astype(np.int32)
    probing = make_layout(layout.labels, layout.rank, 3, probed)
    assert compare_rules(source, probing, 0.1) == compare_rules(source, layout, 0.1)
    cosine = score_all(source, layout)[0].astype(np.float32)
    assert compare_rules(source, layout, 0.1, cosine=cosine) == compare_rules(source, layout, 0.1)


@pytest.mark.parametrize(
    ("rule", "probes", "eps", "message"),
    [
        ("first", 0, 0.1, "rule must be one of"),
        ("greedy", 0, None, "needs eps, because its kept sets are not nested"),
        ("components", 0, None, "needs eps"),
        ("greedy", 1, 0.1, "needs probes=0"),
        ("components", 2, 0.1, "needs probes=0"),
    ],
)
def test_wrong_rules_are_refused(rule: str, probes: int, eps: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_rule(rule, probes=probes, eps=eps)
