"""A caption step that is killed at random moments ends byte-identical."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.filters.sieve.captioners import Toy, picture, write_images
from tests.run.snapshot import snapshot

import tamis
from tamis.data.samples import open_samples
from tamis.filters.sieve.captions import run_captions, step_folder

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("slow_captions.py")
N_ROWS = 20


def start(pool: Path, out: Path, pause: float) -> subprocess.Popen[str]:
    folders = [str(Path(tamis.__file__).parents[1]), str(ROOT)]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, str(pause), pool, out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def n_done(out: Path) -> int:
    """Units that have their file."""
    return len(list((step_folder(out, "toy") / "captions").glob("*.parquet")))


def test_kill_at_random_moments(tmp_path: Path) -> None:
    images = write_images(tmp_path / "pool", [picture(n) for n in range(N_ROWS)])
    options = {"captions": 3, "rows_per_unit": 2, "batch_size": 4}
    run_captions(open_samples(images), tmp_path / "unbroken", Toy(), **options)
    moments = random.Random(0)
    out = tmp_path / "run"
    kills = 0
    for units_more in (1, 3, 2):
        before = n_done(out)
        process = start(images, out, 0.02)
        while n_done(out) < before + units_more and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills > 1 and 6 <= n_done(out) <= N_ROWS // 2
    process = start(images, out, 0)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, "")
    name = "toy"
    assert snapshot(step_folder(out, name)) == snapshot(step_folder(tmp_path / "unbroken", name))
