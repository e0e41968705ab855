"""The recorded peak, and pyarrow's allocator while a run works."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tamis.run.peak import frugal_arrow, peak_memory_bytes


def test_a_peak_never_falls() -> None:
    before = peak_memory_bytes()
    block = bytearray(b"x") * (64 << 20)
    during = peak_memory_bytes()
    del block
    assert during >= before
    assert peak_memory_bytes() >= during


def test_arrow_allocates_with_malloc_and_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    usual = pa.default_memory_pool().backend_name
    with frugal_arrow():
        assert pa.default_memory_pool().backend_name == "system"
    assert pa.default_memory_pool().backend_name == usual


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "mimalloc")
    usual = pa.default_memory_pool().backend_name
    with frugal_arrow():
        assert pa.default_memory_pool().backend_name == usual
