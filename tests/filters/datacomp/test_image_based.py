"""The image-based rule keeps what its transcription keeps, alone and with a CLIP score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.filters.datacomp import stock
from tests.filters.datacomp.metadata import edge_cases, kept, write_datacomp

from tamis.data.asset import AssetError
from tamis.data.language import open_language
from tamis.data.pool import open_pool
from tamis.data.samples import open_samples
from tamis.errors import PoolError
from tamis.filters.datacomp.centroids import Centroids, read_numbers, target_numbers
from tamis.filters.datacomp.image_based import ImageBased
from tamis.score.job import run_scorer

COLUMN = open_language("column:lang")
DIM, K = 16, 40


def unit_rows(n: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Rows, centroids with equal ones among them, and a target set near some of them."""
    root = tmp_path_factory.mktemp("image_based")
    table = edge_cases()
    table["text"] = [text[:200] for text in table["text"]]
    rows = unit_rows(len(table["uid"]), seed=1)
    centroids = unit_rows(K, seed=2).astype(np.float32) * 0.7  # not of unit norm, as k-means gives
    centroids[K // 2 :] = centroids[: K // 2]  # every centroid twice: a tie for every row
    imagenet = unit_rows(15, seed=3)
    np.save(root / "centroids.npy", centroids)
    np.save(root / "imagenet.npy", imagenet)
    return {
        "root": root,
        "folder": write_datacomp(root / "pool", table, {"l14_img": rows}),
        "table": table,
        "rows": rows,
        "centroids": centroids,
        "imagenet": imagenet,
    }


def scorer(pool: dict[str, Any], **given: Any) -> ImageBased:
    if not given:
        given = {"imagenet": open_pool(pool["root"] / "imagenet.npy")}
    return ImageBased(
        open_samples(pool["folder"]),
        open_pool(pool["folder"], embedding="l14_img"),
        language=COLUMN,
        centroids=pool["root"] / "centroids.npy",
        **given,
    )


def languages(table: dict[str, Any]) -> stock.Language:
    """The language column as a model: the transcription asks once a row, in row order."""
    values = iter(table["lang"])
    return lambda _: next(values)


def test_same_uids(pool: dict[str, Any], tmp_path: Path) -> None:
    table = pool["table"]
    run_scorer(scorer(pool), tmp_path, rows_per_unit=100)
    scores = pq.read_table(tmp_path / "scores/image_based/scores.parquet", use_threads=False)
    expected = stock.image_based(
        table, languages(table), pool["rows"], pool["centroids"], pool["imagenet"]
    )
    assert scores["uid"].to_pylist() == table["uid"]
    assert kept(table, scores["image_based"]) == expected
    assert 0 < len(expected) < len(table["uid"])
    assert max(scores["image_based_centroid"].to_pylist()) < K // 2  # ties go to the lowest


@pytest.mark.parametrize(
    "clip", [{"threshold": 0.3}, {"threshold": 0.28}, {"fraction": 0.3}, {"fraction": 0.0}]
)
@pytest.mark.parametrize("arch", ["b32", "l14"])
def test_the_intersection_takes_its_share_of_the_whole_pool(
    pool: dict[str, Any], arch: str, clip: dict[str, float]
) -> None:
    """Score first, then the rule, is the rule and the score: both judge a row by itself."""
    table = pool["table"]
    arrays = pool["rows"], pool["centroids"], pool["imagenet"]
    codes = dict(zip(table["uid"], table["lang"], strict=True))
    chosen = stock.clip_score(table, arch, **clip)
    in_order = iter([codes[uid] for uid in chosen])
    both = stock.image_based(table, lambda _: next(in_order), *arrays, arch=arch, **clip)
    alone = stock.image_based(table, languages(table), *arrays)
    assert set(both) == set(alone) & set(chosen)


def test_numbers_of_centroids_serve_instead_of_embeddings(
    pool: dict[str, Any], tmp_path: Path
) -> None:
    numbers = scorer(pool).target_numbers()
    expected = {stock.nearest_centroid(row, pool["centroids"]) for row in pool["imagenet"]}
    assert set(numbers.tolist()) == expected
    np.save(tmp_path / "numbers.npy", numbers)
    unit = open_samples(pool["folder"]).units(1000)[1]
    from_numbers = scorer(pool, targets=tmp_path / "numbers.npy").score(unit)
    assert from_numbers.columns["image_based"].equals(
        scorer(pool).score(unit).columns["image_based"]
    )


def test_parts_and_units_change_nothing(pool: dict[str, Any], tmp_path: Path) -> None:
    for run, size in (("whole", 1000), ("parts", 64)):
        if run == "parts":
            for part in (2, 1):
                run_scorer(scorer(pool), tmp_path / run, rows_per_unit=size, part=(part, 2))
        run_scorer(scorer(pool), tmp_path / run, rows_per_unit=size)
    tables = [
        pq.read_table(tmp_path / run / "scores/image_based/scores.parquet", use_threads=False)
        for run in ("whole", "parts")
    ]
    assert tables[0].equals(tables[1])


def test_a_row_without_embedding_or_caption_has_a_reason(
    pool: dict[str, Any], tmp_path: Path
) -> None:
    table = {name: values[:6] for name, values in pool["table"].items()}
    table["text"] = ["a red kite"] * 5 + [None]
    table["lang"] = ["en"] * 6
    rows = pool["rows"][:6].astype(np.float32)
    rows[1], rows[2, 3] = 0, np.nan
    folder = write_datacomp(tmp_path, table, {"l14_img": rows})
    embeddings = open_pool(folder, embedding="l14_img")
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("\n".join(map(str, range(K))))
    judge = ImageBased(
        open_samples(folder),
        embeddings,
        language=COLUMN,
        centroids=pool["root"] / "centroids.npy",
        targets=numbers,
    )
    found: list[object] = []
    reasons: dict[int, str] = {}
    for unit in judge.units(100):
        scores = judge.score(unit)
        found += scores.columns["image_based"].to_pylist()
        reasons.update({unit.first_row + row: why for row, why in scores.reasons.items()})
    assert found == [True, None, None, True, True, None]
    assert reasons == {
        1: "image embedding is zero",
        2: "image embedding has a NaN",
        5: "text is null",
    }


def test_embeddings_of_other_rows_are_refused(pool: dict[str, Any], tmp_path: Path) -> None:
    swapped = {**pool["table"], "uid": pool["table"]["uid"][::-1]}
    write_datacomp(tmp_path / "other", swapped, {"l14_img": pool["rows"]})
    few = {name: values[:9] for name, values in pool["table"].items()}
    write_datacomp(tmp_path / "few", few, {"l14_img": pool["rows"][:9]})
    for folder, message in (("other", "row 0 is .* must hold the same rows"), ("few", "has 9 emb")):
        judge = ImageBased(
            open_samples(pool["folder"]),
            open_pool(tmp_path / folder, embedding="l14_img"),
            language=COLUMN,
            centroids=pool["root"] / "centroids.npy",
            imagenet=open_pool(pool["root"] / "imagenet.npy"),
        )
        with pytest.raises(PoolError, match=message):
            run_scorer(judge, tmp_path / f"run-{folder}")


def test_an_asset_that_is_absent_or_does_not_fit_is_named(
    pool: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(AssetError, match=r"expected either embeddings of ImageNet's .* got none"):
        scorer(pool, imagenet=None)
    with pytest.raises(AssetError, match=r"expected the pool's centroids.*no such file"):
        Centroids(tmp_path / "none.npy")
    np.save(tmp_path / "narrow.npy", np.ones((3, 4), np.float32))
    np.save(tmp_path / "flat.npy", np.ones(4, np.float32))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(AssetError, match=r"of shape \(k, dim\)"):
        Centroids(tmp_path / "flat.npy")
    with pytest.raises(PoolError, match="pickled Python objects, which are never loaded"):
        Centroids(tmp_path / "objects.npy")
    with pytest.raises(AssetError, match="target embeddings of dim 4"):
        target_numbers(Centroids(tmp_path / "narrow.npy"), open_pool(pool["root"] / "imagenet.npy"))
    with pytest.raises(AssetError, match=r"centroids of dim 16, as the embeddings of .* got 4"):
        ImageBased(
            open_samples(pool["folder"]),
            open_pool(pool["folder"], embedding="l14_img"),
            language=COLUMN,
            centroids=tmp_path / "narrow.npy",
            targets=tmp_path / "none.npy",
        )


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "numbers.txt"
    text.write_text("3\n40\n")
    with pytest.raises(AssetError, match="numbers of centroids from 0 to 39, got 3 to 40"):
        read_numbers(text, K)
    text.write_text("3\nthree\n")
    with pytest.raises(AssetError, match="line 2: expected a centroid's number, got 'three'"):
        read_numbers(text, K)
    np.save(tmp_path / "floats.npy", np.ones(3))
    with pytest.raises(AssetError, match="expected one dimension of integers"):
        read_numbers(tmp_path / "floats.npy", K)
    np.save(tmp_path / "none.npy", np.empty(0, np.int64))
    with pytest.raises(AssetError, match="got none"):
        read_numbers(tmp_path / "none.npy", K)
