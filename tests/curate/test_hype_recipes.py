"""The recipes of HYPE from images and texts to subsets, with a tiny checkpoint of its layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.cli.command import call
from tests.embed.hyperbolic_models import hype_state
from tests.embed.small import picture

N_ROWS = 20
UIDS = [f"{row * 7919:032x}" for row in range(N_ROWS)]
LISTED = [3, 11]


def as_subset(rows: list[int]) -> np.ndarray:
    pairs = sorted((int(UIDS[row][:16], 16), int(UIDS[row][16:], 16)) for row in rows)
    return np.array(pairs, "u8,u8")


def scores(run: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(run / "scores/hype/scores.parquet").drop_columns(["uid", "reason"])
    return {name: table.column(name).to_numpy() for name in table.column_names}


def best(values: np.ndarray, n_rows: int) -> list[int]:
    found: list[int] = np.argsort(-values, kind="stable")[:n_rows].tolist()
    return found


def curate(recipe: str, run: str) -> None:
    done = call("curate", recipe, "--pool", "pool.parquet", "--out", run, "-q")
    assert done.code == 0, done.err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with what the recipes' comments ask for."""
    monkeypatch.chdir(tmp_path)
    columns: dict[str, Any] = {
        "uid": UIDS,
        "image": [picture(row) for row in range(N_ROWS)],
        "text": [f"drawing {'of this and that ' * (row % 4)}{row}" for row in range(N_ROWS)],
    }
    pq.write_table(pa.table(columns), tmp_path / "pool.parquet")
    torch.save(hype_state(), tmp_path / "hype.pt")
    np.save(tmp_path / "dfn.npy", as_subset(LISTED))
    return tmp_path


def test_the_best_tenth_with_a_list_and_images_alone(folder: Path) -> None:
    curate("hype-union-dfn", "run")
    found = scores(folder / "run")
    terms = ("image_specificity", "text_specificity", "neg_distance")
    total = sum(found[f"hype_{term}"].astype(float) for term in terms)
    np.testing.assert_allclose(found["hype"], total, atol=2e-6)
    kept = sorted({*best(found["hype"], N_ROWS // 10), *LISTED})
    assert np.load("run/subset.npy").tolist() == as_subset(kept).tolist()

    # The same steps and scores: only the selection differs.
    (folder / "run/subset.npy").unlink()
    curate("hype", "run")
    best_tenth = best(found["hype"], N_ROWS // 10)
    assert np.load("run/subset.npy").tolist() == as_subset(best_tenth).tolist()

    (folder / "reference.safetensors").write_bytes(
        (folder / "run/reference.safetensors").read_bytes()
    )
    curate("hype-images", "images")
    alone = scores(folder / "images")
    assert not any("text" in name for name in alone)
    assert not list((folder / "images/embeddings/hyperbolic").glob("text_emb*"))
    for name in ("hype_image_specificity", "hype_image_error", "hype_image_radius"):
        assert alone[name].tobytes() == found[name].tobytes()
    most_specific = best(alone["hype"], 3 * N_ROWS // 10)
    assert np.load("images/subset.npy").tolist() == as_subset(most_specific).tolist()
