"""From a map of text probability to regions, as differentiable binarisation (DB) defines them.

Liao et al., Real-time Scene Text Detection with Differentiable Binarization, AAAI 2020, section 3:
a network trained this way marks the core of each text line, shrunk by a distance that follows from
its area and perimeter, so what it marks is grown by

    distance = unclip * area / perimeter

The map is cut at `threshold`; each connected component (8 neighbours) whose mean probability is
less than `min_score`, or whose short side is less than 3 pixels, is dropped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tamis.errors import require
from tamis.filters.tmars.polygons import BROKEN_MAP, Polygon, Regions

Shape = Literal["quad", "polygon"]
SHAPES: tuple[Shape, ...] = ("quad", "polygon")
MOST_COMPONENTS = 1000
_SHORTEST_SIDE = 3.0
_STRAIGHT = 0.002
"""Corners of a contour that lie nearer to a straight line than this share of it are left out."""


@dataclass(frozen=True)
class DbRules:
    """How a map becomes regions.

    Attributes:
        threshold: a pixel whose probability is larger is text; 0 to 1.
        min_score: the least mean probability of a region; 0 to 1.
        unclip: how far a region is grown, see the module's formula; 0 does not grow it.
        shape: "quad" is the smallest rotated rectangle, "polygon" follows the component's outline.

    Raises:
        ValueError: a value out of range.

    Example:
        >>> probability = np.zeros((64, 64), np.float32)
        >>> probability[20:30, 10:50] = 0.9  # grows by 1 * 400 / 100 pixels
        >>> (quad,) = DbRules(unclip=1).regions(probability).polygons
        >>> quad.min(0).tolist(), quad.max(0).tolist()
        ([6.0, 16.0], [54.0, 34.0])
    """

    threshold: float = 0.3
    min_score: float = 0.6
    unclip: float = 1.6
    shape: Shape = "quad"

    def __post_init__(self) -> None:
        for name in ("threshold", "min_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"expected {name} from 0 to 1, got {getattr(self, name)}")
        if not 0 <= self.unclip <= 100:
            raise ValueError(f"expected unclip from 0 to 100, got {self.unclip}")
        if self.shape not in SHAPES:
            raise ValueError(f"expected a shape {' or '.join(SHAPES)}, got {self.shape}")

    def recipe(self) -> dict[str, Any]:
        """The attributes, as JSON can hold them."""
        return asdict(self)

    def regions(self, probability: npt.NDArray[np.float32]) -> Regions:
        """Find the regions of a map.

        Args:
            probability: float32 (height, width).

        Returns:
            Polygons in pixels of the map; they may lead out of it. At most 1,000.

        Raises:
            MissingExtraError: OpenCV or shapely is not installed.
        """
        if not np.isfinite(probability).all():
            return Regions(reason=BROKEN_MAP)
        cv2 = require("cv2", extra="tmars")
        text = (probability > self.threshold).view(np.uint8)
        outlines, _ = cv2.findContours(text, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        polygons, scores = [], []
        for outline in outlines[:MOST_COMPONENTS]:
            centre, size, angle = cv2.minAreaRect(outline)
            # An outline runs through the centres of pixels, each of which is one pixel wide.
            width, height = size[0] + 1, size[1] + 1
            if min(width, height) < _SHORTEST_SIDE:
                continue
            score = _mean_inside(cv2, probability, outline)
            if score < self.min_score:
                continue
            if self.shape == "quad":
                distance = self.unclip * width * height / (2 * (width + height))
                grown = width + 2 * distance, height + 2 * distance
                polygon = cv2.boxPoints((centre, grown, angle)) + np.float32(0.5)
            else:
                polygon = self._followed(cv2, outline)
            polygons.append(polygon)
            scores.append(score)
        return Regions(polygons, np.array(scores, np.float32))

    def _followed(self, cv2: Any, outline: Any) -> Polygon:
        shapely = require("shapely", extra="tmars")

        close = cv2.approxPolyDP(outline, _STRAIGHT * cv2.arcLength(outline, True), True)
        corners = (close if len(close) > 3 else outline).reshape(-1, 2)
        pixels = shapely.buffer(shapely.LinearRing(corners + 0.5), 0.5, quad_segs=1)
        core = shapely.Polygon(pixels.exterior)
        distance = self.unclip * core.area / core.length
        grown = shapely.buffer(core, distance, quad_segs=2).simplify(0.25)
        return np.asarray(shapely.get_coordinates(grown.exterior)[:-1], np.float32)


def _mean_inside(cv2: Any, probability: npt.NDArray[np.float32], outline: Any) -> float:
    x, y, width, height = cv2.boundingRect(outline)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [outline], 1, offset=(-x, -y))
    return float(cv2.mean(probability[y : y + height, x : x + width], inside)[0])
