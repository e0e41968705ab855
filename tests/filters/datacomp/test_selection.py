"""The baselines that are selections: clip_score, and the intersection with image_based."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.filters.datacomp import stock
from tests.filters.datacomp.metadata import edge_cases, write_datacomp

from tamis.data.language import open_language
from tamis.data.pool import open_pool
from tamis.data.samples import open_samples
from tamis.filters.datacomp import ImageBased
from tamis.score.job import run_scorer
from tamis.select import select

FRACTIONS = [0.001, 0.1, 0.3, 0.5, 0.75, 0.999]
K, DIM = 6, 8


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("selection")
    table = edge_cases()
    table["text"] = [text[:100] for text in table["text"]]
    draws = np.random.default_rng(5)
    arrays = {
        "rows": draws.standard_normal((len(table["uid"]), DIM)).astype(np.float16),
        "centroids": draws.standard_normal((K, DIM)).astype(np.float32),
        "imagenet": draws.standard_normal((2, DIM)).astype(np.float16),
    }
    norms = np.linalg.norm(arrays["rows"].astype(np.float64), axis=1, keepdims=True)
    arrays["rows"] = (arrays["rows"] / norms).astype(np.float16)
    folder = write_datacomp(root / "pool", table, {"l14_img": arrays["rows"]})
    np.save(root / "centroids.npy", arrays["centroids"])
    np.save(root / "imagenet.npy", arrays["imagenet"])
    scorer = ImageBased(
        open_samples(folder),
        open_pool(folder, embedding="l14_img"),
        language=open_language("column:lang"),
        centroids=root / "centroids.npy",
        imagenet=open_pool(root / "imagenet.npy"),
    )
    run_scorer(scorer, root / "run", pool=folder)
    return {"root": root, "folder": folder, "table": table, **arrays}


@pytest.mark.parametrize("arch", ["b32", "l14"])
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_a_share_with_datacomp_s_ties(
    pool: dict[str, Any], tmp_path: Path, arch: str, fraction: float
) -> None:
    expression = f'top(clip_{arch}_similarity_score, {fraction}, ties="datacomp")'
    select(pool["folder"], expression, out=tmp_path / "subset.npy")
    expected = stock.subset(stock.clip_score(pool["table"], arch, fraction=fraction))
    np.save(tmp_path / "stock.npy", expected)
    assert (tmp_path / "subset.npy").read_bytes() == (tmp_path / "stock.npy").read_bytes()


@pytest.mark.parametrize("arch", ["b32", "l14"])
@pytest.mark.parametrize("threshold", [0.28, 0.3, 0.1, 0.0, -1.0])
def test_a_threshold(pool: dict[str, Any], arch: str, threshold: float) -> None:
    found = select(pool["folder"], f"clip_{arch}_similarity_score >= {threshold}")
    assert found.ids.to_list() == stock.clip_score(pool["table"], arch, threshold=threshold)


def test_the_whole_pool_is_kept_where_the_published_code_stops(pool: dict[str, Any]) -> None:
    found = select(pool["folder"], 'top(clip_l14_similarity_score, 1.0, ties="datacomp")')
    assert found.ids.to_list() == pool["table"]["uid"]


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_the_intersection_is_an_expression(pool: dict[str, Any], fraction: float) -> None:
    table = pool["table"]
    score = f'top(clip_l14_similarity_score, {fraction}, ties="datacomp")'
    found = select(pool["root"] / "run", f"image_based & {score}", scores=[pool["folder"]])
    codes = dict(zip(table["uid"], table["lang"], strict=True))
    chosen = iter([codes[uid] for uid in stock.clip_score(table, "l14", fraction=fraction)])
    expected = stock.image_based(
        table,
        lambda _: next(chosen),
        pool["rows"],
        pool["centroids"],
        pool["imagenet"],
        arch="l14",
        fraction=fraction,
    )
    assert found.ids.to_list() == expected


def test_the_intersection_is_not_a_share_of_what_is_left(pool: dict[str, Any]) -> None:
    both, within = (
        select(pool["root"] / "run", expression, scores=[pool["folder"]])
        for expression in (
            'image_based & top(clip_l14_similarity_score, 0.3, ties="datacomp")',
            'top(clip_l14_similarity_score, 0.3, ties="datacomp") within image_based',
        )
    )
    assert both.ids.to_list() != within.ids.to_list()
