"""Runs that are killed at random moments end byte-identical to one that was left alone."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.command import call, environment
from tests.job.sample_pool import METADATA
from tests.run.snapshot import snapshot

from tamis.run.atomic import TEMPORARY_SUFFIX

KILLS = 50
PAUSE = 0.002
"""Seconds for each write to reach the disk: what a run waits for is spread over all its files."""
POOL = ["--embedding", "lite0_minilm_img", METADATA]
RECIPE = ["--clusters", "16", "--probes", "1", "--keep", "0.7", "--quiet"]
SCRIPT = Path(__file__).with_name("small_units.py")


def start(out: Path, pause: float) -> subprocess.Popen[str]:
    """A run that is about to begin or to go on."""
    process = subprocess.Popen(
        [sys.executable, SCRIPT, str(pause), "dedup", *POOL, *RECIPE, "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def recorded(journal: Path) -> int:
    """Units that are recorded as done."""
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """The files of a run that was left alone, and the seconds it took."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    process, started = start(out, PAUSE), time.perf_counter()
    assert end(process) == (0, "")
    seconds = time.perf_counter() - started
    files = snapshot(out)
    assert len([name for name in files if name.startswith("embeddings/0")]) > 8
    assert len([name for name in files if name.startswith("scores/clusters/")]) > 8
    assert len([name for name in files if name.startswith("clusters/updates/")]) > 8
    return files, seconds


def test_kill_at_random_moments(unbroken: tuple[dict[str, bytes], float], tmp_path: Path) -> None:
    expected, seconds = unbroken
    moments = random.Random(0)
    kills = ended = 0
    stopped_after = set()
    while kills < KILLS:
        out = tmp_path / f"run{ended}"
        journal = out / "units.jsonl"
        begun = recorded(journal)
        process = start(out, PAUSE)
        # Some are killed at once, the others once they have got somewhere, however slow that is.
        further = begun + moments.choice((0, 0, 1, 2, 4, 8))
        while process.poll() is None and recorded(journal) < further:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05 * seconds))
        process.send_signal(signal.SIGKILL)
        code, err = end(process)
        if code == -signal.SIGKILL:
            kills += 1
            stopped_after.add(len(journal.read_bytes()) if journal.exists() else -1)
            continue
        assert (code, err) == (0, "")
        assert snapshot(out) == expected
        ended += 1
    if out.exists():
        assert end(start(out, 0)) == (0, "")
        assert snapshot(out) == expected
        ended += 1
    assert ended > 0
    assert len(stopped_after) > KILLS // 4  # kills hit the work, not the start again and again
    assert not list(tmp_path.rglob(f"*{TEMPORARY_SUFFIX}*"))


def test_interrupt_and_go_on(unbroken: tuple[dict[str, bytes], float], tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, 0.05)
    journal = out / "units.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 12:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code, err = end(process)
    assert code == 130
    assert err == "tamis: interrupted; the same command continues where it stopped\n"
    assert not list(out.rglob(f"*{TEMPORARY_SUFFIX}*"))
    assert "has not ended" in call("select", out, "--eps", 0.1).told
    done = {name: (out / name).stat().st_mtime_ns for name in snapshot(out) if "/" in name}
    assert len(done) >= 12

    assert end(start(out, 0)) == (0, "")
    assert snapshot(out) == unbroken[0]
    assert done == {name: (out / name).stat().st_mtime_ns for name in done}  # nothing done twice


def test_a_finished_run_stays_as_it_is(
    unbroken: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for _ in range(2):
        assert end(start(out, 0)) == (0, "")
        assert snapshot(out) == unbroken[0]
    times = {name: (out / name).stat().st_mtime_ns for name in snapshot(out)}
    assert end(start(out, 0)) == (0, "")
    assert times == {name: (out / name).stat().st_mtime_ns for name in snapshot(out)}
