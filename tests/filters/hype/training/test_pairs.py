"""The pairs that are learned from: which rows, and that everything of a row stays together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.filters.hype.training.learnable import learnable, write_pool

from tamis import canonical
from tamis.filters.hype.frozen import open_frozen
from tamis.filters.hype.training.pairs import TrainingPairs
from tamis.kernels import sample


@pytest.mark.parametrize("rows", [1, 150, 400, 1000])
def test_a_sample_keeps_images_texts_and_series_together(rows: int, tmp_path: Path) -> None:
    images, texts = learnable()
    images[7] = texts[200] = 0
    pool = str(write_pool(tmp_path / "pool", images, texts))
    sides = [
        open_frozen(side, tmp_path, pool=pool, embedding=folder).rows
        for side, folder in (("image", "img_emb"), ("text", "text_emb"))  # type: ignore[arg-type]
    ]
    series = np.random.default_rng(0).integers(-1, 50, 400)
    found = TrainingPairs.of_pool(*sides, rows=rows, seed=3, memory_bytes=10**6, series=series)
    chosen = np.sort(sample.smallest(400, min(rows, 400), 3, sample.TRAIN))
    assert found.rows.tolist() == [row for row in chosen.tolist() if row not in (7, 200)]
    assert sum(found.skipped.values()) == len(chosen) - len(found.rows)
    assert np.array_equal(found.images, canonical(images[found.rows])[0])
    assert np.array_equal(found.texts, canonical(texts[found.rows])[0])
    assert np.array_equal(found.series, series[found.rows])
