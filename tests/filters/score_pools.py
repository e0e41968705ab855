"""Pools of pairs for the tests of scores, some of whose rows are bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tests.data.pools import unit_rows

from tamis.data.pool import Pool, open_pool
from tamis.kernels.canonical import canonical

SIZES = (40, 1, 59)
BAD = {0: "image", 40: "text", 57: "image", 99: "text"}


def write_pairs(folder: Path, dim: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """DataComp shards whose images and texts have much in common; returns both, as stored."""
    import pyarrow as pa

    n_rows = sum(SIZES)
    images = unit_rows(n_rows, dim, "f4")
    texts = (images + 0.8 * unit_rows(n_rows, dim, "f4", seed=1)).astype(np.float32)
    for row, side in BAD.items():
        (images if side == "image" else texts)[row] = np.nan
    folder.mkdir()
    first = 0
    for shard, size in enumerate(SIZES):
        part = slice(first, first + size)
        np.savez(folder / f"{shard:02d}.npz", img=images[part], txt=texts[part])
        uids = [f"{row * 7919:032x}" for row in range(part.start, part.stop)]
        pq.write_table(pa.table({"uid": uids}), folder / f"{shard:02d}.parquet")
        first += size
    return images, texts


def sides(folder: Path) -> tuple[Pool, Pool]:
    return open_pool(folder, embedding="img"), open_pool(folder, embedding="txt")


def usable() -> np.ndarray:
    good = np.ones(sum(SIZES), bool)
    good[list(BAD)] = False
    return good


def column(run: Path, name: str) -> np.ndarray:
    """The main column of a score step."""
    table = pq.read_table(run / "scores" / name / "scores.parquet")
    found: np.ndarray = table.column(name).to_numpy()
    return found


def reasons(run: Path, name: str) -> dict[int, str]:
    table = pq.read_table(run / "scores" / name / "scores.parquet")
    return {row: why for row, why in enumerate(table.column("reason").to_pylist()) if why}


def float64(rows: np.ndarray) -> np.ndarray:
    """Canonical rows, bad ones zeros, as float64."""
    return canonical(rows)[0].astype(np.float64)


def normalised(rows: np.ndarray) -> np.ndarray:
    wide = float64(rows)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(norms > 0, norms, 1)
