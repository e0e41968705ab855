"""Every example in a docstring runs, and says what it prints."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tamis

MODULES = sorted(m.name for m in pkgutil.walk_packages(tamis.__path__, "tamis."))


@pytest.mark.parametrize(
    "name", [name for name in MODULES if not name.endswith(("._cpu", "._cuda"))]
)
def test_examples_in_docstrings(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("doctest"))  # examples may write files
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.failed == 0, f"{outcome.failed} of {outcome.attempted} examples failed"


@pytest.mark.parametrize(
    "name", [name for name in tamis.__all__ if not name.endswith(("__", "Result"))]
)
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>>" in (getattr(tamis, name).__doc__ or "")
