"""Labelled cases: drawings of the sample pool on which known words are drawn, and others without.

Every choice is random with a fixed seed, so a case has one number and is the same everywhere.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

POOL = Path(__file__).parents[3] / "examples" / "pool" / "shards"
SIDE = 320
"""Pixels of the square that a drawing is scaled to."""
CAPTIONS = (
    "BIG SUMMER SALE", "a red bicycle", "HOTEL GARDEN", "fresh orange juice", "no smoking",
    "Happy Birthday", "OPEN 24 HOURS", "coffee and cake", "blue mountain lake", "Grand Opening",
    "stock photo", "wooden chair", "Vector Illustration", "free shipping", "QUIET PLEASE",
    "the old lighthouse",
)  # fmt: skip
# Folders of the source whose drawings hold no words.
BARE = frozenset(
    ["animals", "bugs", "chess", "desserts", "fish", "fruit", "plants", "smilies", "tools"]
)
_STYLES = (
    ((20, 20, 20), (250, 250, 250)),
    ((255, 255, 255), (30, 60, 120)),
    ((190, 20, 30), (255, 240, 200)),
    ((255, 230, 60), (20, 20, 20)),
)
Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Labelled:
    """A drawing with words on it.

    Attributes:
        image: RGB, 320 x 320.
        words: what is drawn.
        ink: bool (320, 320), the pixels of its strokes.
        box: left, top, right, bottom of the words, with a little room around.
    """

    image: Image.Image
    words: str
    ink: Bits
    box: tuple[int, int, int, int]


@cache
def bare_drawings() -> tuple[Image.Image, ...]:
    """The drawings of the pool without text, on white squares of 320 pixels."""
    return tuple(_on_square(image) for folder, image in _pool() if folder in BARE)


def labelled(number: int, height: int | None = None) -> Labelled:
    """One case: words of a font of 16 to 36 pixels, on a plate or on the drawing itself."""
    random = np.random.default_rng(number)
    drawings = bare_drawings()
    image = drawings[int(random.integers(len(drawings)))].copy()
    words = CAPTIONS[number % len(CAPTIONS)]
    drawn = int(random.integers(16, 37))
    font = ImageFont.load_default(drawn if height is None else height)
    while font.getlength(words) > SIDE - 24:
        font = font.font_variant(size=font.size - 1)
    ink_colour, plate = _STYLES[int(random.integers(len(_STYLES)))]
    left, top, right, bottom = (int(edge) for edge in font.getbbox(words))
    width, height = right - left, bottom - top
    x = int(random.integers(10, SIDE - width - 9))
    y = int(random.integers(10, SIDE - height - 9))
    box = (x - 6, y - 6, x + width + 6, y + height + 6)
    strokes = Image.new("L", image.size, 0)
    ImageDraw.Draw(strokes).text((x - left, y - top), words, font=font, fill=255)
    if random.random() < 0.5:
        ImageDraw.Draw(image).rectangle(box, fill=plate)
    else:
        outline = Image.new("L", image.size, 0)
        ImageDraw.Draw(outline).text(
            (x - left, y - top), words, font=font, fill=255, stroke_width=2
        )
        image.paste(plate, (0, 0), outline)
    image.paste(ink_colour, (0, 0), strokes)
    return Labelled(image, words, np.asarray(strokes) > 127, box)


def _on_square(image: Image.Image) -> Image.Image:
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    square = Image.new("RGB", (SIDE, SIDE), "white")
    square.paste(image.resize(size, Image.Resampling.BICUBIC), ((SIDE - size[0]) // 2, 0))
    return square


def _pool() -> Iterator[tuple[str, Image.Image]]:
    for path in sorted(POOL.glob("*.tar")):
        with tarfile.open(path) as tar:
            content = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        for name in sorted(content):
            if name.endswith(".json"):
                folder = json.loads(content[name])["url"].split("/")[-2]
                stem = name.removesuffix(".json")
                data = content.get(f"{stem}.png") or content[f"{stem}.jpg"]
                yield folder, Image.open(io.BytesIO(data)).convert("RGB")
