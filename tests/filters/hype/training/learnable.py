"""Pairs that can be learned: both sides are noisy linear views of the same hidden numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.filters.hype.training import Options

Rows = npt.NDArray[np.float32]
SMALL = Options(dim=8, epochs=4, batch_size=64, lr=2e-2, validation=0.2, near=0.999)


def learnable(n: int = 400, dims: tuple[int, int] = (24, 16), seed: int = 0) -> tuple[Rows, Rows]:
    """Image and text rows, float32."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=(n, 6))
    sides = [
        hidden @ random.normal(size=(6, dim)) + 0.5 * random.normal(size=(n, dim)) for dim in dims
    ]
    return sides[0].astype(np.float32), sides[1].astype(np.float32)


def write_pool(folder: Path, images: Rows, texts: Rows, **columns: list[object]) -> Path:
    """clip-retrieval's layout, in two files a side."""
    half = len(images) // 2
    table = pa.table({"id": [f"pair{i}" for i in range(len(images))], **columns})
    for name in ("img_emb", "text_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    for number, part in enumerate((slice(None, half), slice(half, None))):
        np.save(folder / f"img_emb/img_emb_{number}.npy", images[part])
        np.save(folder / f"text_emb/text_emb_{number}.npy", texts[part])
        rows = range(*part.indices(len(images)))
        pq.write_table(table.take(list(rows)), folder / f"metadata/metadata_{number}.parquet")
    return folder
