"""A GPU that gives another bit than the CPU is refused at its first use; the GPU is emulated."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.cuda.extension import emulated_cuda
from tests.cuda.fake_gpu import DeviceArray, Gpu, changed_plan, fake_gpu

import cases
import tamis
from bits import assert_same_bits
from tamis import _native
from tamis.cuda import self_check
from tamis.cuda.problem import DIMS, few_rows, make_problem


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    with fake_gpu(emulated_cuda()) as fake:
        monkeypatch.setattr(self_check, "_checked", set())
        # Walks are long enough where blocks are few.
        monkeypatch.setattr("tamis.cuda.problem.REPEATS", 3)
        yield fake


def spoil(
    monkeypatch: pytest.MonkeyPatch, name: str, out: int, call_number: int, byte: int
) -> None:
    """Let one call of a kernel flip a bit of what it writes to argument `out`."""
    module: Any = _native._module
    kernel, calls = module.kernel(name), iter(range(10_000))

    def wrong(*args: Any, **kwargs: Any) -> None:
        kernel(*args, **kwargs)
        if next(calls) == call_number:
            ctypes.c_uint8.from_address(args[out] + byte).value ^= 1

    monkeypatch.setitem(module.replaced, name, wrong)


def test_a_good_gpu_is_checked_once(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    difference = self_check.difference
    monkeypatch.setattr(
        self_check, "difference", lambda device: calls.append(device.ordinal) or difference(device)
    )
    x = cases.unit_rows(5, 4)
    for ordinal in (0, 1, 0, 1):
        tamis.max_cosine(DeviceArray(x, ordinal))
    assert calls == [0, 1]
    assert tamis.info()["cuda"]["reason"] is None
    gc.collect()
    assert gpu.in_use < 1000


@pytest.mark.parametrize(
    ("kernel", "out", "call_number", "byte", "operation"),
    [
        ("canonical", 4, 0, 0, "canonical"),
        ("canonical", 5, 1, 0, "canonical"),
        ("assign", 6, 0, 0, "assign"),
        ("assign", 6, 2, 0, "k-means"),
        ("assign", 7, 3, 800, "assign"),
        ("assign_exact", 8, 1, 0, "assign"),
        ("assign_exact", 9, 2, 0, "assign"),
        ("add_rows", 5, 0, 15, "k-means"),  # the sign and exponent of a sum
        ("next_centroids", 6, 1, 0, "k-means"),
        ("add_inertia", 6, 0, 8, "k-means"),
        ("count_changed", 3, 0, 0, "k-means"),
    ],
)
def test_one_wrong_bit_refuses_the_gpu(
    kernel: str,
    out: int,
    call_number: int,
    byte: int,
    operation: str,
    gpu: Gpu,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoil(monkeypatch, kernel, out, call_number, byte)
    x = cases.unit_rows(5, 4)
    why = f"{operation} of cuda:1 differs from the CPU's in the self-check"
    for _ in range(2):
        with pytest.raises(RuntimeError, match=f"^cuda:1 cannot be used: {why}.*use device="):
            tamis.canonical(DeviceArray(x, 1))
    with pytest.raises(RuntimeError, match=f'device="cuda:1" cannot be used: {why}'):
        tamis.assign(x, x, device="cuda:1")
    devices = tamis.info()["cuda"]["devices"]
    assert devices[0]["reason"] is None and devices[1]["reason"].startswith(why)
    assert_same_bits(tamis.assign(x, x, device="auto"), tamis.assign(x, x))


def test_a_wrong_cosine_refuses_the_gpu(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = _native._module

    def wrong(run: Any, *args: Any, **kwargs: Any) -> None:
        run(*args, **kwargs)
        ctypes.c_uint8.from_address(args[4] + 8 * 50).value ^= 1  # an index

    plan = changed_plan(module.kernel("MaxCosine"), wrong)
    monkeypatch.setitem(module.replaced, "MaxCosine", plan)
    with pytest.raises(RuntimeError, match="max_cosine of cuda:0 differs from the CPU's"):
        tamis.max_cosine(cases.unit_rows(5, 4), device="cuda")


def test_a_kernel_that_fails_refuses_the_gpu(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no kernel image is available")

    module: Any = _native._module
    monkeypatch.setitem(module.replaced, "assign", fails)
    with pytest.raises(
        RuntimeError, match=r"assign failed in the self-check of cuda:0 \(no kernel image is"
    ):
        tamis.max_cosine(cases.unit_rows(5, 4), device="cuda")


def test_no_room_for_a_kernel_refuses_nothing(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def finds_no_room(*args: Any, **kwargs: Any) -> None:
        raise MemoryError("CUDA could not launch a kernel: out of memory")

    module: Any = _native._module
    x = cases.unit_rows(5, 4)
    with monkeypatch.context() as patch:
        patch.setitem(module.replaced, "assign", finds_no_room)
        with pytest.raises(MemoryError, match="out of memory"):
            tamis.max_cosine(x, device="cuda")
    assert_same_bits(tamis.max_cosine(x, device="cuda"), tamis.max_cosine(x))


def test_a_full_gpu_is_checked_later(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    x = cases.unit_rows(5, 4)
    monkeypatch.setattr(gpu, "room", 5000)
    with pytest.raises(MemoryError, match="no room"):
        tamis.max_cosine(x, device="cuda")
    monkeypatch.setattr(gpu, "room", 1 << 30)
    assert_same_bits(tamis.max_cosine(x, device="cuda"), tamis.max_cosine(x))


def test_every_rung_is_checked(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = _native._module
    assign, plan = module.kernel("assign"), module.kernel("MaxCosine")
    assigned, compared = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)

    def counted_run(run: Any, *args: Any, **kwargs: Any) -> None:
        run(*args[:5], compared.ctypes.data, *args[6:], **kwargs)

    def counted(*args: Any, **kwargs: Any) -> None:
        assign(*args[:8], assigned.ctypes.data, *args[9:], **kwargs)

    monkeypatch.setitem(module.replaced, "assign", counted)
    monkeypatch.setitem(module.replaced, "MaxCosine", changed_plan(plan, counted_run))
    tamis.max_cosine(DeviceArray(cases.unit_rows(5, 4)))
    assert assigned[2] > 0 and compared[2] > 0


@pytest.mark.parametrize("dim", DIMS)
def test_the_problem_holds_what_it_should(dim: int) -> None:
    problem = make_problem(dim)
    state = _native.cpu.canonical(problem.raw, None)
    assert set(state.tolist()) == {1, 2, 3}
    assert not _native.cpu.canonical(_native.bits(problem.rows), None).any()
    assert not _native.cpu.canonical(_native.bits(problem.centroids), None).any()
    dots = np.sort(problem.rows.astype(float) @ problem.centroids.T.astype(float), axis=1)
    lead = dots[:, -1] - dots[:, -2]
    assert (lead == 0).sum() > 5 and (lead == 2.0**-48).sum() > 5
    assert 0 in np.diff(problem.offsets) and 1 in np.diff(problem.offsets)
    longest = int(np.diff(problem.offsets).argmax())
    begin, end = problem.offsets[longest : longest + 2]
    assert end - begin > 128
    # Rows with more candidates than a list holds: bit-identical ones, and ones that are not.
    segment = problem.rows[begin:end]
    near = segment.astype(float) @ segment.T.astype(float) > 1 - 2.0**-10
    distinct = np.unique(segment, axis=0).astype(float)
    assert len(distinct) < len(segment) - 16 and np.tril(near, -1).sum(axis=1).max() > 16
    ties = problem.rows[150:190]
    assert begin <= 150 and end >= 190 and len(np.unique(ties[:, 0])) == 40
    assert (ties[:, 1:] == ties[0, 1:]).all()
    tied = few_rows(problem).astype(float) @ problem.many[:384].T.astype(float)
    assert (tied > tied.max(axis=1, keepdims=True) - 1e-6).sum(axis=1).max() > 16
    assert len(problem.many) > 32 * 2 * 128
