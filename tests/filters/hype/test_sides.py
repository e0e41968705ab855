"""Both sides as points: where each comes from, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.filters.hype.makers import ENCODER, N_ROWS, cut, random_rows, tangents, write_step

from tamis.errors import PoolError
from tamis.filters.hype.sides import open_sides


def steps(run: Path) -> None:
    """One step of images, three of texts, of which one is of another model."""
    write_step(run / "embeddings/images", ENCODER, {"image": cut(tangents())})
    for name, seed, weights in (("a", 1, "ab" * 32), ("b", 2, "ab" * 32), ("c", 3, "cd" * 32)):
        rows = random_rows(N_ROWS, 8, seed=seed)
        write_step(run / "embeddings" / name, ENCODER | {"weights": weights}, {"text": cut(rows)})


def test_the_texts_of_another_step(tmp_path: Path) -> None:
    steps(tmp_path)
    for name, seed in (("a", 1), ("b", 2)):
        images, texts = open_sides(tmp_path, embeddings="images", text_embeddings=name)
        assert images is not None and texts is not None
        assert np.array_equal(images.read(3, 9)[0], tangents()[3:9])
        assert np.array_equal(texts.read(0, N_ROWS)[0], random_rows(N_ROWS, 8, seed=seed))
    with pytest.raises(
        PoolError, match=r"the images and the texts belong to different .* model ab"
    ):
        open_sides(tmp_path, embeddings="images", text_embeddings="c")


def test_one_side_alone(tmp_path: Path) -> None:
    steps(tmp_path)
    images, texts = open_sides(tmp_path, only="image", embeddings="images")
    assert texts is None and images is not None and images.side == "image"
    images, texts = open_sides(tmp_path, only="text", embeddings="a")
    assert images is None and texts is not None and texts.side == "text"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "expected images and texts, got the same rows of .*rows.npy as both"),
        ({"only": "both"}, "expected image or text, got both"),
        ({"only": "image", "kind": "flat"}, "got 'flat'"),
        ({"only": "image", "adapter": "none.safetensors"}, "none.safetensors"),
    ],
)
def test_what_is_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", tangents())
    with pytest.raises(ValueError, match=told):
        open_sides(tmp_path, pool=str(tmp_path / "rows.npy"), curvature=1.0, **options)
