"""Scores equal the plain Python oracle to the bit, however the work is cut."""

from __future__ import annotations

import numpy as np
import pytest
from tests.filters.layouts import nearest_clusters, shuffled_clusters
from tests.filters.oracle import Oracle
from tests.filters.pools import clustered, parallel

from tamis.filters.semdedup.layout import Batch, batches, make_layout
from tamis.filters.semdedup.score import (
    Scores,
    empty_scores,
    merge,
    score_all,
    score_batch,
)
from tamis.filters.semdedup.source import ArraySource


def check(cosine: np.ndarray, nearest: np.ndarray, oracle: Oracle) -> None:
    expected_cosine, expected_nearest = oracle.scores()
    np.testing.assert_array_equal(cosine, expected_cosine)
    np.testing.assert_array_equal(nearest, expected_nearest)


@pytest.mark.parametrize("probes", [0, 1, 2, 3])
@pytest.mark.parametrize("k", [1, 4, 9])
def test_scores_equal_the_oracle(k: int, probes: int) -> None:
    rows = clustered(150, 6, seed=k)
    layout, oracle = nearest_clusters(rows, k, min(probes, k - 1), seed=probes)
    check(*score_all(ArraySource(rows), layout), oracle)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("probes", [0, 2])
def test_collapse_is_exact_where_parallel_rows_beat_copies(seed: int, probes: int) -> None:
    rows = parallel(70, seed)
    layout, oracle = nearest_clusters(rows, 5, probes, seed=seed)
    check(*score_all(ArraySource(rows), layout), oracle)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("k", "probes"), [(2, 1), (3, 1), (4, 2), (8, 3)])
def test_probes_and_collapse_are_exact_for_any_clusters(k: int, probes: int, seed: int) -> None:
    for rows in (parallel(60, seed), clustered(60, 3, seed)):
        layout, oracle = shuffled_clusters(rows, k, probes, seed=seed)
        check(*score_all(ArraySource(rows), layout), oracle)


@pytest.mark.parametrize("row_budget", [1, 2, 7, 40, 1000])
@pytest.mark.parametrize("probes", [0, 2])
def test_the_memory_budget_changes_nothing(row_budget: int, probes: int) -> None:
    for rows in (clustered(90, 5, seed=1), parallel(60, seed=2)):
        layout, oracle = nearest_clusters(rows, 4, probes, seed=3)
        check(*score_all(ArraySource(rows), layout, row_budget), oracle)


def test_batches_can_be_scored_in_any_order_and_again() -> None:
    rows = clustered(120, 5, seed=5)
    layout, oracle = nearest_clusters(rows, 7, 2, seed=6)
    source = ArraySource(rows)
    units = list(batches(layout, 60))
    assert len(units) > 3
    cosine, nearest = empty_scores(len(rows))
    parts = [part for unit in units for part in score_batch(source, layout, unit, 60)]
    for part in [*reversed(parts), *parts]:
        merge(cosine, nearest, part, layout.rank)
    check(cosine, nearest, oracle)

    # All candidates at once, several for most rows.
    columns = (np.concatenate([getattr(p, f) for p in parts]) for f in Scores.__annotations__)
    everything = Scores(*columns)
    assert len(np.unique(everything.rows)) < len(everything.rows)
    cosine, nearest = empty_scores(len(rows))
    merge(cosine, nearest, everything, layout.rank)
    check(cosine, nearest, oracle)


def test_batches_cover_every_cluster_once_within_the_budget() -> None:
    rng = np.random.default_rng(0)
    labels = np.sort(rng.integers(50, size=400)).astype(np.int32)
    labels[labels == 7] = 8  # an empty cluster
    layout = make_layout(labels, np.arange(400), 50)
    sizes = np.diff(layout.offsets)
    for budget in (1, 10, 33, 400, 10_000):
        cut = list(batches(layout, budget))
        assert [b.first for b in cut] == [0, *(b.last for b in cut[:-1])]
        assert cut[-1].last == 50
        for batch in cut:
            assert sizes[batch.first : batch.last].sum() <= budget or batch.last == batch.first + 1
    assert list(batches(layout, 10, Batch(3, 3))) == []


def test_a_huge_family_costs_no_pairs() -> None:
    """200,000 copies are scored at once; 2 * 10^10 pairs would not end in this test's lifetime."""
    one = clustered(3, 8, seed=0, copies=0)
    rows = one[np.concatenate((np.zeros(200_000, dtype=int), [1, 2]))]
    layout = make_layout(np.zeros(len(rows), dtype=np.int32), np.arange(len(rows)), 1)
    cosine, nearest = score_all(ArraySource(rows), layout)
    assert nearest[0] == -1
    assert (nearest[1:200_000] == 0).all()
    np.testing.assert_allclose(cosine[1:200_000], 1.0, rtol=0, atol=2**-50)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_clusters_of_one_row_have_nothing_to_compare(n_rows: int) -> None:
    rows = clustered(n_rows, 4, seed=0)
    layout = make_layout(np.arange(n_rows, dtype=np.int32), np.arange(n_rows), n_rows)
    cosine, nearest = score_all(ArraySource(rows), layout)
    assert (cosine == -np.inf).all()
    assert (nearest == -1).all()
