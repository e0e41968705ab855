"""A scorer of nothing much, over a pool of `.npy` files: what the job does with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.data.ids import Ids
from tamis.data.pool import Pool, open_pool
from tamis.data.unit import Unit
from tamis.run.inputs import InputFile
from tamis.score.scorer import Scorer, Scores


class FirstElement(Scorer):
    """The first element of every row, none where it is above `limit`."""

    name = "first"
    schema = pa.schema(
        [
            ("first", pa.float32()),
            ("first_positive", pa.bool_()),
            ("first_tenths", pa.int32()),
            ("first_text", pa.string()),
        ]
    )

    def __init__(self, pool: Path, limit: float = 1.5) -> None:
        self.pool: Pool = open_pool(pool)
        self.limit = limit
        self.scored: list[str] = []

    def recipe(self) -> dict[str, Any]:
        return {"limit": self.limit}

    def inputs(self) -> list[InputFile]:
        return self.pool.inputs()

    def ids(self) -> Ids:
        return self.pool.ids()

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        return self.pool.units(rows_per_unit)

    def score(self, unit: Unit) -> Scores:
        self.scored.append(unit.name)
        first = self.pool.read_embeddings(unit)[:, 0].astype(np.float32)
        above = np.flatnonzero(first > self.limit).tolist()
        return Scores(
            {
                "first": first,
                "first_positive": first > 0,
                "first_tenths": pa.array(np.nan_to_num(first * 10).astype(np.int32)),
                "first_text": pa.array([f"{value:.1f}" for value in first], pa.string()),
            },
            dict.fromkeys(above, "too large"),
        )


def write_pool(folder: Path, sizes: Sequence[int] = (50, 0, 33), ids: bool = True) -> np.ndarray:
    """Files of rows of 3, one NaN among them; text ids. Returns all rows."""
    folder.mkdir()
    rows = np.random.default_rng(7).standard_normal((sum(sizes), 3)).astype(np.float32)
    rows[5, 0] = np.nan
    first = 0
    for number, size in enumerate(sizes):
        np.save(folder / f"part{number}.npy", rows[first : first + size])
        if ids:
            names = np.array([f"{'x' * (row % 5)}{row}" for row in range(first, first + size)], "U")
            np.save(folder / f"part{number}.ids.npy", names)
        first += size
    return rows
