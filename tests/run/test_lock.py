"""The lock, with real second processes, and runs that are killed for good."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.run.snapshot import snapshot

import tamis
from tamis.errors import LockedError
from tamis.run.directory import RunDirectory
from tamis.run.lock import RunLock

HOLDER = """
import sys, time
from pathlib import Path
from tamis.run.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""

# Commits units for ever so slowly; says each one, so that the test can kill it in between.
JOB = """
import sys, time
import numpy as np
from tamis.run.directory import RunDirectory
folder, pause = sys.argv[1], float(sys.argv[2])
with RunDirectory.open(folder, {"seed": 0}, [], plan={"rows_per_unit": 8}) as run:
    for unit in range(12):
        name = f"{unit:05d}"
        if run.done("embed", name):
            continue
        rows = np.random.default_rng(unit).random((8, 4)).astype(np.float16)
        print("unit", unit, flush=True)
        run.commit("embed", name, {f"embeddings/{name}.npy": rows, f"notes/{name}.json": {"u": 1}})
        time.sleep(pause)
    run.finish()
print("complete", flush=True)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(tamis.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_second_process_is_told_who_holds_the_run_until_it_is_killed(tmp_path: Path) -> None:
    holder = start(HOLDER, tmp_path)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=rf"in use by process {holder.pid} on \S+ since"):
            RunLock(tmp_path)
    finally:
        kill(holder)
    with RunLock(tmp_path) as lock:  # released by the kill, nothing to clean up by hand
        assert lock.held


def test_one_process_cannot_open_a_run_twice(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path / "run", {}, []) as run:
        with pytest.raises(LockedError, match=f"process {os.getpid()} "):
            RunDirectory.open(tmp_path / "run", {}, [])
        run.close()
        run.close()
    RunDirectory.open(tmp_path / "run", {}, []).close()


def test_lock_of_an_unnamed_holder(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        (tmp_path / ".lock").write_bytes(b"?")
        with pytest.raises(LockedError, match="in use by another process"):
            RunLock(tmp_path)


def test_run_killed_twice_ends_byte_identical(tmp_path: Path) -> None:
    unbroken = start(JOB, tmp_path / "unbroken", 0)
    assert "complete" in unbroken.communicate()[0]
    for units in (3, 4):
        process = start(JOB, tmp_path / "killed", 0.01)
        assert process.stdout is not None
        for _ in range(units):
            assert process.stdout.readline().startswith("unit")
        kill(process)
        assert process.returncode == -signal.SIGKILL
    last = start(JOB, tmp_path / "killed", 0)
    output = last.communicate()[0]
    assert "complete" in output
    assert "unit 0\n" not in output  # what was done is not done again
    assert snapshot(tmp_path / "killed") == snapshot(tmp_path / "unbroken")
