"""Encoded images of unknown origin: their size from the header, and their pixels.

The content decides what an image is, never its name. What is decoded, and how:

| stored as                      | becomes                                           |
|--------------------------------|---------------------------------------------------|
| grey, palette, CMYK, YCbCr     | RGB, as Pillow converts                           |
| alpha or a transparent colour  | composited on white                               |
| 16 bits a channel              | the high 8 of them                                |
| 32-bit integers, floats (TIFF) | refused: the range of the values is not known     |
| several frames or pages        | the first                                         |
| rotated or mirrored (EXIF)     | upright                                           |

Colour profiles are not applied.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tamis.data.limits import Limits
from tamis.errors import TamisError, require

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

EMPTY = "image is empty"
UNKNOWN = "image is in no known format"
TOO_LARGE = "image has too many bytes"
TOO_MANY_PIXELS = "image has too many pixels"
TRUNCATED = "image is truncated"
DAMAGED = "image is damaged"
UNKNOWN_RANGE = "image has 32-bit pixels of unknown range"

_ORIENTATION = 0x0112
_WHITE = (255, 255, 255, 255)


class ImageFault(TamisError, ValueError):  # noqa: N818 - one bad image is a fault of a row
    """An image cannot be used.

    Attributes:
        reason: why, one of the few texts of this module; fit for the quarantine.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode_image(data: bytes, limits: Limits = Limits()) -> Image.Image:  # noqa: B008 - frozen
    """Decode an image to RGB, 8 bits a channel, upright.

    Args:
        data: the encoded image: JPEG, PNG, WebP, GIF, BMP, TIFF or PPM.
        limits: `member_bytes` and `pixels` are checked before a pixel is decoded. Pillow refuses
            more than twice its own `MAX_IMAGE_PIXELS` whatever is allowed here.

    Raises:
        ImageFault: empty, unknown, too large, truncated or damaged; its `reason` says which.
        MissingExtraError: Pillow is not installed.

    Example:
        >>> dot = bytes.fromhex("50360a3120310a3235350a0a141e")  # a PPM of one pixel
        >>> decode_image(dot).getpixel((0, 0))
        (10, 20, 30)
        >>> decode_image(dot[:-1])
        Traceback (most recent call last):
        tamis.data.image.ImageFault: image is truncated
    """
    with _silence, _faults():
        image = _open(data, limits)
        image.load()
        image = _upright(image)
        if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
            raise ImageFault(UNKNOWN_RANGE)
        rgb: Image.Image = _to_rgb(image)
        return rgb


def image_size(data: bytes, limits: Limits = Limits()) -> tuple[int, int]:  # noqa: B008 - frozen
    """Return (width, height) in pixels as the header states them; no pixel is decoded.

    The size is that before an EXIF rotation.

    Raises:
        ImageFault: no image in a known format, or one that exceeds `limits`.
        MissingExtraError: Pillow is not installed.

    Example:
        >>> image_size(bytes.fromhex("50360a3120310a3235350a0a141e"))
        (1, 1)
    """
    with _silence, _faults():
        width, height = _open(data, limits).size
        return int(width), int(height)


def _open(data: bytes, limits: Limits) -> Any:
    if not data:
        raise ImageFault(EMPTY)
    if len(data) > limits.member_bytes:
        raise ImageFault(TOO_LARGE)
    width, height = _stated_size(data)
    if width * height > limits.pixels:
        raise ImageFault(TOO_MANY_PIXELS)
    image = require("PIL.Image", extra="images").open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > limits.pixels:
        raise ImageFault(TOO_MANY_PIXELS)
    return image


def _stated_size(data: bytes) -> tuple[int, int]:
    """The size in the header of a PNG or an extended WebP, (0, 0) for all else.

    Pillow takes a PNG that ends in its header for no image at all, and allocates the canvas of a
    WebP when it opens it.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    return 0, 0


def _upright(image: Any) -> Any:
    from PIL import Image

    turn = Image.Transpose
    turns = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    try:
        orientation = turns.get(image.getexif().get(_ORIENTATION))
    except Exception:  # noqa: BLE001 - damaged EXIF fails in any way, and is no damage to pixels
        return image
    if orientation is None:
        return image
    turned = image.transpose(orientation)
    turned.format = image.format
    return turned


def _to_rgb(image: Any) -> Any:
    from PIL import Image

    if image.mode.startswith("I"):
        # Pillow clips 16-bit values when it converts them to 8 bits.
        wide = image.convert("I")
        return wide.point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, _WHITE)
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")


@contextmanager
def _faults() -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageFault."""
    try:
        yield
    except (TamisError, MemoryError):
        raise
    except Exception as error:  # on damaged data decoders fail in every way
        raise ImageFault(_reason(error)) from error


def _reason(error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return UNKNOWN
    if isinstance(error, Image.DecompressionBombError):
        return TOO_MANY_PIXELS
    text = str(error).lower()
    cut = isinstance(error, EOFError) or "truncated" in text or "unexpected end" in text
    return TRUNCATED if cut else DAMAGED


class _Silence:
    """Ignores Pillow's warnings while any thread is inside.

    `warnings.catch_warnings` restores the filters that it found, which must not be those that
    another thread has set for the moment: the first thread in sets them, the last out restores.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._mutex:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_silence = _Silence()
