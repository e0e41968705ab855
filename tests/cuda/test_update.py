"""The centroid update, inertia and convergence of the CUDA kernels have the CPU module's bits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.cuda.library import Library

import cases
from bits import assert_same_bits, sha256
from tamis._native import cpu

Rows = npt.NDArray[np.float16]
Labels = npt.NDArray[np.int32]
Bits = npt.NDArray[np.uint16]
DIMS = (1, 7, 8, 9, 64, 100, 256, 264, 513)
SEEDS = (0, 1, 2)
LARGEST = 65504.0


def update(
    library: Library, x: Rows, labels: Labels, centroids: Rows, spherical: bool, *, shift: int = 0
) -> Bits:
    """One call. shift: elements by which the rows' memory is off its alignment."""
    size = np.zeros(1, np.int64)
    library.call("emulated_update_work_bytes", *x.shape, len(centroids), size)
    rows = library.empty(x.size + shift, np.uint16)[shift:].reshape(x.shape)
    rows[...] = x.view(np.uint16)
    next_ = library.empty(centroids.shape, np.uint16)
    library.call(
        *("emulated_update_centroids", rows, *x.shape, library.array(labels)),
        *(library.array(centroids.view(np.uint16)), len(centroids), int(spherical), next_),
        library.empty(int(size[0]), np.uint8),
    )
    return next_.copy()


def cpu_update(x: Rows, labels: Labels, centroids: Rows, spherical: bool) -> Bits:
    rows, before = x.view(np.uint16), centroids.view(np.uint16)
    next_: Bits = cpu.update_centroids(rows, labels, before, spherical)
    return next_


def inertia(library: Library, x: Rows, labels: Labels, centroids: Rows, total: Any = None) -> int:
    if total is None:
        total = library.array(np.zeros(2, np.uint64))
    library.call(
        *("emulated_add_inertia", library.array(x.view(np.uint16)), *x.shape),
        *(library.array(labels), library.array(centroids.view(np.uint16)), len(centroids), 1),
        total,
    )
    high, low = total.tolist()
    return (high << 64) + low


def any_labels(n: int, k: int, seed: int) -> Labels:
    return np.random.default_rng(seed).integers(k, size=n).astype(np.int32)


def giant(n: int, k: int, seed: int) -> Labels:
    """Nearly all rows in the last cluster but one."""
    labels = any_labels(n, k, seed)
    return np.where(np.arange(n) % 17 == 0, labels, max(0, k - 2)).astype(np.int32)


def sparse(n: int, k: int, seed: int) -> Labels:
    """Every third cluster is used."""
    return any_labels(n, k, seed) // 3 * 3


LABELS: tuple[Callable[[int, int, int], Labels], ...] = (any_labels, giant, sparse)


def largest_alternating(n: int, d: int, seed: int) -> Rows:
    """Rows of +-65504, in pairs that cancel."""
    sign = np.random.default_rng(seed).choice([-1.0, 1.0], size=(1, d))
    return (sign * np.where(np.arange(n) % 2, -LARGEST, LARGEST)[:, None]).astype(np.float16)


def any_finite(n: int, d: int, seed: int) -> Rows:
    bits = np.random.default_rng(seed).integers(0, 1 << 16, size=(n, d)).astype(np.uint16)
    return np.where(bits & 0x7C00 == 0x7C00, bits & 0x83FF, bits).astype(np.uint16).view(np.float16)


def subnormals(n: int, d: int, seed: int) -> Rows:
    """Subnormal numbers only: means are rounded half way between two of them."""
    values = np.random.default_rng(seed).integers(-3, 4, size=(n, d)) * cases.SMALLEST
    return values.astype(np.float16)


