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

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("slow_embed.py")


def start(pool: Path, out: Path, pause: float, *part: str) -> subprocess.Popen[str]:
    folders = [str(Path(tamis.__file__).parents[1]), str(ROOT)]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, str(pause), pool, out, *part],
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


def n_done(out: Path) -> int:
    """Units that have all their files."""
    return len(list(step(out).glob("metadata/*.parquet")))


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
    out = tmp_path / "run"
    kills = 0
    for units_more in (0, 1, 3, 2, 2):
        before = n_done(out)
        process = start(tmp_path / "pool", out, 0.02)
        while n_done(out) < before + units_more and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        wait_until_gone(process.pid)
    assert kills > 2 and n_done(out) >= 8
    process = start(tmp_path / "pool", out, 0)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert snapshot(step(out)) == expected
    wait_until_gone(process.pid)


def test_parts_at_the_same_time(tmp_path: Path) -> None:
    pool = plain_pool(tmp_path / "pool")
    embed(pool, tmp_path / "one", rows_per_unit=3)
    out = tmp_path / "run"
    parts = [start(tmp_path / "pool", out, 0.02, f"{i}/3") for i in (1, 2, 3)]
    while not n_done(out):
        assert parts[1].poll() is None
        time.sleep(0.01)
    parts[1].kill()
    for i, process in enumerate(parts):
        _, err = process.communicate(timeout=60)
        assert process.returncode == (-signal.SIGKILL if i == 1 else 0), err
    done = n_done(out)
    assert 10 <= done < 15  # two parts of five units each, and some of the third
    embed(pool, out, rows_per_unit=3)
    assert snapshot(step(out)) == snapshot(step(tmp_path / "one"))


def test_interrupt(tmp_path: Path) -> None:
    plain_pool(tmp_path / "pool")
    out = tmp_path / "run"
    process = start(tmp_path / "pool", out, 0.05)
    while not n_done(out):
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
