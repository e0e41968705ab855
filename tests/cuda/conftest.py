"""The emulated CUDA library."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
from tests.cuda.extension import emulated_cuda
from tests.cuda.library import LARGE, POISON, Library, build


@pytest.fixture(scope="session")
def built() -> Library:
    return Library(build())


@pytest.fixture(scope="module", params=["mma", "wgmma"])
def mainloop(built: Library, request: pytest.FixtureRequest) -> Iterator[str]:
    """The emulated device multiplies in either way; memory that nobody wrote differs, too."""
    built.call("choose_mainloop", int(request.param == "wgmma"))
    built.poison = LARGE if request.param == "wgmma" else POISON
    yield request.param
    built.poison = POISON
    built.call("choose_mainloop", 0)


@pytest.fixture
def library(built: Library) -> Iterator[Library]:
    yield built
    built.forget()


@pytest.fixture(scope="session")
def module() -> ModuleType:
    """tamis._cuda over the emulation."""
    return emulated_cuda()