FAMILIES = {
    **{
        name: cases.FAMILIES[name]
        for name in ("unit_rows", "near_copies", "one_hot", "subnormal_heavy", "wide_range")
    },
    "largest_alternating": largest_alternating,
    "any_finite": any_finite,
    "subnormals": subnormals,
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("d", DIMS)
def test_centroids_of_rows_of_every_kind(library: Library, d: int, name: str) -> None:
    n, k = 300, 7
    x, centroids = FAMILIES[name](n, d, d), cases.unit_rows(k, d, 1)
    for number, label in enumerate(LABELS):
        labels = label(n, k, d)
        for spherical in (True, False):
            wanted = cpu_update(x, labels, centroids, spherical)
            with library.configured(seed=number, host_threads=1 + number):
                actual = update(library, x, labels, centroids, spherical, shift=number)
            assert_same_bits(actual, wanted, (name, d, label.__name__, spherical))
        library.forget()


@pytest.mark.parametrize("n", [0, 1, 2, 5, 31, 32, 33, 255, 256, 257, 400])
def test_any_number_of_rows_and_clusters(library: Library, n: int) -> None:
    for d in (3, 8, 40):
        x = cases.mixture(n, d, n)
        for k in (1, 2, 5, 63, 700):
            labels, centroids = any_labels(n, k, n), cases.unit_rows(k, d, k)
            for spherical in (True, False):
                wanted = cpu_update(x, labels, centroids, spherical)
                assert_same_bits(update(library, x, labels, centroids, spherical), wanted, (d, k))
            library.forget()


@pytest.mark.parametrize(("d", "k"), [(5, 4095), (24, 4096), (5, 4097), (24, 9001)])
def test_clusters_about_the_rounds_of_the_scan(library: Library, d: int, k: int) -> None:
    n = 3000
    x, labels, centroids = cases.unit_rows(n, d), any_labels(n, k, 0), cases.unit_rows(k, d, 1)
    labels[-900:] = k - 1
    with library.configured(seed=5, host_threads=2):
        actual = update(library, x, labels, centroids, True)
    assert_same_bits(actual, cpu_update(x, labels, centroids, True))


@pytest.mark.parametrize("n", [2047, 2048, 2049, 5000])
def test_one_giant_cluster_is_summed_in_parts(library: Library, n: int) -> None:
    x, labels, centroids = cases.wide_range(n, 16), giant(n, 4, 0), cases.unit_rows(4, 16, 1)
    hashes = set()
    for seed in SEEDS:
        with library.configured(seed=seed, host_threads=1 + seed):
            hashes.add(sha256(update(library, x, labels, centroids, True)))
        library.forget()
    assert hashes == {sha256(cpu_update(x, labels, centroids, True))}


def test_sums_of_zero_and_empty_clusters_keep_their_centroid(library: Library) -> None:
    x, centroids = largest_alternating(6, 40, 0), cases.unit_rows(5, 40)
    labels = np.array([0, 0, 2, 2, 4, 0], np.int32)  # 0 has three rows; 1 and 3 are empty
    spherical = update(library, x, labels, centroids, True)
    assert_same_bits(spherical, cpu_update(x, labels, centroids, True))
    assert_same_bits(spherical[1:4], centroids.view(np.uint16)[1:4])
    means = update(library, x, labels, centroids, False)
    assert_same_bits(means, cpu_update(x, labels, centroids, False))
    assert_same_bits(means[[1, 3]], centroids.view(np.uint16)[[1, 3]])
    assert not means[2].any(), "a mean of zero is a mean"


def test_means_half_way_between_float16_numbers_go_to_even(library: Library) -> None:
    first = np.arange(1024, 2048, dtype=np.uint16)  # neighbours: the mean has one bit too many
    x = np.stack([first, first + 1]).view(np.float16)
    labels, centroids = np.zeros(2, np.int32), cases.unit_rows(1, 1024)
    means = update(library, x, labels, centroids, False)
    assert_same_bits(means, cpu_update(x, labels, centroids, False))
    assert not (means & 1).any()
    assert_same_bits(means[0], first + (first & 1))


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("d", [7, 64])
def test_rows_may_come_in_blocks(library: Library, d: int, label: Any) -> None:
    n, k = 400, 6
    x, labels, centroids = cases.wide_range(n, d, 3), label(n, k, 3), cases.unit_rows(k, d, 1)
    wanted = cpu_update(x, labels, centroids, True)
    total = cpu.inertia(x.view(np.uint16), labels, centroids.view(np.uint16))
    before = library.array(centroids.view(np.uint16))
    for cuts in ([0, n], [0, 1, 1, 33, 290, n]):
        sum_, count = library.array(np.zeros((k, d))), library.array(np.zeros(k, np.int64))
        units = library.array(np.zeros(2, np.uint64))
        for begin, end in pairwise(cuts):
            size = np.zeros(1, np.int64)
            library.call("emulated_add_rows_work_bytes", end - begin, k, size)
            rows, part = x[begin:end], labels[begin:end]
            library.call(
                *("emulated_add_rows", library.array(rows.view(np.uint16)), end - begin, d),
                *(library.array(part), k, 1, sum_, count, library.empty(int(size[0]), np.uint8)),
            )
            inertia(library, rows, part, centroids, units)
        assert_same_bits(count.copy(), np.bincount(labels, minlength=k))
        exact = np.zeros((k, d))
        np.add.at(exact, labels, x.astype(np.float64))
        assert_same_bits(sum_.copy(), exact)
        library.call("emulated_next_centroids", sum_, count, before, k, d, 1, before)  # in place
        assert_same_bits(before.copy(), wanted, cuts)
        assert (int(units[0]) << 64) + int(units[1]) == total
        before[...] = centroids.view(np.uint16)


def test_labels_out_of_range_belong_to_no_cluster(library: Library) -> None:
    n, k, d = 300, 5, 16
    x, centroids = cases.unit_rows(n, d), cases.unit_rows(k, d, 1)
    labels = any_labels(n, k, 0)
    good = np.arange(n) % 3 != 0
    wanted = cpu_update(x[good], labels[good], centroids, True)
    total = cpu.inertia(x[good].view(np.uint16), labels[good], centroids.view(np.uint16))
    for wrong in (-1, k, 2**31 - 1, -(2**31), 10**6):
        spoilt = np.where(good, labels, wrong).astype(np.int32)
        assert_same_bits(update(library, x, spoilt, centroids, True), wanted, wrong)
        assert inertia(library, x, spoilt, centroids) == total
        nobody = update(library, x, np.full(n, wrong, np.int32), centroids, True)
        assert_same_bits(nobody, centroids.view(np.uint16), wrong)
        library.forget()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("d", DIMS)
def test_inertia_of_rows_of_every_kind(library: Library, d: int, name: str) -> None:
    n, k = 400, 7
    x = FAMILIES[name](n, d, d)
    for number, generate in enumerate((cases.unit_rows, any_finite, largest_alternating)):
        centroids, labels = generate(k, d, 1), any_labels(n, k, d)
        wanted = exact_inertia(x, labels, centroids)
        if float(np.abs(x).max()) <= 1:  # what the CPU's own fast path is made for
            assert wanted == cpu.inertia(x.view(np.uint16), labels, centroids.view(np.uint16))
        with library.configured(seed=number, host_threads=1 + number):
            assert inertia(library, x, labels, centroids) == wanted, (name, generate.__name__)
        library.forget()


def exact_inertia(x: Rows, labels: Labels, centroids: Rows) -> int:
    """By Python's integers, in units of 2^-48."""
    units = [(rows.astype(np.float64) * 2.0**24).astype(np.int64) for rows in (x, centroids)]
    difference = (units[0] - units[1][labels]).astype(object)
    return int((difference * difference).sum())


@pytest.mark.parametrize("n", [0, 1, 2, 31, 32, 33, 400, 40000])  # the last: two rounds
def test_inertia_of_any_number_of_rows(library: Library, n: int) -> None:
    for d in (3, 8):
        x, labels, centroids = cases.unit_rows(n, d, n), any_labels(n, 3, n), cases.unit_rows(3, d)
        assert inertia(library, x, labels, centroids) == cpu.inertia(
            x.view(np.uint16), labels, centroids.view(np.uint16)
        )


def test_inertia_carries_from_the_low_word_to_the_high_one(library: Library) -> None:
    x, centroids = cases.unit_rows(200, 8), cases.unit_rows(3, 8, 1)
    labels = any_labels(200, 3, 0)
    own = cpu.inertia(x.view(np.uint16), labels, centroids.view(np.uint16))
    for before in (2**64 - 1, 2**64 - own, 2**64 - own - 1, 5 * 2**64 - own // 2, 2**127 - 2**70):
        total = library.array(np.array([before >> 64, before & (2**64 - 1)], np.uint64))
        for seed in SEEDS:
            with library.configured(seed=seed, host_threads=1 + seed):
                assert inertia(library, x, labels, centroids, total) == before + own
            before += own


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 255, 256, 257, 300000])
def test_changed_labels_are_counted(library: Library, n: int) -> None:
    before = any_labels(n, 5, n)
    for share in (0.0, 0.01, 0.5, 1.0):
        moved = np.random.default_rng(n).random(n) < share
        labels = np.where(moved, before ^ np.int32(1 << 30), before)
        changed = library.array(np.full(1, 7, np.int64))
        library.call(
            "emulated_count_changed", library.array(labels), library.array(before), n, 1, changed
        )
        assert changed.item() == 7 + moved.sum()


