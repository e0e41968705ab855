"""`tamis score hype`: from points to a table, in one command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.cli.command import Outcome, call
from tests.filters.hype.hype_run import column, table
from tests.filters.hype.makers import random_rows, small_adapter, write_step
from tests.filters.hype.reference_pools import BAD, N_ROWS, write_pool
from tests.run.snapshot import snapshot

from tamis.filters.hype.reference_file import open_reference
from tamis.run.pool_link import remember_pool

SIZES = (31, 1, 28)
UIDS = [f"{row * 7919:032x}" for row in range(N_ROWS)]
POINTS = ["--image", "img", "--text", "txt", "--curvature", "0.5", "--model", "m"]
FEW = ["--reference-rows", "50"]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    write_pool(tmp_path / "pool", SIZES)
    return tmp_path / "pool"


def score(pool: Path, run: Path, *options: object) -> Outcome:
    return call("score", "hype", pool, *POINTS, "--out", run, *options)


def test_one_command(pool: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = score(pool, run, *FEW)
    assert done.code == 0, done.err
    for told in (
        "unscored 4 (image embedding has a NaN: 2; text embedding has a NaN: 2)",
        "at the aperture clamp",
        "radii, image",
        "radii, reference text",
        "standard error, text 5% 0.0",
        "correlation of the terms, 56 rows",
        "2 text_specificity",
    ):
        assert told in " ".join(done.out.split()), done.out
    assert "warning" not in done.out
    assert "▇" in done.out or "█" in done.out
    made = open_reference(run / "reference.safetensors")
    assert made.count == {"img": 50, "txt": 50} and made.source["pool"] == str(pool)
    assert np.isnan(column(run, "")).nonzero()[0].tolist() == [*BAD]
    chosen = call("select", run, "top(hype, 0.5)", "--out", tmp_path / "kept.npy", "--json")
    assert json.loads(chosen.out)["kept"] == 30


def test_again_and_in_parts_the_same_bytes(pool: Path, tmp_path: Path) -> None:
    assert score(pool, tmp_path / "1", *FEW, "--quiet") == Outcome(0, "", "")
    before = snapshot(tmp_path / "1")
    assert score(pool, tmp_path / "1", "--quiet").code == 0  # the reference is there
    assert snapshot(tmp_path / "1") == before
    for part in (["--part", "2/2"], ["--part", "1/2"], []):
        assert score(pool, tmp_path / "2", *FEW, *part, "--quiet").code == 0
    assert snapshot(tmp_path / "2") == before


def test_the_summary_as_json(pool: Path, tmp_path: Path) -> None:
    found = json.loads(score(pool, tmp_path / "run", *FEW, "--json").out)
    assert found["diagnostics"]["apexes"]["reference_text"]["rows"] == 50
    assert found["recipe"]["weights"].keys() == {
        *("image_specificity", "text_specificity", "neg_distance")
    }


def test_warnings_are_printed(pool: Path, tmp_path: Path) -> None:
    unnamed = [option for option in POINTS if option not in ("--model", "m")]
    options = [*unnamed, *FEW, "--min-radius", "0.4"]
    done = call("score", "hype", pool, *options, "--out", tmp_path / "run")
    told = " ".join(done.out.split())
    assert "warning: the reference does not say which model made it" in told
    assert "of the texts are at the aperture clamp, a radius of at most 0.733" in told
    assert told.count("warning:") == 3


def test_rows_of_an_unknown_model_are_told_of(pool: Path, tmp_path: Path) -> None:
    assert score(pool, tmp_path / "run", *FEW, "--quiet").code == 0
    unnamed = [option for option in POINTS if option not in ("--model", "m")]
    named = ("--reference", tmp_path / "run/reference.safetensors", "--out", tmp_path / "other")
    found = json.loads(call("score", "hype", pool, *unnamed, *named, "--json").out)
    (warning,) = found["diagnostics"]["warnings"]
    assert warning.startswith("the rows do not say which model made them")


def test_points_of_a_hyperbolic_embed_step(tmp_path: Path) -> None:
    run = tmp_path / "run"
    sides = {"image": [random_rows(40, 8)], "text": [random_rows(40, 8, seed=1)]}
    encoder = {"model": "hype", "weights": "ab" * 32, "curvature": 0.3}
    remember_pool(run, tmp_path)
    write_step(run / "embeddings/hyp", encoder, sides, {"image": {3: "unreadable"}})
    done = call("score", "hype", "--embeddings", "hyp", "--out", run, "--only", "text", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["diagnostics"]["warnings"] == []
    assert table(run).schema.names[1:3] == ["hype", "hype_text_specificity"]
    assert open_reference(run / "reference.safetensors").count == {"img": 40, "txt": 40}


def test_an_adapter_on_frozen_embeddings(tmp_path: Path) -> None:
    pool, run = tmp_path / "pool", tmp_path / "run"
    pool.mkdir()
    np.savez(pool / "0.npz", i=random_rows(30, 8), t=random_rows(30, 6, seed=1))
    pq.write_table(pa.table({"uid": UIDS[:30]}), pool / "0.parquet")
    adapter = small_adapter()
    adapter.save(tmp_path / "a.safetensors")
    done = call(
        *("score", "hype", pool, "--image", "i", "--text", "t", "--out", run),
        *("--adapter", tmp_path / "a.safetensors", "--json"),
    )
    assert done.code == 0, done.err
    recipe = json.loads(done.out)["recipe"]
    assert recipe["image"]["space"]["model"] == adapter.model
    depends = json.loads(table(run).schema.metadata[b"tamis.depends"])
    assert depends == {"reference": recipe["reference"]["digest"], "model": adapter.model}


def test_the_five_terms_and_weights(pool: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    file = tmp_path / "more.parquet"
    columns = {"uid": UIDS[::-1], "l14": np.linspace(0, 1, N_ROWS), "in1k": [True] * N_ROWS}
    pq.write_table(pa.table(columns), file)
    given = ["--clip", "l14", "--imagenet", "more.in1k", "--scores", file]
    done = score(pool, run, *FEW, *given, "--weight", "clip=0.5", "--weight", "imagenet=-2")
    assert done.code == 0, done.err
    clip = column(run, "clip")
    assert clip[0] == 1 and clip[-1] == 0
    parts = ("image_specificity", "text_specificity", "neg_distance")
    total = sum(column(run, part).astype(np.float64) for part in parts) + 0.5 * clip - 2
    assert np.allclose(column(run, ""), total, atol=1e-6, equal_nan=True)


def test_metadata_of_the_pool(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    write_pool(pool, [N_ROWS])
    pq.write_table(pa.table({"uid": UIDS, "l14": np.linspace(0, 1, N_ROWS)}), pool / "00.parquet")
    done = score(pool, tmp_path / "run", *FEW, "--clip", "l14")
    assert done.code == 0, done.err
    assert np.array_equal(column(tmp_path / "run", "clip"), np.linspace(0, 1, N_ROWS, dtype="f4"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--only", "audio"], "expected image or text, got audio"),
        (["--mode", "fast"], 'mode must be "stable" or "paper"'),
        (["--min-radius", "0"], "min_radius must be a finite number above 0"),
        (["--weight", "clip"], "expected TERM=NUMBER, such as clip=0.5, got clip"),
        (["--weight", "clip=1"], "weight of 'clip': this score has no such term"),
        (["--weight", "a=1", "--weight", "a=2"], "got two weights of a"),
        (["--clip", "nothing"], "expected a column 'nothing' in a score table of the run"),
        (["--scores", "x.parquet"], "expected a clip or imagenet column"),
        (["--reference", "no.safetensors"], "no.safetensors"),
        (["--reference-rows", "0"], "at least 1"),
        (["--name", "a b"], "expected a name of letters"),
        (["--curvature", "0"], "curvature"),
        (["--adapter", "no.safetensors"], "no.safetensors"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(
    options: list[str], told: str, pool: Path, tmp_path: Path
) -> None:
    few = [] if "--reference" in options[0] else FEW
    outcome = score(pool, tmp_path / "run", *few, *options)
    assert outcome.code == 2
    assert told in outcome.told and "\n" not in outcome.told
    assert not (tmp_path / "run/scores/hype/scores.parquet").exists()
    early = {"--reference-rows", "--name"}  # else nothing is built in vain
    assert options[0] in early or not (tmp_path / "run/reference.safetensors").exists()


def test_one_column_is_not_both_sides(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", random_rows(20, 8))
    given = (
        "score",
        "hype",
        tmp_path / "images.npy",
        "--curvature",
        "1",
        "--out",
        tmp_path / "run",
    )
    for only in ([], ["--only", "image"]):
        outcome = call(*given, *only)
        assert outcome.code == 2
        assert "expected images and texts, got the same rows" in outcome.told
    assert not (tmp_path / "run/reference.safetensors").exists()


def test_one_side_alone_needs_the_other_only_to_build_a_reference(
    pool: Path, tmp_path: Path
) -> None:
    given = ("score", "hype", pool, "--curvature", "0.5", "--model", "m", "--only", "image")
    outcome = call(*given, "--image", "img", "--out", tmp_path / "run")
    assert outcome.code == 2
    needed = "to build a reference both sides are needed (--reference names one), but "
    assert needed in outcome.told and "several arrays" in outcome.told
    wrong = call(*given, "--image", "nothing", "--out", tmp_path / "run")
    assert wrong.code == 2 and "'nothing'" in wrong.told and needed not in wrong.told
    assert score(pool, tmp_path / "both", *FEW, "--quiet").code == 0
    named = ("--reference", tmp_path / "both/reference.safetensors")
    assert call(*given, "--image", "img", *named, "--out", tmp_path / "run").code == 0


def test_a_reference_of_another_model_or_size(pool: Path, tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    assert score(pool, run, *FEW, "--quiet").code == 0
    file = run / "reference.safetensors"
    for space in (["--model", "n"], ["--curvature", "1"], ["--kind", "space"]):
        outcome = score(pool, other, "--reference", file, *space)
        assert outcome.code == 2 and space[0][2:] in outcome.told
    both = score(pool, other, "--reference", file, *FEW)
    assert both.code == 2 and "not both" in both.told
    for changed in (["--reference-rows", "40"], ["--reference-seed", "1"]):
        outcome = score(pool, run, *changed)
        assert outcome.code == 2 and "reference" in outcome.told


def test_scores_of_two_references_are_not_mixed(pool: Path, tmp_path: Path) -> None:
    one, other, same = tmp_path / "one", tmp_path / "other", tmp_path / "same"
    assert score(pool, one, *FEW, "--quiet").code == 0
    assert score(pool, other, *FEW, "--reference-seed", "1", "--quiet").code == 0
    assert score(pool, same, "--reference", one / "reference.safetensors", "--quiet").code == 0
    made = "scores/hype/scores.parquet"
    mixed = call("select", one, "top(hype, 0.5)", "--scores", other / made)
    assert mixed.code == 2
    assert "column 'hype' was scored with another reference" in mixed.told
    passed = call("select", one, "top(hype.hype, 0.5)", "--scores", same / made)
    assert passed.code == 0, passed.err
    refused = score(pool, one, "--reference", other / "reference.safetensors")
    assert refused.code == 2 and "reference" in refused.told
