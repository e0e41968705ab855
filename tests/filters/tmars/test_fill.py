"""Filling text, against a slow transcription of what the words say, pixel by pixel."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tamis.data.image import decode_image
from tamis.filters.tmars import fill_region
from tamis.filters.tmars.fill import FillKind, RegionKind, fill_text
from tamis.filters.tmars.fill_region import Region, box_region, polygon_region

KINDS = ("ring-mean", "box-mean", "image-mean", "inpaint")
Points = Sequence[Sequence[float]]

# Quarters of pixels: coarse enough that the oracle's fractions and float64 agree to the bit.
_place = st.integers(-24, 72).map(lambda quarter: quarter / 4)
_polygons = st.lists(st.lists(st.tuples(_place, _place), min_size=3, max_size=7), max_size=4)


@st.composite
def images(draw: st.DrawFn) -> np.ndarray:
    height, width, seed = draw(st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(0, 9)))
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def winding(points: Points, x: Fraction, y: Fraction) -> int:
    """How often the polygon runs around a point; a point on a left or upper edge is inside."""
    turns = 0
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        a, b, c, d = map(Fraction, (x0, y0, x1, y1))
        if min(b, d) <= y < max(b, d):
            crossing = a + (y - b) * (c - a) / (d - b)
            if crossing <= x:
                turns += 1 if d > b else -1
    return turns


def slow_mask(points: Points, height: int, width: int) -> np.ndarray:
    half = Fraction(1, 2)
    return np.array(
        [
            [winding(points, column + half, row + half) != 0 for column in range(width)]
            for row in range(height)
        ]
    )


def box_of(points: Points) -> Points:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def slow_mean(colours: list[np.ndarray]) -> list[int]:
    """Halves up."""
    return [
        int(
            Fraction(sum(int(colour[channel]) for colour in colours), len(colours)) + Fraction(1, 2)
        )
        for channel in range(3)
    ]


def pixels_where(image: np.ndarray, chosen: np.ndarray) -> list[np.ndarray]:
    return [image[row, column] for row, column in np.argwhere(chosen)]


def slow_ring(mask: np.ndarray, steps: int) -> np.ndarray:
    ring = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        top, left = max(row - steps, 0), max(column - steps, 0)
        ring[top : row + steps + 1, left : column + steps + 1] = True
    return ring


def slow_fill(
    image: np.ndarray, polygons: Sequence[Points], kind: str, region: str, ring: float
) -> np.ndarray:
    """As the documentation says, one pixel after the other; not for inpainting."""
    size = image.shape[:2]
    shapes = [points if region == "polygon" else box_of(points) for points in polygons]
    masks = [slow_mask(points, *size) for points in shapes]
    boxes = [slow_mask(box_of(points), *size) for points in polygons]
    text = np.zeros(size, bool)
    for mask in masks:
        text |= mask
    filled = image.copy()
    rest = pixels_where(image, ~text)
    for mask, box in zip(masks, boxes, strict=True):
        if not mask.any():
            continue
        colours = rest
        if kind == "ring-mean":
            tall, wide = int(box.any(1).sum()), int(box.any(0).sum())
            steps = max(3, round(ring * min(tall, wide)))
            colours = pixels_where(image, slow_ring(mask, steps) & ~text) or rest
        elif kind == "box-mean":
            colours = pixels_where(image, box)
        filled[mask] = slow_mean(colours) if colours else (128, 128, 128)
    return filled


@given(images(), _polygons, st.sampled_from(KINDS[:3]), st.sampled_from(["polygon", "box"]))
@settings(max_examples=150)
@example(np.zeros((1, 1, 3), np.uint8), [[(0, 0), (1, 0), (1, 1), (0, 1)]], "ring-mean", "box")
@example(np.zeros((4, 4, 3), np.uint8), [[(0, 0), (4, 4), (4, 0), (0, 4)]], "ring-mean", "polygon")
def test_fill_is_what_its_words_say(
    image: np.ndarray, polygons: list[Any], kind: FillKind, region: Any
) -> None:
    before = image.copy()
    filled = fill_text(image, polygons, fill=kind, region=region, ring=0.5)
    expected = slow_fill(image, polygons, kind, region, 0.5)
    np.testing.assert_array_equal(filled.pixels, expected)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(filled.pixels[~filled.text], before[~filled.text])
    assert filled.area == filled.text.sum() / filled.text.size


@given(images(), _polygons, st.sampled_from(["polygon", "box"]))
@settings(max_examples=60)
def test_inpainting_touches_text_alone(image: np.ndarray, polygons: list[Any], region: Any) -> None:
    plain = fill_text(image, polygons, fill="image-mean", region=region)
    filled = fill_text(image, polygons, fill="inpaint", region=region)
    np.testing.assert_array_equal(filled.text, plain.text)
    np.testing.assert_array_equal(filled.pixels[~filled.text], image[~filled.text])
    if filled.text.all():
        assert (filled.pixels == 128).all()


@given(st.lists(st.tuples(_place, _place), min_size=3, max_size=9), images())
def test_polygons_against_winding_numbers(points: list[Any], image: np.ndarray) -> None:
    height, width = image.shape[:2]
    region = polygon_region(points, width, height)
    whole = np.zeros((height, width), bool)
    whole[region.window] = region.covered
    np.testing.assert_array_equal(whole, slow_mask(points, height, width))
    box = box_region(points, width, height)
    assert box.window == region.window


def test_polygons_of_many_corners_come_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zigzag whose every edge passes every row: what is held at a time stays small."""
    points = [(column / 8, -3 if column % 2 else 53) for column in range(400)]
    whole = polygon_region(points, 60, 50)
    monkeypatch.setattr(fill_region, "_AT_A_TIME", 1)
    by_row = polygon_region(points, 60, 50)
    np.testing.assert_array_equal(whole.covered, by_row.covered)
    assert 0 < whole.covered.sum() < whole.covered.size


