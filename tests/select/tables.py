"""Small tables with everything that makes selecting hard: ties, NaN, infinities, odd ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from tamis.data.ids import Ids
from tamis.data.score_table import ScoreTables
from tamis.select import Selected, select


def uids(n_rows: int, seed: int = 0) -> Ids:
    """Random uids, half of which share their first half with others."""
    pairs = np.random.default_rng(seed).integers(0, 1 << 64, (n_rows, 2), dtype=np.uint64)
    pairs[::2, 0] %= np.uint64(3)
    return Ids("uid32", pairs)


def hard_scores(n_rows: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Many equal values, both zeros, infinities, NaN."""
    random = np.random.default_rng(seed)
    values = random.integers(-4, 5, n_rows) / 8
    values[random.random(n_rows) < 0.05] = -0.0
    values[random.random(n_rows) < 0.05] = np.inf
    values[random.random(n_rows) < 0.05] = -np.inf
    values[random.random(n_rows) < 0.1] = np.nan
    return values.astype(dtype)


def kept(tables: ScoreTables, expression: Any, **options: Any) -> list[int]:
    """Row numbers of what an expression keeps, with repeats."""
    return list(chosen(tables, expression, **options).rows)


def chosen(tables: ScoreTables, expression: Any, **options: Any) -> Selected:
    return select(tables, expression, **options)
