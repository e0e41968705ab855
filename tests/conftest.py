"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType

import pytest
import tests.torchvision_guard.sitecustomize  # noqa: F401 - before any import of torchvision
from hypothesis import settings

# Workers of one run share the cores: threads of torch and BLAS, which spin, would take them twice.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A slow machine is no failure, and a failure must be the same in every run.
settings.register_profile("tamis", deadline=None, derandomize=True, database=None)
settings.load_profile("tamis")

Pin = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="session")
def levels() -> tuple[str, ...]:
    """The instruction sets of this machine, as TAMIS_CPU_ISA names them."""
    import tamis

    return tuple(tamis.info()["cpu"]["levels"])


@pytest.fixture(scope="session")
def pinned() -> Pin:
    """`with pinned(isa="avx2", threads=1):` fixes what the kernels read at every call."""
    return _pinned


@pytest.fixture(scope="session")
def exact() -> ModuleType:
    """The float64 kernels that the filters use."""
    from tamis.kernels import exact

    return exact


@contextmanager
def _pinned(*, isa: str | None = None, threads: int | None = None) -> Iterator[None]:
    wanted = {
        "TAMIS_CPU_ISA": isa,
        "TAMIS_NUM_THREADS": None if threads is None else str(threads),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in wanted.items():
            if value is not None:
                patch.setitem(os.environ, name, value)
        yield
