"""Clusters for a pool, as the package's layout and as the oracle's."""

from __future__ import annotations

import numpy as np
from tests.filters.oracle import Oracle, clustering

from tamis.filters.semdedup.layout import Layout, make_layout


def nearest_clusters(
    rows: np.ndarray, k: int, probes: int = 0, *, seed: int
) -> tuple[Layout, Oracle]:
    """Clusters around k rows drawn by lot, and a global order drawn by lot."""
    rng = np.random.default_rng(seed)
    labels, _, probed = clustering(rows, rows[rng.permutation(len(rows))[:k]], probes)
    table = np.array(probed, dtype=np.int32).reshape(len(rows), probes)
    return _both(rows, np.array(labels, dtype=np.int32), table, k, rng)


def shuffled_clusters(
    rows: np.ndarray, k: int, probes: int = 0, *, seed: int
) -> tuple[Layout, Oracle]:
    """Clusters drawn by lot for each distinct row: close rows fall apart, and probe one way."""
    rng = np.random.default_rng(seed)
    distinct, which = np.unique(rows.view(np.uint16), axis=0, return_inverse=True)
    drawn = np.argsort(rng.random((len(distinct), k)), axis=1).astype(np.int32)[which.reshape(-1)]
    return _both(rows, drawn[:, 0].copy(), drawn[:, 1 : 1 + probes].copy(), k, rng)


def _both(
    rows: np.ndarray, labels: np.ndarray, probed: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[Layout, Oracle]:
    order = rng.permutation(len(rows))
    layout = make_layout(labels, np.argsort(order).astype(np.int64), k, probed)
    return layout, Oracle(rows, labels.tolist(), order.tolist(), probed.tolist())
