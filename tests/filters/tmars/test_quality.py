"""How well text is found and filled, on images whose text is known; and what the score makes of it.

The bounds are what was measured, with some slack, not what one would wish for: on drawings that
stand alone on white the detector takes many a shape for a character.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.embed.small import encoded, write_pool

from tamis.data.samples import open_samples
from tamis.data.samples.source import Side
from tamis.embed.encoder import Tokens
from tamis.filters.tmars.detector import Detector, detect_images
from tamis.filters.tmars.detectors import open_detector
from tamis.filters.tmars.fill import fill_text
from tamis.filters.tmars.polygons import Regions
from tamis.filters.tmars.scorer_steps import open_tmars
from tamis.run import atomic
from tamis.score.job import run_scorer

pytest.importorskip("rapidocr_onnxruntime", reason="carries the networks that find and read text")

from tests.filters.tmars.labelled import SIDE, Labelled, bare_drawings, labelled
from tests.filters.tmars.reader import Reader, share_read

N_CASES = 32
FILLS = ("ring-mean", "box-mean", "image-mean", "inpaint")


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk in this process: power cuts are not tested here."""
    monkeypatch.setattr(atomic, "_fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return open_detector("ppocr")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def cases() -> list[Labelled]:
    return [labelled(number) for number in range(N_CASES)]


@pytest.fixture(scope="module")
def found(detector: Detector, cases: list[Labelled]) -> list[Regions]:
    return detect_images(detector, [case.image for case in cases])


def test_the_reader_reads_what_is_drawn(reader: Reader, cases: list[Labelled]) -> None:
    """Without this, a reader that reads nothing would pass the next tests."""
    shares = [share_read(reader.read(case.image.crop(case.box)), case.words) for case in cases]
    assert np.mean(shares) > 0.97


def test_words_on_drawings_are_found(cases: list[Labelled], found: list[Regions]) -> None:
    ink = covered = 0
    far = []
    for case, regions in zip(cases, found, strict=True):
        text = fill_text(np.asarray(case.image), regions.polygons).text
        ink += int(case.ink.sum())
        covered += int((case.ink & text).sum())
        left, top, right, bottom = case.box
        room = (bottom - top) // 2
        near = np.zeros_like(text)
        near[max(top - room, 0) : bottom + room, max(left - room, 0) : right + room] = True
        far.append((text & ~near).mean())
    assert covered / ink > 0.98
    assert np.mean(far) < 0.06


def test_drawings_without_words_stay_mostly_whole(detector: Detector) -> None:
    drawings = bare_drawings()[::3]
    regions = detect_images(detector, drawings)
    areas = [
        fill_text(np.asarray(drawing), its.polygons).area
        for drawing, its in zip(drawings, regions, strict=True)
    ]
    assert np.mean(areas) < 0.2


@pytest.mark.parametrize("fill", FILLS)
def test_filled_words_cannot_be_read(
    reader: Reader, cases: list[Labelled], found: list[Regions], fill: Any
) -> None:
    shares = []
    for case, regions in zip(cases, found, strict=True):
        pixels = np.asarray(case.image)
        filled = fill_text(pixels, regions.polygons, fill=fill)
        np.testing.assert_array_equal(filled.pixels[~filled.text], pixels[~filled.text])
        line = Image.fromarray(filled.pixels).crop(case.box)
        shares.append(share_read(reader.read(line), case.words))
    assert np.mean(shares) < 0.05


class Describes:
    """A stand-in for a model that reads: an image is what the reader reads in it, and its colour.

    Images of one size; their words stand in one place. Descriptions and captions become counts of
    letter triples, so that a cosine is a likeness of strings.
    """

    name = "describes"
    buckets = (64,)
    dims: Mapping[Side, int] = {"image": 4096, "text": 4096}
    PLACE = (20, 120, 300, 170)
    COLOURS: ClassVar = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (40, 70, 190)}

    prepare_image = staticmethod(np.asarray)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def recipe(self) -> dict[str, Any]:
        return {"model": self.name}

    def encode_images(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return np.stack([self._described(pixels) for pixels in batch])

    def prepare_texts(self, texts: Sequence[str]) -> list[list[Tokens]]:
        return [[np.frombuffer(text.encode(), np.uint8).astype(np.int64)] for text in texts]

    def encode_texts(self, tokens: Tokens, lengths: Tokens) -> npt.NDArray[np.float64]:
        texts = [bytes(row[:length].tolist()).decode() for row, length in zip(tokens, lengths)]  # noqa: B905
        return np.stack([self._triples(text) for text in texts])

    def _described(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        read = self._reader.read(Image.fromarray(pixels).crop(self.PLACE))
        corner = pixels[:50, :50].mean((0, 1))
        colour = min(self.COLOURS, key=lambda name: float(abs(corner - self.COLOURS[name]).sum()))
        seen = self._triples(f"a {colour} picture")
        return seen + self._triples(read) if read else seen

    def _triples(self, text: str) -> npt.NDArray[np.float64]:
        plain = f"  {text.replace(' ', '').casefold()}  ".encode()
        places = [hash_of(plain[start : start + 3]) for start in range(len(plain) - 2)]
        return np.bincount(places, minlength=4096).astype(np.float64)


def hash_of(triple: bytes) -> int:
    return (triple[0] * 7919 + triple[1] * 104729 + triple[2] * 1299709) % 4096


def sign(words: str, colour: str) -> bytes:
    image = Image.new("RGB", (SIDE, 240), Describes.COLOURS[colour])
    ImageDraw.Draw(image).text((32, 128), words, font=ImageFont.load_default(30), fill="white")
    return encoded(image)


def test_the_score_falls_where_the_caption_is_the_text_and_else_stays(
    tmp_path: Path, detector: Detector, reader: Reader
) -> None:
    words = ["SUMMER SALE", "HOTEL GARDEN", "COFFEE BREAK"]
    rows = [(text, colour) for text in words for colour in Describes.COLOURS]
    same = [(sign(text, colour), text.lower()) for text, colour in rows]
    other = [(sign(text, colour), f"a {colour} picture") for text, colour in rows]
    bare = [(sign("", colour), f"a {colour} picture") for colour in Describes.COLOURS]
    images, captions = zip(*same, *other, *bare, strict=True)
    pool = open_samples(write_pool(tmp_path / "pool", images, captions))
    encoder = Describes(reader)
    run_scorer(open_tmars(pool, tmp_path / "run", encoder, batch_size=4), tmp_path / "run")
    table = pq.read_table(tmp_path / "run/scores/tmars/scores.parquet")
    tmars, clip = table["tmars"].to_numpy(), table["tmars_clip"].to_numpy()
    same_text, other_text, no_text = slice(0, 9), slice(9, 18), slice(18, 21)
    assert (clip[same_text] > 0.5).all() and (tmars[same_text] < 0.25).all()
    assert (tmars[other_text] > clip[other_text]).all() and (tmars[other_text] > 0.95).all()
    assert (tmars[no_text] == clip[no_text]).all()
    assert clip[same_text].min() > 2 * tmars[same_text].max()
