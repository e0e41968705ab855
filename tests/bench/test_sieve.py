"""The benchmark of SIEVE, on toy sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.command import environment

SCRIPT = Path(__file__).resolve().parents[2] / "bench/sieve.py"


def test_a_quick_run() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--budget", "0", "--threads", "2"],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    for case in ("encode 60", "rescore 2000x8x384"):
        assert any(line.split()[:3] == [*case.split(), "tamis"] for line in done.stdout.split("\n"))
    assert "WRONG" not in done.stdout
