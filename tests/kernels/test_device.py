"""Arrays on a GPU go in and come out, with the CPU's bits; the GPU is the emulated one."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.cuda.extension import emulated_cuda
from tests.cuda.fake_gpu import DeviceArray, Gpu, fake_gpu
from tests.kernels.device_cases import every_case

import cases
import tamis
from bits import assert_same_bits
from tamis._native import cuda_absent, refuse_cuda
from tamis.cuda import kmeans as cuda_kmeans
from tamis.cuda import rows


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with fake_gpu(emulated_cuda()) as fake:
        yield fake


def there(values: Any, ordinal: int = 0) -> DeviceArray:
    return DeviceArray(np.array(values), ordinal)


def here(found: Any) -> Any:
    return tuple(map(here, found)) if isinstance(found, tuple) else getattr(found, "values", found)


@pytest.mark.parametrize(("d", "at_once"), [(5, 40), (64, 1 << 20), (520, 90)])
def test_device_arrays_give_the_bits_of_the_cpu(
    d: int, at_once: int, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", at_once)
    for case in every_case(d):
        expected = case.call(*case.arrays, **case.options)
        found = case.call(*map(there, case.arrays), **case.options)
        arrays = [part for part, wanted in zip(found, expected, strict=True) if _is_large(wanted)]
        assert all(isinstance(part, DeviceArray) for part in arrays), case.name
        assert_same_bits(here(found), expected, case.name)


def _is_large(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.name in ("float16", "int32", "float32")


def test_bfloat16_rows_and_centroids(gpu: Gpu) -> None:
    rng = np.random.default_rng(1)
    x, centroids = (rng.standard_normal((n, 9)).astype(ml_dtypes.bfloat16) for n in (50, 7))
    for metric in ("dot", "euclidean"):
        options: Any = {"metric": metric}
        expected = tamis.assign(x, centroids, **options)
        assert_same_bits(here(tamis.assign(there(x), there(centroids), **options)), expected)
    assert_same_bits(here(tamis.canonical(there(x))), tamis.canonical(x))


def test_canonical_rows_on_a_gpu_are_not_copied(gpu: Gpu) -> None:
    x, centroids = there(cases.unit_rows(300, 512, 1)), there(cases.unit_rows(5, 512, 2))
    tamis.assign(x, centroids)
    assert gpu.most < x.values.nbytes / 2


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint32", "uint64"])
def test_offsets_on_a_gpu_are_integers_of_any_width(dtype: str, gpu: Gpu) -> None:
    x, offsets = cases.unit_rows(60, 6, 1), np.array([0, 1, 40, 60], dtype)
    expected = tamis.max_cosine(x, offsets)
    assert_same_bits(here(tamis.max_cosine(there(x), there(offsets))), expected)


@pytest.mark.parametrize("call", ["assign", "kmeans", "max_cosine"])
def test_bad_rows_are_refused_as_on_the_cpu(call: str, gpu: Gpu) -> None:
    x = cases.unit_rows(60, 6, 1)
    x[17], x[40, 2] = 0, np.nan
    calls: dict[str, Any] = {
        "assign": lambda x, c, **where: tamis.assign(x, c, **where),
        "kmeans": lambda x, _, **where: tamis.kmeans(x, 4, max_points_per_centroid=2, **where),
        "max_cosine": lambda x, _, **where: tamis.max_cosine(x, [0, 1, 40, 60], **where),
    }
    with pytest.raises(ValueError, match=r"2 of 60 rows.* the first is row 17;") as expected:
        calls[call](x, x[:3])
    for arrays, where in (((there(x), there(x[:3])), {}), ((x, x[:3]), {"device": "cuda"})):
        with pytest.raises(ValueError) as found:  # noqa: PT011 - the texts are compared
            calls[call](*arrays, **where)
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    ("arrays", "device", "sentence"),
    [
        ((0, None), None, "x is on cuda:0 and centroids in host memory; expected them in one"),
        ((None, 1), None, "centroids is on cuda:1 and x in host memory"),
        ((0, 1), None, "x is on cuda:0 and centroids on cuda:1"),
        ((0, 0), "cpu", 'x is on cuda:0, but device="cpu" was asked for'),
        ((0, 0), "cuda:1", 'x is on cuda:0, but device="cuda:1" was asked for'),
        ((0, 0), "cuda:2", "cuda:2 does not exist: 2 GPUs are visible"),
    ],
)
def test_arrays_in_two_places_are_refused(
    arrays: tuple[int | None, int | None], device: str | None, sentence: str, gpu: Gpu
) -> None:
    host = cases.unit_rows(5, 4)
    x, centroids = (host if place is None else there(host, place) for place in arrays)
    with pytest.raises((ValueError, RuntimeError), match=sentence):
        tamis.assign(x, centroids, device=device)
    tamis.assign(there(host, 1), there(host, 1), device="cuda")


@pytest.mark.parametrize(
    ("x", "error", "sentence"),
    [
        (
            np.zeros((3, 4), np.int32),
            TypeError,
            "x: expected a 2-D .* got DeviceArray of dtype int",
        ),
        (np.zeros((3, 4), ">f4"), TypeError, "dtype float32 of foreign byte order"),
        (np.zeros(3, np.float16), ValueError, "x: expected a 2-D .* got 1-D"),
        (np.zeros((3, 0), np.float16), ValueError, "x: expected rows of at least 1 dimension"),
        (cases.unit_rows(8, 4)[::2], ValueError, "x: expected C-contiguous rows on a GPU"),
        (
            cases.unit_rows(8, 4)[:, :2],
            ValueError,
            r"strides of \(8, 2\) bytes; make a contiguous copy first",
        ),
    ],
)
def test_arrays_that_kernels_cannot_read(x: Any, error: Any, sentence: str, gpu: Gpu) -> None:
    calls: list[Any] = [tamis.max_cosine, tamis.canonical, lambda x: tamis.kmeans(x, 2)]
    for call in calls:
        with pytest.raises(error, match=sentence):
            call(DeviceArray(x))


def test_other_arguments_are_refused_as_on_the_cpu(gpu: Gpu) -> None:
    x = cases.unit_rows(6, 4)
    for call, sentence in (
        (lambda x: tamis.assign(x, x[:0]), "expected at least 1 centroid"),
        (lambda x: tamis.assign(x, x, top=7), "top: expected 1 to 6"),
        (lambda x: tamis.kmeans(x, 7), "n_clusters must be between 1 and the 6 rows"),
        (lambda x: tamis.kmeans(x, 2, init=x), r"init: expected 2 centroids, shape \(2, 4\)"),
        (lambda x: tamis.max_cosine(x, [0, 5]), "offsets: expected to ascend"),
    ):
        for arrays in (x, there(x)):
            with pytest.raises(ValueError, match=sentence):
                call(arrays)
    with pytest.raises(ValueError, match="top: expected 1 to 64"):
        tamis.assign(there(cases.unit_rows(9, 2)), there(cases.unit_rows(70, 2)), top=65)


def test_a_full_gpu_is_one_error_and_leaks_nothing(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = cases.mixture(300, 33, 1)
    on_gpu = there(x)
    expected = tamis.kmeans(x, 20)
    calls: list[Any] = [
        lambda: tamis.kmeans(on_gpu, 20),
        lambda: tamis.kmeans(x, 20, device="cuda"),
        lambda: tamis.max_cosine(x, device="cuda"),
        lambda: tamis.assign(on_gpu, on_gpu),
    ]
    for call in calls:
        for room in (0, 500, 2000):
            monkeypatch.setattr(gpu, "room", room)
            with pytest.raises(MemoryError, match=r"^cuda:0 has no room for .* bytes more"):
                call()
            gc.collect()
            assert gpu.in_use == 0
        monkeypatch.setattr(gpu, "room", 1 << 30)
        call()
    assert_same_bits(here(tamis.kmeans(on_gpu, 20).labels), expected.labels)
    gc.collect()
    assert gpu.in_use == 0


def test_a_refused_gpu_is_not_used(gpu: Gpu) -> None:
    x = cases.unit_rows(5, 4)
    refuse_cuda(1, "it came to other bits")
    for call in (
        lambda: tamis.max_cosine(there(x, 1)),
        lambda: tamis.max_cosine(x, device="cuda:1"),
        lambda: tamis.SemDeDup(1, device="cuda:1").fit(x),
    ):
        with pytest.raises(RuntimeError, match='it came to other bits; use device="cpu"'):
            call()
    assert_same_bits(tamis.max_cosine(x, device="auto"), tamis.max_cosine(x))
    assert cuda_absent(0) is None


def test_the_estimator_predicts_on_a_gpu(gpu: Gpu) -> None:
    x = np.random.default_rng(1).standard_normal((90, 7)).astype(np.float32)
    for spherical in (True, False):
        expected = tamis.KMeans(4, spherical=spherical).fit(x)
        found = tamis.KMeans(4, spherical=spherical).fit(there(x))
        assert_same_bits(here(found.cluster_centers_), expected.cluster_centers_)
        assert_same_bits(here(found.predict(there(x))), expected.predict(x))
        assert found.inertia_ == expected.inertia_


def test_an_iteration_reads_only_the_stop_flag(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    download = cuda_kmeans.Device.download
    monkeypatch.setattr(
        cuda_kmeans.Device,
        "download",
        lambda self, array: read.append(array.n_bytes) or download(self, array),
    )
    x = there(cases.mixture(200, 8, 3))
    lengths = []
    for max_iter in (1, 3):
        read.clear()
        assert tamis.kmeans(x, 30, max_iter=max_iter).n_iter == max_iter
        lengths.append(list(read))
    assert sorted(lengths[1]) == sorted([*lengths[0], 8, 8])
