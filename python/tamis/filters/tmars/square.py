"""Images padded to a white square, and the way back to their own pixels.

T-MARS shows its detector an image in the middle of a white square that is then scaled, and its
published code leaves polygons in the pixels of that square. With W and H the image's sides and M
the longer one, a point (x, y) of a square of `side` pixels is in the image

    x * M / side - floor((M - W) / 2),   y * M / side - floor((M - H) / 2)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.filters.tmars.detector import frame_dtype

if TYPE_CHECKING:
    from PIL import Image


def padding(width: int, height: int) -> tuple[int, int]:
    """Return how many pixels a square has left of and above an image; the odd one is beyond it.

    Example:
        >>> padding(100, 63)
        (0, 18)
    """
    longest = max(width, height)
    return (longest - width) // 2, (longest - height) // 2


def from_square(
    points: npt.ArrayLike, side: float, width: int, height: int
) -> npt.NDArray[np.float64]:
    """Take points of a square back to the image.

    Args:
        points: (k, 2), in pixels of the square.
        side: of the square, in pixels.
        width, height: of the image, in pixels.

    Example:
        >>> from_square([[0, 128], [512, 384]], 512, 1000, 500).tolist()
        [[0.0, 0.0], [1000.0, 500.0]]
    """
    scale = max(width, height) / side
    return np.asarray(points, np.float64) * scale - padding(width, height)


@dataclass(frozen=True)
class OnSquare:
    """Centres an image on a white square and scales it to `side` pixels, bicubically."""

    side: int

    def __call__(self, image: Image.Image) -> npt.NDArray[Any]:
        """Return a record of `frame_dtype(side)`, all of which is used."""
        from PIL import Image as Images

        square = Images.new("RGB", (max(image.size),) * 2, "white")
        square.paste(image, padding(*image.size))
        frame = np.zeros((), frame_dtype(self.side))
        frame["size"] = image.size
        frame["used"] = self.side
        frame["pixels"] = np.asarray(
            square.resize((self.side, self.side), Images.Resampling.BICUBIC)
        )
        return frame
