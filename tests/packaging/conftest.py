"""The wheel that `make wheel` built."""

from __future__ import annotations

import os
import pathlib

import pytest


@pytest.fixture
def wheel() -> pathlib.Path:
    name = os.environ.get("TAMIS_WHEEL")
    if not name:
        pytest.skip("TAMIS_WHEEL names no wheel: run `make wheel`")
    return pathlib.Path(name)
