"""The GPU benchmark, rehearsed on the emulated device with toy sizes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench.gpu_lab import Lab, TorchLab
from bench.gpu_mainloops import use
from bench.gpu_model import cost_model
from bench.gpu_rehearsal import ToyLab
from bench.gpu_result import FAILED, OK, WRONG, Bar, Row, table
from bench.gpu_rows import ROWS, TOY, measured, zipf_offsets
from tests.cuda.extension import emulated_cuda
from tests.cuda.fake_gpu import changed_plan

from bench import gpu_lab, gpu_peers, gpu_work
from tamis import _array, _native
from tamis.cuda import assign, device, kmeans, libraries, max_cosine, self_check
from tamis.cuda.mainloop import MAINLOOPS

ROOT = Path(__file__).resolve().parents[2]
SANITIZER = """#!/bin/sh
while [ "$1" != "$PYTHON" ]; do shift; done
"$@" || exit
echo '========= ERROR SUMMARY: 0 errors'
"""


@pytest.fixture
def lab() -> Iterator[ToyLab]:
    with closing(ToyLab()) as toy:
        yield toy


# --- everything, as on a machine with a GPU ----------------------------------------------------


def test_the_whole_check_rehearsed(tmp_path: Path) -> None:
    emulated_cuda()
    (tmp_path / "bin").mkdir()
    sanitizer = tmp_path / "bin/compute-sanitizer"
    sanitizer.write_text(SANITIZER)
    sanitizer.chmod(sanitizer.stat().st_mode | stat.S_IEXEC)
    out = tmp_path / "out"
    variables = {
        "PATH": f"{sanitizer.parent}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "SECONDS_IN_ALL": "1800",
    }
    words = ["bash", str(ROOT / "bench/gpu_check.sh"), "--rehearse", str(out)]
    done = subprocess.run(
        words, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {path.name for path in out.iterdir()}
    assert found == {
        *("machine.txt", "tests.log", "sanitizers.log"),
        *("gpu.log", "gpu.json", "gpu.md", "summary.md"),
    }
    parts = [
        f"{part}, mma" for part in ("bits as on the CPU", "memcheck", "racecheck", "synccheck")
    ]
    parts += [f"{part}, wgmma" for part in ("bits as on the CPU", "memcheck", "synccheck")]
    for part in (*parts, "benchmark"):
        assert f"| {part} | ok |" in done.stdout
    assert done.stdout.rstrip().endswith(f"everything is in {out}")
    found = json.loads((out / "gpu.json").read_text())
    rows = found["rows"]
    assert [row["name"] for row in rows] == list(ROWS)
    assert all(row["status"] == OK and row["checked"] and not row["mismatches"] for row in rows)
    for row in rows:
        if row["name"].startswith(("assign", "max cosine", "kmeans")):
            assert {"mma_ms", "wgmma_ms"} <= set(row["extra"])
    assert found["mainloops"] == ["mma", "wgmma"] and not found["mainloop_fault"]
    assert [call["mainloop"] for call in found["first_calls"]] == ["mma", "wgmma"]
    assert "labels alone, d = 48, k = 150, wgmma: rehearsed" in (out / "gpu.md").read_text()
    assert "REHEARSAL" in done.stdout and "PASS" not in done.stdout


def test_a_check_needs_a_folder() -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "bench/gpu_check.sh")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stderr.startswith("usage:")


# --- wrong answers are seen --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kernel", "out"),
    [
        ("assign d=768", "assign", 6),
        ("assign d=768", "assign", 7),
        ("kmeans", "next_centroids", 6),
        ("from the host", "assign", 6),
        ("agreement", "add_inertia", 6),
    ],
)
def test_a_wrong_bit_makes_a_row_wrong(
    name: str, kernel: str, out: int, lab: ToyLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(_native.cuda(), kernel)

    def wrong(*args: Any, **kwargs: Any) -> None:
        right(*args, **kwargs)
        if args[out] is not None:  # scores may be
            _native.cuda().fill(args[out], 1, 1, device=0, stream=kwargs["stream"])

    monkeypatch.setattr(_native._module, kernel, wrong, raising=False)
    monkeypatch.setattr(gpu_work, "CLUSTERS", TOY.kmeans_k)
    row = measured(lab, name, TOY)
    assert row.status == WRONG and row.bad


def test_a_wrong_index_makes_a_cosine_wrong(lab: ToyLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(run: Any, *args: Any, **kwargs: Any) -> None:
        run(*args, **kwargs)
        _native.cuda().fill(args[4] + 8 * 99, 0, 8, device=0, **kwargs)

    plan = changed_plan(_native.cuda().MaxCosine, wrong)
    monkeypatch.setattr(_native._module, "MaxCosine", plan, raising=False)
    assert measured(lab, "near-copies", TOY).status == WRONG


def test_a_moving_answer_makes_a_row_wrong(lab: ToyLab, monkeypatch: pytest.MonkeyPatch) -> None:
    right, calls = _native.cuda().assign, iter(range(1000))

    def moving(*args: Any, **kwargs: Any) -> None:
        right(*args, **kwargs)
        if next(calls) == 2:  # behind the run that is compared
            _native.cuda().fill(args[7], 1, 1, device=0, stream=kwargs["stream"])

    monkeypatch.setattr(_native._module, "assign", moving, raising=False)
    row = Row("moving")
    gpu_work.assign(lab, row, lab.unit_rows(300, 16, 1), lab.unit_rows(20, 16, 2), 0.1)
    assert row.status == WRONG and "mma: two runs of the same kernels differ" in row.note
    assert row.mismatches == 0


def test_a_row_without_a_check_is_wrong() -> None:
    assert Row("unchecked", times_ms=[1.0]).judged().status == WRONG
    assert Row("checked", checked=3).judged().status == OK
    assert Row("differs", checked=3, mismatches=1).judged().status == WRONG


# --- the numbers -------------------------------------------------------------------------------


def test_bars_judge_a_rate_a_time_and_a_ratio() -> None:
    row = Row("assign", times_ms=[3.0, 1.0, 2.0], flops=1e12, checked=1, extra={"ratio": 1.2})
    assert row.ms == 2.0 and row.tflops == 500
    assert Bar("tflops", least=500).judge(row) == "PASS: 500 (>= 500 TFLOP/s)"
    assert Bar("tflops", least=501).judge(row).startswith("MISS")
    assert Bar("ms", most=1.9).judge(row) == "MISS: 2 (<= 1.9 ms)"
    assert Bar("ratio", most=1.5).judge(row) == "PASS: 1.2 (<= 1.5 ratio)"
    assert Bar("other", most=1.5).judge(row).startswith("not measured")
    failed = Row("assign", status=FAILED, times_ms=[1.0])
    assert Bar("ms", most=1.5).judge(failed).startswith("not measured")
    text = table(
        [row, failed], {"assign": (Bar("ms", most=3),)}, {"matmul_tflops": 1000}, judged=True
    )
    assert "| 50% |" in text and "**FAILED**" in text and text.count("PASS") == 1


def test_the_cost_model_multiplies_measured_rates() -> None:
    rate = {"times_ms": [1000.0], "checked": 1, "flops": 400e12}
    rows = {name: Row(name, **rate) for name in ("kmeans", "assign k=50000", "max cosine ~8.7k")}
    lines = cost_model(rows, {"to_device_gb_s": 50})
    labels = 2 * 768 * 50_000 * 440e6 / 400e12
    assert f"= {labels:.0f} s" in lines[1]
    rows["kmeans"].status = WRONG
    assert "unknown" in cost_model(rows, {})[0]


def test_zipf_segments_fill_the_rows() -> None:
    offsets = zipf_offsets(1 << 16, 12_000)
    sizes = np.diff(offsets)
    assert offsets[0] == 0 and offsets[-1] == 1 << 16 and offsets.dtype == np.int64
    assert sizes.max() == 12_000 and sizes.min() == 1 and np.sort(sizes)[-2] < 8000


# --- the lab of real GPUs, with tensors in host memory -------------------------------------------


class Event:
    def __init__(self, enable_timing: bool) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, end: Event) -> float:
        return (end.at - self.at) * 1e3


@pytest.fixture
def host_torch(monkeypatch: pytest.MonkeyPatch) -> Lab:
    torch = pytest.importorskip("torch")

    from tests.cuda.host_torch import HostTorch, ordinal

    cuda = SimpleNamespace(
        Event=Event,
        OutOfMemoryError=MemoryError,
        synchronize=lambda: None,
        reset_peak_memory_stats=lambda: None,
        memory_allocated=lambda: 5,
        max_memory_allocated=lambda: 7,
        mem_get_info=lambda: (10**9, 2 * 10**9),
        get_device_name=lambda ordinal: "host",
    )
    monkeypatch.setattr(torch, "cuda", cuda)
    monkeypatch.setattr(TorchLab, "place", "cpu")
    monkeypatch.setattr(_native, "_module", emulated_cuda())
    monkeypatch.setattr(self_check, "_checked", {0})
    monkeypatch.setitem(libraries.LIBRARIES, "torch", HostTorch)
    for module in (_array, assign, device, kmeans, max_cosine):
        monkeypatch.setattr(module, "cuda_ordinal", ordinal)
    return TorchLab()


def test_rows_through_torch(host_torch: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_lab, "WARM_UP", 1)
    monkeypatch.setattr(gpu_lab, "MOST_ROUNDS", 3)
    for name in ("assign d=768", "assign mixture", "kmeans", "max cosine ~1k", "near-copies"):
        row = measured(host_torch, name, TOY)
        assert row.status == OK and len(row.times_ms) == 3, (name, row.note)
        assert row.peak_bytes == 2
    host_torch.mainloops = MAINLOOPS
    row = measured(host_torch, "assign d=768", TOY)
    use(host_torch, MAINLOOPS[0])
    assert row.status == OK and {"mma_ms", "wgmma_ms", "labels_ms", "scores_ms"} <= set(row.extra)
    peers = gpu_peers.assignments(*_problem(host_torch))
    assert (
        list(peers) == ["torch matmul + argmax, fp16"]
        and "other labels" in peers["torch matmul + argmax, fp16"]
    )
    about = host_torch.about()
    assert about["device"] == "host" and "torch" in about["installed"]


def _problem(lab: Lab) -> tuple[Lab, Any, Any, Any]:
    rows, centroids = lab.unit_rows(50, 16, 1), lab.unit_rows(9, 16, 2)
    return lab, rows, centroids, lab.take(rows.float() @ centroids.float().T).argmax(axis=1)


def test_a_peer_that_fails_says_so(host_torch: Lab) -> None:
    def fails() -> None:
        raise RuntimeError("no kernel\nimage")

    assert gpu_peers._said(host_torch, fails, 1.0, None) == "failed (RuntimeError: no kernel)"
