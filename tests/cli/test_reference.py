"""`tamis reference` as a person runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.command import Outcome, call
from tests.filters.hype.reference_pools import BAD, N_ROWS, tangents, write_pool

from tamis.filters.hype.adapter import Adapter
from tamis.filters.hype.reference_file import open_reference

POINTS = ["--image", "img", "--text", "txt", "--curvature", 0.5]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    write_pool(tmp_path / "pool", [20, 40])
    return tmp_path / "pool"


def build(run: Path, pool: Path, *options: object) -> Outcome:
    return call("reference", "build", run, pool, *POINTS, *options)


def words(outcome: Outcome) -> str:
    """What was printed, lines joined."""
    assert outcome.code == 0, outcome.err
    return " ".join(outcome.out.split())


def test_a_reference_is_built_and_shown(pool: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    built = words(build(run, pool, "--rows", 20, "--seed", 4, "--model", "mine"))
    assert "images 20 texts 20" in built and "curvature 0.5" in built and "seed 4" in built
    path = run / "reference.safetensors"
    made = open_reference(path)
    assert made.digest in built and made.source["pool"] == str(pool)
    assert words(call("reference", "show", path)) == built

    told = json.loads(call("reference", "show", path, "--json").out)
    assert told == {**told, **made.manifest(), "digest": made.digest}
    assert told["space"]["model"] == "mine" and told["seed"] == 4
    radii = made.radii["txt"].radius
    assert told["radii"]["txt"]["0.5"] == np.median(radii)
    assert told["radii"]["txt"]["1"] == radii.max()


def test_the_same_command_changes_nothing_and_another_is_refused(
    pool: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert build(run, pool, "--quiet").out == ""
    before = (run / "reference.safetensors").read_bytes()
    assert build(run, pool).code == 0
    refused = build(run, pool, "--seed", 1)
    assert refused.code == 2 and "another reference is at" in refused.told
    assert (run / "reference.safetensors").read_bytes() == before
    assert build(run, pool, "--seed", 1, "--overwrite").code == 0
    assert open_reference(run / "reference.safetensors").seed == 1


def test_a_run_that_knows_its_pool_need_not_be_told(pool: Path, tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "kept" / "r.safetensors"
    assert build(run, pool).code == 0
    assert call("reference", "build", run, *POINTS, "--out", other).code == 0
    assert other.read_bytes() == (run / "reference.safetensors").read_bytes()


def test_fewer_rows_than_asked_for_are_told(pool: Path, tmp_path: Path) -> None:
    told = words(build(tmp_path / "run", pool))
    assert f"images {N_ROWS - len(BAD)} of 10,000 asked" in told
    assert "image embedding has a NaN: 2; text embedding has a NaN: 2" in told


def test_one_side(pool: Path, tmp_path: Path) -> None:
    told = words(build(tmp_path / "run", pool, "--only", "text"))
    assert "texts 58 of 10,000 asked" in told and "images" not in told


def test_what_is_at_a_clamp_is_told(tmp_path: Path) -> None:
    images, texts = tangents(8)
    images[0] *= 1000
    texts[:2] = [0.1, 0, 0, 0, 0, 0]
    np.savez(tmp_path / "r.npz", img=images, txt=texts)
    out = tmp_path / "ours.safetensors"
    command = ["reference", "import", tmp_path / "r.npz", "--curvature", 1, "--out", out]
    told = words(call(*command, "--model", "theirs"))
    assert "2 texts (25.0%) at its clamp, pi/2, for K = 0.1" in told
    assert "1 set to the limit" in told and "imported r.npz" in told and "model theirs" in told
    assert words(call("reference", "show", out)) == told
    assert call(*command, "--quiet").code == 2  # another model
    assert call(*command, "--quiet", "--overwrite").code == 0
    assert json.loads(call(*command, "--json").out)["space"]["model"] is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--rows", 0], "at least 1 reference row, got 0"),
        (["--kind", "flat"], "tangent, space, lorentz, poincare, got 'flat'"),
        (["--image", "txt"], "expected images and texts, got the same rows of"),
        (["--only", "sound"], "expected image or text, got sound"),
        (["--curvature", 0], "a finite number above 0"),
        (["--curvature", "nan"], "a finite number above 0"),
        (["--adapter", "none.safetensors"], "none.safetensors"),
        (["--image", "l14_img"], "l14_img"),
        (["--out", "r.pt"], "ends in .safetensors, got r.pt"),
    ],
)
def test_one_sentence(pool: Path, tmp_path: Path, options: list[Any], told: str) -> None:
    refused = build(tmp_path / "run", pool, *options)
    assert refused.code == 2 and told in refused.told
    assert not (tmp_path / "run" / "reference.safetensors").exists()


def test_an_adapter_and_a_curvature_contradict(pool: Path, tmp_path: Path) -> None:
    maps = {side: np.eye(4, 6, dtype=np.float16) for side in ("image", "text")}
    Adapter(maps, dict.fromkeys(maps, 1.0), 0.5, 1.0).save(tmp_path / "a.safetensors")
    both = ["--adapter", tmp_path / "a.safetensors"]
    refused = build(tmp_path / "run", pool, *both)
    assert refused.code == 2 and "an adapter or a curvature, not both" in refused.told
    done = call("reference", "build", tmp_path / "run", pool, *POINTS[:4], *both, "--json")
    told = json.loads(done.out)
    assert told["space"]["model"] == told["source"]["image"]["adapter"]
    assert told["space"]["model"].startswith("sha256:") and told["space"]["dim"] == 4


def test_points_that_nobody_declared_are_refused(pool: Path, tmp_path: Path) -> None:
    refused = call("reference", "build", tmp_path, pool, "--image", "img", "--text", "txt")
    assert refused.code == 2 and "expected an adapter" in refused.told


def test_words_of_a_file_are_not_interpreted(pool: Path, tmp_path: Path) -> None:
    told = words(build(tmp_path / "run", pool, "--model", "[red]a\x1b[31m"))
    assert "model [red]a\\x1b[31m" in told


def test_what_is_no_reference_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.safetensors").write_bytes(b"no")
    refused = call("reference", "show", tmp_path / "r.safetensors")
    assert refused.code == 2 and "is no safetensors file that can be read" in refused.told
    refused = call("reference", "show", tmp_path / "none.safetensors")
    assert refused.code == 2 and "there is no such file" in refused.told


def test_the_scores_of_a_run_are_against_a_reference_of_its_own_points(
    pool: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    score = ["score", "hype", *POINTS, "--out", run, "--quiet"]
    assert build(run, pool, "--rows", 40, "--only", "text").code == 0
    assert call(*score, "--only", "image", "--name", "images").code == 0
    assert build(run, pool, "--rows", 40, "--overwrite", "--quiet").code == 0
    assert call(*score, "--name", "both").code == 0
    for options in (["--image", "txt", "--text", "img"], ["--image", "txt", "--only", "image"]):
        refused = call(*score, "--name", "other", *options)
        assert refused.code == 2 and "another reference than was asked for" in refused.told
        assert 'image.embedding: "img" -> "txt"' in refused.told
    named = [*options, "--reference", run / "reference.safetensors"]
    assert call(*score, "--name", "other", *named).code == 0
    shutil.rmtree(pool)
    write_pool(pool, [20, 40, 1])
    grown = call(*score, "--name", "grown")
    assert grown.code == 2 and "n_rows: 60 -> 61" in grown.told
