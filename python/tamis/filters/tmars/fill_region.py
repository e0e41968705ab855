"""From a polygon to the pixels that it covers, and to the ring of pixels around it.

A pixel is covered when its centre is inside the polygon, by the non-zero winding rule; a centre on
a left or upper edge is inside, on a right or lower one outside, so that regions which share an edge
share no pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
_AT_A_TIME = 1 << 20
"""Pixels, or crossings of edges and rows of pixels: they bound the memory."""


@dataclass(frozen=True)
class Region:
    """Some pixels of an image, inside a window of it.

    Attributes:
        top, left: of the window, in pixels of the image.
        covered: bool (height, width) of the window.
    """

    top: int
    left: int
    covered: Bools

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image."""
        height, width = self.covered.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def is_empty(self) -> bool:
        """Whether no pixel is covered."""
        return not self.covered.any()

    def grown(self, steps: int, width: int, height: int) -> Region:
        """The pixels at most `steps` away from a covered one, along rows, columns and diagonals.

        Args:
            steps: pixels.
            width, height: of the image, beyond which nothing grows.

        Example:
            >>> Region(0, 4, np.ones((1, 1), bool)).grown(2, width=8, height=8).covered.shape
            (3, 5)
        """
        tall, wide = self.covered.shape
        top, left = max(self.top - steps, 0), max(self.left - steps, 0)
        bottom = min(self.top + tall + steps, height)
        right = min(self.left + wide + steps, width)
        spread = np.zeros((bottom - top, right - left), np.bool_)
        row, column = self.top - top, self.left - left
        spread[row : row + tall, column : column + wide] = self.covered
        for way in (spread, spread[::-1], spread[:, ::-1].T, spread.T):
            _spread_down(way, steps)
        return Region(top, left, spread)


def _spread_down(covered: Bools, steps: int) -> None:
    """Cover, in place, `steps` more rows below every covered pixel."""
    reached = 1
    while reached <= steps:
        more = min(reached, steps + 1 - reached)
        covered[more:] |= covered[:-more].copy()
        reached += more


def polygon_region(polygon: npt.ArrayLike, width: int, height: int) -> Region:
    """The pixels of an image inside a polygon.

    Args:
        polygon: (k, 2) finite corners, x before y, pixel i spanning [i, i + 1]; it may cross itself
            or leave the image.
        width, height: of the image, in pixels.

    Example:
        >>> region = polygon_region([[1, 1], [4, 1], [4, 3], [1, 3]], width=9, height=9)
        >>> region.window, region.covered.all()
        ((slice(1, 3, None), slice(1, 4, None)), np.True_)
    """
    points = np.asarray(polygon, np.float64)
    top, bottom, left, right = _bounds(points, width, height)
    tall, wide = bottom - top, right - left
    if not (tall and wide):
        return Region(top, left, np.zeros((tall, wide), np.bool_))
    covered = np.empty((tall, wide), np.bool_)
    band = max(1, _AT_A_TIME // max(wide, len(points)))
    for first in range(0, tall, band):
        rows = covered[first : first + band]
        rows[:] = _turns(points, top + first, left, rows.shape) != 0
    return Region(top, left, covered)


def _turns(
    points: npt.NDArray[np.float64], top: int, left: int, shape: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """The winding numbers of the pixels of a window."""
    (x0, y0), (x1, y1) = points.T, np.roll(points, -1, axis=0).T
    tall, wide = shape
    # The rows of the window whose centres each edge passes.
    first = _first_centre(np.minimum(y0, y1), top, top + tall)
    n_rows = _first_centre(np.maximum(y0, y1), top, top + tall) - first
    edge = np.repeat(np.arange(len(points)), n_rows)
    row = np.arange(len(edge)) - np.repeat(n_rows.cumsum() - n_rows, n_rows) + first[edge]
    share = (row + 0.5 - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
    column = _first_centre(x0[edge] + share, left, left + wide)
    place = (row - top) * (wide + 1) + column - left
    down = np.where(y1 > y0, 1, -1)[edge]
    crossings = np.bincount(place, down, minlength=tall * (wide + 1)).reshape(tall, wide + 1)
    turns: npt.NDArray[np.int64] = crossings[:, :wide].cumsum(1).astype(np.int64)
    return turns


def box_region(polygon: npt.ArrayLike, width: int, height: int) -> Region:
    """The pixels of an image inside the upright box around a polygon; see `polygon_region`.

    Example:
        >>> box_region([[0, 0], [2, 1], [1, 2]], width=9, height=9).covered.shape
        (2, 2)
    """
    top, bottom, left, right = _bounds(np.asarray(polygon, np.float64), width, height)
    return Region(top, left, np.ones((bottom - top, right - left), np.bool_))


def _bounds(points: npt.NDArray[np.float64], width: int, height: int) -> tuple[int, int, int, int]:
    (left, top), (right, bottom) = points.min(0), points.max(0)
    rows = _first_centre(np.array([top, bottom]), 0, height)
    columns = _first_centre(np.array([left, right]), 0, width)
    return int(rows[0]), int(rows[1]), int(columns[0]), int(columns[1])


def _first_centre(place: npt.NDArray[np.float64], least: int, most: int) -> npt.NDArray[np.int64]:
    """The first pixel whose centre is not before a place; from `least` to `most`."""
    return np.ceil(place - 0.5).clip(least, most).astype(np.int64)
