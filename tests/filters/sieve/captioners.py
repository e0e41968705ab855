"""A captioner without a network that is as particular as one with, and pools for it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tamis.filters.sieve.captioner import RowKeys


def picture(number: int, size: tuple[int, int] = (20, 14)) -> bytes:
    """A PNG of noise; another for every number."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_images(folder: Path, images: Sequence[bytes]) -> Path:
    """A folder of images, called 0000.png and so on."""
    folder.mkdir(parents=True)
    for row, image in enumerate(images):
        (folder / f"{row:04d}.png").write_bytes(image)
    return folder


def shrunk(image: Image.Image) -> npt.NDArray[np.uint8]:
    return np.asarray(image.resize((3, 2)))


class Toy:
    """Says the sum of the pixels, the key and the number of the caption.

    Attributes:
        least: fewest captions that it returns; the sum of the pixels decides how many.
    """

    name = "toy"
    prepare_image = staticmethod(shrunk)

    def __init__(self, least: int | None = None, version: int = 0) -> None:
        self.least = least
        self.version = version
        self.shapes: set[tuple[int, ...]] = set()

    def recipe(self) -> dict[str, Any]:
        return {"model": "toy", "version": self.version}

    def caption(self, images: npt.NDArray[Any], keys: RowKeys, count: int) -> list[list[str]]:
        assert images.dtype == np.uint8 and images.shape[1:] == (2, 3, 3)
        assert keys.dtype == np.uint64 and keys.shape == (len(images),)
        self.shapes.add(images.shape)
        rows = []
        for image, key in zip(images, keys, strict=True):
            total = int(image.sum())
            n = count if self.least is None else self.least + total % (count + 1 - self.least)
            rows.append([f"é {total} {key} {number}" for number in range(n)])
        return rows
