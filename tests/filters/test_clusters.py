"""The number of clusters, their centroids and the assignment."""

from __future__ import annotations

import numpy as np
import pytest
from tests.filters.oracle import clustering
from tests.filters.pools import clustered, rows_of

from tamis.filters.semdedup.clusters import (
    EXACT_ROWS,
    assign_clusters,
    fit_clusters,
    plan_clusters,
)
from tamis.filters.semdedup.source import ArraySource, SelectedRows
from tamis.kernels.kmeans import kmeans


@pytest.mark.parametrize(("n_rows", "k"), [(60, 1), (60, 5), (60, 60), (1300, 3)])
def test_the_clusters_are_those_of_kmeans(n_rows: int, k: int) -> None:
    """1,300 rows and 3 clusters: k-means trains on a sample of 768."""
    rows = clustered(n_rows, 4, seed=k)
    expected = kmeans(rows, k, seed=11)
    spread = np.insert(rows, [0, n_rows // 2], rows[0], axis=0)
    chosen = np.delete(np.arange(n_rows + 2), [0, n_rows // 2 + 1])
    for source in (ArraySource(rows), SelectedRows(ArraySource(spread), chosen)):
        plan = plan_clusters(n_rows, 4, k)
        found = fit_clusters(source, plan, seed=11)
        assert found.centroids.tobytes() == expected.centroids.tobytes()
        assert found.n_iter == expected.n_iter
        assigned = assign_clusters(source, found.centroids)
        np.testing.assert_array_equal(assigned.labels, expected.labels)


def test_more_clusters_than_distinct_rows() -> None:
    rows = rows_of(np.repeat(np.eye(3), 4, axis=0))
    found = fit_clusters(ArraySource(rows), plan_clusters(12, 3, 9), seed=0)
    assert found.centroids.tobytes() == kmeans(rows, 9, seed=0).centroids.tobytes()


@pytest.mark.parametrize("probes", [0, 1, 3])
def test_probes_are_the_next_nearest_clusters(probes: int) -> None:
    rows = clustered(80, 5, seed=0)
    centroids = rows[[0, 10, 20, 20, 30]]  # a tie between two equal centroids
    source = ArraySource(rows, block_rows=17)
    found = assign_clusters(source, centroids, n_probes=probes)
    labels, dots, probed = clustering(rows, centroids, probes)
    assert found.labels.tolist() == labels
    assert found.dots.tolist() == dots
    assert found.probed.tolist() == probed
    assert found.labels.dtype == found.probed.dtype == np.int32


def test_auto_is_exact_for_small_pools_and_grows_slower_than_the_pool() -> None:
    assert plan_clusters(1, 8, "auto").n_clusters == 1
    assert plan_clusters(EXACT_ROWS, 512, "auto").n_clusters == 1
    sizes = [10**5, 10**6, 10**7, 10**8, 10**9]
    found = [plan_clusters(n, 768, "auto").n_clusters for n in sizes]
    assert found == sorted(found)
    assert all(1 < k < n for k, n in zip(found, sizes, strict=True))
    assert all(b / a < 10 for a, b in zip(found[:-1], found[1:], strict=True))


@pytest.mark.parametrize("probes", [0, 2])
def test_auto_is_near_the_least_cost(probes: int) -> None:
    def cost(k: int) -> float:
        plan = plan_clusters(10**6, 512, k, probes=probes)
        return plan.train_cost + plan.assign_cost + plan.pair_cost

    chosen = plan_clusters(10**6, 512, "auto", probes=probes)
    assert chosen.auto
    assert cost(chosen.n_clusters) <= 1.01 * min(cost(k) for k in range(1, 5000))


def test_the_plan_says_what_it_costs() -> None:
    plan = plan_clusters(1000, 10, 2, probes=5).as_dict()
    assert plan["n_probes"] == 1
    assert plan["n_train"] == 512
    assert plan["train_cost"] == 20 * 512 * 2 * 10
    assert plan["assign_cost"] == 1000 * 2 * 10
    assert plan["pair_cost"] == pytest.approx(1.2 * 1.5 * 1000**2 * 10 / 2)
    assert not plan["auto"]


@pytest.mark.parametrize(
    ("n_rows", "k", "probes", "message"),
    [
        (0, "auto", 0, "at least one usable row"),
        (5, 6, 0, "n_clusters=6 is more than the 5 usable rows"),
        (5, 0, 0, "whole number from 1"),
        (5, 1.5, 0, "whole number from 1"),
        (5, "all", 0, "'auto' or a whole number"),
        (5, 2, -1, "probes must be 0 or more"),
    ],
)
def test_wrong_plans_are_refused(n_rows: int, k: int | str, probes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_clusters(n_rows, 4, k, probes=probes)
