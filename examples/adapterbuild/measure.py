"""What the adapter is worth on drawings that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from poolbuild.encode import Rows

from tamis import lorentz
from tamis.filters.hype.adapter import Adapter

Scores = npt.NDArray[np.float64]

CLAMP_RADIUS = math.asinh(0.2)
"""Below it the half-aperture is 90 degrees, and no longer tells radii apart."""


@dataclass(frozen=True)
class Measured:
    """An adapter, and the reference images and texts that specificity is measured against."""

    adapter: Adapter
    images: Rows
    texts: Rows

    def text_specificity(self, texts: Rows) -> Scores:
        """Of canonical text rows, in radians."""
        return self._specificity(texts, "rows")

    def image_specificity(self, images: Rows) -> Scores:
        """Of canonical image rows, in radians."""
        return self._specificity(images, "references")

    def neg_distances(self, images: Rows, texts: Rows) -> Scores:
        """Of all pairs: float64 (images, texts)."""
        points = self.adapter.project(images, "image")
        others = self.adapter.project(texts, "text")
        n = len(others)
        c = self.adapter.curvature
        return np.stack(
            [-lorentz.distance(np.repeat(p[None], n, 0), others, curvature=c) for p in points]
        )

    def radii(self, rows: Rows, side: str) -> Scores:
        """In units of the curvature."""
        points = self.adapter.project(rows, "image" if side == "image" else "text")
        radius: Scores = lorentz.radii(points, curvature=self.adapter.curvature).radius
        return radius

    def _specificity(self, rows: Rows, apex: str) -> Scores:
        of_text = apex == "rows"
        points = self.adapter.project(rows, "text" if of_text else "image")
        against = self.adapter.project(
            self.images if of_text else self.texts, "image" if of_text else "text"
        )
        mean: Scores = lorentz.specificity(
            points,
            against,
            apex="rows" if of_text else "references",
            curvature=self.adapter.curvature,
        ).mean
        return mean


def auc(scores: Scores, of_family: npt.NDArray[np.int64] | None = None) -> float:
    """Chance that a matched pair scores above a mismatched one; a tie counts half.

    Args:
        scores: (n, n), the matched pairs on the diagonal.
        of_family: where given, mismatched pairs are of two families.

    Example:
        >>> auc(np.array([[3.0, 1.0], [2.0, 2.0]]))
        0.875
    """
    n = len(scores)
    families = np.arange(n) if of_family is None else of_family
    mismatched = np.sort(scores[families[:, None] != families[None]])
    matched = np.diag(scores)
    below = np.searchsorted(mismatched, matched, "left")
    up_to = np.searchsorted(mismatched, matched, "right")
    return float((below + up_to).mean() / 2 / len(mismatched))


def auc_per_image(scores: Scores) -> float:
    """Chance that an image scores its own text above another pair's."""
    n = len(scores)
    own = np.diag(scores)[:, None]
    return float(((own > scores).sum() + 0.5 * ((own == scores).sum() - n)) / (n * (n - 1)))


def share_with_interval(right: Sequence[bool] | npt.NDArray[np.bool_]) -> dict[str, float | int]:
    """The share of trues, with Wilson's 95 % interval.

    Example:
        >>> share_with_interval([True, True, True, False])
        {'pairs': 4, 'right': 3, 'share': 0.75, 'low': 0.301, 'high': 0.954}
    """
    n, k, z = len(right), int(sum(right)), 1.959964
    middle = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return {
        "pairs": n,
        "right": k,
        "share": round(k / n, 3),
        "low": round(middle - half, 3),
        "high": round(middle + half, 3),
    }
