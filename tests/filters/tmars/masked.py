"""A small pool of images, some with text, the masks of it, and an encoder whose sums are exact."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tests.embed.small import BATCH, Projection, encoded, picture, write_pool

from tamis.data.samples import SamplePool, open_samples
from tamis.filters.tmars.masks_reader import Masks, open_masks
from tamis.filters.tmars.scorer import Tmars

N_ROWS = 26
WIDTH, HEIGHT = 20, 14
Polygons = Sequence[Sequence[Sequence[float]]]


class ExactProjection(Projection):
    """Sums of whole numbers: a row is the same wherever in a batch it stands."""

    def __init__(self) -> None:
        super().__init__()
        self._pixels = np.round(self._pixels * 100)
        self.seen: list[np.ndarray] = []

    def encode_images(self, batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
        assert batch.shape == (BATCH, 5, 6, 3) and batch.dtype == np.uint8
        self.seen.append(batch)
        whole = batch.reshape(len(batch), -1).astype(np.int64) - 127
        rows: npt.NDArray[Any] = whole @ self._pixels.astype(np.int64)
        return rows.astype(np.float64)


def square(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def polygons_of(row: int) -> Polygons:
    """Every third row is without text."""
    if row % 3 == 0:
        return []
    left = row % 7
    return [square(left, 2, left + 8, 6), *([square(1, 9, 19, 12)] * (row % 3 == 2))]


def caption(row: int) -> str:
    return f"caption {row} " + "word " * ((row * 7) % 11)


def animated() -> bytes:
    """A GIF of two frames, of which the first counts."""
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def sound_pool(folder: Path, n_rows: int = N_ROWS) -> SamplePool:
    images = [picture(row) for row in range(n_rows)]
    return open_samples(write_pool(folder, images, [caption(row) for row in range(n_rows)]))


def hostile_pool(folder: Path, with_them: bool) -> SamplePool:
    """The sound pool's rows, and among them (or not) rows of every kind of trouble."""
    transparent = encoded(Image.new("RGBA", (20, 14), (9, 9, 9, 0)))
    long = encoded(Image.new("L", (1, 400)))
    huge = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (60000).to_bytes(4) * 2 + b"\x08\2\0\0\0" + b"\0" * 4
    odd: list[tuple[bytes, str | bytes]] = [
        (b"junk", "not an image"),
        (picture(3)[:-40], "truncated"),
        (huge, "huge"),
        (transparent, "transparent"),
        (encoded(Image.new("RGB", (1, 1))), "one pixel"),
        (long, "long"),
        (animated(), "animated"),
        (picture(5), b"\xff\xfe"),
        (picture(6), ""),
    ]
    rows = [(picture(row), caption(row)) for row in range(12)]
    if with_them:
        rows = [row for pair in zip(odd, rows, strict=False) for row in pair] + rows[len(odd) :]
    images, texts = zip(*rows, strict=True)
    return open_samples(write_pool(folder, images, texts))


def write_masks(
    path: Path, pool: SamplePool, polygons: dict[int, Polygons] | None = None, **columns: list[Any]
) -> Masks:
    """Masks made elsewhere, last row first."""
    ids = pool.ids().to_list()
    given = {row: polygons_of(row) for row in range(len(ids))} if polygons is None else polygons
    rows = sorted(given, reverse=True)
    table = {"id": [ids[row] for row in rows], "polygons": [given[row] for row in rows]}
    pq.write_table(pa.table({**table, **columns}), path)
    return open_masks(path, pool.ids())


def scorer(pool: SamplePool, masks: Any, **options: Any) -> Tmars:
    given = {"encoder": ExactProjection(), "batch_size": BATCH, **options}
    return Tmars(pool, masks, given.pop("encoder"), **given)
