"""The reference that a run keeps, and when it is another than was asked for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from tests.filters.hype.reference_pools import (
    N_ROWS,
    sides,
    tangents,
    write_pool,
)

from tamis.errors import ChangedError
from tamis.filters.hype import reference_build
from tamis.filters.hype.adapter import Adapter
from tamis.filters.hype.points import open_points
from tamis.filters.hype.reference import FILE
from tamis.filters.hype.reference_build import build_reference, reference_of_run
from tamis.filters.hype.reference_file import open_reference, reference_bytes, save_reference
from tamis.filters.hype.reference_import import import_reference
from tamis.filters.hype.sides import open_sides
from tamis.run.directory import RunDirectory


def test_a_run_builds_its_reference_once(tmp_path: Path) -> None:
    pool, run = tmp_path / "pool", tmp_path / "run"
    write_pool(pool)
    first = reference_of_run(run, *sides(pool, run), 20, 3, pool=str(pool))
    assert (run / "pool.json").exists() and first.source["pool"] == str(pool)
    with mock.patch.object(reference_build, "build_reference", side_effect=AssertionError):
        again = reference_of_run(run, *sides(pool, run), 20, 3)
    assert again.digest == first.digest and again.manifest() == first.manifest()
    assert reference_bytes(again) == (run / FILE).read_bytes()


def test_parts_that_start_at_once_share_one_reference(tmp_path: Path) -> None:
    pool, run = tmp_path / "pool", tmp_path / "run"
    write_pool(pool)
    opened = [sides(pool, run) for _ in range(4)]
    meet, built, found = threading.Barrier(4), [], []

    def counted(*given: Any, **options: Any) -> Any:
        built.append(1)
        return build_reference(*given, **options)

    def part(number: int) -> None:
        meet.wait()
        found.append(reference_of_run(run, *opened[number], 20, 3).digest)

    with mock.patch.object(reference_build, "build_reference", counted):
        threads = [threading.Thread(target=part, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(built) == 1 and len(found) == 4 and len(set(found)) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rows": 21}, "rows: 20 -> 21"),
        ({"seed": 4}, "seed: 3 -> 4"),
        ({"curvature": 0.25}, r"space\.curvature: 0\.5 -> 0\.25"),
        ({"model": "other"}, r'space\.model: "m" -> "other"'),
        ({"image": "txt"}, r'image\.embedding: "img" -> "txt"'),
    ],
)
def test_another_reference_than_asked_for_is_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    pool, run = tmp_path / "pool", tmp_path / "run"
    write_pool(pool)
    reference_of_run(run, *sides(pool, run), 20, 3, pool=str(pool))
    options = {"rows": 20, "seed": 3, "curvature": 0.5, "model": "m", "image": "img", **change}
    declared = {"pool": str(pool), "curvature": options["curvature"], "model": options["model"]}
    images = open_points("image", run, embedding=options["image"], **declared)
    texts = open_points("text", run, embedding="txt", **declared)
    with pytest.raises(ChangedError, match=rf"{FILE} is another .*{told}.*remove it") as refused:
        reference_of_run(run, images, texts, options["rows"], options["seed"])
    helps = images.space == sides(pool, run)[0].space
    assert ("name it with --reference" in str(refused.value)) == helps


def test_another_pool_than_the_references_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_pool(tmp_path / "embeddings/pool")
    write_pool(tmp_path / "other", [N_ROWS - 1])
    made = reference_of_run(run, *sides(tmp_path / "embeddings/pool", run), 20)
    assert made.source["text"] == {"step": None, "embedding": "txt", "adapter": None}
    with pytest.raises(ChangedError, match=r"ids: .*n_rows: 60 -> 59"):
        reference_of_run(run, *sides(tmp_path / "other", run), 20)


def test_a_side_more_is_as_good_and_a_side_less_is_not(tmp_path: Path) -> None:
    pool, run = tmp_path / "pool", tmp_path / "run"
    write_pool(pool)
    both = reference_of_run(run, *sides(pool, run), 20)
    assert reference_of_run(run, *sides(pool, run, "text"), 20).digest == both.digest
    (run / FILE).unlink()
    reference_of_run(run, *sides(pool, run, "text"), 20)
    with pytest.raises(ChangedError, match=r"image\.embedding: \(absent\) -> \"img\""):
        reference_of_run(run, *sides(pool, run), 20)
    texts = reference_of_run(
        run, *sides(pool, run, "image"), 20
    )  # what images are measured against
    assert texts.count == {"txt": 20}


def test_an_imported_reference_is_not_taken_for_a_built_one(tmp_path: Path) -> None:
    pool, run = tmp_path / "pool", tmp_path / "run"
    write_pool(pool)
    images, texts = tangents()
    np.savez(tmp_path / "ref.npz", img=images, txt=texts)
    made = import_reference(tmp_path / "ref.npz", curvature=0.5, model="m")
    save_reference(made, run / FILE)
    with pytest.raises(ChangedError, match=r"rows: null -> 20.*name it with --reference"):
        reference_of_run(run, *sides(pool, run), 20)
    assert reference_of_run(run, *sides(pool, run)).digest == made.digest


def test_what_is_there_will_do_where_nothing_else_is_asked_for(tmp_path: Path) -> None:
    pool, run = tmp_path / "pool", tmp_path / "run"
    write_pool(pool)
    built = reference_of_run(run, *sides(pool, run), 20, 3)
    assert reference_of_run(run, *sides(pool, run)).digest == built.digest
    assert reference_of_run(run, *sides(pool, run), seed=3).digest == built.digest
    images, texts = sides(pool, run)
    place = {"pool": str(pool), "embedding": "img", "curvature": 0.5}
    with pytest.raises(ChangedError, match=r'text\.embedding: "txt" -> "img"'):
        reference_of_run(run, images, open_points("text", run, **place))
    unnamed = open_points("image", run, **place)
    assert reference_of_run(run, unnamed, None).space.model == "m"
    (run / FILE).unlink()
    default = reference_of_run(run, images, texts)
    assert default.rows == 10_000 and default.seed == 0


def embed_step(run: Path, name: str) -> None:
    """A step of a hyperbolic encoder, that made the same points."""
    images, texts = tangents()
    recipe = {"encoder": {"model": "meru", "weights": "ab", "curvature": 0.5}}
    with RunDirectory.open(run / "embeddings" / name, recipe, []) as step:
        ids = pa.table({"image_path": [f"{row:04d}" for row in range(N_ROWS)]})
        files = {
            "img_emb/img_emb_0.npy": images,
            "text_emb/text_emb_0.npy": texts,
            "metadata/metadata_0.parquet": ids,
        }
        step.commit("embed", "0", files)
        step.finish()


def test_another_step_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        embed_step(tmp_path, name)
    opened = {name: open_sides(tmp_path, embeddings=name) for name in ("one", "two")}
    made = reference_of_run(tmp_path, *opened["one"], 20)
    assert made.source["text"] == {"step": "one", "embedding": "text_emb", "adapter": None}
    assert made.space.curvature == 0.5 and made.space.model == "ab"
    with pytest.raises(ChangedError, match=r'image\.step: "one" -> "two"; text\.step'):
        reference_of_run(tmp_path, *opened["two"], 20)


def adapter(scale: float) -> Adapter:
    random = np.random.default_rng(3)
    weights = {side: random.normal(size=(4, 6)).astype(np.float16) for side in ("image", "text")}
    return Adapter(weights, dict.fromkeys(weights, scale), 0.5, 1.0)


def test_another_adapter_is_refused(tmp_path: Path) -> None:
    pool, run = tmp_path / "pool", tmp_path / "run"
    write_pool(pool)

    def opened(scale: float) -> list[Any]:
        made = adapter(scale)
        return [
            open_points(side, run, pool=str(pool), embedding=name, adapter=made)
            for side, name in (("image", "img"), ("text", "txt"))
        ]

    made = reference_of_run(run, *opened(0.5), 20)
    assert made.source["image"]["adapter"] == made.space.model == adapter(0.5).model
    assert open_reference(run / FILE).digest == made.digest
    with pytest.raises(ChangedError, match=r"image\.adapter: \"sha256:"):
        reference_of_run(run, *opened(0.25), 20)
