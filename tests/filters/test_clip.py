"""The CLIP score against NumPy in float64, on pools of several layouts."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.conftest import Pin
from tests.data.pools import write_clip_retrieval
from tests.filters.score_pools import (
    BAD,
    column,
    float64,
    reasons,
    sides,
    usable,
    write_pairs,
)
from tests.run.snapshot import snapshot

from tamis.data.pool import open_pool
from tamis.filters.clip import Clip
from tamis.score.job import run_scorer

SAMPLE = Path(__file__).parents[2] / "examples/pool"


def exact_cosine(x: np.ndarray, y: np.ndarray) -> np.float32:
    """In fractions, but for the two square roots, the product and the division."""
    fractions = [[Fraction(float(value)) for value in row] for row in (x, y)]
    dot = float(sum(a * b for a, b in zip(*fractions, strict=True)))
    norms = [np.sqrt(float(sum(a * a for a in row))) for row in fractions]
    return np.float32(dot / (norms[0] * norms[1]))


def test_every_row_is_the_definition(tmp_path: Path) -> None:
    images, texts = map(float64, write_pairs(tmp_path / "pool"))
    summary = run_scorer(Clip(*sides(tmp_path / "pool")), tmp_path / "run", rows_per_unit=33)
    found = column(tmp_path / "run", "clip")
    good = usable()
    expected = [exact_cosine(x, y) for x, y in zip(images[good], texts[good], strict=True)]
    assert found[good].tolist() == expected
    assert np.isnan(found[~good]).all()
    assert reasons(tmp_path / "run", "clip") == {
        row: f"{side} embedding has a NaN" for row, side in BAD.items()
    }
    assert summary["unscored"] == 4 and summary["scored"] == 96
    assert summary["reasons"] == {
        "image embedding has a NaN": 2,
        "text embedding has a NaN": 2,
    }


def test_threads_and_instructions_change_nothing(
    tmp_path: Path, pinned: Pin, levels: tuple[str, ...]
) -> None:
    write_pairs(tmp_path / "pool")
    run_scorer(Clip(*sides(tmp_path / "pool")), tmp_path / "run")
    for level in levels:
        with pinned(isa=level, threads=1):
            run_scorer(Clip(*sides(tmp_path / "pool")), tmp_path / level)
        assert snapshot(tmp_path / level) == snapshot(tmp_path / "run")


def test_the_sample_pool_has_the_scores_that_it_ships(tmp_path: Path) -> None:
    scorer = Clip(
        open_pool(SAMPLE, embedding="lite0_minilm_img"), open_pool(SAMPLE, embedding="minilm_txt")
    )
    run_scorer(scorer, tmp_path / "run", pool=SAMPLE)
    shipped = np.concatenate(
        [
            pq.read_table(file, columns=["lite0_minilm_similarity_score"]).column(0).to_numpy()
            for file in sorted((SAMPLE / "metadata").glob("*.parquet"))
        ]
    )
    found = column(tmp_path / "run", "clip")
    assert np.abs(found - shipped).max() < 1e-4  # those were made from float32 rows
    table = pq.read_table(tmp_path / "run/scores/clip/scores.parquet")
    assert table.column("uid").to_pylist() == scorer.ids().to_list()


def test_a_clip_retrieval_folder_and_a_name(tmp_path: Path) -> None:
    rows = write_clip_retrieval(
        tmp_path / "pool", [9, 30], padded=False, kinds=("img_emb", "text_emb")
    )
    scorer = Clip(
        open_pool(tmp_path / "pool", embedding="img_emb"),
        open_pool(tmp_path / "pool", embedding="text_emb"),
        name="clip_flipped",
    )
    run_scorer(scorer, tmp_path / "run")
    found = column(tmp_path / "run", "clip_flipped")
    x, y = rows["img_emb"].astype(np.float64), rows["text_emb"].astype(np.float64)
    expected = (x * y).sum(1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))
    assert found == pytest.approx(expected, abs=1e-7)
