"""Host arrays go through a GPU block by block, to the CPU's bits; the GPU is the emulated one."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.cuda.extension import emulated_cuda
from tests.cuda.fake_gpu import Gpu, fake_gpu
from tests.kernels.device_cases import every_case

import cases
import tamis
from bits import assert_same_bits
from tamis.cuda import feed, kmeans, libraries, max_cosine
from tamis.cuda.device import open_device
from tamis.cuda.segments import Comparison, comparisons, giants
from tamis.errors import MissingExtraError
from tamis.kernels import exact, place


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with fake_gpu(emulated_cuda()) as fake:
        yield fake


@pytest.mark.parametrize("d", [5, 64])
@pytest.mark.parametrize("room", [None, 0.0])
def test_host_arrays_give_the_bits_of_the_cpu(
    room: float | None, d: int, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BLOCK_BYTES", 120 * d)  # 60 rows of float16
    monkeypatch.setattr(max_cosine, "GROUP_BYTES", 120 * d)
    if room is not None:
        monkeypatch.setattr(kmeans, "ROOM_FOR_ROWS", room)
    for case in every_case(d):
        if case.call is tamis.canonical:
            continue
        expected = case.call(*case.arrays, **case.options)
        found = case.call(*case.arrays, **case.options, device="cuda:1")
        assert_same_bits(found, expected, case.name)
    assert gpu.log.count("transfer") > 80
    gc.collect()
    assert gpu.in_use == 0


def test_a_pool_larger_than_the_gpu(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    x, centroids = cases.mixture(1500, 200, 1).astype(np.float32), cases.mixture(10, 200, 2)
    offsets = np.arange(0, 1501, 50)
    monkeypatch.setattr(feed, "BLOCK_BYTES", 60 * 200 * 4)
    monkeypatch.setattr(gpu, "room", 450_000)  # x has 1.2 MB, its float16 rows 0.6 MB
    calls: list[Any] = [
        lambda **where: tamis.assign(x, centroids, **where),
        lambda **where: tamis.assign(x, centroids, metric="euclidean", **where),
        lambda **where: tamis.max_cosine(x, offsets, **where),
        lambda **where: tuple(vars(tamis.kmeans(x, 5, max_iter=2, **where)).values()),
    ]
    for call in calls:
        assert_same_bits(call(device="cuda"), call())
    assert gpu.most <= 450_000


@pytest.mark.parametrize("tile", [6, 40])
def test_segments_larger_than_the_gpu(tile: int, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = cases.families(90, 8, 1), cases.copies(70, 8, 2)
    offsets, other_offsets = np.array([0, 3, 3, 60, 61, 90]), np.array([0, 0, 9, 65, 66, 70])
    limits = np.random.default_rng(1).integers(
        0, np.diff(other_offsets).repeat(np.diff(offsets)) + 1
    )
    own = np.random.default_rng(2).integers(0, np.diff(offsets).repeat(np.diff(offsets)) + 1)
    monkeypatch.setattr(place, "LEAST_WORK", 0)
    room = max_cosine.Streamed.__init__

    def small(self: Any, *args: Any) -> None:
        room(self, *args)
        self.most = tile

    monkeypatch.setattr(max_cosine.Streamed, "__init__", small)
    calls: list[dict[str, Any]] = [
        {},
        {"exclude_self": True},
        {"limits": own},
        {"limits": own, "exclude_self": True},
        {"other": y, "other_offsets": other_offsets},
        {"other": y, "other_offsets": other_offsets, "limits": limits},
    ]
    for options in calls:
        expected = exact.max_cosine64(x, offsets, **options)
        with place.running_on("cuda"):
            assert_same_bits(exact.max_cosine64(x, offsets, **options), expected, options.keys())


@pytest.mark.parametrize("most", [1, 2, 5, 1000])
def test_groups_hold_every_segment_once(most: int) -> None:
    offsets, others = cases.ragged(200, 1), np.sort(np.r_[0, cases.ragged(90, 2), 90])
    others = np.r_[others[: len(offsets) - 1], 90]
    for columns in (None, others):
        groups = list(comparisons(Comparison(offsets, columns, None, False), most))
        for group in groups:
            assert group.size <= most or len(group.what.offsets) == 2
            sizes = np.diff(group.what.offsets)
            assert group.what.offsets[-1] == group.rows.stop - group.rows.start
            assert (sizes >= 0).all() and group.what.offsets[0] == 0
        assert all(one.rows.stop <= two.rows.start for one, two in pairwise(groups))
        columns = offsets if columns is None else columns
        seen = np.zeros(200, bool)
        for group in groups:
            seen[group.rows] = True
        # Only rows without columns are in no group.
        assert (seen | (np.diff(columns) == 0).repeat(np.diff(offsets))).all()


def test_a_giant_sees_no_column_too_many() -> None:
    part, columns = slice(20, 30), slice(10, 50)
    earlier = Comparison(np.array([0, 60]), None, None, False)
    assert giants(earlier, part, columns, True) == (slice(10, 20), slice(30, 30))
    others = earlier._replace(exclude_self=True)
    assert giants(others, part, columns, True) == (slice(10, 20), slice(30, 50))
    few = earlier._replace(limits=np.full(60, 5))
    assert giants(few, part, columns, True) == (slice(10, 15), slice(30, 30))
    assert giants(few, part, columns, False)[0] == slice(10, 15)


@pytest.mark.parametrize(
    "rows",
    [
        np.asfortranarray(cases.unit_rows(100, 6)),
        cases.unit_rows(200, 6)[::-2],
        np.random.default_rng(1).standard_normal((100, 6)).astype(">f4"),
        np.random.default_rng(2).standard_normal((100, 6)).astype(ml_dtypes.bfloat16),
    ],
    ids=["fortran", "reversed", "big endian", "bfloat16"],
)
def test_any_layout_in_host_memory(rows: Any, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BLOCK_BYTES", 200)
    monkeypatch.setattr(feed, "_LEAST_FILL", 16)  # several threads
    centroids = cases.unit_rows(7, 6)
    found = tamis.assign(rows, centroids, device="cuda")
    assert_same_bits(found, tamis.assign(rows, centroids))


def test_a_block_waits_until_its_buffer_was_used(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = cases.unit_rows(50, 4)
    device = open_device(0)
    parts = [slice(start, start + 10) for start in range(0, 50, 10)]
    seen = []
    for part, block in feed.feed(device, rows, parts):
        gpu.log.append("kernels")
        seen.append(device.download(block))
        assert (part.start, block.shape) == (len(seen) * 10 - 10, (10, 4))
    assert_same_bits(np.concatenate(seen), rows)
    first = ["wait", "transfer", "kernels", "transfer", "kernels"]  # two buffers are free
    assert gpu.log == [*first, *["wait", "transfer", "kernels"] * 3]


def test_a_feed_that_is_left_early_leaves_nothing(gpu: Gpu) -> None:
    blocks = feed.feed(open_device(0), cases.unit_rows(50, 4), [slice(0, 10), slice(10, 20)])
    next(blocks)
    blocks.close()
    assert gpu.aside.done == gpu.aside.issued
    gc.collect()
    assert gpu.in_use == 0


def test_bad_rows_with_nothing_to_compare_with_are_refused(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(max_cosine, "GROUP_BYTES", 1)  # every segment is a group
    x, other = cases.unit_rows(9, 4, 1), cases.unit_rows(6, 4, 2)
    x[8], other[5] = 0, np.nan
    for bad, good, name in ((x, other[:5], "x: 1 of 9"), (x[:8], other, "other: 1 of 6")):
        offsets = [0, 5, len(bad) if name[0] == "x" else 8, len(bad)]
        other_offsets = [0, 5, 5, len(good)]
        with pytest.raises(ValueError, match=name):
            tamis.max_cosine(bad, offsets, other=good, other_offsets=other_offsets, device="cuda")


def test_host_arrays_need_cupy(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(libraries.LIBRARIES, "cupy", libraries.Cupy)
    rows = cases.unit_rows(5, 4)
    with pytest.raises(MissingExtraError, match=r'^cupy is not installed: .*"tamis\[cuda13\]"$'):
        tamis.max_cosine(rows, device="cuda")
    tamis.max_cosine(rows, device="auto")
