"""Small pools, and an encoder without a network that is as particular as one with."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tests.run.snapshot import snapshot

from tamis.data.samples import SamplePool, Side, open_samples
from tamis.embed.encoder import Tokens
from tamis.embed.job import run_embed
from tamis.embed.padding import texts_per_batch

DIM = 12
BATCH = 8
BUCKETS = (4, 16, 200)


def picture(number: int, size: tuple[int, int] = (20, 14)) -> bytes:
    """A PNG of noise; another for every number."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return encoded(Image.fromarray(pixels))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def write_pool(folder: Path, images: Sequence[bytes], texts: Sequence[str | bytes]) -> Path:
    """A folder of images with texts beside them."""
    folder.mkdir(parents=True)
    for row, (image, text) in enumerate(zip(images, texts, strict=True)):
        (folder / f"{row:04d}.png").write_bytes(image)
        content = text.encode() if isinstance(text, str) else text
        (folder / f"{row:04d}.txt").write_bytes(content)
    return folder


def texts(n_rows: int) -> list[str]:
    """Of all lengths, in no order."""
    return [f"text {row} " + "word " * ((row * 7) % 23) for row in range(n_rows)]


def plain_pool(folder: Path, n_rows: int = 45) -> SamplePool:
    return open_samples(write_pool(folder, [picture(n) for n in range(n_rows)], texts(n_rows)))


def shrunk(image: Image.Image) -> npt.NDArray[np.uint8]:
    return np.asarray(image.resize((6, 5)))


class Projection:
    """Random projections of pixels and of tokens, a batch at a time."""

    name = "projection"
    curvature: float | None = None
    buckets = BUCKETS
    prepare_image = staticmethod(shrunk)

    def __init__(self, sides: Sequence[Side] = ("image", "text"), batch_size: int = BATCH) -> None:
        self.dims: Mapping[Side, int] = dict.fromkeys(sides, DIM)
        self.batch_size = batch_size
        self.batches: list[tuple[int, ...]] = []
        random = np.random.default_rng(0)
        self._pixels = random.standard_normal((90, DIM)).astype("f4")
        self._tokens = random.standard_normal((256, DIM)).astype("f4")

    def recipe(self) -> dict[str, Any]:
        space = {} if self.curvature is None else {"curvature": self.curvature}
        return {"model": "projection", **space}

    def encode_images(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        assert batch.shape == (self.batch_size, 5, 6, 3) and batch.dtype == np.uint8
        self.batches.append(batch.shape)
        return (batch.reshape(len(batch), -1).astype("f4") - 127) @ self._pixels

    def prepare_texts(self, texts: Sequence[str]) -> list[list[Tokens]]:
        tokens = [np.frombuffer(text.encode(), np.uint8).astype(np.int64) for text in texts]
        return [
            [row[start : start + BUCKETS[-1]] for start in range(0, len(row), BUCKETS[-1])]
            for row in tokens
        ]

    def encode_texts(self, tokens: Tokens, lengths: Tokens) -> npt.NDArray[np.float32]:
        assert tokens.shape[1] in BUCKETS
        assert len(tokens) == len(lengths) == texts_per_batch(tokens.shape[1], self.batch_size)
        assert lengths.min() >= 1 and lengths.max() <= tokens.shape[1]
        self.batches.append(tokens.shape)
        inside = np.arange(tokens.shape[1]) < lengths[:, None]
        return np.stack(
            [self._tokens[row[mask]].sum(0) for row, mask in zip(tokens, inside, strict=True)]
        )


def embed(pool: SamplePool, out: Path, **options: Any) -> dict[str, Any]:
    """With units of 20 rows and batches of 8."""
    given: dict[str, Any] = {"batch_size": BATCH, "rows_per_unit": 20, **options}
    encoder = given.pop("encoder", None) or Projection(batch_size=given["batch_size"])
    return run_embed(pool, out, encoder, **given)


def step(out: Path, name: str = "projection") -> Path:
    return out / "embeddings" / name


def rows_of(folder: Path, side: str) -> np.ndarray:
    """The rows of all units, in their order."""
    files = sorted((folder / side).glob("*.npy"))
    return np.concatenate([np.load(file) for file in files])


def fingerprint(folder: Path) -> str:
    """One hash over names and bytes, log and lock apart."""
    digest = hashlib.sha256()
    for name, content in sorted(snapshot(folder).items()):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
