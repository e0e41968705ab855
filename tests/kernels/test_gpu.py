"""The cases of the emulated GPU on real ones: torch and cupy arrays, streams, a full memory.

Skipped only where no GPU is visible to the driver: a GPU that is there and cannot be used fails.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.kernels.device_cases import every_case

import cases
import tamis
from bits import assert_same_bits, sha256
from tamis import lorentz
from tamis.cuda import device as cuda_device
from tamis.cuda import feed, kmeans, max_cosine, self_check


def _visible_gpus() -> int:
    """As the driver counts them, whether or not tamis can use them."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


GPUS = _visible_gpus()
pytestmark = pytest.mark.skipif(GPUS == 0, reason="no GPU is visible")
LIBRARIES = ("torch", "cupy")


def moved(library: str, values: Any, ordinal: int = 0) -> Any:
    module = pytest.importorskip(library)
    values = np.ascontiguousarray(values)
    if library == "torch":
        return module.tensor(values, device=f"cuda:{ordinal}")
    with module.cuda.Device(ordinal):
        return module.asarray(values)


def here(found: Any) -> Any:
    if isinstance(found, tuple):
        return tuple(map(here, found))
    if type(found).__module__.startswith("torch"):
        return found.cpu().numpy()
    return found.get() if hasattr(found, "get") else found


def test_the_gpu_can_be_used() -> None:
    facts = tamis.info()["cuda"]
    assert facts["available"], facts["reason"]
    assert len(facts["devices"]) == GPUS


@pytest.mark.parametrize("d", [1, 5, 64, 67, 257, 768, 1000])
@pytest.mark.parametrize("library", LIBRARIES)
def test_device_arrays_give_the_bits_of_the_cpu(library: str, d: int) -> None:
    for case in every_case(d):
        expected = case.call(*case.arrays, **case.options)
        found = case.call(*(moved(library, x) for x in case.arrays), **case.options)
        assert type(found[0]).__module__.startswith(library), case.name
        assert_same_bits(here(found), expected, (library, d, case.name))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("d", [1, 5, 64, 67, 512, 1000])
@pytest.mark.parametrize("library", LIBRARIES)
def test_points_are_near_the_cpus(library: str, d: int, dtype: str) -> None:
    v = np.random.default_rng(d).standard_normal((3000, d)) / np.sqrt(d)
    x, y = v[:1300].astype(dtype), v[1300:].astype(dtype)
    near: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-6}
    there = [moved(library, side) for side in (x, y, y[:1300])]
    found: Any = lorentz.radii(there[0])
    np.testing.assert_allclose(here(found.radius), lorentz.radii(x).radius, **near)
    for call in (lorentz.distance, lorentz.exterior_angle, lorentz.entailment):
        pairs = call(there[0], there[2])
        np.testing.assert_allclose(here(pairs), call(x, y[:1300]), **near)
    for apex in ("references", "rows"):
        options: dict[str, Any] = {"apex": apex}
        found = lorentz.specificity(*there[:2], **options)
        assert type(found.mean).__module__.startswith(library)
        expected = lorentz.specificity(x, y, **options)
        np.testing.assert_allclose(here(found.mean), expected.mean, **near)
        np.testing.assert_allclose(here(found.clamped_mean), expected.clamped_mean, **near)
        again: Any = lorentz.specificity(*there[:2], **options)
        assert_same_bits(here(again.mean), here(found.mean))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", cases.FAMILIES)
def test_every_family(name: str, seed: int) -> None:
    x, centroids = cases.FAMILIES[name](5000, 96, seed), cases.FAMILIES[name](700, 96, seed + 50)
    offsets = cases.ragged(5000, seed)
    calls: list[Callable[..., Any]] = [
        lambda x, c: tamis.assign(x, c),
        lambda x, c: tamis.assign(x, c, metric="euclidean", top=3),
        lambda x, c: tamis.max_cosine(x, offsets),
        lambda x, c: tamis.max_cosine(x, other=c),
        lambda x, c: tuple(vars(tamis.kmeans(x, 40, max_iter=4)).values()),
    ]
    for number, call in enumerate(calls):
        found = call(moved("torch", x), moved("torch", centroids))
        assert sha256(*here(found)) == sha256(*call(x, centroids)), (name, seed, number)


