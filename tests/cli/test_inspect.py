"""`tamis inspect`: tables for people, JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from tests.cli.command import call
from tests.data.server import serving
from tests.samples.layouts import POOL, write_parquet

from tamis.data.inspection import inspect_pool
from tamis.data.run_inspection import inspect_run
from tamis.data.samples import open_samples
from tamis.run.pool_link import remember_pool


def test_pool_as_tables() -> None:
    done = call("inspect", POOL)
    assert (done.code, done.err) == (0, "")
    text = " ".join(done.out.split())
    assert "webdataset pool: 2 files, 1,030 rows with images and texts, joined by uid" in text
    assert "rows 1,030 shards 2 sides image and text ids uid32, such as 536a9a1aa01a1e7b" in text
    assert "lite0_minilm_similarity_score float" in text
    assert "lite0_img 1,030 1280 float16" in text
    assert "problems: none found" in text


def test_pool_as_json() -> None:
    done = call("inspect", POOL / "metadata", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == inspect_pool(POOL / "metadata").as_dict()


def test_url() -> None:
    with serving(POOL) as (url, _):
        done = call("inspect", f"{url}/metadata/", "--json")
    assert json.loads(done.out)["samples"]["rows"] == 1030


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    table = pa.table({"text": ["a"], "caption": ["b"], "n": [1]})
    write_parquet(tmp_path / "a.parquet", table)
    assert call("inspect", tmp_path).told.endswith(
        "both text and caption may be the text; name one with text="
    )
    done = call("inspect", tmp_path, "--text", "caption", "--ids", "n", "--json")
    assert json.loads(done.out)["ids"] == {"kind": "int64", "example": 1}


def test_problems(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", pa.table({"id": ["x", "x"], "text": ["a", "b"]}))
    done = call("inspect", tmp_path)
    assert done.code == 0
    assert "ids cannot be read, see the problems" in " ".join(done.out.split())
    assert "problems: 1" in done.out and "id 'x' is there twice" in done.out


@pytest.mark.parametrize("name", ["[bold]x[/bold]", "\x1b[31mred", "a\nb"])
def test_names_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    write_parquet(tmp_path / "a.parquet", pa.table({"text": ["a"], name: [1]}))
    done = call("inspect", tmp_path)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    assert shown in done.out and "\x1b" not in done.out


def test_run(tmp_path: Path) -> None:
    remember_pool(tmp_path, POOL)
    write_parquet(tmp_path / "scores" / "mine.parquet", pa.table({"uid": ["a"], "mine": [0.5]}))
    done = call("inspect", tmp_path)
    text = " ".join(done.out.split())
    assert (done.code, done.err) == (0, "")
    assert "scores/mine.parquet 1 uid string, mine double" in text
    assert json.loads(call("inspect", tmp_path, "--json").out) == inspect_run(tmp_path).as_dict()


def test_new_shards_are_a_pool(tmp_path: Path) -> None:
    samples = open_samples(POOL)
    (tmp_path / "ids.txt").write_text("\n".join(samples.ids().to_list()[:3]))
    done = call("reshard", POOL, "--subset", tmp_path / "ids.txt", "--out", tmp_path / "new", "-q")
    assert (done.code, done.err) == (0, "")
    found = json.loads(call("inspect", tmp_path / "new", "--json").out)
    assert (found["samples"]["rows"], found["problems"]) == (3, [])


@pytest.mark.parametrize("name", ["pool.json", "manifest.json"])
@pytest.mark.parametrize("content", ["[]", "{", '{"a":' * 100_000])
def test_a_run_whose_notes_are_damaged(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    done = call("inspect", tmp_path)
    told = " ".join((done.err or done.out).split())
    assert done.code == (2 if name == "pool.json" else 0)
    assert f"{tmp_path}/{name} was not written by" in told.replace(" /", "/")


def test_nothing_to_inspect(tmp_path: Path) -> None:
    done = call("inspect", tmp_path / "none")
    assert done.code == 2
    assert done.told == f"the pool {tmp_path / 'none'} does not exist"
