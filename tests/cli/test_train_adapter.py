"""`tamis train-adapter` as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.cli.command import Outcome, argv, call, environment
from tests.filters.hype.training.learnable import learnable, write_pool
from tests.run.snapshot import snapshot

pytest.importorskip("torch")

NAMES = ["--image-embedding", "img_emb", "--text-embedding", "text_emb"]
SMALL = ["--dim", 8, "--epochs", 4, "--batch-size", 64, "--lr", 2e-2, "--validation", 0.2]
SMALL += ["--near", 0.999, "--device", "cpu"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pool(tmp_path_factory.mktemp("pairs") / "pool", *learnable())


def train(pool: Path, folder: Path, *options: object) -> Outcome:
    out = folder / "mine.safetensors"
    named = ["--pool", pool, *NAMES, "--out", out]
    return call("train-adapter", folder / "run", *named, *SMALL, *options)


def test_from_a_pool_to_an_adapter(pool: Path, tmp_path: Path) -> None:
    done = train(pool, tmp_path)
    assert done.code == 0, done.err
    assert "20/20 steps" in done.err
    assert "320 learned, 80 measured (in 80 of 400 families)" in done.out
    assert "the lowest validation loss" in done.out and "image>text" in done.out
    from tamis.filters.hype.adapter import Adapter

    adapter = Adapter.load(tmp_path / "mine.safetensors")
    assert adapter.space.dim == 8 and adapter.training["options"]["epochs"] == 4
    curves = json.loads((tmp_path / "run/adapters/mine/curves.json").read_bytes())["curves"]
    kept = adapter.training["epoch"]
    line = next(line for line in done.out.splitlines() if line.strip().startswith(f"{kept}*"))
    assert f"{curves[kept]['auc']:.4f}" in line

    before = snapshot(tmp_path)
    again = train(pool, tmp_path, "--json", "--threads", 1)
    assert again.code == 0 and json.loads(again.out)["epoch"] == kept
    assert snapshot(tmp_path) == before
    assert train(pool, tmp_path, "--epochs", 5).told.endswith("or choose another --out")


def test_embeddings_of_several_are_asked_for_by_its_own_options(tmp_path: Path) -> None:
    images, texts = learnable(20)
    np.savez(tmp_path / "0.npz", i=images, t=texts)
    pq.write_table(pa.table({"key": [f"{row}" for row in range(20)]}), tmp_path / "0.parquet")
    out = ["--out", tmp_path / "a.safetensors", "--ids", "key"]
    done = call("train-adapter", tmp_path / "run", "--pool", tmp_path, *out)
    assert done.code == 2 and "has several arrays: i, t; choose one" in done.told
    assert "--image-embedding and --text-embedding" in done.told


def test_the_usual_values_are_those_of_the_library() -> None:
    from inspect import signature

    from tamis.cli.train_adapter import train_adapter
    from tamis.filters.hype.training import Options
    from tamis.filters.hype.training.job import MEMORY_BYTES, ROWS

    parameters = signature(train_adapter).parameters
    for name, value in Options().recipe().items():
        assert parameters[name].default == value
    assert parameters["rows"].default == ROWS
    assert parameters["memory"].default * 1e9 == MEMORY_BYTES


def test_an_interrupted_training_goes_on(pool: Path, tmp_path: Path) -> None:
    assert train(pool, tmp_path / "whole", "-q", "--epochs", 60).code == 0
    (tmp_path / "cut").mkdir()
    out = tmp_path / "cut/mine.safetensors"
    options = ["--pool", pool, *NAMES, "--out", out, *SMALL, "-q", "--epochs", 60]
    process = subprocess.Popen(
        argv("train-adapter", tmp_path / "cut/run", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    until = time.monotonic() + 60
    while not (tmp_path / "cut/run/adapters/mine/manifest.json").exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    told, error = process.communicate(timeout=60)
    assert (process.returncode, told) == (130, "")
    assert error == "tamis: interrupted; the same command continues where it stopped\n"
    assert not out.exists()
    assert train(pool, tmp_path / "cut", "-q", "--epochs", 60).code == 0
    assert snapshot(tmp_path / "cut") == snapshot(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--batch-size", 321], "expected a batch of at most the 320 training pairs"),
        (["--epochs", 0], "epochs: expected at least 1"),
        (["--near", 1.5], "near: expected a cosine"),
        (["--keep", "worst"], "keep: expected best or last"),
        (["--threads", 0], "expected at least 1"),
        (["--memory", 0], "expected gigabytes above 0"),
        (["--memory", 1e-6], "raise --memory, or sample --rows"),
        (["--series", "colour"], "colour"),
        (["--embeddings", "demo"], "expected either --embeddings or --image-embedding"),
        (["--text-embeddings", "demo"], "expected either --text-embeddings or --text-embedding"),
        (["--text-embedding", "other"], "other"),
        (["--validation", 0.001], "the validation would be empty"),
    ],
)
def test_wrong_options_are_one_sentence(
    pool: Path, tmp_path: Path, options: list[object], told: str
) -> None:
    done = train(pool, tmp_path, *options)
    assert done.code == 2 and told in done.told
    assert not (tmp_path / "mine.safetensors").exists()
