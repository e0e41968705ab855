"""scikit-learn. Euclidean, which on rows of unit norm orders as the dot product does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from bench.rivals import Offer, Rival
from bench.tasks import AssignTask, KMeansTask


def rival(threads: int) -> Rival:  # its OpenMP and BLAS read the environment
    return Rival(
        "sklearn",
        f"scikit-learn {sklearn.__version__}",
        {
            "assign": [Offer("sklearn", "float32", _assign, "avx512")],
            "kmeans": [Offer("sklearn", "float32, Euclidean means", _kmeans, "avx512")],
        },
    )


def _assign(task: AssignTask) -> Callable[[], Any]:
    rows, centroids = task.rows.astype(np.float32), task.centroids.astype(np.float32)
    # predict() works in float32; pairwise_distances_argmin() goes through float64 and is slower.
    model = KMeans(len(centroids), init=centroids, n_init=1, max_iter=1).fit(centroids)
    model.cluster_centers_ = centroids
    return lambda: (model.predict(rows), None)


def _kmeans(task: KMeansTask) -> Callable[[], Any]:
    rows, init = task.rows.astype(np.float32), task.init.astype(np.float32)
    model = KMeans(len(init), init=init, n_init=1, max_iter=task.n_iter, tol=0, algorithm="lloyd")

    def call() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the iterations are fixed
            model.fit(rows)
        return model.cluster_centers_, model.labels_

    return call
