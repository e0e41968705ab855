"""Rules that decide which rows of a segment stay, given one threshold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels.reference.cosine import Int64, cosines
from tamis.kernels.reference.rows import Float16


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
        unseen = set(range(stop - start))
        while unseen:
            first = min(unseen)
            reached = {first}
            frontier = [first]
            while frontier:
                neighbours = set(np.flatnonzero(close[frontier.pop()]).tolist()) - reached
                reached |= neighbours
                frontier.extend(neighbours)
            lowest[[start + r for r in reached]] = start + first
            unseen -= reached
    return lowest


def _close(rows: Float16, threshold: float) -> npt.NDArray[np.bool_]:
    return np.asarray(cosines(rows, rows).astype(np.float32) > np.float32(threshold))
