"""Text out of an image: every region takes one colour, or what surrounds it flows in.

| fill       | the colour of a region                                                            |
|------------|-----------------------------------------------------------------------------------|
| ring-mean  | the mean of a ring of pixels around it, those of any text left out                |
| box-mean   | the mean of its upright box, the text included                                    |
| image-mean | the mean of all pixels without text                                               |
| inpaint    | none: the surroundings are continued inwards by Telea's method, as OpenCV does it |

The paper says "the average color of the surrounding pixels" and no more: how wide a ring, and
whether a polygon or its box is filled, were not published, so they are parameters. Means are exact
sums, rounded once, halves up. An empty ring takes the mean of all pixels without text. Where text
covers the whole image there are no surroundings, and it becomes mid-grey, `box-mean` excepted.
Where regions overlap, the last one gives the colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from tamis.errors import require
from tamis.filters.tmars.fill_region import Region, box_region, polygon_region

FillKind: TypeAlias = Literal["ring-mean", "box-mean", "image-mean", "inpaint"]
RegionKind: TypeAlias = Literal["polygon", "box"]
Pixels: TypeAlias = npt.NDArray[np.uint8]

RING = 0.25
LEAST_RING = 3
"""Pixels."""
INPAINT_RADIUS = 3.0
"""Pixels around one that is filled in which Telea's method looks."""
GREY = 128


@dataclass(frozen=True)
class Filled:
    """An image without its text.

    Attributes:
        pixels: uint8 (height, width, 3); the very array that was given where no pixel is text.
        text: bool (height, width), the pixels that were text.
    """

    pixels: Pixels
    text: npt.NDArray[np.bool_]

    @property
    def area(self) -> float:
        """The share of the pixels that were text."""
        return float(np.count_nonzero(self.text) / self.text.size)


def check_fill(fill: str, region: str, ring: float) -> None:
    """Raise ValueError for words that `fill_text` does not know, or a ring out of its range.

    Example:
        >>> check_fill("blur", "box", 0.25)
        Traceback (most recent call last):
        ValueError: expected a fill of ring-mean, box-mean, image-mean, inpaint, got blur
    """
    for what, word, known in (
        ("fill", fill, get_args(FillKind)),
        ("region", region, get_args(RegionKind)),
    ):
        if word not in known:
            raise ValueError(f"expected a {what} of {', '.join(known)}, got {word}")
    if not (math.isfinite(ring) and 0 <= ring <= 10):
        raise ValueError(f"expected a ring from 0 to 10 heights of the text, got {ring}")


def fill_text(
    pixels: Pixels,
    polygons: Sequence[npt.ArrayLike],
    *,
    fill: FillKind = "ring-mean",
    region: RegionKind = "polygon",
    ring: float = RING,
) -> Filled:
    """Fill the text of an image; all other pixels stay as they are.

    Args:
        pixels: uint8 (height, width, 3).
        polygons: the text, (k, 2) corners each, x before y; see
            :func:`tamis.filters.tmars.fill_region.polygon_region`.
        fill: see the module's table.
        region: fill the polygon, or the upright box around it.
        ring: width of the ring, as a share of the shorter side of the region's box, which is the
            height of a line of text; rounded to pixels, 3 at least.

    Raises:
        ValueError: an unknown word, pixels of another kind, or an image that OpenCV refuses.
        MissingExtraError: OpenCV, which inpaints, is not installed.

    Example:
        >>> image = np.full((20, 40, 3), 200, np.uint8)
        >>> image[8:12, 10:30] = 0
        >>> filled = fill_text(image, [[[10, 8], [30, 8], [30, 12], [10, 12]]])
        >>> (filled.pixels == 200).all(), filled.area
        (np.True_, 0.1)
    """
    check_fill(fill, region, ring)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"expected uint8 (height, width, 3), got {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    cover = polygon_region if region == "polygon" else box_region
    text = np.zeros((height, width), np.bool_)
    for polygon in polygons:
        found = cover(polygon, width, height)
        text[found.window] |= found.covered
    if not text.any():
        return Filled(pixels, text)
    is_all_text = bool(text.all())
    if fill == "inpaint" and not is_all_text:
        return Filled(_inpainted(pixels, text), text)
    surroundings = lru_cache(lambda: _surroundings(pixels, text))
    filled = pixels.copy()
    for polygon in polygons:
        found = cover(polygon, width, height)  # again: thousands may not fit into memory
        if found.is_empty:
            continue
        colour = None
        if fill == "ring-mean" and not is_all_text:
            colour = _ring_mean(pixels, text, found, ring)
        elif fill == "box-mean":
            colour = _mean(pixels[found.window].reshape(-1, 3))
        filled[found.window][found.covered] = surroundings() if colour is None else colour
    return Filled(filled, text)


def _ring_mean(
    pixels: Pixels, text: npt.NDArray[np.bool_], region: Region, ring: float
) -> Pixels | None:
    """None where the ring is empty."""
    steps = max(LEAST_RING, round(ring * min(region.covered.shape)))
    around = region.grown(steps, text.shape[1], text.shape[0])
    chosen = around.covered & ~text[around.window]
    return _mean(pixels[around.window][chosen]) if chosen.any() else None


def _surroundings(pixels: Pixels, text: npt.NDArray[np.bool_]) -> Pixels:
    """The mean of the pixels that are no text; mid-grey where there are none."""
    count = int(text.size - np.count_nonzero(text))
    if not count:
        return np.full(3, GREY, np.uint8)
    by_column = pixels.sum(0, dtype=np.uint32)  # much faster than all at once, and still exact
    sums = by_column.sum(0, dtype=np.int64) - pixels[text].sum(0, dtype=np.int64)
    return _rounded(sums, count)


def _mean(colours: Pixels) -> Pixels:
    return _rounded(colours.sum(0, dtype=np.int64), len(colours))


def _rounded(sums: npt.NDArray[np.int64], count: int) -> Pixels:
    found: Pixels = ((2 * sums + count) // (2 * count)).astype(np.uint8)
    return found


def _inpainted(pixels: Pixels, text: npt.NDArray[np.bool_]) -> Pixels:
    cv2: Any = require("cv2", extra="tmars")
    given = np.ascontiguousarray(pixels), text.astype(np.uint8)
    try:
        flowed = cv2.inpaint(*given, INPAINT_RADIUS, cv2.INPAINT_TELEA)
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot inpaint this image: {error}") from error
    filled: Pixels = np.where(text[:, :, None], flowed, pixels)
    return filled
