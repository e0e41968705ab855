"""`tamis curate` is its steps, in order, each done once."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.cli.command import call

REPOSITORY = Path(__file__).parents[2]
POOL = REPOSITORY / "examples" / "pool" / "metadata"


def content(run: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(run)): file.read_bytes()
        for file in sorted(run.rglob("*"))
        if file.is_file() and file.name not in ("log.jsonl", ".lock")
    }


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's recipe without its optional steps, which run networks for a minute."""
    blocks = (REPOSITORY / "recipes" / "demo.toml").read_text(encoding="utf-8").split("\n\n")
    kept = "\n\n".join(block for block in blocks if "optional = true" not in block)
    file = tmp_path_factory.mktemp("recipe") / "demo.toml"
    file.write_text(kept.replace("../examples/pool", str(POOL)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def demo(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("demo") / "run"
    outcome = call("curate", recipe_file, "--out", run, "--quiet")
    assert (outcome.code, outcome.out) == (0, "")
    return run


def test_it_is_what_the_commands_do(demo: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    steps = [
        ["score", "clip", POOL, "--image", "lite0_minilm_img", "--text", "minilm_txt"]
        + ["--name", "demo_clip", "--out", run],
        ["score", "hype", POOL, "--image", "lite0_img", "--text", "minilm_txt"]
        + ["--adapter", "demo", "--out", run],
        ["dedup", POOL, "--embedding", "lite0_img", "--clusters", 16, "--probes", 2]
        + ["--keep", 0.7, "--out", run],
        ["select", run, "top(demo_clip, 0.75) within bottom(semdedup, 0.7)"]
        + ["--scores", POOL, "--out", run / "selection.npy"],
    ]
    for step in steps:
        assert call(*step).code == 0
    curated, separate = content(demo), content(run)
    reports = [json.loads(one.pop("selection.npy.json")) for one in (curated, separate)]
    assert curated == separate
    assert reports[0]["terms"] == reports[1]["terms"]


def test_the_second_time_nothing_is_done_again(demo: Path, recipe_file: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*.parquet")}
    whole = content(demo)
    outcome = call("curate", recipe_file, "--out", demo, "--json")
    assert outcome.code == 0
    summaries = json.loads(outcome.out)
    assert list(summaries) == ["dedup", "score demo_clip", "score hype", "select"]
    assert summaries["select"]["kept"] == 540 and summaries["dedup"]["kept"] == 721
    assert content(demo) == whole
    assert {path: path.stat().st_mtime_ns for path in demo.rglob("*.parquet")} == before


def test_a_plan_writes_nothing(tmp_path: Path, demo: Path, recipe_file: Path) -> None:
    outcome = call("curate", recipe_file, "--out", tmp_path / "run", "--dry-run", "--json")
    plan = json.loads(outcome.out)
    assert [step["step"] for step in plan] == ["score demo_clip", "score hype", "dedup", "select"]
    assert [step["rows"] for step in plan] == [1030] * 4
    assert not any(step["complete"] or step["done"] for step in plan)
    assert not (tmp_path / "run").exists()
    plan = json.loads(call("curate", recipe_file, "--out", demo, "--dry-run", "--json").out)
    assert [step["complete"] for step in plan] == [True, True, True, False]
    assert plan[0]["done"] == plan[0]["units"] == 2


def test_a_person_sees_every_step(demo: Path, recipe_file: Path) -> None:
    outcome = call("curate", recipe_file, "--out", demo)
    assert outcome.code == 0
    for told in ("demo_clip", "SemDeDup", "selection", "540", "selection.npy"):
        assert told in outcome.out


def test_metadata_columns_alone(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[select]\nexpression = "top(lite0_minilm_similarity_score, 0.25)"\n')
    outcome = call("curate", recipe, "--pool", POOL, "--out", tmp_path / "run", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["select"]["kept"] == 257
    assert (tmp_path / "run" / "subset.npy").exists()


@pytest.mark.parametrize("ids", [None, "name"])
def test_a_pool_of_texts_without_uids(ids: str | None, tmp_path: Path) -> None:
    texts = {"text": ["a red kite", "zwei rote", "the dog"], "lang": ["en", "de", "en"]}
    names = {"name": ["c", "a", "b"], "uid": ["", "", ""]} if ids else {}
    pq.write_table(pa.table({**texts, **names}), tmp_path / "pool.parquet")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        ('ids = "name"\n' if ids else "")
        + '[score.caption]\nlid = "column:lang"\n'
        + "[select]\nexpression = '"
        + ('lang == "en" & ' if ids else "")
        + "caption'\n"
    )
    pool, run = tmp_path / "pool.parquet", tmp_path / "run"
    outcome = call("curate", recipe, "--pool", pool, "--out", run, "--json")
    assert outcome.code == 0, outcome.err
    kept = pq.read_table(run / "subset.parquet", use_threads=False)["id"].to_pylist()
    assert kept == (["b", "c"] if ids else [0, 2])


def test_a_selection_from_nothing(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/a.jsonl").write_text('{"text": "a red kite"}\n')
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[select]\nexpression = "clip > 1"\n')
    outcome = call("curate", recipe, "--pool", tmp_path / "pool", "--out", tmp_path / "run")
    assert outcome.code == 2 and "holds no score table yet" in outcome.told


def test_an_expression_is_checked_before_the_work(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[score.clip]\nimage = "lite0_minilm_img"\ntext = "minilm_txt"\n'
        '[select]\nexpression = "top(clip, 0.25"\n'
    )
    outcome = call("curate", recipe, "--pool", POOL, "--out", tmp_path / "run")
    assert outcome.code == 2 and "top(clip, 0.25" in outcome.err
    assert not (tmp_path / "run").exists()


def test_a_plan_tells_what_the_run_would_refuse(demo: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    for options, told in {
        'scorer = "clip"\nimage = "minilm_txt"\ntext = "minilm_txt"': "started with another recipe",
        'scorer = "caption"\nlid = "lid.176.bin"': "lid.176.bin, but there is no such file",
    }.items():
        recipe.write_text(f"[score.demo_clip]\n{options}\n")
        outcome = call("curate", recipe, "--pool", POOL, "--out", demo, "--dry-run")
        assert outcome.code == 2 and told in outcome.told


def test_another_recipe_on_the_same_run_is_refused(demo: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[dedup]\nembedding = "minilm_txt"\n')
    outcome = call("curate", recipe, "--pool", POOL, "--out", demo)
    assert outcome.code == 2
    assert "another recipe" in outcome.told and "lite0_img" in outcome.told
