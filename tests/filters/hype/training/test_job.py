"""A training step: what it leaves, how it goes on, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.embed.small import embed, plain_pool
from tests.filters.hype.makers import random_rows, write_step
from tests.filters.hype.training.learnable import SMALL, learnable, write_pool
from tests.run.snapshot import snapshot

import tamis
from tamis.errors import ChangedError, LockedError, PoolError, RunError
from tamis.kernels import sample
from tamis.run import atomic
from tamis.run.directory import RunDirectory
from tamis.run.pool_link import remember_pool

pytest.importorskip("torch")

from tamis.filters.hype.adapter import Adapter
from tamis.filters.hype.training import train
from tamis.filters.hype.training.job import run_training, step_folder

ROOT = Path(__file__).parents[4]
SCRIPT = Path(__file__).with_name("slow_training.py")


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images, texts = learnable()
    series = [f"s{i // 20}" if i < 100 else None for i in range(400)]
    return write_pool(tmp_path_factory.mktemp("pool") / "pool", images, texts, set=series)


def job(pool: Path | None, run: Path, **options: Any) -> dict[str, Any]:
    out = options.pop("out", run.parent / "adapter.safetensors")
    chosen = options.pop("options", SMALL)
    place = None if pool is None else str(pool)
    named = {"pool": place, "image": "img_emb", "text": "text_emb", "device": "cpu"}
    return run_training(run, out, chosen, **{**named, **options})


def test_it_is_the_training_of_the_arrays(pool: Path, tmp_path: Path) -> None:
    summary = job(pool, tmp_path / "run")
    expected = train(*learnable(), SMALL)
    adapter = Adapter.load(tmp_path / "adapter.safetensors")
    assert adapter.model == expected.adapter.model
    assert summary == json.loads(json.dumps(expected.summary))
    assert adapter.origins["image"] == {"embedding": "img_emb", "dim": 24, "encoder": None}
    step = step_folder(tmp_path / "run", "adapter")
    assert sorted(path.name for path in step.iterdir() if path.suffix in (".json", ".npy")) == [
        "curves.json",
        "manifest.json",
        "summary.json",
        "train_rows.npy",
        "validation_rows.npy",
    ]
    assert np.array_equal(np.load(step / "validation_rows.npy"), expected.validation)
    assert json.loads((step / "curves.json").read_bytes())["curves"] == expected.curves
    table = pq.read_table(step / "curves.parquet").to_pylist()
    assert [record["epoch"] for record in table] == [1, 2, 3, 4]
    assert table[3]["auc"] == expected.curves[4]["auc"]
    assert table[3]["image_radius_0.5"] == expected.curves[4]["image_radius"]["0.5"]
    assert (step / "adapter.safetensors").read_bytes() == (
        tmp_path / "adapter.safetensors"
    ).read_bytes()
    assert RunDirectory.read(step).verify() == []


def test_an_ended_training_only_writes_its_file_again(pool: Path, tmp_path: Path) -> None:
    first = job(pool, tmp_path / "run")
    before = snapshot(tmp_path / "run")
    content = (tmp_path / "adapter.safetensors").read_bytes()
    (tmp_path / "adapter.safetensors").unlink()
    assert job(pool, tmp_path / "run") == first
    assert (tmp_path / "adapter.safetensors").read_bytes() == content
    assert snapshot(tmp_path / "run") == before


def start(pause: float, *arguments: Path) -> subprocess.Popen[str]:
    folders = [str(Path(tamis.__file__).parents[1]), str(ROOT)]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, str(pause), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def written(path: Path) -> int:
    """When a file was written, 0 where it is not there."""
    return path.stat().st_mtime_ns if path.exists() else 0


def wait_for_more(path: Path, before: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while written(path) == before:
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.005)


def test_kill_at_random_moments(pool: Path, tmp_path: Path) -> None:
    job(pool, tmp_path / "unbroken/run")
    expected = snapshot(tmp_path / "unbroken")
    moments = random.Random(1)
    (tmp_path / "broken").mkdir()
    run, out = tmp_path / "broken/run", tmp_path / "broken/adapter.safetensors"
    checkpoint = run / "adapters/adapter/checkpoint.safetensors"
    kills = 0
    for _ in range(2):
        before = written(checkpoint)
        process = start(0.02, pool, run, out)
        wait_for_more(checkpoint, before, process)
        time.sleep(moments.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills and not out.exists()
    before = written(checkpoint)
    process = start(0.1, pool, run, out)
    wait_for_more(checkpoint, before, process)
    with pytest.raises(LockedError, match="is in use by process"):
        job(pool, run, out=out)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in told and not out.exists()
    job(pool, run, out=out)
    assert snapshot(tmp_path / "broken") == expected


def test_another_recipe_or_input_is_refused(pool: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    job(pool, run)
    with pytest.raises(ChangedError, match=r"options\.epochs: 4 -> 5"):
        job(pool, run, options=dataclasses.replace(SMALL, epochs=5))
    with pytest.raises(ChangedError, match="rows: 200000 -> 100"):
        job(pool, run, rows=100)
    images, texts = learnable()
    other = write_pool(tmp_path / "pool", images + np.float32(1e-3), texts)
    (run / "pool.json").write_text(json.dumps({"pool": str(other)}))
    with pytest.raises(ChangedError, match=r"img_emb_0.npy: same size, other content"):
        job(other, run)
    # Another name is another training.
    job(pool, tmp_path / "second", name="other", options=dataclasses.replace(SMALL, epochs=1))
    assert step_folder(tmp_path / "second", "other").is_dir()


def test_a_sample_of_rows_and_their_series(pool: Path, tmp_path: Path) -> None:
    quick = dataclasses.replace(SMALL, epochs=1, batch_size=32)
    summary = job(pool, tmp_path / "run", rows=150, series="set", options=quick)
    assert summary["pairs"] == 150
    assert summary["largest_family"] > 3
    folder = step_folder(tmp_path / "run", "adapter")
    sides = [np.load(folder / f"{side}_rows.npy") for side in ("train", "validation")]
    chosen = sample.smallest(400, 150, quick.seed, sample.TRAIN)
    assert sorted(np.concatenate(sides).tolist()) == sorted(chosen.tolist())
    of_series = [{row // 20 for row in side.tolist() if row < 100} for side in sides]
    assert of_series[0] and not of_series[0] & of_series[1]
    with pytest.raises(PoolError, match="nothing"):
        job(pool, tmp_path / "other", series="nothing", options=quick)


def test_bad_rows_are_counted_with_their_reasons(tmp_path: Path) -> None:
    images, texts = learnable()
    images[3], texts[5], images[7], texts[7] = np.nan, 0, np.inf, np.nan
    pool = write_pool(tmp_path / "pool", images, texts)
    summary = job(pool, tmp_path / "run", options=dataclasses.replace(SMALL, epochs=1))
    assert summary["skipped"] == {
        "image embedding has a NaN": 1,
        "image embedding has an infinite value; text embedding has a NaN": 1,
        "text embedding is zero": 1,
    }
    assert summary["pairs"] == summary["train_pairs"] + summary["validation_pairs"] == 397


def test_what_is_refused(pool: Path, tmp_path: Path) -> None:
    images, texts = learnable()
    other = write_pool(tmp_path / "pool", images, texts)
    np.save(other / "text_emb/text_emb_1.npy", texts[200:399])
    for change, error, told in (
        ({"memory_bytes": 10_000}, RunError, "sample --rows 62 or fewer"),
        ({"rows": 0}, ValueError, "rows: expected at least 1"),
        ({"name": "../up"}, ValueError, "expected a plain name for the adapters"),
        ({"out": tmp_path}, ValueError, "is a folder"),
        ({"image_step": "a"}, ValueError, "--image or --embeddings"),
        ({"text": "img_emb"}, ValueError, "the same rows of .* as both"),
        ({"options": dataclasses.replace(SMALL, batch_size=999)}, ValueError, "lower the batch"),
        ({"text": "nothing"}, PoolError, "nothing"),
        ({"device": "tpu"}, ValueError, "expected one of auto, cpu, cuda"),
    ):
        with pytest.raises(error, match=told):
            job(pool, tmp_path / "run", **change)
    with pytest.raises(PoolError, match=r"text_emb_1\.npy"):
        job(other, tmp_path / "second")
    assert not list(tmp_path.rglob("adapter.safetensors"))
    # None of them has begun a step that would now stand in the way.
    job(pool, tmp_path / "run", rows=100, options=dataclasses.replace(SMALL, epochs=1))


def test_sides_and_series_of_other_rows_are_refused(pool: Path, tmp_path: Path) -> None:
    run, quick = tmp_path / "run", dataclasses.replace(SMALL, epochs=1, batch_size=8)
    remember_pool(run, str(pool))
    for name, side, n_rows in (("a", "image", 40), ("b", "text", 40), ("c", "text", 41)):
        write_step(run / "embeddings" / name, {"model": "m"}, {side: [random_rows(n_rows, 6)]})
    steps = {"image": None, "text": None, "image_step": "a", "options": quick}
    with pytest.raises(PoolError, match=r"have 40 rows, the text embeddings .* 41"):
        job(None, run, **steps, text_step="c")
    with pytest.raises(PoolError, match=r"have other rows, so the column 'set' cannot be read"):
        job(pool, run, **steps, text_step="b", series="set")
    assert not (run / "adapters").exists()
    job(pool, run, **steps, text_step="b")


def test_embeddings_that_tamis_made(tmp_path: Path) -> None:
    run = tmp_path / "run"
    embed(plain_pool(tmp_path / "pool"), run)
    quick = dataclasses.replace(SMALL, epochs=1, batch_size=8)
    steps = {"image": None, "text": None, "image_step": "projection", "text_step": "projection"}
    summary = job(None, run, options=quick, **steps)
    assert summary["pairs"] == 45
    origins = Adapter.load(tmp_path / "adapter.safetensors").origins
    encoder = {"model": "projection"}
    assert origins["text"] == {"embedding": "text_emb", "dim": 12, "encoder": encoder}