@given(images(), st.integers(0, 9), st.integers(0, 5), st.integers(0, 3))
def test_growing(image: np.ndarray, steps: int, top: int, left: int) -> None:
    covered = image[:, :, 0] > 200
    height, width = (
        size + shift + 2 for size, shift in zip(covered.shape, (top, left), strict=True)
    )
    grown = Region(top, left, covered).grown(steps, width, height)
    whole, before = np.zeros((height, width), bool), np.zeros((height, width), bool)
    whole[grown.window] = grown.covered
    before[top : top + covered.shape[0], left : left + covered.shape[1]] = covered
    np.testing.assert_array_equal(whole, slow_ring(before, steps))


def square(left: float, top: float, right: float, bottom: float) -> Points:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "polygons",
    [
        [],
        [square(-9, -9, -1, -1)],
        [square(100, 0, 200, 9)],
        [square(3.6, 3.6, 4.4, 4.4)],  # between two centres
        [[(1, 1), (5, 5), (3, 3)]],
    ],
)
def test_an_image_without_text_is_handed_on_itself(kind: FillKind, polygons: list[Any]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    filled = fill_text(image, polygons, fill=kind)
    assert filled.pixels is image
    assert filled.area == 0 and not filled.text.any()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_is_all_text(kind: FillKind) -> None:
    image = np.full((5, 7, 3), (10, 20, 31), np.uint8)
    filled = fill_text(image, [square(-1e6, -1e6, 1e6, 1e6)], fill=kind)
    grey = (10, 20, 31) if kind == "box-mean" else (128, 128, 128)
    assert filled.area == 1 and (filled.pixels == grey).all()


def test_neighbouring_text_is_no_surroundings() -> None:
    image = np.full((20, 40, 3), 100, np.uint8)
    image[5:15, 5:15], image[5:15, 15:30] = 0, 255
    both = [square(5, 5, 15, 15), square(15, 5, 30, 15)]
    assert (fill_text(image, both).pixels == 100).all()
    assert (fill_text(image, both[:1]).pixels[5:15, 5:15] > 100).all()


def test_a_ring_that_is_all_text_takes_the_image() -> None:
    image = np.zeros((30, 30, 3), np.uint8)
    image[:, 20:] = 90
    polygons = [square(8, 8, 10, 10), square(0, 0, 20, 30)]
    filled = fill_text(image, [polygons[1], polygons[0]])
    assert (filled.pixels[8:10, 8:10] == 90).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P", "I;16", "CMYK", "1"])
def test_every_kind_of_image_comes_through_the_decoder(mode: str) -> None:
    rng = np.random.default_rng(1)
    grey = Image.fromarray(rng.integers(0, 256, (12, 16), np.uint8))
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (12, 16), np.uint16))
    else:
        image = grey.convert("RGBA").convert(mode) if mode != "P" else grey.quantize(8)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    pixels = np.asarray(decode_image(buffer.getvalue()))
    filled = fill_text(pixels, [square(4, 4, 8, 8)])
    assert filled.pixels.shape == (12, 16, 3)
    np.testing.assert_array_equal(filled.pixels[~filled.text], pixels[~filled.text])
    assert (filled.pixels[4:8, 4:8] == filled.pixels[4, 4]).all()


def test_transparent_images_lie_on_white() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (10, 10), (255, 0, 0, 0)).save(buffer, "PNG")
    filled = fill_text(np.asarray(decode_image(buffer.getvalue())), [square(2, 2, 5, 5)])
    assert (filled.pixels == 255).all() and filled.area == 9 / 100


def test_refusals() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r"fill of ring-mean.*got blur"):
        fill_text(image, [], fill="blur")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="region of polygon, box, got disc"):
        fill_text(image, [], region="disc")  # type: ignore[arg-type]
    for ring in (-1, float("nan"), float("inf"), 11):
        with pytest.raises(ValueError, match="ring from 0 to 10"):
            fill_text(image, [], ring=ring)
    for other in (image[..., 0], image.astype("f4"), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 3\)"):
            fill_text(other, [])


@pytest.mark.parametrize("region", ["polygon", "box"])
def test_many_large_regions_need_no_memory_each(region: RegionKind) -> None:
    pixels = np.zeros((200, 200, 3), np.uint8)
    regions = [[[0, 0], [200, 0], [200, 200 - n % 7], [0, 200]] for n in range(400)]
    tracemalloc.start()
    try:
        fill_text(pixels, regions, region=region)
        assert tracemalloc.get_traced_memory()[1] < 30 * pixels.nbytes
    finally:
        tracemalloc.stop()
