"""Drawings with known text at known places, and pools of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFont

from tamis.data.samples import SamplePool, open_samples
from tamis.filters.tmars.db import Fit
from tamis.filters.tmars.detect import run_detect
from tamis.filters.tmars.detector import Detector, Frames
from tamis.filters.tmars.polygons import Regions

needs_network = pytest.mark.skipif(
    find_spec("rapidocr_onnxruntime") is None, reason="rapidocr-onnxruntime is not installed"
)
Bits = npt.NDArray[np.bool_]


def scenery(number: int, size: tuple[int, int] = (480, 360), *, discs: int = 0) -> Image.Image:
    """Soft hills in random colours, with discs on them; no text."""
    random = np.random.default_rng(number)
    width, height = size
    low = random.integers(90, 230, (4, 6, 3), np.uint8)
    image = Image.fromarray(low).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(discs):
        x, y, r = (int(random.integers(0, most)) for most in (width, height, height // 3))
        colour = tuple(random.integers(60, 250, 3).tolist())
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    return image


def lettered(
    image: Image.Image,
    text: str,
    at: tuple[int, int],
    *,
    height: int,
    angle: float = 0.0,
    colour: tuple[int, int, int] = (15, 15, 15),
) -> Bits:
    """Draw text around a point; return the pixels of its strokes, bool (image height, width)."""
    font = ImageFont.load_default(height)
    left, top, right, bottom = font.getbbox(text)
    strokes = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4), 0)
    ImageDraw.Draw(strokes).text((2 - left, 2 - top), text, font=font, fill=255)
    strokes = strokes.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    ink = Image.new("L", image.size, 0)
    ink.paste(strokes, (at[0] - strokes.width // 2, at[1] - strokes.height // 2))
    image.paste(Image.new("RGB", image.size, colour), (0, 0), ink)
    return np.asarray(ink) > 127


def covered(regions: Regions, size: tuple[int, int]) -> Bits:
    """The pixels whose centres lie in a region, to within a pixel; bool (height, width)."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    for polygon in regions.polygons:
        cv2.fillPoly(mask, [np.round(polygon - 0.5).astype(np.int32)], 1)
    return mask.astype(bool)


def grown(bits: Bits, pixels: int) -> Bits:
    """All pixels that are no farther than that, in x and in y, from one that is set."""
    kernel = np.ones((2 * pixels + 1,) * 2, np.uint8)
    return cv2.dilate(bits.astype(np.uint8), kernel).astype(bool)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def block_picture(number: int) -> bytes:
    """A light PNG with dark blocks, of another shape and size for every number."""
    random = np.random.default_rng(number)
    width, height = (int(n) for n in random.integers(20, 90, 2))
    pixels = random.integers(150, 256, (height, width, 3), np.uint8)
    for _ in range(number % 4):
        y, x = (int(random.integers(0, most - 8)) for most in (height, width))
        pixels[y : y + int(random.integers(4, 12)), x : x + 8] = 10
    return encoded(Image.fromarray(pixels))


def image_pool(folder: Path, images: Sequence[bytes]) -> SamplePool:
    folder.mkdir(parents=True)
    for row, image in enumerate(images):
        (folder / f"{row:04d}.png").write_bytes(image)
    return open_samples(folder)


class DarkBlocks(Detector):
    """Finds dark blocks: a detector without a network."""

    name = "dark blocks"

    def __init__(self, side: int = 64) -> None:
        self.side = side
        self.calls: list[int] = []

    @property
    def prepare_image(self) -> Callable[[Image.Image], npt.NDArray[Any]]:
        return Fit(self.side)

    def recipe(self) -> dict[str, Any]:
        return {"detector": self.name, "side": self.side}

    def detect(self, frames: Frames) -> list[Regions]:
        self.calls.append(len(frames))
        return [self.blocks(frame) for frame in frames]

    def blocks(self, frame: Any) -> Regions:
        width, height = frame["used"].tolist()
        dark = (frame["pixels"][:height, :width].max(2) < 90).astype(np.uint8)
        count, _, boxes, _ = cv2.connectedComponentsWithStats(dark)
        scale = frame["size"] / frame["used"]
        polygons = []
        for x, y, w, h, _ in boxes[1:count].tolist():
            corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
            polygons.append((corners * scale).astype(np.float32))
        return Regions(polygons, np.linspace(0.5, 1, len(polygons), dtype=np.float32))


class Returns(DarkBlocks):
    """Returns the same for every image."""

    name = "returns"

    def __init__(self, polygons: Sequence[Any], scores: Sequence[float] | None = None) -> None:
        super().__init__()
        given = [1.0] * len(polygons) if scores is None else scores
        self.regions = Regions(list(polygons), np.array(given, np.float32))

    def recipe(self) -> dict[str, Any]:
        return {"detector": self.name}

    def blocks(self, frame: Any) -> Regions:
        return self.regions


def detect(pool: SamplePool, out: Path, **options: Any) -> dict[str, Any]:
    """With units of 7 rows."""
    given: dict[str, Any] = {"rows_per_unit": 7, **options}
    return run_detect(pool, out, given.pop("detector", None) or DarkBlocks(), **given)
