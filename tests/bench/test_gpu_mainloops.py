"""Rows of the GPU benchmark where the device has more than one mainloop; kernels, and the clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from bench.gpu_clock import Clock, medians
from bench.gpu_mainloops import of_the_device
from bench.gpu_rehearsal import ToyLab
from bench.gpu_result import NOT_RUN, OK, WRONG, Row, table
from bench.gpu_rows import TOY, measured
from tests.cuda.fake_gpu import changed_plan

from bench import gpu_bits, gpu_profile
from tamis import _native


@pytest.fixture
def lab() -> Iterator[ToyLab]:
    with closing(ToyLab()) as toy:
        yield toy


@pytest.fixture
def both(lab: ToyLab) -> ToyLab:
    lab.mainloops, why = of_the_device(("mma", "wgmma"))
    assert lab.mainloops == ("mma", "wgmma") and not why
    return lab


def test_a_device_may_have_one_mainloop(lab: ToyLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(ordinal: int, name: str) -> None:
        if name == "wgmma":
            raise RuntimeError("no warp groups")

    monkeypatch.setattr(_native._module, "use_mainloop", refuses, raising=False)
    assert of_the_device(("mma", "wgmma")) == (("mma",), "no warp groups")


def test_a_row_is_that_of_the_faster_mainloop(
    both: ToyLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    both.says = used.append
    ms = {"mma": 3.0, "wgmma": 2.0}

    def milliseconds(call: Any, seconds: float) -> list[float]:
        call()
        return [ms[_native.cuda().mainloop(0)]]

    monkeypatch.setattr(both, "milliseconds", milliseconds)
    for name, best, other in (("assign d=768", "wgmma", "mma"), ("kmeans", "mma", "wgmma")):
        row = measured(both, name, TOY)
        assert row.status == OK and row.ms == 2.0 and used[-1] == best
        assert row.note.startswith(f"by {best}; {other} 3 ms")
        assert row.extra[f"{best}_ms"] == 2.0 and row.extra[f"{other}_ms"] == 3.0
        ms = {"mma": 2.0, "wgmma": 3.0}
    assert used == ["mma", "wgmma", "wgmma", "mma", "wgmma", "mma"]


@pytest.mark.parametrize(("scored", "fault"), [(True, "other bits"), (False, "labels alone")])
def test_a_wrong_mainloop_is_named_and_not_taken(
    scored: bool, fault: str, both: ToyLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = _native.cuda().assign

    def wrong(*args: Any, **kwargs: Any) -> None:
        right(*args, **kwargs)
        if _native.cuda().mainloop(0) == "wgmma" and (args[7] is not None) == scored:
            _native.cuda().fill(args[6] + 4 * 299, 1, 1, device=0, stream=kwargs["stream"])

    monkeypatch.setattr(_native._module, "assign", wrong, raising=False)
    row = measured(both, "assign d=768", TOY)
    assert row.status == WRONG and f"wgmma: {fault}" in row.note
    assert "by mma; wgmma" in row.note and "mma: other" not in row.note.replace("wgmma", "")


def test_every_mainloop_agrees_with_the_cpu(both: ToyLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(run: Any, *args: Any, **kwargs: Any) -> None:
        run(*args, **kwargs)
        if _native.cuda().mainloop(0) == "wgmma":
            _native.cuda().fill(args[4] + 8 * 99, 0, 8, device=0, **kwargs)

    plan = changed_plan(_native.cuda().MaxCosine, wrong)
    monkeypatch.setattr(_native._module, "MaxCosine", plan, raising=False)
    row = measured(both, "agreement", TOY)
    assert row.status == WRONG and row.note.startswith("first: max_cosine by wgmma, seed 0")


def test_bits_ask_for_a_mainloop(
    lab: ToyLab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuses(ordinal: int, name: str) -> None:
        raise RuntimeError(f"no {name}")

    monkeypatch.setenv("TAMIS_CUDA_MAINLOOP", "wgmma")
    assert gpu_bits._choose_mainloop() == 0 and _native.cuda().mainloop(0) == "wgmma"
    monkeypatch.setattr(_native._module, "use_mainloop", refuses, raising=False)
    assert gpu_bits._choose_mainloop() == 1
    facts = {"capability": 80}
    monkeypatch.setattr(_native._module, "device", lambda ordinal: facts, raising=False)
    assert gpu_bits._choose_mainloop() == gpu_bits.NOT_RUN
    assert capsys.readouterr().out.splitlines() == ["FAILED: no wgmma", "not run: no wgmma"]
    monkeypatch.undo()


def test_kernels_are_named_and_added_up() -> None:
    space = "void tamis::cuda::(anonymous namespace)::"
    events = [
        {"cat": "kernel", "name": f"{space}find_by_mma<false>(tamis::cuda::Find)", "dur": 50000},
        {"cat": "kernel", "name": f"{space}decide<(bool)1>(int*)", "dur": 300},
        {"cat": "kernel", "name": f"{space}find_by_mma<false>(tamis::cuda::Find)", "dur": 1000},
        {"cat": "gpu_memset", "name": "Memset (Device)", "dur": 2},
        {"cat": "cpu_op", "name": "aten::mul", "dur": 9},
        {"name": "no kind"},
    ]
    times = gpu_profile.kernel_ms(events)
    assert times == {"find_by_mma<false>": 51.0, "decide<1>": 0.3, "Memset": 0.002}
    assert gpu_profile.described({"work": times}) == [
        "- work: find_by_mma<false> 51, decide<1> 0.3; 51.3 ms together"
    ]


def test_work_that_cannot_be_traced_is_not_run(
    both: ToyLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(call: Any) -> dict[str, float]:
        raise RuntimeError("no tracer")

    monkeypatch.setattr(both, "kernels", fails)
    row = measured(both, "kernels", TOY)
    assert row.status == NOT_RUN and row.note == "no trace (RuntimeError: no tracer)"


def test_the_clock_is_sampled_while_calls_are_timed() -> None:
    samples = iter([(1755.0, 690.0), (1700.0, 700.0)])
    done = threading.Event()

    def sample() -> tuple[float, float]:
        for found in samples:
            return found
        done.set()
        raise OSError("no more")

    clock = Clock(sample)
    assert done.wait(timeout=60)
    assert clock.between(0.0, time.perf_counter()) == {"sm_mhz": 1727.5, "watts": 695.0}
    assert clock.between(0.0, 0.0) == Clock(None).between(0.0, 1e9) == {}
    assert medians([(1.0, 2.0)]) == {"sm_mhz": 1.0, "watts": 2.0}
    row = Row("assign", times_ms=[1.0], extra={"sm_mhz": 1755.0, "watts": 690.0})
    assert "| 1755 MHz, 690 W |" in table([row], {}, {}, judged=True)
