"""What a detector of text is: images in, polygons in the pixels of the original images out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tamis.filters.tmars.polygons import PolygonFault, Regions, clean

if TYPE_CHECKING:
    from PIL import Image

Frames: TypeAlias = npt.NDArray[np.void]
"""(n,) records of `frame_dtype`: images at the size in which a network sees them."""


def frame_dtype(side: int) -> np.dtype[np.void]:
    """The record of one image, the same for every image, whatever its shape.

    Its fields: `size`, the (width, height) of the original in pixels; `used`, the width and height
    of that part of `pixels`, from its upper left corner, that holds the image; `pixels`, uint8
    (side, side, 3), RGB.

    Example:
        >>> frame_dtype(320)["pixels"].shape
        (320, 320, 3)
    """
    return np.dtype(
        [("size", np.int32, 2), ("used", np.int32, 2), ("pixels", np.uint8, (side, side, 3))]
    )


class Detector(Protocol):
    """Finds text.

    The polygons of an image depend on that image alone, never on those that come with it, on their
    number, or on threads.
    """

    @property
    def name(self) -> str:
        """A word for file names and messages."""
        ...

    @property
    def prepare_image(self) -> Callable[[Image.Image], npt.NDArray[Any]]:
        """A function that pickles: an RGB image to a record of `frame_dtype`, without dimensions.

        It runs in worker processes.
        """
        ...

    def recipe(self) -> dict[str, Any]:
        """All that can change a polygon, as JSON can hold it."""
        ...

    def detect(self, frames: Frames) -> list[Regions]:
        """Return the text of each frame, polygons in pixels of its original."""
        ...


def detect_images(detector: Detector, images: Sequence[Image.Image]) -> list[Regions]:
    """Find the text in decoded images.

    Args:
        detector: from :func:`tamis.filters.tmars.detectors.open_detector`, or any of your own.
        images: RGB, as :func:`tamis.data.image.decode_image` returns them.

    Raises:
        PolygonFault: the detector failed on an image, or returned what is no polygon.
        ValueError: it returned another number of results.
    """
    if not images:
        return []
    frames = np.stack([detector.prepare_image(image) for image in images])
    results = []
    for found, image in zip(found_in(detector, frames), images, strict=True):
        if found.reason is not None:
            raise PolygonFault(found.reason)
        results.append(clean(found.polygons, found.scores, *image.size))
    return results


def found_in(detector: Detector, frames: Frames) -> list[Regions]:
    """Call a detector. Raises ValueError where it does not return one result for each frame."""
    found = detector.detect(frames)
    if len(found) != len(frames):
        raise ValueError(
            f"expected {len(frames)} results of the detector {detector.name}, got {len(found)}"
        )
    return found