@pytest.mark.parametrize(("n", "d", "k"), [(1, 8, 1), (33, 7, 2), (257, 64, 5), (600, 5, 3)])
@pytest.mark.parametrize("n_problems", [2, 5])
def test_problems_of_one_size_go_together(
    library: Library, n_problems: int, n: int, d: int, k: int
) -> None:
    """Giant, small and empty clusters, and rows whose label is one of another problem alone."""
    every = range(n_problems)
    x, centroids = cases.wide_range(n * n_problems, d, 3), cases.unit_rows(k * n_problems, d, 1)
    labels = np.concatenate([LABELS[p % 3](n, k, p) for p in every])
    labels[::7], labels[3::7] = k, -1
    before = np.where(np.arange(len(labels)) // n % 2 == 0, labels, labels ^ np.int32(1))
    shared = [library.array(a) for a in (x.view(np.uint16), labels, centroids.view(np.uint16))]
    rows, label, means = shared
    sums = library.array(np.zeros((k * n_problems, d)))
    counts = library.array(np.zeros(k * n_problems, np.int64))
    totals = library.array(np.zeros((n_problems, 2), np.uint64))
    changed = library.array(np.full(n_problems, 7, np.int64))
    size = np.zeros(1, np.int64)
    library.call("emulated_add_rows_work_bytes", len(x), len(centroids), size)
    work, batch = library.empty(int(size[0]), np.uint8), (len(centroids), n_problems)
    with library.configured(seed=n_problems, host_threads=2):
        library.call("emulated_add_rows", rows, *x.shape, label, *batch, sums, counts, work)
        library.call("emulated_add_inertia", rows, *x.shape, label, means, *batch, totals)
        library.call(
            *("emulated_count_changed", label, library.array(before), len(x), n_problems, changed)
        )
    for p in every:
        own, clusters = slice(p * n, (p + 1) * n), slice(p * k, (p + 1) * k)
        placed = (labels[own] >= 0) & (labels[own] < k)
        some, of = x[own][placed], labels[own][placed]
        exact = np.zeros((k, d))
        np.add.at(exact, of, some.astype(np.float64))
        assert_same_bits(sums[clusters], exact, p)
        assert_same_bits(counts[clusters], np.bincount(of, minlength=k), p)
        high, low = totals[p].tolist()
        assert (high << 64) + low == exact_inertia(some, of, centroids[clusters])
        assert changed[p] == 7 + (n if p % 2 else 0)
