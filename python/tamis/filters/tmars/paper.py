"""The post-processing of the detector that T-MARS used, FAST, as its published code does it.

Chen et al., FAST: Faster Arbitrarily-Shaped Text Detector with Minimalist Kernel Representation,
2021: the network marks the cores of text, and a maximum filter grows them. With an image of S
pixels a side, the logits z of S/4, and p the pooling size:

1. kernels: z > 0; each connected component (8 neighbours) is a text, numbered in reading order;
2. labels and z are repeated to S/2, filtered by the maximum of p // 2 + 1 squared (stride 1,
   p // 2 // 2 of padding), and repeated to S; where texts meet, the larger number wins;
3. a text is dropped if it has less than `min_area` pixels of S, or if the mean of sigmoid(z) over
   them is less than `min_score`;
4. its polygon is the first outer contour of its pixels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.errors import require
from tamis.filters.tmars.polygons import BROKEN_MAP, Regions

SHRUNK = 4
"""S is so many times the side of the logits."""


@dataclass(frozen=True)
class PaperRules:
    """How logits become regions.

    Attributes:
        pooling: p; 7 for FAST-tiny, 9 for FAST-base.
        min_area: in pixels of S squared; 200 and 250.
        min_score: 0 to 1; 0.85 for both.

    Raises:
        ValueError: a value out of range.

    Example:
        >>> logits = np.full((128, 128), -5, np.float32)
        >>> logits[40:50, 20:80] = 5
        >>> found = PaperRules().regions(logits)
        >>> len(found.polygons), bool(found.scores[0] > 0.9)
        (1, True)
    """

    pooling: int = 7
    min_area: int = 200
    min_score: float = 0.85

    def __post_init__(self) -> None:
        if not 1 <= self.pooling <= 99:
            raise ValueError(f"expected a pooling size from 1 to 99, got {self.pooling}")
        if self.min_area < 1:
            raise ValueError(f"expected min_area of 1 or more, got {self.min_area}")
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"expected min_score from 0 to 1, got {self.min_score}")

    def recipe(self) -> dict[str, Any]:
        """The attributes, as JSON can hold them."""
        return {"post": "paper", **asdict(self)}

    def regions(self, logits: npt.NDArray[np.float32]) -> Regions:
        """Find the regions of an image.

        Args:
            logits: float32 (S/4, S/4).

        Returns:
            Polygons in pixels of S, those of a contour's pixels moved to their centres.

        Raises:
            MissingExtraError: OpenCV is not installed.
        """
        if not np.isfinite(logits).all():
            return Regions(reason=BROKEN_MAP)
        cv2 = require("cv2", extra="tmars")
        labels = self._grown(_labels(cv2, logits))
        probability = sigmoid(self._grown(logits))
        n_labels = int(labels.max()) + 1
        area = np.bincount(labels.ravel(), minlength=n_labels)
        score = np.bincount(labels.ravel(), probability.ravel(), n_labels) / np.maximum(area, 1)
        polygons, scores = [], []
        for label in range(1, n_labels):
            if area[label] < self.min_area or score[label] < self.min_score:
                continue
            text = (labels == label).view(np.uint8)
            outlines, _ = cv2.findContours(text, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            polygons.append(outlines[0].reshape(-1, 2).astype(np.float32) + np.float32(0.5))
            scores.append(score[label])
        return Regions(polygons, np.array(scores, np.float32))

    def _grown(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        side = len(values)
        return _repeated(self._pooled(_repeated(values, 2 * side)), SHRUNK * side)

    def _pooled(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The maximum filter; what lies beyond the border is less than all."""
        window, padding = self.pooling // 2 + 1, self.pooling // 2 // 2
        lowest = -np.inf if values.dtype.kind == "f" else -1
        padded = np.pad(values, padding, constant_values=lowest)
        size = len(padded) - window + 1
        rows = np.maximum.reduce([padded[n : n + size] for n in range(window)])
        pooled: npt.NDArray[Any] = np.maximum.reduce([rows[:, n : n + size] for n in range(window)])
        return pooled


def sigmoid(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-z)), in float64; without overflow, whatever z is.

    Example:
        >>> sigmoid(np.array([-np.inf, 0, 1e30])).tolist()
        [0.0, 0.5, 1.0]
    """
    small = np.exp(-np.abs(logits.astype(np.float64)))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small))


def _labels(cv2: Any, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """Number the components by their first pixels; OpenCV promises no order."""
    _, found = cv2.connectedComponents((logits > 0).view(np.uint8), connectivity=8)
    names, first, each = np.unique(found, return_index=True, return_inverse=True)
    order = np.argsort(np.where(names == 0, -1, first))
    numbers = np.empty(len(names), np.int32)
    numbers[order] = np.arange(len(names)) + (0 if 0 in names else 1)
    return numbers[each.reshape(found.shape)]


def _repeated(values: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Nearest neighbours: pixel i of the result is pixel floor(i * old side / side)."""
    source = np.arange(side) * len(values) // side
    return values[source][:, source]
