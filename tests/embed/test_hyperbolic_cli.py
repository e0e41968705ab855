"""A hyperbolic checkpoint from the command line to what is made of its rows."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from tests.cli.command import argv, call, environment
from tests.embed.hyperbolic_models import DIM, LOG_C, hype_state, meru_state
from tests.embed.small import fingerprint, picture, rows_of, write_pool

from tamis.data.pool import open_pool

N_ROWS = 30
BROKEN, COPY = 7, 12
SIZES = ["--batch-size", 4, "--rows-per-unit", 4, "--max-bad-fraction", 0.2]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "ckpt.safetensors"
    save_file(hype_state(), path)
    return path


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Row BROKEN has no image, row COPY is row 0 again."""
    pictures = [picture(row if row != COPY else 0) for row in range(N_ROWS)]
    pictures[BROKEN] = b"junk"
    texts = [f"drawing number {row}" for row in range(N_ROWS)]
    return write_pool(tmp_path_factory.mktemp("samples") / "pool", pictures, texts)


@pytest.fixture(scope="module")
def made(pool: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "run"
    command = ["embed", pool, "--model", "hype", "--weights", weights, "--out", out, *SIZES]
    done = call(*command, "--json")
    assert done.code == 0, done.err
    sides = json.loads(done.out)["sides"]
    assert (sides["image"]["embedded"], sides["text"]["embedded"]) == (N_ROWS - 1, N_ROWS)
    return out


def test_rows_are_tangent_vectors(made: Path, pool: Path) -> None:
    step = made / "embeddings/hype"
    encoder = json.loads((step / "manifest.json").read_text())["recipe"]["encoder"]
    assert encoder["model"] == "hype" and len(encoder["weights"]) == 64
    assert encoder["curvature"] == pytest.approx(np.exp(LOG_C), rel=1e-15)
    for side in ("img_emb", "text_emb"):
        rows = rows_of(step, side)
        assert rows.dtype == np.float32 and rows.shape == (N_ROWS, DIM)
        lengths = np.linalg.norm(rows, axis=1)
        assert (lengths[BROKEN] == 0) == (side == "img_emb")
        good = np.delete(lengths, BROKEN)
        assert good.min() > 0.1 and good.max() > 1.001 * good.min() and abs(good - 1).max() > 0.1
        assert open_pool(step, embedding=side).dtype == np.float32
    table = pq.read_table(step / "metadata")
    reasons = table.column("image_reason").to_pylist()
    assert [row for row, reason in enumerate(reasons) if reason is not None] == [BROKEN]
    bad = pq.read_table(step / "quarantine.parquet").to_pylist()
    assert [line["reason"] for line in bad] == [reasons[BROKEN]]


def test_parts_and_a_kill_end_in_the_same_bytes(
    made: Path, pool: Path, weights: Path, tmp_path: Path
) -> None:
    command = ["embed", pool, "--model", "hype", "--weights", weights, *SIZES]
    out = tmp_path / "run"
    killed = subprocess.Popen(
        argv(*command, "--out", out, "--part", "1/2", "--threads", 1),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    metadata = out / "embeddings/hype/metadata"
    while not list(metadata.glob("*.parquet")) and killed.poll() is None:
        time.sleep(0.001)
    killed.kill()
    _, err = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, err
    assert 1 <= len(list(metadata.glob("*.parquet"))) <= 4
    for part in (["--part", "2/2"], ["--part", "1/2"], []):
        done = call(*command, "--out", out, "--quiet", *part)
        assert done.code == 0, done.err
    assert fingerprint(out / "embeddings/hype") == fingerprint(made / "embeddings/hype")


def test_other_weights_are_refused(made: Path, pool: Path, tmp_path: Path) -> None:
    other = hype_state()
    other["curvature"] = torch.tensor(0.5)
    save_file(other, tmp_path / "other.safetensors")
    before = fingerprint(made / "embeddings/hype")
    command = ["embed", pool, "--model", "hype", "--weights", tmp_path / "other.safetensors"]
    done = call(*command, "--out", made, *SIZES)
    assert done.code == 2 and "curvature" in done.told
    assert fingerprint(made / "embeddings/hype") == before


def test_directions_are_compared(made: Path) -> None:
    """The cosine of what clip and dedup are given is that of tangent vectors: of directions."""
    done = call("score", "clip", "--embeddings", "hype", "--out", made, "--json")
    assert done.code == 0, done.err
    images, texts = (
        rows_of(made / "embeddings/hype", side).astype("f8") for side in ("img_emb", "text_emb")
    )
    table = pq.read_table(made / "scores/clip/scores.parquet")
    found = table.column("clip").to_numpy(zero_copy_only=False)
    good = np.arange(N_ROWS) != BROKEN
    lengths = np.linalg.norm(images, axis=1) * np.linalg.norm(texts, axis=1)
    np.testing.assert_allclose(
        found[good], (images * texts).sum(1)[good] / lengths[good], rtol=0, atol=2e-3
    )
    assert np.isnan(found[BROKEN])


def test_dedup_finds_the_copy(made: Path, tmp_path: Path) -> None:
    step = made / "embeddings/hype"
    options = ["--embedding", "img_emb", "--clusters", 1, "--eps", 1e-4]
    done = call(
        "dedup", step, *options, "--out", tmp_path / "run", "--max-bad-fraction", 0.2, "--json"
    )
    assert done.code == 0, done.err
    groups = pq.read_table(tmp_path / "run/groups.parquet").to_pylist()
    assert {line["role"] for line in groups} == {"kept", "removed"} and len(groups) == 2
    ids = open_pool(step, embedding="img_emb").ids().to_list()
    assert {line["uid"] for line in groups} == {ids[0], ids[COPY]}


def test_meru_of_its_published_shape(pool: Path, tmp_path: Path) -> None:
    torch.save({"model": meru_state(), "iteration": 3}, tmp_path / "meru.pth")
    command = ["embed", pool, "--model", "meru", "--weights", tmp_path / "meru.pth", *SIZES]
    done = call(*command, "--out", tmp_path / "run", "--sides", "text")
    assert done.code == 0, done.err
    assert "30 x 24" in done.out and "meru" in done.out
    assert rows_of(tmp_path / "run/embeddings/meru", "text_emb").dtype == np.float32


def test_a_recipe_with_a_checkpoint(pool: Path, weights: Path, made: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    step = '[embed.mine]\nmodel = "hype"\nbatch_size = 4\nmax_bad_fraction = 0.2\n'
    recipe.write_text(f'pool = "{pool}"\n{step}')
    done = call("curate", recipe, "--out", tmp_path / "run")
    assert done.code == 2 and "hype has no weights of its own" in done.told
    (tmp_path / weights.name).write_bytes(weights.read_bytes())
    recipe.write_text(f'pool = "{pool}"\n{step}weights = "{weights.name}"\n')
    done = call("curate", recipe, "--out", tmp_path / "run", "--quiet")
    assert done.code == 0, done.err
    for side in ("img_emb", "text_emb"):
        rows = rows_of(tmp_path / "run/embeddings/mine", side)
        expected = rows_of(made / "embeddings/hype", side)
        assert (rows.view("u4") == expected.view("u4")).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model", "hype"], "hype has no weights of its own; name a checkpoint of that kind"),
        (["--model", "hype", "--dry-run"], "hype has no weights of its own"),
        (["--model", "meru", "--weights", "none.pth"], "nothing is there"),
        (["--model", "hype:ViT-L-14"], "expected a model open_clip:MODEL/PRETRAINED"),
        (["--model", "hype", "--weights", "x", "--long", "truncate"], "is for causal models"),
    ],
)
def test_usage(options: list[str], told: str, pool: Path, tmp_path: Path) -> None:
    done = call("embed", pool, *options, "--out", tmp_path / "run")
    assert done.code == 2 and told in done.told
    assert not (tmp_path / "run").exists()
