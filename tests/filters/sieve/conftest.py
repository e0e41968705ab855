"""Fixtures of the tests of SIEVE."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tamis.run import atomic

GUARD = Path(__file__).parents[2] / "torchvision_guard"


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


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks gain nothing from threads, and lose much where processors are shared."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
