"""The demo stand-in: the rows of the sample pool, from its images and texts."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.embed.small import step

from tamis.data.pool import open_pool
from tamis.data.samples import open_samples
from tamis.data.unit import Unit
from tamis.embed.demo import LARGEST_SQUARE, on_white_square
from tamis.embed.job import run_embed
from tamis.embed.models import open_encoder

EXAMPLES = Path(__file__).parents[2] / "examples"
ROWS = slice(0, 48)


@pytest.fixture(scope="module")
def encoder() -> Any:
    return open_encoder("demo")


class Beginning:
    """The first rows of the sample pool, to stay fast."""

    def __init__(self, n_rows: int) -> None:
        self._pool = open_samples(EXAMPLES / "pool/shards")
        self.n_rows = n_rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def units(self, rows_per_unit: int) -> list[Unit]:
        return [Unit("00000-00000", 0, 0, self.n_rows, 0)]


def test_the_rows_of_the_sample_pool(encoder: Any, tmp_path: Path) -> None:
    pool: Any = Beginning(48)
    run_embed(pool, tmp_path / "run", encoder, batch_size=32)
    stored = np.load(EXAMPLES / "pool/metadata/00000.npz")
    for side, key in (("img_emb", "lite0_minilm_img"), ("text_emb", "minilm_txt")):
        opened = open_pool(step(tmp_path / "run", "demo"), embedding=side)
        rows = opened.read_embeddings(opened.units(100)[0]).astype("f8")
        expected = stored[key][ROWS].astype("f8")
        assert rows.shape == expected.shape == (48, 384)
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(expected, axis=1)
        cosine = (rows * expected).sum(1) / lengths
        assert cosine.min() > 1 - 1e-5
        # The same bits where processor and packages are those of the pool; nearly so elsewhere.
        assert np.abs(rows - expected).max() < 2e-3


def test_the_map_is_the_one_of_the_examples() -> None:
    from tamis.embed import demo

    shipped = Path(demo.__file__).with_name(demo.LINEAR_MAP)
    assert shipped.read_bytes() == (EXAMPLES / demo.LINEAR_MAP).read_bytes()


def test_a_long_image_takes_no_memory() -> None:
    long = Image.new("RGB", (90_000, 901), "red")
    with limited(LARGEST_SQUARE**2 * 8):  # the square of its length would be 32 GB
        pixels = on_white_square(long)
    assert pixels.shape == (224, 224, 3)
    assert (pixels[:100] == 255).all() and (pixels[111:113, :, 1] < 128).all()
    fine = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 8192, 3), np.uint8))
    square = Image.new("RGB", (8192, 8192), "white")
    square.paste(fine, (0, 4071))
    assert (on_white_square(fine) == np.asarray(square.resize((224, 224), 3))).all()


@contextmanager
def limited(n_bytes: int) -> Iterator[None]:
    """At most so many more bytes of address space than now."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_equal_rows_are_encoded_once(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    network = encoder._image_net.extract_features

    def counted(x: Any) -> Any:
        seen.append(len(x))
        return network(x)

    monkeypatch.setattr(encoder._image_net, "extract_features", counted)
    random = np.random.default_rng(0)
    batch = random.integers(0, 256, (3, 224, 224, 3), np.uint8)[[0, 1, 0, 2, 2, 0]]
    rows = encoder.encode_images(batch)
    assert seen == [1, 1, 1] and rows.shape == (6, 384)
    assert (rows[0] == rows[2]).all() and (rows[3] == rows[4]).all()
    assert (rows[[1]] == encoder.encode_images(batch[[1]])).all()
    assert not (rows[0] == rows[1]).all()
