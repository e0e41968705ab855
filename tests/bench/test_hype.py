"""The benchmark of HYPE, on toy sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.command import environment

SCRIPT = Path(__file__).resolve().parents[2] / "bench/hype.py"


def test_a_quick_run() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--budget", "0", "--threads", "2"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    for case in ("project 300x512x512", "specificity 300x60x512", "score 300, 60 references"):
        words = case.split()
        lines = [line.split() for line in done.stdout.split("\n") if line.startswith(case)]
        assert {line[len(words)].strip(",") for line in lines} >= {"tamis", "numpy"}
    assert "WRONG" not in done.stdout
