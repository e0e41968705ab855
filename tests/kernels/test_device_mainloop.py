"""The mainloop that the environment asks for is used where it is right; the GPU is emulated."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cuda.extension import emulated_cuda
from tests.cuda.fake_gpu import Gpu, fake_gpu

import cases
import tamis
from bits import assert_same_bits
from tamis import _native
from tamis.cuda import self_check

X = cases.unit_rows(300, 24)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    monkeypatch.setenv("TAMIS_CUDA_MAINLOOP", "wgmma")
    with fake_gpu(emulated_cuda()) as fake:
        monkeypatch.setattr(self_check, "_checked", set())
        monkeypatch.setattr(_native, "_mainloop_refused", {})
        monkeypatch.setattr("tamis.cuda.problem.REPEATS", 3)
        yield fake
        _native.cuda().use_mainloop(0, "mma")


def used() -> tuple[str, str | None]:
    """(mainloop, why not the one that was asked for) of the first GPU."""
    device = tamis.info()["cuda"]["devices"][0]
    return device["mainloop"], device["mainloop_reason"]


def check_results() -> None:
    assert_same_bits(tamis.assign(X, X[:40], device="cuda"), tamis.assign(X, X[:40]))
    assert_same_bits(tamis.max_cosine(X, device="cuda"), tamis.max_cosine(X))


def kernel(monkeypatch: pytest.MonkeyPatch, name: str, act: Any) -> None:
    """Let act(right, *args) stand for a kernel while wgmma is in use."""
    module: Any = _native._module
    right = module.kernel(name)

    def either(*args: Any, **kwargs: Any) -> None:
        if module.mainloop(0) == "wgmma":
            act(right, *args, **kwargs)
        else:
            right(*args, **kwargs)

    monkeypatch.setitem(module.replaced, name, either)


def test_wgmma_is_used_where_it_is_right(gpu: Gpu) -> None:
    assert used() == ("mma", None)  # nothing has been used yet
    check_results()
    assert used() == ("wgmma", None)


def test_a_wrong_wgmma_falls_back(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(right: Any, *args: Any, **kwargs: Any) -> None:
        right(*args, **kwargs)
        ctypes.c_uint8.from_address(args[6]).value ^= 1  # of a label

    kernel(monkeypatch, "assign", wrong)
    check_results()
    mainloop, why = used()
    assert mainloop == "mma"
    assert why is not None and why.startswith("assign of cuda:0 differs from the CPU's")


def test_a_gpu_that_is_wrong_in_both_ways_is_refused(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"no {tamis.info()['cuda']['devices'][0]['mainloop']} here")

    module: Any = _native._module
    monkeypatch.setitem(module.replaced, "assign", fails)
    with pytest.raises(RuntimeError, match=r"no wgmma here\); then, assign .*no mma here"):
        tamis.max_cosine(X, device="cuda")


def test_a_gpu_without_wgmma_uses_mma(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(ordinal: int, mainloop: str) -> None:
        if mainloop == "wgmma":
            raise RuntimeError("wgmma is of compute capability 9.0, and cuda:0 has 8.0")

    module: Any = _native._module
    monkeypatch.setitem(module.replaced, "use_mainloop", refuses)
    check_results()
    assert used() == ("mma", "wgmma is of compute capability 9.0, and cuda:0 has 8.0")


def test_no_room_refuses_neither(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def finds_no_room(*args: Any, **kwargs: Any) -> None:
        raise MemoryError("CUDA could not launch a kernel: out of memory")

    with monkeypatch.context() as patch:
        kernel(patch, "assign", finds_no_room)
        with pytest.raises(MemoryError, match="out of memory"):
            tamis.max_cosine(X, device="cuda")
    assert used() == ("mma", None)
    with monkeypatch.context() as patch:
        patch.setattr(gpu, "room", 5000)
        with pytest.raises(MemoryError, match="no room"):
            tamis.max_cosine(X, device="cuda")
    assert used() == ("mma", None)
    check_results()
    assert used() == ("wgmma", None)


def test_another_word_is_refused(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_CUDA_MAINLOOP", "hgmma")
    with pytest.raises(ValueError, match=r"TAMIS_CUDA_MAINLOOP must be .*, got 'hgmma'"):
        tamis.max_cosine(X, device="cuda")
