"""`tamis info` and `tamis --version`."""

from __future__ import annotations

import json

import pytest
from tests.cli.command import call, run

import tamis


def test_json_is_what_the_library_says() -> None:
    outcome = run("info", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out) == tamis.info()


def test_it_names_version_level_threads_extras_and_the_absence_of_cuda(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAMIS_CPU_ISA", "scalar")
    monkeypatch.setenv("TAMIS_NUM_THREADS", "3")
    outcome = call("info")
    assert outcome.code == 0
    text = " ".join(outcome.out.split())
    assert f"tamis {tamis.__version__} on Python" in text
    assert "instructions scalar in use, of scalar" in text
    assert "threads 3" in text
    assert f"CUDA no: {tamis.info()['cuda']['reason']}" in text
    for package in tamis.info()["extras"]:
        assert package in text


def test_an_unknown_instruction_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_CPU_ISA", "mmx")
    outcome = call("info")
    assert outcome.code == 2
    assert "mmx" in outcome.told


def test_version() -> None:
    assert call("--version").out == f"tamis {tamis.__version__}\n"
