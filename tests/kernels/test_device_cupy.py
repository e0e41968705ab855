"""tamis.cuda.libraries.Cupy, over a cupy of a few lines that minds which GPU is current."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
from tests.cuda.extension import emulated_cuda
from tests.cuda.fake_gpu import DeviceArray, FakeLibrary, Gpu, Stream, fake_gpu

import cases
import tamis
from bits import assert_same_bits
from tamis.cuda import feed, libraries


class Ndarray(DeviceArray):
    """What the library asks of a cupy array."""

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.memory.ctypes.data)

    @property
    def dtype(self) -> Any:
        return self.memory.dtype

    @property
    def strides(self) -> tuple[int, ...]:
        return self.memory.strides

    def __ge__(self, value: int) -> Ndarray:
        return Ndarray(self.values >= value, self.ordinal)

    def __getitem__(self, key: Any) -> Ndarray:
        return Ndarray(self.values[getattr(key, "values", key)], self.ordinal)

    def astype(self, dtype: Any) -> Ndarray:
        return Ndarray(self.values.astype(dtype), self.ordinal)


class FakeCupy(ModuleType):
    """One GPU is current at a time; streams and arrays belong to the one that is."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__("cupy")
        self.gpu, self.current, self.ndarray = gpu, 0, Ndarray
        self.pinned_on: set[int] = set()
        self.cuda = SimpleNamespace(
            Device=lambda ordinal: _Scope(self, ordinal),
            Stream=lambda non_blocking: _Stream(self, 7),
            get_current_stream=lambda: _Stream(self, 0),
            alloc_pinned_memory=self._pinned,
            memory=SimpleNamespace(OutOfMemoryError=FakeLibrary.out_of_memory),
            runtime=SimpleNamespace(memGetInfo=lambda: (gpu.room - gpu.in_use, gpu.room)),
        )

    def get_default_memory_pool(self) -> Any:
        return SimpleNamespace(free_bytes=lambda: 0)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Ndarray:
        memory = FakeLibrary(self.gpu, 0).empty(shape, dtype).memory
        return Ndarray(memory, self.current, self.gpu.stream)

    def asarray(self, values: Any) -> Ndarray:
        return Ndarray(np.asarray(values), self.current)

    def stack(self, arrays: list[Ndarray]) -> Ndarray:
        return Ndarray(np.stack([array.values for array in arrays]), self.current)

    def _pinned(self, n_bytes: int) -> bytearray:
        self.pinned_on.add(self.current)
        return bytearray(n_bytes)


class _Scope:
    def __init__(self, cupy: FakeCupy, ordinal: int) -> None:
        self.cupy, self.ordinal = cupy, ordinal

    def __enter__(self) -> Self:
        self.before, self.cupy.current = self.cupy.current, self.ordinal
        return self

    def __exit__(self, *_: Any) -> None:
        self.cupy.current = self.before


class _Stream(Stream):
    def __init__(self, cupy: FakeCupy, ptr: int) -> None:
        super().__init__(cupy.gpu, ptr)
        self.cupy, self.ordinal = cupy, cupy.current

    def record(self) -> Any:
        assert self.cupy.current == self.ordinal, "an event of another GPU"
        return super().record()

    def wait_event(self, event: Any) -> None:
        assert self.cupy.current == self.ordinal, "a wait on another GPU"
        super().wait_event(event)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCupy]:
    with fake_gpu(emulated_cuda()) as gpu:
        fake = FakeCupy(gpu)
        monkeypatch.setitem(sys.modules, "cupy", fake)
        monkeypatch.setitem(libraries.LIBRARIES, "cupy", libraries.Cupy)
        # The arrays' type is of this module.
        root = Ndarray.__module__.partition(".")[0]
        monkeypatch.setitem(libraries.LIBRARIES, root, libraries.Cupy)
        yield fake


@pytest.mark.parametrize("ordinal", [0, 1])
def test_arrays_stay_on_their_gpu(ordinal: int, cupy: FakeCupy) -> None:
    x = np.random.default_rng(1).standard_normal((60, 9)).astype(np.float32)
    there, stack = Ndarray(x, ordinal), Ndarray(x.reshape(2, 30, 9), ordinal)
    found = (
        *(*tamis.assign(there, there[:7]), *tamis.canonical(there), *tamis.max_cosine(there)),
        *vars(tamis.kmeans(there, 5, max_points_per_centroid=4)).values(),
        *vars(tamis.kmeans(stack, 5, spherical=False)).values(),
    )
    expected = (
        *(*tamis.assign(x, x[:7]), *tamis.canonical(x), *tamis.max_cosine(x)),
        *vars(tamis.kmeans(x, 5, max_points_per_centroid=4)).values(),
        *vars(tamis.kmeans(x.reshape(2, 30, 9), 5, spherical=False)).values(),
    )
    assert all(part.ordinal == ordinal for part in found[:8])
    assert_same_bits(tuple(getattr(part, "values", part) for part in found), expected)


@pytest.mark.parametrize("ordinal", [0, 1])
def test_host_arrays_are_streamed(
    ordinal: int, cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BLOCK_BYTES", 500)
    x = cases.mixture(100, 9, 1)
    for call in (tamis.max_cosine, lambda x, **where: tamis.assign(x, x[:7], **where)):
        assert_same_bits(call(x, device=f"cuda:{ordinal}"), call(x))
    assert cupy.gpu.log.count("transfer") > 4
    assert cupy.pinned_on == {ordinal}  # page-locking makes a context, too


@pytest.mark.parametrize("has_cupy", [True, False])
def test_another_library_gets_its_arrays_back(
    has_cupy: bool, cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_cupy:
        pytest.importorskip("torch")
        monkeypatch.setitem(sys.modules, "cupy", None)
    namespace = SimpleNamespace(from_dlpack=lambda array: ("theirs", array))
    theirs: Any = type("Theirs", (), {"__module__": "their.arrays"})()
    library = libraries.library_of(theirs, 1)
    assert isinstance(library, libraries.Cupy if has_cupy else libraries.Torch)
    assert library.given("array") == "array"
    theirs.__array_namespace__ = lambda: namespace
    assert libraries.library_of(theirs, 1).given("array") == ("theirs", "array")
