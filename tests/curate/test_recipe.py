"""A recipe is checked as a whole before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tamis.curate.job import plan_steps
from tamis.curate.optional import IfInstalled
from tamis.curate.recipe import CurateRecipe
from tamis.curate.scorers import SCORERS
from tamis.curate.shipped import find_recipe, shipped
from tamis.curate.steps import Outlook
from tamis.errors import RunError, require
from tamis.run.progress import Progress, Quiet
from tamis.select import ScoreTables, select

REPOSITORY = Path(__file__).parents[2]
RECIPES = sorted((REPOSITORY / "recipes").glob("*.toml"))


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_ours_plans(path: Path, tmp_path: Path) -> None:
    recipe = CurateRecipe.read(path)
    steps = plan_steps(recipe, tmp_path, pool="pool")
    assert recipe.title
    assert len(steps) == len(recipe.embed) + len(recipe.score) + bool(recipe.dedup) + bool(
        recipe.select
    )
    if recipe.select is not None:
        columns: dict[str, list[Any]] = {"semdedup": [0.1, 0.9]}
        columns["clip_b32_similarity_score"] = [0.3, 0.2]
        columns["clip_l14_similarity_score"] = columns["clip_b32_similarity_score"]
        for name, score in recipe.score.items():
            judges = (score.scorer or name) in ("basic", "image_based")
            columns[name] = [True, False] if judges else [0.3, 0.2]
        np.save(tmp_path / "dfn.npy", np.array([(1, 2)], "u8,u8"))
        tables = ScoreTables.of(["a" * 32, "b" * 32], columns)
        kept = select(tables, recipe.select.expression, folder=tmp_path)
        assert kept.report["rows"] == 2
    if path.stem != "demo":
        assert f"tamis curate {path.stem} --pool" in path.read_text(encoding="utf-8")


def test_the_package_ships_them() -> None:
    assert set(shipped()) - {"demo"} == {path.stem for path in RECIPES} - {"demo"}
    for name, path in shipped().items():
        assert path.read_bytes() == (REPOSITORY / "recipes" / f"{name}.toml").read_bytes()
        assert find_recipe(name) == (path, Path())


def test_no_such_recipe(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no recipe nothing; .*semdedup-then-clip"):
        find_recipe("nothing")
    file = written(tmp_path, "")
    assert find_recipe(file) == (file, tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("= 1", "is not TOML"),
        ('pool = "p"\ncolour = "red"', "colour"),
        ('[embed.a]\nmodel = "demo"\nbatch_size = 0', "batch_size"),
        ('[embed.a]\nmodel = "demo"\nsides = ["sound"]', "sides"),
        ('[embed."a/b"]\nmodel = "demo"', "letters, digits and _"),
        ("[embed.a]", "model"),
        ("[dedup]\neps = 0.1\nkeep = 0.5", "eps"),
        ("[select]", "expression"),
        ('[select]\nexpression = "a"\nsubset = "../x.npy"', "without a folder"),
        ('[select]\nexpression = "a"\nsubset = "subset"', "ends in .npy or .parquet"),
    ],
)
def test_what_no_recipe_says(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises((RunError, ValidationError), match=told):
        CurateRecipe.read(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[score.clip]", "names no pool: add --pool"),
        ('pool = "p"', "has no step"),
        ('pool = "p"\n[score.best]', r"\[score.best\]: expected a scorer of basic, .*got 'best'"),
        ('pool = "p"\n[score.best]\nscorer="clip"\ncolour = 1', r"\[score.best\]: colour: Extra"),
        (
            'pool = "p"\n[dedup]\nkeep = 0.5\n[select]\nexpression = "a"\nsubset = "subset.npy"',
            "subset.npy is the deduplication's own",
        ),
        ('pool = "p"\n[score.clip]\nembeddings = "b"', r"no step makes .*'b': add \[embed.b\]"),
        ('pool = "p"\n[dedup]\nembeddings = "b"', r"\[dedup\]: no step makes the embeddings 'b'"),
    ],
)
def test_what_no_steps_come_from(text: str, told: str, tmp_path: Path) -> None:
    recipe = CurateRecipe.read(written(tmp_path, text))
    with pytest.raises((RunError, ValidationError), match=told):
        plan_steps(recipe, tmp_path / "run")


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    recipe = CurateRecipe.read(written(tmp_path, 'pool = "pool"\n[score.clip]'))
    assert recipe.pool == str(tmp_path / "pool")
    recipe = CurateRecipe.read(written(tmp_path, 'pool = "s3://bucket/pool"\n[score.clip]'))
    assert recipe.pool == "s3://bucket/pool"


def test_every_scorer_is_a_command() -> None:
    from tamis.cli.score import app

    commands = {command.name for command in app.registered_commands}
    assert {name.replace("_", "-") for name in SCORERS} == commands


def test_an_optional_step_is_left_out_where_a_package_is_missing() -> None:
    step = IfInstalled(Missing())
    assert step.name == "score best"
    assert "pip install" in step.run(Quiet())["skipped"]
    assert "left out: " in step.outlook().what


class Missing:
    """A step whose package is not installed."""

    name = "score best"

    def outlook(self) -> Outlook:
        require("no_such_package", extra="best")
        raise NotImplementedError

    def run(self, progress: Progress) -> dict[str, Any]:
        require("no_such_package", extra="best")
        return {}
