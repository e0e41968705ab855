"""What is said about pools and runs, odd ones included."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.data.pools import unit_rows, write_clip_retrieval, write_datacomp, write_lists
from tests.samples.layouts import POOL, json_lines, pairs, write_images, write_parquet, write_tar

from tamis.data.inspection import EmbeddingFound, inspect_pool
from tamis.data.run_inspection import inspect_run, is_run
from tamis.data.subset import write_subset
from tamis.errors import PoolError, RunError
from tamis.run.directory import RunDirectory
from tamis.run.pool_link import remember_pool

ROWS = pairs(6)


def test_sample_pool() -> None:
    found = inspect_pool(POOL)
    assert found.samples is not None and found.ids is not None
    assert (found.samples.kind, found.samples.rows, found.samples.shards) == ("webdataset", 1030, 2)
    assert found.samples.sides == ["image", "text"]
    assert found.samples.columns["lite0_minilm_similarity_score"] == "float"
    assert found.samples.columns["original_width"] == "int64"
    assert found.embeddings == [
        EmbeddingFound("datacomp", name, 1030, dim, "float16")
        for name, dim in (("lite0_img", 1280), ("minilm_txt", 384), ("lite0_minilm_img", 384))
    ]
    assert (found.ids.kind, found.ids.example) == ("uid32", pairs()[0].uid)
    assert found.problems == []
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()


def test_each_kind(tmp_path: Path) -> None:
    write_images(tmp_path / "images", ROWS, texts=False)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.jsonl").write_bytes(json_lines(ROWS))
    write_parquet(tmp_path / "parquet" / "a.parquet", pa.table({"image": [b"x"], "n": [1.5]}))
    write_datacomp(tmp_path / "datacomp", [2, 3])
    write_clip_retrieval(tmp_path / "clip-retrieval", [2, 3], padded=True)
    expected = {
        "images": (6, 1, ["image"], {}, 0, "string"),
        "text": (6, 1, ["text"], {"text": "string", "width": "int64", "uid": "string"}, 0, "uid32"),
        "parquet": (1, 1, ["image"], {"n": "double"}, 0, "row"),
        "clip-retrieval": (
            5, 2, ["text"], {"image_path": "string", "caption": "string"}, 1, "string",
        ),
    }  # fmt: skip
    for kind, facts in expected.items():
        found = inspect_pool(tmp_path / kind)
        samples = found.samples
        assert samples is not None and found.ids is not None
        assert samples.kind == kind and found.problems == []
        seen = (samples.rows, samples.shards, samples.sides, samples.columns)
        assert (*seen, len(found.embeddings), found.ids.kind) == facts
    found = inspect_pool(tmp_path / "datacomp")
    assert [(each.name, each.dim) for each in found.embeddings] == [("b32_img", 8), ("l14_img", 12)]


def test_embeddings_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", unit_rows(5, dtype="f4"))
    found = inspect_pool(tmp_path)
    assert found.samples is None and found.problems == []
    assert found.embeddings == [EmbeddingFound("npy", None, 5, 8, "float32")]
    assert found.ids is not None and (found.ids.kind, found.ids.example) == ("row", 0)
    write_lists(tmp_path / "l.parquet", unit_rows(4), id=["a", "b", "c", "d"])
    found = inspect_pool(tmp_path / "l.parquet")
    assert found.embeddings == [EmbeddingFound("parquet", "embedding", 4, 8, "float16")]
    assert found.ids is not None and found.ids.example == "a"


def test_nothing(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="holds no samples: expected"):
        inspect_pool(tmp_path)
    with pytest.raises(PoolError, match="does not exist"):
        inspect_pool(tmp_path / "none")
    np.savez(tmp_path / "a.npz", x=unit_rows(2))
    with pytest.raises(PoolError, match=r"a.npz has no a.parquet beside it"):
        inspect_pool(tmp_path)


def test_problems_are_told_and_the_rest_is_shown(tmp_path: Path) -> None:
    write_datacomp(tmp_path, [3, 4])
    np.savez(tmp_path / "0001.npz", b32_img=unit_rows(5), l14_img=unit_rows(4, 12))
    found = inspect_pool(tmp_path)
    assert found.samples is not None and found.samples.rows == 7
    assert [each.name for each in found.embeddings] == ["l14_img"]
    assert len(found.problems) == 1
    assert "[b32_img] has 5 rows but" in found.problems[0]


def test_samples_and_embeddings_of_other_rows(tmp_path: Path) -> None:
    uids, _ = write_datacomp(tmp_path / "metadata", [4])
    (tmp_path / "shards").mkdir()
    from dataclasses import replace

    rows = [replace(row, uid=uid) for row, uid in zip(ROWS, uids[:3], strict=False)]
    write_tar(tmp_path / "shards" / "0.tar", rows)
    assert inspect_pool(tmp_path).problems == [
        "1 rows of metadata have no sample in the tars",
        "b32_img has 4 rows of embeddings, but there are 3 samples; rows are matched by id",
        "l14_img has 4 rows of embeddings, but there are 3 samples; rows are matched by id",
    ]


def test_ids_that_cannot_be_read(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", pa.table({"id": ["x", "x"], "text": ["a", "b"]}))
    found = inspect_pool(tmp_path)
    assert found.ids is None
    assert len(found.problems) == 1 and "id 'x' is there twice" in found.problems[0]
    assert inspect_pool(tmp_path, ids="row").problems == []


def test_a_folder_that_is_two_things_shows_its_embeddings(tmp_path: Path) -> None:
    write_lists(tmp_path / "a.parquet", unit_rows(4), text=["a", "b", "c", "d"])
    write_images(tmp_path / "i", ROWS, texts=False)
    found = inspect_pool(tmp_path)
    assert found.samples is None and len(found.embeddings) == 1
    assert "could be read as parquet or images" in found.problems[0]


def make_run(folder: Path) -> None:
    remember_pool(folder, POOL)
    with RunDirectory.open(folder / "scores" / "clip", {"scorer": "clip"}, inputs=[]) as step:
        step.commit("score", "00000", {"scores.parquet": pa.table({"uid": ["a"], "clip": [0.5]})})
        step.finish()
    with RunDirectory.open(folder / "embeddings" / "clip", {"model": "x"}, inputs=[]) as step:
        files = {
            "img_emb/img_emb_00000.npy": unit_rows(3),
            "metadata/metadata_00000.parquet": pa.table({"id": ["a", "b", "c"]}),
            "quarantine.parquet": pa.table({"row": [1]}),
        }
        step.commit("embed", "00000", files)
    write_subset(folder / "subset.npy", ["0" * 32, "f" * 32])


def test_run(tmp_path: Path) -> None:
    make_run(tmp_path)
    found = inspect_run(tmp_path)
    assert found.pool == str(POOL.resolve())
    assert [(step.path, step.complete, step.units) for step in found.steps] == [
        ("embeddings/clip", False, {"embed": 1}),
        ("scores/clip", True, {"score": 1}),
    ]
    assert found.embeddings == [
        "embeddings/clip: clip-retrieval pool: 1 file, 3 rows of 8 x float16 (img_emb), "
        "ids from column id"
    ]
    assert [(table.path, table.rows, table.columns) for table in found.tables] == [
        ("embeddings/clip/quarantine.parquet", 1, {"row": "int64"}),
        ("scores/clip/scores.parquet", 1, {"uid": "string", "clip": "double"}),
        ("subset.npy", 2, {"uid": "u8,u8"}),
    ]
    assert found.problems == []
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()
    assert is_run(tmp_path) and is_run(tmp_path / "scores" / "clip")
    assert not is_run(tmp_path / "embeddings" / "clip") and not is_run(POOL)
    assert inspect_pool(tmp_path / "embeddings" / "clip").embeddings[0].name == "img_emb"


def test_damaged_run(tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / "scores" / "clip" / "manifest.json").write_text("{")
    (tmp_path / "scores" / "clip" / "scores.parquet").write_bytes(b"PAR1")
    (tmp_path / "subset.npy").write_bytes(b"x")
    (tmp_path / "embeddings" / "clip" / "metadata" / "metadata_00000.parquet").unlink()
    found = inspect_run(tmp_path)
    assert [step.path for step in found.steps] == ["embeddings/clip"]
    assert len(found.problems) == 4
    with pytest.raises(RunError, match="is no run directory"):
        inspect_run(POOL)
