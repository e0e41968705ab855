"""Rules that decide which rows of a segment stay, given one threshold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels.reference.cosine import Int64, cosines
from tamis.kernels.reference.rows import Float16

_BLOCK = 512


def greedy_keep(rows: Float16, offsets: Int64, threshold: float) -> npt.NDArray[np.bool_]:
    """Keep a row iff no earlier kept row of its segment has a float32 cosine > threshold."""
    keep = np.zeros(len(rows), dtype=np.bool_)
    for start, stop in zip(offsets[:-1], offsets[1:], strict=True):
        close = _close(rows[start:stop], threshold)
        for r in range(stop - start):
            keep[start + r] = not (close[r, :r] & keep[start : start + r]).any()
    return keep


def components(rows: Float16, offsets: Int64, threshold: float) -> Int64:
    """Return the lowest row number of each row's connected component of close rows."""
    lowest = np.arange(len(rows), dtype=np.int64)
    for start, stop in zip(offsets[:-1], offsets[1:], strict=True):
        close = _close(rows[start:stop], threshold)
        unseen = np.ones(stop - start, dtype=np.bool_)
        while unseen.any():
            first = int(unseen.argmax())
            frontier = np.array([first])
            while len(frontier):
                unseen[frontier] = False
                lowest[start + frontier] = start + first
                frontier = np.flatnonzero(close[frontier].any(axis=0) & unseen)
    return lowest


def _close(rows: Float16, threshold: float) -> npt.NDArray[np.bool_]:
    close = np.empty((len(rows), len(rows)), dtype=np.bool_)
    for start in range(0, len(rows), _BLOCK):
        block = cosines(rows[start : start + _BLOCK], rows)
        close[start : start + _BLOCK] = block.astype(np.float32) > np.float32(threshold)
    return close
