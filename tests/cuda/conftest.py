"""The emulated CUDA library, built once per session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.cuda.library import Library, build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(build(tmp_path_factory.mktemp("emulation")))


@pytest.fixture
def library(built: Library) -> Iterator[Library]:
    yield built
    built.forget()
