"""faiss-cpu: exact flat search, and its k-means with every hidden shortcut switched off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

from bench.rivals import Offer, Rival
from bench.rivals.numpy_adapter import largest_earlier_cosines, unit_float32
from bench.tasks import AssignTask, KMeansTask, SemDeDupTask


def rival(threads: int) -> Rival:
    faiss.omp_set_num_threads(threads)
    return Rival(
        "faiss",
        f"faiss-cpu {faiss.__version__}",
        {
            "assign": [Offer("faiss", "float32", _assign, "avx512")],
            "kmeans": [Offer("faiss", "float32", _kmeans, "avx512")],
            "end_to_end": [Offer("faiss + numpy", "float32", _semdedup)],
        },
    )


def _assign(task: AssignTask) -> Callable[[], Any]:
    rows, centroids = task.rows.astype(np.float32), task.centroids.astype(np.float32)

    def call() -> Any:
        return _labels(rows, centroids), None

    return call


def _kmeans(task: KMeansTask) -> Callable[[], Any]:
    rows, init = task.rows.astype(np.float32), task.init.astype(np.float32)

    def call() -> Any:
        centroids = _train(rows, init, task.n_iter)
        return centroids, _labels(rows, centroids)

    return call


def _semdedup(task: SemDeDupTask) -> Callable[[], Any]:
    """The published steps: k-means, hard order by distance to the centroid, triu(X X^T).max()."""
    rows = unit_float32(task.rows)

    def call() -> Any:
        train = rows[np.random.default_rng(0).permutation(len(rows))[: 256 * task.n_clusters]]
        centroids = _train(train, train[: task.n_clusters].copy(), task.n_iter)
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(centroids)
        scores, labels = index.search(rows, 1)
        order = np.lexsort((scores[:, 0], labels[:, 0]))
        bounds = np.searchsorted(labels[order, 0], np.arange(task.n_clusters + 1))
        cosine = np.empty(len(rows), dtype=np.float32)
        cosine[order] = largest_earlier_cosines(rows[order], bounds)
        return cosine <= np.float32(1 - task.eps), labels[:, 0], centroids, cosine, None

    return call


def _labels(rows: Any, centroids: Any) -> Any:
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(centroids)
    return index.search(rows, 1)[1][:, 0]


def _train(rows: Any, init: Any, n_iter: int) -> Any:
    no_shortcut = {
        "max_points_per_centroid": 10**9,  # the default trains on 256 rows per centroid
        "min_points_per_centroid": 1,
        "early_stop_threshold": 0.0,
    }
    known = dir(faiss.ClusteringParameters())
    kmeans = faiss.Kmeans(
        rows.shape[1],
        len(init),
        niter=n_iter,
        spherical=True,
        **{name: value for name, value in no_shortcut.items() if name in known},
    )
    kmeans.train(rows, init_centroids=init)
    return kmeans.centroids
