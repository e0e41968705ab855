"""The pairs that an adapter learns from: several views of every image, several texts for each."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps
from poolbuild.encode import Encoders, Rows, small_image
from poolbuild.source import Drawing

from .records import Record

_TURN = 8.0
"""Degrees."""
_MARGIN = 0.08
"""Of each side, cut away after the turn."""


@dataclass(frozen=True)
class Views:
    """Row-aligned embeddings; `drawing` is the position of the drawing that a pair came from."""

    images: Rows
    texts: Rows
    drawing: list[int]


def training_views(
    encoders: Encoders, drawings: Sequence[Drawing], records: Sequence[Record]
) -> Views:
    """Each drawing as it is, mirrored, and turned and cut, with each of its texts."""
    texts = [texts_of(drawing, record) for drawing, record in zip(drawings, records, strict=True)]
    rows = [(row, text) for row, own in enumerate(texts) for text in own]
    text_rows = encoders.texts(text for _, text in rows)
    variants = zip(*(_variants(small_image(d.file)[1]) for d in drawings), strict=True)
    at = [row for row, _ in rows]
    image_rows = [encoders.images(variant)[at] for variant in variants]
    copies = len(image_rows)
    return Views(np.concatenate(image_rows), np.concatenate([text_rows] * copies), at * copies)


def texts_of(drawing: Drawing, record: Record) -> list[str]:
    """The text of the pool; that with the keywords; the keywords.

    Example:
        >>> from pathlib import Path
        >>> drawing = Drawing("a/b.png", Path(), "Orca", "", 1, 1)
        >>> texts_of(drawing, Record("x", ("sea", "mammal")))
        ['Orca', 'Orca. sea, mammal', 'sea, mammal']
        >>> texts_of(drawing, Record("x", ()))
        ['Orca']
    """
    if not record.keywords:
        return [drawing.text]
    keywords = ", ".join(record.keywords)
    return [drawing.text, f"{drawing.text}. {keywords}", keywords]


def _variants(data: bytes) -> Iterator[bytes]:
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    yield data
    yield _png(ImageOps.mirror(image))
    turned = image.rotate(_TURN, Image.Resampling.BICUBIC, fillcolor="white")
    x, y = (int(side * _MARGIN) for side in image.size)
    yield _png(turned.crop((x, y, image.width - x, image.height - y)))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
