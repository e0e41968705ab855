"""A run that was killed, or that could not read or write, goes on and ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tests.reshard.shards import digests, new_shards, write_pool
from tests.run.snapshot import snapshot
from tests.samples.hostile_tars import uid

import tamis
from tamis.data.subset import write_subset
from tamis.errors import PoolError, RunError
from tamis.reshard import reshard
from tamis.reshard.copying import Copier
from tamis.run import atomic

KILLS = 8
SCRIPT = Path(__file__).with_name("slow_writes.py")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, bytes]]:
    """A pool, a subset with copies, and the files of a run that was left alone."""
    folder = tmp_path_factory.mktemp("unbroken")
    pool = write_pool(folder / "pool")
    subset = folder / "subset.npy"
    write_subset(subset, [uid(number) for number in [*range(21), 3, 3, 3, 17]])
    reshard(pool, subset, folder / "out", shard_size=2)
    return pool, subset, snapshot(folder / "out")


def test_kill_at_random_moments(
    unbroken: tuple[Path, Path, dict[str, bytes]], tmp_path: Path
) -> None:
    pool, subset, expected = unbroken
    out, moments = tmp_path / "out", random.Random(0)
    kills, stopped_after = 0, set()
    while True:
        pause = "0.004" if kills < KILLS else "0"
        process = subprocess.Popen(
            [sys.executable, SCRIPT, pause, pool, subset, out],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(tamis.__file__).parents[1])},
        )
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        if kills < KILLS:
            # Once it has got somewhere, however slow that is.
            further = len(list(out.glob("*.tar"))) + kills % 3
            while process.poll() is None and len(list(out.glob("*.tar"))) < further:
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
        stopped_after.add(len(list(out.glob("*.tar"))))
    assert kills > 2 and len(stopped_after) > 2
    assert snapshot(out) == expected


@pytest.mark.parametrize("failing", range(0, 13, 4))
def test_a_shard_that_cannot_be_written(
    unbroken: tuple[Path, Path, dict[str, bytes]], tmp_path: Path, failing: int
) -> None:
    pool, subset, expected = unbroken
    out = tmp_path / "out"
    write = Copier.write

    def fail(self: Copier, number: int, file: Any) -> None:
        if number == failing:
            file.write(b"half of a shard")
            raise PoolError("the pool has gone")
        write(self, number, file)

    with mock.patch.object(Copier, "write", fail), pytest.raises(PoolError, match="has gone"):
        reshard(pool, subset, out, shard_size=2, threads=1)
    names = {path.name for path in new_shards(out)}
    assert names >= {f"{number:08d}.tar" for number in range(failing)}
    assert f"{failing:08d}.tar" not in names and len(names) < 13
    assert not (out / "summary.json").exists()
    done = {path: path.stat().st_mtime_ns for path in new_shards(out)}
    reshard(pool, subset, out, shard_size=2)
    assert snapshot(out) == expected
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())


def test_a_full_disk(unbroken: tuple[Path, Path, dict[str, bytes]], tmp_path: Path) -> None:
    pool, subset, expected = unbroken
    out = tmp_path / "out"
    written = 0
    write = atomic._write

    def fill(descriptor: int, data: Any) -> int:
        nonlocal written
        written += len(data)
        if written > 20_000:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    with mock.patch.object(atomic, "_write", fill), pytest.raises(RunError, match="disk is full"):
        reshard(pool, subset, out, shard_size=2, threads=1)
    assert digests(new_shards(out))  # those that are there are whole
    reshard(pool, subset, out, shard_size=2)
    assert snapshot(out) == expected


def test_a_finished_run_is_left_as_it_is(
    unbroken: tuple[Path, Path, dict[str, bytes]], tmp_path: Path
) -> None:
    pool, subset, expected = unbroken
    out = tmp_path / "out"
    first = reshard(pool, subset, out, shard_size=2)
    times = {path: path.stat().st_mtime_ns for path in new_shards(out)}
    assert reshard(pool, subset, out, shard_size=2) == first
    assert times == {path: path.stat().st_mtime_ns for path in new_shards(out)}
    assert snapshot(out) == expected
