"""A linear map from image features to text features, by ridge regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .encode import Rows, unit_float16

RIDGE = 0.3
"""Added to the diagonal of X'X, where X are rows of unit length less their mean. Of 0.1, 0.3, 1,
2, 3, 5, 10 and 20 this gave the best AUC on the held-out pairs."""


@dataclass(frozen=True)
class LinearMap:
    """``text features ~ image features @ weight + bias``.

    Attributes:
        weight: float16, shape (1280, 384).
        bias: float16, shape (384,).
    """

    weight: npt.NDArray[np.float16]
    bias: npt.NDArray[np.float16]

    @classmethod
    def fit(cls, images: Rows, texts: Rows, ridge: float = RIDGE) -> LinearMap:
        """Least squares with an L2 penalty `ridge` on the weight, none on the bias."""
        x, y = images.astype(np.float64), texts.astype(np.float64)
        x_mean, y_mean = x.mean(0), y.mean(0)
        x -= x_mean
        y -= y_mean
        weight = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
        bias = y_mean - x_mean @ weight
        return cls(weight.astype(np.float16), bias.astype(np.float16))

    def apply(self, images: Rows) -> Rows:
        """Maps unit rows (n, 1280) to unit rows (n, 384). Equal rows are mapped once."""
        weight, bias = self.weight.astype(np.float64), self.bias.astype(np.float64)
        known: dict[bytes, Rows] = {}
        for row in images:
            if row.tobytes() not in known:
                known[row.tobytes()] = unit_float16(row.astype(np.float64) @ weight + bias)
        return np.stack([known[row.tobytes()] for row in images])


def scores_of_pairs(images: Rows, texts: Rows) -> npt.NDArray[np.float32]:
    """Dot product of each image row with its text row: exact in float64, rounded to float32."""
    products = images.astype(np.float64) * texts.astype(np.float64)
    return products.sum(1).astype(np.float32)


def auc(images: Rows, texts: Rows) -> float:
    """Chance that an image scores its own text above another pair's text; a tie counts half."""
    scores = images.astype(np.float64) @ texts.astype(np.float64).T
    own = np.diag(scores)[:, None]
    n = len(scores)
    wins = (own > scores).sum() + 0.5 * ((own == scores).sum() - n)
    return float(wins / (n * (n - 1)))


def recall_at_1(images: Rows, texts: Rows) -> float:
    """Share of images whose own text, or one equal to it, scores highest among all texts."""
    scores = images.astype(np.float64) @ texts.astype(np.float64).T
    return float((np.diag(scores) >= scores.max(1)).mean())
