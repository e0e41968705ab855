"""Fixtures of the tests of what people look at."""

from __future__ import annotations

import pytest

from tamis.run import atomic


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk in this process: power cuts are not tested here."""
    monkeypatch.setattr(atomic, "_fsync", lambda descriptor: None)
