"""Fixtures of the tests of embedding."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tamis.run import atomic

GUARD = Path(__file__).parents[1] / "torchvision_guard"


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk in this process: power cuts are not tested here."""
    monkeypatch.setattr(atomic, "_fsync", lambda descriptor: None)


@pytest.fixture(autouse=True, scope="session")
def _guarded_workers() -> Iterator[None]:
    """Processes that are started from here can import torchvision too."""
    with pytest.MonkeyPatch.context() as patch:
        before = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(GUARD), *([before] if before else [])]))
        patch.setenv("HF_HUB_OFFLINE", "1")
        # Where the library is imported already, which reads the variable but once.
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield
