"""Small adapters, embed steps and rows for the tests of HYPE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.filters.hype.adapter import Adapter
from tamis.run.directory import RunDirectory

WEIGHTS = "ab" * 32
ENCODER = {"model": "hyperbolic:x", "weights": WEIGHTS, "curvature": 0.1}
N_ROWS, DIM = 23, 8
BAD = {2: "image embedding is zero", 9: "image embedding has a NaN"}


def random_rows(n_rows: int, dim: int, *, seed: int = 0, length: float = 1.0) -> np.ndarray:
    """float32 rows of about this length."""
    rows = np.random.default_rng(seed).standard_normal((n_rows, dim)) * length / dim**0.5
    return rows.astype(np.float32)


def small_adapter(
    image: int = 8, text: int = 6, dim: int = 5, *, seed: int = 0, **options: Any
) -> Adapter:
    """An adapter of random weights."""
    weights = {
        side: random_rows(dim, width, seed=seed + index).astype(np.float16)
        for index, (side, width) in enumerate((("image", image), ("text", text)))
    }
    given = {"scales": {"image": 0.5, "text": 0.25}, "curvature": 0.1, "logit_scale": 2.659}
    return Adapter(weights, **{**given, **options})


def write_step(
    folder: Path,
    encoder: Mapping[str, Any],
    rows: Mapping[str, list[np.ndarray]],
    reasons: Mapping[str, Mapping[int, str]] | None = None,
) -> None:
    """An embed step that has ended: side -> rows of each unit, side -> row -> reason."""
    folders = {"image": "img_emb", "text": "text_emb"}
    with RunDirectory.open(folder, {"encoder": dict(encoder)}, inputs=[]) as run:
        first = 0
        for number in range(len(next(iter(rows.values())))):
            size = len(next(iter(rows.values()))[number])
            files: dict[str, Any] = {}
            columns: dict[str, Any] = {"id": pa.array(range(first, first + size), pa.int64())}
            for side, units in rows.items():
                files[f"{folders[side]}/{folders[side]}_{number:05d}.npy"] = units[number]
                known = (reasons or {}).get(side, {})
                told = [known.get(row) for row in range(first, first + size)]
                columns[f"{side}_reason"] = pa.array(told, pa.string())
            files[f"metadata/metadata_{number:05d}.parquet"] = pa.table(columns)
            run.commit("embed", f"{number:05d}", files)
            first += size
        run.finish()


def tangents(length: float = 0.7) -> np.ndarray:
    """N_ROWS rows of images, of which those in BAD are."""
    rows = random_rows(N_ROWS, DIM, length=length)
    rows[2] = 0
    rows[9, 3] = np.nan
    return rows


def cut(rows: np.ndarray) -> list[np.ndarray]:
    """The rows of three units."""
    return [rows[:10], rows[10:11], rows[11:]]
