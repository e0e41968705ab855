"""The hashes that every build gives: gcc or clang, any machine, any instruction set."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import tamis

HERE = pathlib.Path(__file__).parent


def hashes(*words: str, **environment: str) -> dict[str, str]:
    command = [sys.executable, str(HERE / "hashes.py"), *words]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def golden() -> dict[str, str]:
    found: dict[str, Any] = json.loads((HERE / "golden_hashes.json").read_text())
    assert len(found) > 40
    return found


def test_the_reference_gives_the_golden_hashes() -> None:
    assert hashes("--reference") == golden()


def test_every_level_of_this_build_gives_the_golden_hashes() -> None:
    expected = golden()
    for level in tamis.info()["cpu"]["levels"]:
        found = hashes(TAMIS_CPU_ISA=level)
        differing = [name for name in expected if found.get(name) != expected[name]]
        assert not differing, f"{level}: {differing}"
        assert found.keys() == expected.keys()
