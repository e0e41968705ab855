"""Regions of text: polygons in an image, and how those of any detector are made sound.

Coordinates are continuous pixels of the decoded, upright image: pixel i spans [i, i + 1], so x runs
from 0 to the width. A pixel is inside a polygon when its centre is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.errors import TamisError, require

Polygon = npt.NDArray[np.float32]
"""(k, 2), k >= 3: the corners, x before y, the first one not repeated."""

MOST_POLYGONS = 4096
MOST_CORNERS = 65536
"""Of one image, all polygons together."""
SMALLEST_AREA = 1.0

NO_POLYGON = "text region is no polygon"
NOT_FINITE = "text region has a coordinate that is not finite"
NO_SCORE = "text region has no score"
BROKEN_MAP = "the detector's map has values that are not finite"
TOO_MANY = f"more than {MOST_POLYGONS} text regions or {MOST_CORNERS} corners"
TANGLED = "text regions cross themselves too often"
PILED = "text regions lie on one another too often"

_FARTHEST = 1e7
_MOST_CROSSING_CORNERS = 1000
_MOST_CROSSINGS = 4096
"""The time of a repair grows with the third power of the corners, by way of their crossings."""
_MOST_LAYERS = 64
_FREE_PIXELS = 1 << 24
"""Every region is filled by itself: beyond so many pixels, their boxes may cover the image 64 times
over."""


class PolygonFault(TamisError, ValueError):  # noqa: N818 - one bad polygon is a fault of a row
    """What should be a polygon is none.

    Attributes:
        reason: why, in a few words; fit for the quarantine.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Regions:
    """The text regions of one image.

    Attributes:
        polygons: float32 (k, 2) each.
        scores: float32 (n,), the detector's confidence in each.
        reason: why the text could not be found, None where it could.
    """

    polygons: list[Polygon] = field(default_factory=list)
    scores: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    reason: str | None = None


def clean(polygons: Sequence[Any], scores: Iterable[float], width: float, height: float) -> Regions:
    """Make polygons simple, without holes and inside the image.

    A polygon that crosses itself becomes the simple ones that cover what it covers, each with its
    score; holes are filled. Polygons are cut at the border; what covers less than one square pixel
    is dropped. Sound polygons come back as they are.

    Args:
        polygons: (k, 2) numbers each, in pixels.
        scores: one for each.
        width, height: of the image, in pixels.

    Raises:
        PolygonFault: what is no polygon, for want of corners or finite coordinates; too many, or
            polygons that cross themselves, or lie on one another, thousands of times.
        MissingExtraError: shapely is not installed.

    Example:
        >>> bow_tie = [[0, 0], [8, 8], [8, 0], [0, 8]]
        >>> beyond = [[-9, 2], [4, 2], [4, 8], [-9, 8]]
        >>> [polygon.tolist() for polygon in clean([bow_tie, beyond], [1, 1], 8, 8).polygons]
        [[[0.0, 0.0], [0.0, 8.0], [4.0, 4.0]], [[4.0, 4.0], [8.0, 8.0], [8.0, 0.0]], \
[[0.0, 2.0], [0.0, 8.0], [4.0, 8.0], [4.0, 2.0]]]
    """
    corners = _corners(polygons)
    given = np.array(list(scores), np.float32)
    if given.shape != (len(corners),) or not np.isfinite(given).all():
        raise PolygonFault(NO_SCORE)
    if not corners:
        return Regions()
    shapely = require("shapely", extra="tmars")
    shapes = [shapely.Polygon(polygon) for polygon in corners]
    valid = shapely.is_valid(shapes)
    if _is_tangled([shapes[row] for row in np.flatnonzero(~valid)]):
        raise PolygonFault(TANGLED)
    sound = valid & (shapely.area(shapes) >= SMALLEST_AREA)
    frame = shapely.box(0, 0, width, height)
    sound &= [_inside(polygon, width, height) for polygon in corners]
    kept: list[npt.NDArray[np.float64]] = []
    kept_scores = []
    for polygon, shape, score, is_sound in zip(corners, shapes, given, sound, strict=True):
        parts = [polygon] if is_sound else _repaired(shape, frame)
        kept += parts
        kept_scores += [score] * len(parts)
    if len(kept) > MOST_POLYGONS:
        raise PolygonFault(TOO_MANY)
    boxes = sum(float(np.prod(np.ptp(polygon, axis=0))) for polygon in kept)
    if boxes > max(_MOST_LAYERS * width * height, _FREE_PIXELS):
        raise PolygonFault(PILED)
    return Regions([polygon.astype(np.float32) for polygon in kept], np.array(kept_scores, "f4"))


def _corners(polygons: Sequence[Any]) -> list[npt.NDArray[np.float64]]:
    if len(polygons) > MOST_POLYGONS:
        raise PolygonFault(TOO_MANY)
    corners = []
    for polygon in polygons:
        try:
            points = np.asarray(polygon, np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            raise PolygonFault(NO_POLYGON) from error
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            raise PolygonFault(NO_POLYGON)
        if not np.isfinite(points).all():
            raise PolygonFault(NOT_FINITE)
        corners.append(points.clip(-_FARTHEST, _FARTHEST))
    if sum(map(len, corners)) > MOST_CORNERS:
        raise PolygonFault(TOO_MANY)
    return corners


def _inside(polygon: npt.NDArray[np.float64], width: float, height: float) -> bool:
    return bool((polygon >= 0).all() and (polygon <= (width, height)).all())


def _is_tangled(crossing: Sequence[Any]) -> bool:
    shapely = require("shapely", extra="tmars")
    if math.hypot(*map(shapely.get_num_coordinates, crossing)) > _MOST_CROSSING_CORNERS:
        return True  # counting them would take long
    pieces = [shapely.unary_union(shape.exterior) for shape in crossing]
    return int(shapely.get_num_coordinates(pieces).sum()) > _MOST_CROSSINGS


def _repaired(shape: Any, frame: Any) -> list[npt.NDArray[np.float64]]:
    """The parts of a polygon inside the image, in the order of their corners."""
    shapely = require("shapely", extra="tmars")

    whole = shapely.intersection(shapely.make_valid(shape), frame)
    left, top, right, bottom = shapely.bounds(frame)
    parts = []
    for part in shapely.get_parts(whole).tolist():
        for piece in shapely.get_parts(part).tolist():
            if piece.geom_type == "Polygon" and shapely.area(piece) >= SMALLEST_AREA:
                outline = shapely.get_coordinates(shapely.normalize(piece).exterior)[:-1]
                # Cutting is exact to the last bit but one; in float32 some corners may be one.
                outline = outline.clip((left, top), (right, bottom)).astype(np.float32)
                outline = outline[(outline != np.roll(outline, 1, axis=0)).any(1)]
                if len(outline) > 2:
                    parts.append(outline.astype(np.float64))
    return sorted(parts, key=lambda outline: outline.tolist())
