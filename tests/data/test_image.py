"""Images as people and their enemies make them: decoded alike, or refused with a reason."""

from __future__ import annotations

import io
import struct
import threading
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.data import image as module
from tamis.data.image import (
    DAMAGED,
    EMPTY,
    TOO_LARGE,
    TOO_MANY_PIXELS,
    TRUNCATED,
    UNKNOWN,
    UNKNOWN_RANGE,
    ImageFault,
    decode_image,
    image_size,
)
from tamis.data.limits import Limits

Image = pytest.importorskip("PIL.Image")

GRADIENT = np.stack(
    [
        np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1)),
        np.tile(np.arange(0, 240, 15, dtype=np.uint8)[:, None], (1, 24)),
        np.full((16, 24), 90, np.uint8),
    ],
    axis=2,
)
"""16 rows of 24 pixels."""


def encoded(picture: Any, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def picture(mode: str = "RGB") -> Any:
    return Image.fromarray(GRADIENT).convert(mode)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width: int, height: int) -> bytes:
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size)


def reason(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(ImageFault) as fault:
        decode_image(data, limits or Limits())
    assert str(fault.value) == fault.value.reason
    return fault.value.reason


def pixels(data: bytes) -> np.ndarray:
    decoded = decode_image(data)
    assert decoded.mode == "RGB"
    return np.asarray(decoded)


LOSSLESS: dict[str, Callable[[], bytes]] = {
    "png": lambda: encoded(picture(), "PNG"),
    "interlaced-bmp": lambda: encoded(picture(), "BMP"),
    "ppm": lambda: encoded(picture(), "PPM"),
    "tiff": lambda: encoded(picture(), "TIFF"),
    "tiff-lzw": lambda: encoded(picture(), "TIFF", compression="tiff_lzw"),
    "webp": lambda: encoded(picture(), "WEBP", lossless=True),
    "webp-exif": lambda: encoded(picture(), "WEBP", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0"),
    "png-opaque": lambda: encoded(picture("RGBA"), "PNG"),
    "png-profile": lambda: encoded(picture(), "PNG", icc_profile=b"no profile"),
    "png-animated": lambda: encoded(
        picture(), "PNG", save_all=True, append_images=[Image.new("RGB", (24, 16), "red")]
    ),
    "webp-animated": lambda: encoded(
        picture(), "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", (24, 16))]
    ),
    "tiff-pages": lambda: encoded(
        picture(), "TIFF", save_all=True, append_images=[Image.new("RGB", (2, 2))]
    ),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_the_same_pixels(name: str) -> None:
    data = LOSSLESS[name]()
    assert np.array_equal(pixels(data), GRADIENT)
    assert image_size(data) == (24, 16)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}])
def test_jpeg(options: dict[str, Any]) -> None:
    data = encoded(picture(), "JPEG", **options)
    with Image.open(io.BytesIO(data)) as expected:
        assert np.array_equal(pixels(data), np.asarray(expected))


@pytest.mark.parametrize("mode", ["1", "L", "P"])
@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_grey_and_palette(mode: str, kind: str) -> None:
    source = picture(mode)
    assert np.array_equal(pixels(encoded(source, kind)), np.asarray(source.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    source = Image.new("CMYK", (8, 8), (10, 20, 30, 40))
    assert np.abs(pixels(encoded(source, kind)) - np.array([207, 198, 190])).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits(kind: str) -> None:
    values = np.linspace(0, 65535, 96, dtype=np.uint16).reshape(8, 12)
    found = pixels(encoded(Image.fromarray(values), kind))
    assert np.array_equal(found[:, :, 0], values >> 8)
    assert np.array_equal(found[:, :, 0], found[:, :, 2])


def test_16_bits_a_channel() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (4, 5, 3)).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in values)
    size = struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(raw))
    assert np.array_equal(pixels(data + chunk(b"IEND", b"")), values >> 8)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_values_of_unknown_range_are_refused(dtype: type) -> None:
    assert reason(encoded(Image.fromarray(np.ones((4, 4), dtype)), "TIFF")) == UNKNOWN_RANGE


def test_alpha_is_on_white() -> None:
    half = Image.new("RGBA", (2, 1), (0, 100, 200, 128))
    half.putpixel((1, 0), (5, 6, 7, 0))
    found = pixels(encoded(half, "PNG")).tolist()
    assert found == [[[127, 177, 227], [255, 255, 255]]]
    grey = Image.new("LA", (1, 1), (0, 0))
    assert pixels(encoded(grey, "PNG")).tolist() == [[[255, 255, 255]]]


