"""Recall and what is left, against all pairs."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from tests.filters.layouts import nearest_clusters, shuffled_clusters
from tests.filters.pools import clustered, parallel

from tamis.filters.semdedup.recall import Share, recall_sample, residual_duplicates
from tamis.filters.semdedup.score import score_all
from tamis.filters.semdedup.select import select
from tamis.filters.semdedup.source import ArraySource
from tamis.kernels import sample


@pytest.mark.parametrize(("k", "probes"), [(1, 0), (6, 0), (6, 1), (12, 3)])
@pytest.mark.parametrize("block_rows", [1, 13, 1000])
def test_recall_equals_all_pairs_at_every_eps(k: int, probes: int, block_rows: int) -> None:
    pools = (clustered(90, 4, seed=k, spread=0.6), parallel(40, seed=k))
    for rows, cluster in product(pools, (nearest_clusters, shuffled_clusters)):
        layout, oracle = cluster(rows, k, probes, seed=k)
        source = ArraySource(rows, block_rows=block_rows)
        found = recall_sample(source, layout, 30, seed=5, row_budget=block_rows)
        expected_rows = sorted(sample.smallest(len(rows), 30, 5, sample.RECALL).tolist())
        assert found.rows.tolist() == expected_rows
        expected = np.array([oracle.recall(row) for row in expected_rows], dtype=np.float32)
        np.testing.assert_array_equal(found.any_cosine, expected[:, 0])
        np.testing.assert_array_equal(found.compared_cosine, expected[:, 1])
        for eps in (0.0, 1e-7, 0.01, 0.2, 2.0):
            above = expected > np.float32(1 - eps)
            assert found.at(eps) == Share(int(above[:, 1].sum()), int(above[:, 0].sum()))


def test_clusters_hide_duplicates_and_probes_find_some() -> None:
    rows = clustered(200, 4, seed=3, spread=1.0, copies=0)
    shares = []
    for k, probes in ((1, 0), (30, 0), (30, 1), (30, 29)):
        layout, _ = nearest_clusters(rows, k, probes, seed=1)
        shares.append(recall_sample(ArraySource(rows), layout, 200).at(0.01).value)
    assert shares[0] == shares[3] == 1.0
    assert shares[1] < shares[2] < 1.0


@pytest.mark.parametrize("block_rows", [1, 17, 1000])
def test_residual_counts_kept_rows_with_a_kept_duplicate(block_rows: int) -> None:
    rows = clustered(100, 4, seed=4, spread=0.6)
    layout, oracle = nearest_clusters(rows, 8, seed=0)
    source = ArraySource(rows, block_rows=block_rows)
    keep = select(score_all(source, layout)[0].astype(np.float32), eps=0.05).keep
    kept = np.flatnonzero(keep)
    left = {a for a in kept for b in kept if a != b and oracle.joined(a, b, 0.05)}
    assert 0 < len(left) < len(kept)
    for seed in range(5):
        keys = sample.keys(seed, sample.RESIDUAL, kept)
        expected = Share(len(left.intersection(kept[np.argsort(keys)[:25]])), 25)
        assert residual_duplicates(source, keep, 0.05, 25, seed=seed) == expected


def test_in_the_exact_mode_nothing_is_missed_and_nothing_is_left() -> None:
    rows = clustered(150, 4, seed=6)
    layout, _ = nearest_clusters(rows, 1, seed=0)
    source = ArraySource(rows)
    keep = select(score_all(source, layout)[0].astype(np.float32), eps=0.05).keep
    assert recall_sample(source, layout, 150).at(0.05).value == 1.0
    assert residual_duplicates(source, keep, 0.05, 150).count == 0


def test_one_row_has_no_duplicate() -> None:
    rows = clustered(1, 4, seed=0)
    layout, _ = nearest_clusters(rows, 1, seed=0)
    found = recall_sample(ArraySource(rows), layout, 10)
    assert found.any_cosine.tolist() == [-math.inf]
    assert found.at(2.0) == Share(0, 0)
    assert found.at(2.0).value is None


def test_nothing_kept_leaves_nothing() -> None:
    keep = np.zeros(10, dtype=np.bool_)
    assert residual_duplicates(ArraySource(clustered(10, 4, 0)), keep, 0.1, 5) == Share(0, 0)


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    # Newcombe 1998, table I, method 3 (Wilson without continuity correction).
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_of_the_literature(count: int, of: int, low: float, high: float) -> None:
    share = Share(count, of)
    assert round(share.low, 4) == low
    assert round(share.high, 4) == high
    mirror = Share(of - count, of)
    assert mirror.low == pytest.approx(1 - share.high)
    assert mirror.high == pytest.approx(1 - share.low)


def test_the_interval_of_an_empty_sample_is_everything() -> None:
    assert (Share(0, 0).low, Share(0, 0).high) == (0.0, 1.0)
