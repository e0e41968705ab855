"""What an embed step keeps of rows that are tangent vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from tests.embed.small import (
    BATCH,
    DIM,
    Projection,
    embed,
    plain_pool,
    rows_of,
    step,
    texts,
)

from tamis import canonical
from tamis.data.pool import open_pool

N_ROWS = 23
REASONS = {
    3: "embedding is zero",
    5: "embedding has a NaN",
    6: "embedding has an infinite value",
    9: "embedding is zero",
    20: "embedding has an infinite value",
}


class Tangent(Projection):
    """Projections whose rows are given the lengths of tangent vectors, and faults."""

    curvature = 0.7

    def __init__(self, *, faults: bool = False) -> None:
        super().__init__(batch_size=BATCH)
        self._faults = faults
        self._seen = 0

    def encode_images(self, batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
        rows = super().encode_images(batch).astype(np.float64) * 1e-5
        if self._faults:
            for row, value in ((3, 0.0), (5, np.nan), (6, -np.inf), (9, -0.0)):
                if 0 <= row - self._seen < len(rows):
                    rows[row - self._seen, :] = value
            if 0 <= 20 - self._seen < len(rows):
                rows[20 - self._seen, 1] = 1e39  # beyond float32
        self._seen = min(20, self._seen + len(rows))  # the batch at row 16 is filled up
        return rows


def test_lengths_are_kept(tmp_path: Path) -> None:
    pool = plain_pool(tmp_path / "pool", N_ROWS)
    embed(pool, tmp_path / "tangent", encoder=Tangent())
    embed(pool, tmp_path / "plain", encoder=Projection())
    folder = step(tmp_path / "tangent")
    for side in ("img_emb", "text_emb"):
        rows = rows_of(folder, side)
        assert rows.dtype == np.float32 and rows.shape == (N_ROWS, DIM)
        lengths = np.linalg.norm(rows, axis=1)
        assert lengths.max() > 1.5 * lengths.min() and abs(lengths - 1).min() > 1e-4
        # The directions are those that an encoder of plain rows gives.
        assert (canonical(rows)[0] == rows_of(step(tmp_path / "plain"), side)).mean() > 0.99
    encoder = Tangent()
    pieces = encoder.prepare_texts(texts(N_ROWS))
    sums = [np.mean([encoder._tokens[p].sum(0) for p in row], axis=0) for row in pieces]
    np.testing.assert_allclose(rows_of(folder, "text_emb"), np.array(sums), rtol=1e-6)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["recipe"]["encoder"]["curvature"] == 0.7
    plain = json.loads((step(tmp_path / "plain") / "manifest.json").read_text())
    assert "curvature" not in plain["recipe"]["encoder"]


def test_rows_without_a_direction_have_a_reason(tmp_path: Path) -> None:
    pool = plain_pool(tmp_path / "pool", N_ROWS)
    embed(pool, tmp_path / "sound", encoder=Tangent())
    summary = embed(
        pool, tmp_path / "run", encoder=Tangent(faults=True), max_bad_fraction=0.5, sides=["image"]
    )
    folder = step(tmp_path / "run")
    reasons = pq.read_table(folder / "metadata").column("image_reason").to_pylist()
    assert {row: reason for row, reason in enumerate(reasons) if reason} == REASONS
    assert summary["sides"]["image"]["quarantined"] == len(REASONS)
    rows = rows_of(folder, "img_emb")
    assert not rows[list(REASONS)].any() and np.isfinite(rows).all()
    others = np.delete(np.arange(N_ROWS), list(REASONS))
    sound = rows_of(step(tmp_path / "sound"), "img_emb")
    assert (rows[others].view("u4") == sound[others].view("u4")).all()
    opened = open_pool(folder, embedding="img_emb")
    assert opened.dtype == np.float32 and opened.n_rows == N_ROWS


@pytest.mark.parametrize("told", [None, 0.5])
def test_a_recipe_without_its_curvature_is_refused(told: float | None, tmp_path: Path) -> None:
    class Silent(Tangent):
        def recipe(self) -> dict[str, Any]:
            return {"model": "silent", **({} if told is None else {"curvature": told})}

    pool = plain_pool(tmp_path / "pool", 3)
    with pytest.raises(ValueError, match=rf"has curvature 0\.7, its recipe {told}; a later step"):
        embed(pool, tmp_path / "run", encoder=Silent())
    assert not (tmp_path / "run").exists()
