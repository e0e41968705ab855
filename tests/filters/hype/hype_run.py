"""A pool, a reference of some of its rows, and its HYPE scores, for the tests of the scorer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.filters.hype.reference_pools import sides

from tamis.filters.hype.reference import Reference
from tamis.filters.hype.scorer import Hype
from tamis.filters.hype.space import Space

N_REFERENCES = 50  # from 48 on the kernel keeps to float32 where that is good enough
CURVATURE = 0.5


def reference(images: np.ndarray, texts: np.ndarray, **space: Any) -> Reference:
    """The first good rows of both sides."""
    good = np.isfinite(images).all(axis=1) & np.isfinite(texts).all(axis=1)
    rows = np.flatnonzero(good)[:N_REFERENCES]
    told = {"curvature": CURVATURE, "model": "m", **space}
    space_of = Space(images.shape[1], **told)
    return Reference(space_of, images[rows], texts[rows], rows, rows, len(rows), 0, {})


def scorer(pool: Path, run: Path, against: Reference, only: str | None = None, **o: Any) -> Hype:
    images, texts = sides(pool, run, only)
    return Hype(images, texts, against, **o)


def table(run: Path, name: str = "hype") -> pa.Table:
    return pq.read_table(run / "scores" / name / "scores.parquet")


def column(run: Path, part: str, name: str = "hype") -> np.ndarray:
    """A column by its name without the prefix; the main one is ""."""
    found = table(run, name).column(f"{name}_{part}" if part else name)
    assert found.type == pa.float32()
    values: np.ndarray = found.to_numpy()
    return values


def reasons(run: Path, name: str = "hype") -> dict[int, str]:
    told = table(run, name).column("reason").to_pylist()
    return {row: why for row, why in enumerate(told) if why}
