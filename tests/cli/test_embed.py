"""`tamis embed` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import call, run
from tests.embed.small import fingerprint, picture, texts, write_pool

from tamis.data.pool import open_pool

N_ROWS = 10
DEMO = ["--model", "demo", "--batch-size", 4, "--rows-per-unit", 4]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples") / "pool"
    return write_pool(folder, [picture(n) for n in range(N_ROWS)], texts(N_ROWS))


@pytest.fixture(scope="module")
def made(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by the command in a process of its own, with one image worker."""
    out = tmp_path_factory.mktemp("made") / "run"
    done = run("embed", pool, *DEMO, "--out", out, "--workers", 1)
    assert done.code == 0, done.err
    assert done.out.count("10 x 384") == 2, done.out
    assert "demo stand-in" in done.out
    assert "10/10 rows" in done.err, done.err
    return out / "embeddings/demo"


def test_parts_in_this_process_give_the_same_bytes(made: Path, pool: Path, tmp_path: Path) -> None:
    for part in ("1/2", "2/2"):
        done = call("embed", pool, *DEMO, "--out", tmp_path / "run", "--part", part, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["units"] == {"1/2": 2, "2/2": 1}[part]
    done = call("embed", pool, *DEMO, "--out", tmp_path / "run", "--quiet", "--threads", 1)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert fingerprint(tmp_path / "run/embeddings/demo") == fingerprint(made)
    assert open_pool(made, embedding="img_emb").n_rows == N_ROWS


def test_sides_name_and_flip(pool: Path, tmp_path: Path) -> None:
    options = ["--sides", "image", "--flip", "--name", "mirrored", "--json"]
    done = call("embed", pool, *DEMO, "--out", tmp_path / "run", *options)
    assert done.code == 0, done.err
    assert list(json.loads(done.out)["sides"]) == ["image"]
    opened = open_pool(tmp_path / "run/embeddings/mirrored")
    assert (opened.embedding, opened.dim) == ("img_emb", 384)


def test_bad_rows(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [b"junk", picture(1)], texts(2))
    out = tmp_path / "run"
    done = call("embed", pool, *DEMO, "--out", out)
    assert done.code == 3
    assert "1 of 2 rows lack an embedding (image is in no known format (1))" in done.told
    done = call("embed", pool, *DEMO, "--out", out, "--max-bad-fraction", 0.5)
    assert done.code == 0
    assert "1 quarantined: image is in no known format" in " ".join(done.out.split())
    rows = np.load(out / "embeddings/demo/img_emb/img_emb_00000.npy")
    assert not rows[0].any() and rows[1].any()


def test_dry_run_says_what_is_done(made: Path, pool: Path) -> None:
    before = fingerprint(made.parents[1])
    shown = call("embed", pool, *DEMO, "--dry-run", "--out", made.parents[1])
    assert "3 units of at most 4 rows, 3 of them done" in shown.out
    assert fingerprint(made.parents[1]) == before


def test_dry_run_writes_nothing(pool: Path, tmp_path: Path) -> None:
    done = call("embed", pool, *DEMO, "--dry-run", "--json", "--out", tmp_path / "run")
    assert done.code == 0
    plan = json.loads(done.out)
    assert (plan["rows"], plan["units"], plan["sides"]) == (N_ROWS, 3, ["image", "text"])
    assert (plan["name"], plan["units_done"]) == ("demo", 0)
    shown = call("embed", pool, *DEMO, "--dry-run", "--flip")
    assert "3 units of at most 4 rows" in shown.out and "demo-flip" in shown.out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model", "clip"], "expected a model open_clip:MODEL/PRETRAINED"),
        (["--model", "demo"], "expected a folder for the run"),
        (["--model", "demo", "--sides", "sound"], "expected image, text or image,text"),
        (["--model", "demo", "--part", "3/2"], "expected a part I/N"),
        (["--model", "demo", "--batch-size", "0"], "expected a batch size of 1 or more"),
        (["--model", "demo", "--threads", "0"], "expected at least 1"),
        (["--model", "sentence:x", "--sides", "image", "--dry-run"], "the encoder text"),
        (["--model", "demo", "--precision", "fp16", "--out", "x"], "runs on the CPU"),
        (["--model", "demo", "--text", "nothing", "--out", "x"], "no columns to choose"),
    ],
)
def test_usage(options: list[str], told: str, pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pool.parent)
    done = call("embed", pool, *options)
    assert done.code == 2
    assert told in done.told
    assert not (pool.parent / "x").exists()