@pytest.mark.parametrize("d", [5, 64, 768])
@pytest.mark.parametrize("room", [None, 0.0])
def test_host_arrays_give_the_bits_of_the_cpu(
    room: float | None, d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cupy")
    monkeypatch.setattr(feed, "BLOCK_BYTES", 120 * d)
    monkeypatch.setattr(max_cosine, "GROUP_BYTES", 120 * d)
    if room is not None:
        monkeypatch.setattr(kmeans, "ROOM_FOR_ROWS", room)
    for case in every_case(d):
        if case.call is not tamis.canonical:
            expected = case.call(*case.arrays, **case.options)
            found = case.call(*case.arrays, **case.options, device="cuda")
            assert_same_bits(found, expected, case.name)


def test_many_blocks_through_page_locked_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cupy")
    monkeypatch.setattr(feed, "BLOCK_BYTES", 1 << 20)
    x, centroids = cases.mixture(200_000, 128, 1), cases.mixture(100, 128, 2)
    expected = tamis.assign(x, centroids)
    for _ in range(3):
        assert_same_bits(tamis.assign(x, centroids, device="cuda"), expected)


@pytest.mark.parametrize("library", LIBRARIES)
def test_work_is_in_the_order_of_the_callers_stream(library: str) -> None:
    module = pytest.importorskip(library)
    x = cases.mixture(20_000, 256, 1)
    expected = tamis.max_cosine(x, np.arange(0, 20_001, 100))
    rows = moved(library, np.zeros_like(x))
    source = moved(library, x)
    if library == "torch":
        module.cuda.synchronize()
        stream = module.cuda.Stream()
        with module.cuda.stream(stream):
            module.cuda._sleep(50_000_000)
            rows.copy_(source)
            found = tamis.max_cosine(rows, np.arange(0, 20_001, 100))
            rows.zero_()  # behind the kernels
        stream.synchronize()
    else:
        module.cuda.Device().synchronize()
        stream = module.cuda.Stream(non_blocking=True)
        with stream:
            rows[...] = source
            found = tamis.max_cosine(rows, np.arange(0, 20_001, 100))
            rows[...] = 0
        stream.synchronize()
    assert_same_bits(here(found), expected)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_full_gpu_is_one_error_and_the_next_call_works(library: str) -> None:
    module = pytest.importorskip(library)
    x = moved(library, cases.mixture(50_000, 64, 1))
    expected = here(tamis.max_cosine(x))
    allow, unlimited = _limits(library, module)
    allow()
    try:
        with pytest.raises(MemoryError, match=r"^cuda:0 has no room for"):
            tamis.kmeans(x, 40_000, max_points_per_centroid=None)
    finally:
        unlimited()
    assert_same_bits(here(tamis.max_cosine(x)), expected)


def _limits(library: str, module: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    """Allow the library's allocator what it has in use and 1 MiB more; and all memory again."""
    if library == "torch":
        module.cuda.empty_cache()
        total = module.cuda.get_device_properties(0).total_memory
        share = (module.cuda.memory_reserved() + (1 << 20)) / total
        limit = module.cuda.set_per_process_memory_fraction
        return (lambda: limit(share)), (lambda: limit(1.0))
    pool = module.get_default_memory_pool()
    pool.free_all_blocks()
    size = pool.total_bytes() + (1 << 20)
    return (lambda: pool.set_limit(size=size)), (lambda: pool.set_limit(size=0))


def test_two_places_are_refused() -> None:
    x = cases.unit_rows(5, 4)
    with pytest.raises(ValueError, match="expected them in one place"):
        tamis.assign(moved("torch", x), x)
    with pytest.raises(ValueError, match="C-contiguous"):
        tamis.max_cosine(moved("torch", x)[::2])


def test_libraries_may_be_mixed_on_one_gpu() -> None:
    x, centroids = cases.mixture(100, 20, 1), cases.mixture(9, 20, 2)
    expected = tamis.assign(x, centroids)
    for one, other in (LIBRARIES, LIBRARIES[::-1]):
        found = tamis.assign(moved(one, x), moved(other, centroids))
        assert type(found[0]).__module__.startswith(one)
        assert_same_bits(here(found), expected)


def test_the_self_check_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    device = cuda_device.open_device(0, moved("torch", cases.unit_rows(2, 2)))
    started = time.perf_counter()
    assert self_check.difference(device) is None
    print(f"self-check: {(time.perf_counter() - started) * 1e3:.1f} ms")


def test_semdedup_gives_the_result_of_the_cpu() -> None:
    pytest.importorskip("cupy")
    x = cases.families(60_000, 64, 1)
    options: dict[str, Any] = {"n_clusters": 40, "eps": 0.002, "probes": 1, "recall_sample": 500}
    models = [tamis.SemDeDup(**options, device=where).fit(x) for where in ("cpu", "cuda")]
    for name in ("keep_mask_", "max_cosine_", "nearest_", "labels_", "cluster_centers_"):
        assert_same_bits(getattr(models[1], name), getattr(models[0], name), name)
