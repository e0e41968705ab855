"""Pools whose rows are points, and points in memory, for the tests of references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.filters.hype.points import Points
from tamis.filters.hype.sides import open_sides
from tamis.filters.hype.space import Space

N_ROWS = 60
CURVATURE = 0.5
BAD = {3: "image", 17: "text", 18: "text", 40: "image"}
"""Rows that are NaN on one side."""
CUTS = ([60], [1, 20, 39], [13] * 4 + [8])


def tangents(n_rows: int = N_ROWS, dim: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images farther out than texts, in multiples of 1/64: the same bits everywhere."""
    random = np.random.default_rng(seed)
    images = random.integers(-64, 65, (n_rows, dim))
    texts = random.integers(-24, 25, (n_rows, dim))
    images[:, 0], texts[:, 0] = 50, 3
    return tuple((rows / 64).astype(np.float32) for rows in (images, texts))


def write_pool(
    folder: Path, sizes: Sequence[int] = (N_ROWS,), *, bad: Mapping[int, str] = BAD, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """DataComp shards of tangent vectors; returns both sides as stored."""
    images, texts = tangents(sum(sizes), seed=seed)
    for row, side in bad.items():
        (images if side == "image" else texts)[row] = np.nan
    folder.mkdir(parents=True)
    first = 0
    for shard, size in enumerate(sizes):
        part = slice(first, first + size)
        np.savez(folder / f"{shard:02d}.npz", img=images[part], txt=texts[part])
        uids = [f"{row * 7919:032x}" for row in range(part.start, part.stop)]
        pq.write_table(pa.table({"uid": uids}), folder / f"{shard:02d}.parquet")
        first += size
    return images, texts


def sides(pool: Path, run: Path, only: str | None = None) -> tuple[Points | None, Points | None]:
    return open_sides(
        run, only=only, pool=str(pool), image="img", text="txt", curvature=CURVATURE, model="m"
    )


class InMemory:
    """What a sample needs of `Points`: row i is [i + 1], and some rows are bad."""

    def __init__(self, n_rows: int, reasons: Mapping[int, str]) -> None:
        self.n_rows = n_rows
        self.space = Space(1, 1.0)
        self.reasons = reasons
        self.taken = 0

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        self.taken += len(rows)
        bad = {place: self.reasons[row] for place, row in enumerate(rows) if row in self.reasons}
        return (rows[:, None] + 1).astype(np.float32), bad
