"""k-means with scikit-learn's habits."""

from __future__ import annotations

import inspect
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tamis.kernels.assign import assign
from tamis.kernels.kmeans import Init, kmeans
from tamis.kernels.place import mapped


class KMeans:
    """`tamis.kmeans` as an estimator: the constructor stores, `fit` computes.

    Args:
        n_clusters, max_iter, init, spherical, max_points_per_centroid, seed, device,
        allow_rounding: as for `tamis.kmeans`.

    Attributes:
        cluster_centers_: (k, d) in the units of x; float16 when spherical, else float64.
        labels_: int32 (n,).
        inertia_: sum of |x - c|^2 in the units of x (of the canonical rows when spherical).
        n_iter_: updates of the centroids.
        n_features_in_: d.

    Arrays are of x's library where x is on a GPU.

    Example:
        >>> x = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
        >>> model = KMeans(2).fit(x)
        >>> bool((model.predict(x) == model.labels_).all())
        True
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        max_iter: int = 20,
        init: Init = "random",
        spherical: bool = True,
        max_points_per_centroid: int | None = 256,
        seed: int = 0,
        device: str | None = None,
        allow_rounding: bool = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.max_iter = max_iter
        self.init = init
        self.spherical = spherical
        self.max_points_per_centroid = max_points_per_centroid
        self.seed = seed
        self.device = device
        self.allow_rounding = allow_rounding

    def fit(self, x: Any, y: None = None) -> Self:
        """Cluster x, (n, d); y is ignored. Raises what `tamis.kmeans` raises."""
        result = kmeans(x, **self.get_params())
        self.cluster_centers_: npt.NDArray[Any] = (
            result.centroids
            if self.spherical
            else mapped(result.centroids, lambda c: np.ldexp(c.astype(float), result.exponent))
        )
        self.labels_ = result.labels
        self.inertia_ = float(np.ldexp(result.inertia, 2 * result.exponent))
        self.n_iter_ = result.n_iter
        self.n_features_in_ = self.cluster_centers_.shape[-1]
        return self

    def predict(self, x: Any) -> npt.NDArray[np.int32]:
        """The cluster of every row of x, int32 (n,).

        Raises:
            AttributeError: before `fit`.
            ValueError: what `tamis.assign` refuses.
        """
        if not hasattr(self, "cluster_centers_"):
            raise AttributeError("this KMeans has no clusters yet: call fit first")
        metric: Any = "dot" if self.spherical else "euclidean"
        return assign(x, self.cluster_centers_, metric=metric, device=self.device)[0]

    def fit_predict(self, x: Any, y: None = None) -> npt.NDArray[np.int32]:
        """`fit(x).labels_`."""
        return self.fit(x).labels_

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor.

        Raises:
            ValueError: there is no such argument.
        """
        for name, value in params.items():
            if name not in _PARAMETERS:
                raise ValueError(f"KMeans has no parameter {name!r}; it has {_PARAMETERS}")
            setattr(self, name, value)
        return self


_PARAMETERS = [name for name in inspect.signature(KMeans.__init__).parameters if name != "self"]
