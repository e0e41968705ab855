"""The benchmark of T-MARS, on toy sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.command import environment

SCRIPT = Path(__file__).resolve().parents[2] / "bench/tmars.py"

pytest.importorskip("rapidocr_onnxruntime", reason="carries the networks that find and read text")


def test_a_quick_run() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--budget", "0", "--threads", "2"],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    for told in ("step: detect", "fill: inpaint", "detector at 320 px", "16 to 36 px", "without"):
        assert told in done.stdout, done.stdout
