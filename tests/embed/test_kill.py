"""An embed step that is killed at random moments ends byte-identical, and leaves no process."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.embed.small import embed, plain_pool, step
from tests.run.snapshot import snapshot

import tamis

KILLS = 12
ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("slow_embed.py")


def start(pool: Path, out: Path, pause: float) -> subprocess.Popen[str]:
    folders = [str(Path(tamis.__file__).parents[1]), str(ROOT)]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, str(pause), pool, out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def members(session: int) -> list[int]:
    """Living processes of a session, zombies apart."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def wait_until_gone(session: int) -> None:
    until = time.monotonic() + 30
    while members(session):
        assert time.monotonic() < until, "workers outlive the process that started them"
        time.sleep(0.02)


def test_kill_at_random_moments(tmp_path: Path) -> None:
    pool = plain_pool(tmp_path / "pool")
    embed(pool, tmp_path / "unbroken", rows_per_unit=3)
    expected = snapshot(step(tmp_path / "unbroken"))
    moments = random.Random(0)
    stopped_after = set()
    out = tmp_path / "run"
    for _ in range(KILLS):
        process = start(tmp_path / "pool", out, 0.02)
        time.sleep(moments.uniform(0.2, 0.9))
        process.kill()
        process.communicate()
        wait_until_gone(process.pid)
        stopped_after.add(len(list(step(out).glob("metadata/*.parquet"))))
    assert len(stopped_after) > 3
    process = start(tmp_path / "pool", out, 0)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert snapshot(step(out)) == expected
    wait_until_gone(process.pid)


def test_interrupt(tmp_path: Path) -> None:
    plain_pool(tmp_path / "pool")
    out = tmp_path / "run"
    process = start(tmp_path / "pool", out, 0.05)
    while not list(step(out).glob("metadata/*.parquet")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0 and "KeyboardInterrupt" in err
    wait_until_gone(process.pid)
    assert not list(out.rglob("*.tamis-tmp*"))


@pytest.mark.parametrize("kind", ["img_emb", "metadata"])
def test_a_removed_file_is_made_again(kind: str, tmp_path: Path) -> None:
    pool = plain_pool(tmp_path / "pool")
    embed(pool, tmp_path / "run", part=(1, 1))
    before = snapshot(step(tmp_path / "run"))
    next((step(tmp_path / "run") / kind).iterdir()).unlink()
    embed(pool, tmp_path / "run", part=(1, 1))
    after = snapshot(step(tmp_path / "run"))
    assert {name for name in before if "units" not in name} == {
        name for name in after if "units" not in name
    }
    assert all(before[name] == after[name] for name in before if "units" not in name)
