"""HYPE in a recipe: its options are the command's, its files lie beside the recipe."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.cli.command import call
from tests.filters.hype.hype_run import table
from tests.filters.hype.makers import random_rows, small_adapter
from tests.filters.hype.reference_pools import write_pool

from tamis.cli.score.hype import hype
from tamis.curate.hype_options import HypeOptions
from tamis.curate.place import Place
from tamis.data.ids import Ids
from tamis.errors import PoolError
from tamis.filters.hype.adapter import Adapter
from tamis.filters.hype.scorer import Hype
from tamis.run.progress import Quiet

SHARED = {"out", "pool", "ids", "name"}


def test_the_options_are_those_of_the_command() -> None:
    parameters = inspect.signature(hype).parameters
    assert {*HypeOptions.model_fields} == {*parameters} - SHARED
    for name, field in HypeOptions.model_fields.items():
        default = parameters[name].default
        assert (field.get_default(call_default_factory=True) or None) == (default or None), name


def test_what_it_needs_and_when_it_is_light() -> None:
    assert HypeOptions(embeddings="a", text_embeddings="b").needs == {"a", "b"}
    assert HypeOptions(image="img", curvature=1).needs == set()
    assert HypeOptions(reference=Path("r.safetensors")).is_light
    for heavy in ({}, {"clip": "c"}, {"imagenet": "c"}):
        options = {"reference": "r.safetensors", **heavy} if heavy else {}
        assert not HypeOptions.model_validate(options).is_light


def test_files_lie_beside_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, run, folder = tmp_path / "pool", tmp_path / "run", tmp_path / "recipes"
    folder.mkdir()
    pool.mkdir()
    uids = Ids.of([f"{row:032x}" for row in range(30)]).to_arrow()
    np.savez(pool / "0.npz", i=random_rows(30, 8), t=random_rows(30, 6, seed=1))
    pq.write_table(pa.table({"uid": uids}), pool / "0.parquet")
    pq.write_table(pa.table({"uid": uids, "c": np.ones(30)}), folder / "more.parquet")
    adapter = small_adapter()
    adapter.save(folder / "a.safetensors")
    place = Place(str(pool), run, folder)
    sides = {"image": "i", "text": "t"}
    first = HypeOptions(**sides, adapter="a.safetensors", clip="c", scores=["more.parquet"])
    made = first.make("hype", place, Quiet())
    assert isinstance(made, Hype) and made.weights.keys() >= {"clip"}
    assert made.reference.space.model == adapter.model
    (run / "reference.safetensors").rename(folder / "r.safetensors")
    again = HypeOptions(**sides, adapter="a.safetensors", reference=Path("r.safetensors"))
    assert isinstance(again.make("hype", place, Quiet()), Hype)
    with pytest.raises(PoolError, match=str(folder / "other.safetensors")):
        HypeOptions(**sides, adapter="other.safetensors").make("hype", place, Quiet())

    asked: list[object] = []
    monkeypatch.setattr(Adapter, "load", lambda source: asked.append(source) or adapter)
    HypeOptions(**sides, adapter="demo").make("hype", place, Quiet())
    assert asked == ["demo"]


def test_a_recipe_with_terms_of_its_own_steps(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool", [40, 20])
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        """
        title = "HYPE with CLIP, which is made first wherever it stands"
        [score.hype]
        image = "img"
        text = "txt"
        curvature = 0.5
        reference_rows = 50
        clip = "clip"
        weights = { clip = 0.5 }
        [score.clip]
        image = "img"
        text = "txt"
        [select]
        expression = "top(hype, 0.25)"
        """,
        encoding="utf-8",
    )
    run = tmp_path / "run"
    command = ("curate", recipe, "--pool", tmp_path / "pool", "--out", run)
    planned = call(*command, "--dry-run")
    assert planned.code == 0, planned.err
    assert not run.exists() or not (run / "reference.safetensors").exists()
    done = call(*command, "--quiet")
    assert done.code == 0, done.err
    clip = pq.read_table(run / "scores/clip/scores.parquet").column("clip").to_numpy()
    given = table(run).column("hype_clip").to_numpy()
    assert np.array_equal(given, clip, equal_nan=True)
    assert json.loads((run / "subset.npy.json").read_text())["kept"] == 15
    assert call(*command, "--quiet").code == 0
