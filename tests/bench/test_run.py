"""The benchmark's commands, on toy sizes and without any rival."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench.bars import objective, share, speed
from bench.machine import machine_name, microarchitecture
from bench.results import Result, read_results, write_results

from bench import compare, rivals, run, timing

ROOT = Path(__file__).resolve().parents[2]
RESULT = Result(
    *("assign", "case", "tamis", "int8", 3, 0.5, 0.4, 0.6, 1.0, 100.0, 200.0, 0.5, 1.1, 0.0),
    *(10, 0, False, 1.0, ""),
)


def bench(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    # No compiler on the path: the peaks are then not measured.
    environment = os.environ | {"PATH": "/nonexistent", "CXX": ""}
    return subprocess.run(
        [sys.executable, str(ROOT / "bench" / script), *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_a_quick_run_of_everything_without_rivals(tmp_path: Path) -> None:
    done = bench("run.py", "--quick", "--rivals", "none", "--threads", "2", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "not measured: there is no C++ compiler" in done.stdout
    [path] = tmp_path.glob("*.json")
    conditions, results = read_results(path)
    assert conditions["threads"] == 2 and conditions["libraries"][0].startswith("tamis ")
    assert {result.op for result in results} == set(run.OPS)
    assert all(result.checked and not result.wrong and result.median_s > 0 for result in results)
    assert path.with_suffix(".csv").read_text().count("\n") == len(results) + 1
    assert "| tamis |" in path.with_suffix(".md").read_text()

    same = bench("compare.py", str(path), str(path))
    assert same.returncode == 0 and same.stdout.count("| 1.00 |") == len(results)


def test_list_names_the_cases_of_an_op() -> None:
    done = bench("run.py", "--list", "--op", "kmeans")
    assert done.returncode == 0
    assert [line.split("-")[0] for line in done.stdout.splitlines()] == ["kmeans", "kmeans"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--case", "nothing"], "no case"),
        (["--rivals", "cuml"], "expected rivals among"),
        (["--threads", "0"], "at least 1"),
    ],
)
def test_usage_errors_say_what_was_expected(words: list[str], message: str) -> None:
    done = bench("run.py", "--quick", *words)
    assert done.returncode == 2 and message in done.stderr


def test_an_absent_rival_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    present, absent = rivals.load(["faiss", "numpy"], threads=1)
    assert [rival.name for rival in present] == ["numpy"]
    assert absent == ["faiss is left out: it is not installed; `pip install faiss-cpu` brings it"]


def test_the_published_step_of_semdedup() -> None:
    from bench.rivals.numpy_adapter import largest_earlier_cosines

    rows = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0], [0, 1]], dtype=np.float32)
    cosines = largest_earlier_cosines(rows, np.array([0, 3, 3, 5]))
    assert cosines.tolist() == pytest.approx([0, 0.6, 0.8, 0, 0])


def test_rounds_are_interleaved() -> None:
    calls: list[str] = []
    timings, answers = timing.measure(
        {name: lambda name=name: calls.append(name) or name for name in "abc"},
        budget_s=0,
        pause_s=0,
    )
    assert "".join(calls) == "abcbcacab"
    assert answers == {name: name for name in "abc"}
    assert all(len(each.wall_s) == timing.MIN_ROUNDS for each in timings.values())


def test_threads_are_pinned_for_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*timing.THREAD_VARIABLES, "TAMIS_CPU_ISA", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "avx2" if name == "TAMIS_CPU_ISA" else "7")
    timing.pin_threads(3)
    assert {os.environ[name] for name in timing.THREAD_VARIABLES} == {"3"}
    assert "TAMIS_CPU_ISA" not in os.environ


def test_bars_judge() -> None:
    results = {
        "tamis": RESULT,
        "faiss": replace(RESULT, contender="faiss", gflops=40.0, objective=0.9),
        "numpy": replace(RESULT, contender="numpy", peak_share=None),
    }
    assert speed("tamis", "faiss", 2.5).judge(results) == "PASS: tamis / faiss = 2.5 (>= 2.5)"
    assert speed("tamis", "faiss", 3.0).judge(results).startswith("MISS")
    assert speed("tamis", "torch", 3.0).judge(results).startswith("not measured")
    assert share("tamis", 0.51).judge(results).startswith("MISS")
    assert share("numpy", 0.5).judge(results).startswith("not measured")
    assert objective("tamis", "faiss", 1e-4).judge(results).startswith("MISS")
    assert objective("faiss", "tamis", 1e-4).judge(results).startswith("PASS")


def test_compare_flags_a_loss() -> None:
    _, same = compare.compare([RESULT], [replace(RESULT, gflops=95.1)])
    lines, lost = compare.compare([RESULT], [replace(RESULT, gflops=94.9, best_s=0.7)])
    assert not same and lost and lines[-1].endswith("LOSS of 5% |")
    rival = replace(RESULT, contender="faiss")
    assert not compare.compare([rival], [replace(rival, gflops=1.0)])[1]
    assert compare.compare([RESULT], [replace(RESULT, wrong=True)])[1]


def test_results_come_back(tmp_path: Path) -> None:
    write_results(tmp_path / "a-b", {"machine": "m"}, [RESULT])
    assert read_results(tmp_path / "a-b.json") == ({"machine": "m"}, [RESULT])
    (tmp_path / "c.json").write_text(json.dumps({"results": []}))
    with pytest.raises(ValueError, match="expected a results file"):
        read_results(tmp_path / "c.json")


def test_machines_have_short_names() -> None:
    facts = {"vendor": "AuthenticAMD", "family": 26, "model": 2}
    assert machine_name(facts, 2, "avx512vnni") == "zen5-2c-avx512vnni"
    assert microarchitecture("AuthenticAMD", 25, 0x11) == "zen4"
    assert microarchitecture("AuthenticAMD", 25, 0x01) == "zen3"
    assert microarchitecture("GenuineIntel", 6, 143) == "sapphirerapids"
    assert microarchitecture("GenuineIntel", 6, 1) == "intel-f6-m1"
    assert microarchitecture("ARM", 0, 0) == "cpu-f0-m0"
