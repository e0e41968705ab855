"""Names of ImageNet classes as captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tamis.data.image import decode_image
from tamis.data.samples import open_samples
from tamis.filters.sieve.caption_store import CaptionStore
from tamis.filters.sieve.captions import run_captions
from tamis.filters.sieve.labels import LabelCaptioner

POOL = Path(__file__).parents[3] / "examples" / "pool" / "shards"


@pytest.fixture(scope="module")
def captioner() -> LabelCaptioner:
    return LabelCaptioner()


@pytest.fixture(scope="module")
def images(captioner: LabelCaptioner) -> np.ndarray:
    pool = open_samples(POOL)
    samples = pool.read(pool.units(12)[0], ["image"])
    data = [sample.image for sample in samples]
    return np.stack([captioner.prepare_image(decode_image(image)) for image in data if image])


def test_captions_are_the_best_labels(captioner: LabelCaptioner, images: np.ndarray) -> None:
    keys = np.zeros(len(images), np.uint64)
    captions = captioner.caption(images, keys, 8)
    assert [len(row) for row in captions] == [8] * len(images)
    assert all(text.startswith("a photo of a ") for row in captions for text in row)
    assert len({tuple(row) for row in captions}) > 1
    assert captioner.caption(images, keys + np.uint64(1), 8) == captions
    assert [row[:3] for row in captions] == captioner.caption(images, keys, 3)
    for size in (1, 5):
        parts = [
            captioner.caption(images[start : start + size], keys[start : start + size], 8)
            for start in range(0, len(images), size)
        ]
        assert [row for part in parts for row in part] == captions


def test_equal_logits_go_by_class(
    captioner: LabelCaptioner, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    logits = torch.zeros(1000)
    logits[[7, 3, 999]] = 1.0
    monkeypatch.setattr(captioner, "_logits", lambda pixels: logits.expand(len(pixels), -1))
    captions = captioner.caption(images[:1], np.zeros(1, np.uint64), 5)[0]
    assert captions == [captioner._captions[place] for place in (3, 7, 999, 0, 1)]


def test_class_names(captioner: LabelCaptioner) -> None:
    assert len(captioner._captions) == 1000
    assert captioner._captions[0] == "a photo of a tench"
    assert captioner._captions[-1] == "a photo of a toilet paper"
    with pytest.raises(ValueError, match="at most 1000 captions"):
        captioner.caption(np.zeros((1, 224, 224, 3), np.uint8), np.zeros(1, np.uint64), 1001)


def test_a_step_of_labels(captioner: LabelCaptioner, tmp_path: Path) -> None:
    pool = open_samples(POOL)
    part = (1, len(pool.units(10)))
    found = []
    for workers in (0, 1):
        out = tmp_path / str(workers)
        run_captions(
            pool, out, captioner, rows_per_unit=10, batch_size=4, workers=workers, part=part
        )
        found.append(next((out / "captions" / "labels" / "captions").iterdir()).read_bytes())
    assert found[0] == found[1]
    with pytest.raises(Exception, match="has not ended"):
        CaptionStore.open(out)