def test_a_transparent_colour_is_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF"):
        found = pixels(encoded(palette, kind, transparency=0)).tolist()
        assert found == [[[255, 255, 255], [40, 50, 60]]]
    partly = encoded(palette, "PNG", transparency=bytes([128, 255]))
    assert pixels(partly).tolist() == [[[132, 137, 142], [40, 50, 60]]]
    colour = Image.new("RGB", (1, 1), (1, 2, 3))
    assert pixels(encoded(colour, "PNG", transparency=(1, 2, 3))).tolist() == [[[255] * 3]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_exif_rotation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    turned = {
        1: GRADIENT,
        2: GRADIENT[:, ::-1],
        3: GRADIENT[::-1, ::-1],
        4: GRADIENT[::-1],
        5: GRADIENT.swapaxes(0, 1),
        6: np.rot90(GRADIENT, -1),
        7: GRADIENT[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(GRADIENT),
    }[orientation]
    found = pixels(encoded(picture(), kind, exif=exif, **options)).astype(int)
    assert found.shape == turned.shape
    assert np.abs(found - turned).mean() < (3 if kind == "JPEG" else 1e-9)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_exif_is_no_damage_to_the_image(exif: bytes) -> None:
    assert np.array_equal(pixels(encoded(picture(), "PNG", exif=exif)), GRADIENT)


def test_an_animated_gif_gives_its_first_frame() -> None:
    frames = [Image.new("L", (5, 4), value) for value in (40, 200, 90)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.unique(pixels(data)).tolist() == [40]


REFUSED: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "nothing": (lambda: b"", {EMPTY}),
    "text": (lambda: b"<html>not found</html>", {UNKNOWN}),
    "zeros": (lambda: bytes(5000), {UNKNOWN}),
    "svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", {UNKNOWN}),
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", {UNKNOWN}),
    "icon": (lambda: encoded(picture(), "ICO"), {UNKNOWN}),
    "jpeg-half": (lambda: encoded(picture(), "JPEG")[:400], {TRUNCATED}),
    "png-half": (lambda: encoded(picture(), "PNG")[:60], {TRUNCATED}),
    "gif-half": (lambda: encoded(picture("P"), "GIF")[:-30], {TRUNCATED}),
    "webp-half": (lambda: encoded(picture(), "WEBP", lossless=True)[:-20], {DAMAGED, TRUNCATED}),
    "bmp-half": (lambda: encoded(picture(), "BMP")[:300], {TRUNCATED}),
    "ppm-half": (lambda: encoded(picture(), "PPM")[:300], {TRUNCATED}),
    "tiff-half": (lambda: encoded(picture(), "TIFF")[:300], {TRUNCATED, DAMAGED, UNKNOWN}),
    "png-crc": (lambda: flipped(encoded(picture(), "PNG"), -20), {DAMAGED, TRUNCATED}),
    "png-no-data": (lambda: png_header(4, 4) + chunk(b"IEND", b""), {DAMAGED, TRUNCATED}),
    "jpeg-header": (lambda: encoded(picture(), "JPEG")[:2], {UNKNOWN, TRUNCATED}),
}


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 0xFF
    return bytes(changed)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, reasons = REFUSED[name]
    assert reason(make()) in reasons


def webp_header(width: int, height: int) -> bytes:
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas


def bmp_header(width: int, height: int) -> bytes:
    return (
        b"BM"
        + bytes(8)
        + struct.pack("<I", 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    )


def gif_header(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x08\x00;"
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(3) + frame


def jpeg_header(width: int, height: int) -> bytes:
    frame = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\0"
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + bytes(100)


BOMBS = {
    "png": png_header(50_000, 50_000),
    "png of 42 bytes": (png_header(50_000, 50_000) + chunk(b"IDAT", b""))[:42],
    "png, whole": png_header(50_000, 50_000)
    + chunk(b"IDAT", zlib.compress(bytes(150_001) * 20))
    + chunk(b"IEND", b""),
    "webp": webp_header(16_777_216, 200),
    "bmp": bmp_header(50_000, 50_000),
    "gif": gif_header(50_000, 50_000),
    "jpeg": jpeg_header(50_000, 50_000),
    "ppm": b"P6 50000 50000 255\n" + bytes(100),
    "just above": png_header(89_478_486, 1) + chunk(b"IDAT", b""),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_from_the_header(name: str) -> None:
    data = BOMBS[name]
    tracemalloc.start()
    try:
        assert reason(data) == TOO_MANY_PIXELS
        with pytest.raises(ImageFault, match=TOO_MANY_PIXELS):
            image_size(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_limits_can_be_set() -> None:
    data = encoded(picture(), "PNG")
    assert reason(data, Limits(pixels=24 * 16 - 1)) == TOO_MANY_PIXELS
    assert reason(data, Limits(member_bytes=len(data) - 1)) == TOO_LARGE
    assert decode_image(data, Limits(pixels=24 * 16, member_bytes=len(data))).size == (24, 16)
    for cap in ("member_bytes", "pixels", "text_bytes", "json_bytes", "members"):
        with pytest.raises(ValueError, match=f"expected {cap} >= 1, got 0"):
            Limits(**{cap: 0})


SOURCES = [make() for make in LOSSLESS.values()] + [encoded(picture(), "JPEG"), *BOMBS.values()]


@given(
    st.sampled_from(SOURCES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    st.floats(0, 1.3),
)
def test_any_damage_is_a_fault_or_an_image(
    source: bytes, changes: list[tuple[float, int]], keep: float
) -> None:
    data = bytearray(source)
    for place, value in changes:
        data[min(int(place * len(data)), len(data) - 1)] = value
    limits = Limits(pixels=1 << 20)
    for use in (decode_image, image_size):
        try:
            use(bytes(data[: int(keep * len(data))]), limits)
        except ImageFault as fault:
            assert fault.reason in {  # noqa: PT017 - damage may be harmless
                EMPTY,
                UNKNOWN,
                TOO_LARGE,
                TOO_MANY_PIXELS,
                TRUNCATED,
                DAMAGED,
                UNKNOWN_RANGE,
            }


def test_warnings_of_pillow_stay_inside_and_filters_come_back() -> None:
    # Between Pillow's limit and twice that it warns; so it does of damaged EXIF and TIFF tags.
    noisy = png_header(9000, 10_000) + chunk(b"IDAT", zlib.compress(b""))
    before = list(warnings.filters)
    started = threading.Barrier(4)
    faults = []

    def work() -> None:
        started.wait()
        for _ in range(50):
            try:
                image_size(noisy, Limits(pixels=1 << 30))
                decode_image(noisy, Limits(pixels=1 << 10))
            except ImageFault as fault:
                faults.append(fault.reason)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [TOO_MANY_PIXELS] * 200
    assert list(warnings.filters) == before
    assert module._silence._inside == 0
