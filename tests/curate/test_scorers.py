"""What the scorers of a recipe are made from."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.embed.small import picture, write_pool
from tests.filters.sieve.tiny_blip import save_tiny_blip

from tamis.curate.place import Place
from tamis.curate.scorers import SieveOptions, TmarsOptions
from tamis.data.asset import AssetError
from tamis.filters.sieve.scorer import Sieve
from tamis.run.progress import Quiet


@pytest.mark.parametrize("captioner", ["parquet:said.parquet#said", "blip:tiny"])
def test_a_captioner_lies_beside_its_recipe(captioner: str, tmp_path: Path) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    pool = tmp_path / "pool.parquet"
    pq.write_table(pa.table({"uid": ["0" * 32], "text": ["a cat"], "said": ["a dog"]}), pool)
    drawing = {}
    if captioner == "blip:tiny":
        save_tiny_blip(folder / "tiny")
        drawing = {"prompt": "a big ", "min_tokens": 4, "max_tokens": 9, "repetition_penalty": 2.0}
    else:
        pq.write_table(pq.read_table(pool), folder / "said.parquet")
    place = Place(str(pool), tmp_path / "run", folder, device="cpu")
    options = SieveOptions.model_validate({"captioner": captioner, **drawing})
    scorer = options.make("sieve", place, Quiet())
    assert isinstance(scorer, Sieve)
    recipe = scorer.captions.recipe()["captioner"]
    assert recipe["model"] in ("given: parquet column said", captioner)
    assert drawing.items() <= recipe.get("decoding", {}).items()


def test_a_detector_lies_beside_its_recipe(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pool = write_pool(tmp_path / "pool", [picture(1)], ["a cat"])
    place = Place(str(pool), tmp_path / "run", tmp_path / "recipes", device="cpu")
    options = TmarsOptions(model="demo", detector="net.onnx")
    with pytest.raises(AssetError, match=str(tmp_path / "recipes/net.onnx")):
        options.make("tmars", place, Quiet())
