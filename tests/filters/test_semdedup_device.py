"""tamis.SemDeDup and tamis dedup give one result on the CPU and on a GPU; the GPU is emulated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cuda.extension import emulated_cuda
from tests.cuda.fake_gpu import DeviceArray, Gpu, fake_gpu

import cases
from bits import assert_same_bits
from tamis import SemDeDup
from tamis.cli.dedup import dedup
from tamis.filters.semdedup.job import Recipe, run_job
from tamis.kernels import place


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    monkeypatch.setattr(place, "LEAST_WORK", 0)
    with fake_gpu(emulated_cuda()) as fake:
        yield fake


def results(model: SemDeDup) -> tuple[Any, ...]:
    groups = model.groups_ or {}
    assert model.recall_ is not None
    return (
        *(model.max_cosine_, model.nearest_, model.labels_, model.keep_mask_),
        *(model.cluster_centers_, *groups.values(), *model.eps_curve_.values()),
        *(model.recall_.sample.any_cosine, model.recall_.sample.compared_cosine),
    )


@pytest.mark.parametrize("options", [{}, {"probes": 2}, {"which_to_keep": "easy", "keep": 0.5}])
def test_the_result_does_not_depend_on_the_device(options: dict[str, Any], gpu: Gpu) -> None:
    x = cases.families(220, 16, 1).astype(np.float32)
    x[[3, 50]] = 0
    chosen: dict[str, Any] = {"n_clusters": 6, "recall_sample": 40} | options
    if "keep" not in chosen:
        chosen["eps"] = 0.002
    expected = results(SemDeDup(**chosen).fit(x))
    assert not gpu.log  # nothing went to the GPU
    assert_same_bits(results(SemDeDup(**chosen, device="cuda").fit(x)), expected, "host array")
    assert gpu.log.count("transfer") > 10
    assert_same_bits(results(SemDeDup(**chosen).fit(DeviceArray(x, 1))), expected, "device array")


def test_a_run_does_not_depend_on_the_device(gpu: Gpu, tmp_path: Path) -> None:
    np.save(tmp_path / "pool.npy", cases.families(300, 8, 2))
    recipe = Recipe(clusters=5, eps=0.01, probes=1, recall_sample=30)
    for device in (None, "cuda"):
        run_job(tmp_path / "pool.npy", tmp_path / str(device), recipe, device=device)
    assert gpu.log.count("transfer") > 10
    files = sorted(p.relative_to(tmp_path / "None") for p in (tmp_path / "None").rglob("*.*"))
    assert len(files) > 10
    for name in files:
        if name.name not in ("log.jsonl", "pool.json", "manifest.json") and "lock" not in name.name:
            same = (tmp_path / "cuda" / name).read_bytes() == (
                tmp_path / "None" / name
            ).read_bytes()
            assert same, name
    manifest = [json.loads((tmp_path / d / "manifest.json").read_text()) for d in ("None", "cuda")]
    assert manifest[0]["recipe"] == manifest[1]["recipe"]
    # The other device may go on with the run.
    assert run_job(tmp_path / "pool.npy", tmp_path / "cuda", recipe, device="cpu")["kept"] > 0


def test_small_calls_stay_on_the_cpu(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert place.LEAST_WORK > 1 << 20


def test_the_command_takes_a_device(gpu: Gpu, tmp_path: Path) -> None:
    np.save(tmp_path / "pool.npy", cases.families(100, 8, 2))
    dedup(
        tmp_path / "pool.npy", tmp_path / "run", clusters="5", eps=0.01, device="cuda", quiet=True
    )
    assert gpu.log.count("transfer") > 10
    with pytest.raises(RuntimeError, match="cuda:9 does not exist"):
        dedup(tmp_path / "pool.npy", tmp_path / "other", device="cuda:9", quiet=True)
    assert not (tmp_path / "other").exists()
