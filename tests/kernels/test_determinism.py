"""One hash for every instruction set, number of threads and split of the rows."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cases
import tamis
from bits import assert_same_bits, sha256

ALL_LEVELS = ("scalar", "avx2", "avx512", "avx512bf16", "avx512vnni")
THREADS = (1, 2, 3)


def pool() -> Any:
    """Enough rows for several tiles and threads, with families, copies and an outlier dimension."""
    d = 96
    parts = [cases.mixture(2000, d, 1), cases.near_copies(500, d, 2), cases.copies(300, d, 3)]
    parts += [cases.outlier_dimension(200, d, 4), cases.subnormal_heavy(200, d, 5)]
    return np.random.default_rng(0).permutation(np.concatenate(parts))


def results(exact: Any) -> dict[str, Callable[[], tuple[Any, ...]]]:
    x, centroids = pool(), cases.mixture(300, 96, 6)
    raw = x.astype(np.float32) * np.float32(1.7)
    offsets = cases.zipf(len(x), 12, 1)

    def fields(result: Any) -> tuple[Any, ...]:
        return result.centroids, result.labels, result.scores, result.inertia, result.n_iter

    def pairs() -> tuple[Any, ...]:
        blocks = list(tamis.pairs_above(x, offsets, 0.99))
        return tuple(np.concatenate(part) for part in zip(*blocks, strict=True))

    return {
        "canonical": lambda: tamis.canonical(raw),
        "assign": lambda: tamis.assign(x, centroids),
        "assign top": lambda: tamis.assign(x, centroids, top=4),
        "assign euclidean": lambda: tamis.assign(
            x, centroids.astype(np.float32) / 3, metric="euclidean"
        ),
        "kmeans": lambda: fields(tamis.kmeans(x, 60, max_iter=5)),
        "kmeans sampled": lambda: fields(
            tamis.kmeans(x, 60, max_iter=5, max_points_per_centroid=9)
        ),
        "kmeans euclidean": lambda: fields(tamis.kmeans(raw, 60, max_iter=5, spherical=False)),
        "max_cosine": lambda: tamis.max_cosine(x, offsets),
        "max_cosine others": lambda: tamis.max_cosine(x, side="others"),
        "max_cosine other": lambda: tamis.max_cosine(x, other=centroids),
        "pairs_above": pairs,
        "greedy_keep": lambda: (exact.greedy_keep(x, offsets, 0.99),),
        "components": lambda: (exact.components(x, offsets, 0.99),),
        "assign64": lambda: exact.assign64(x, centroids),
        "max_cosine64": lambda: exact.max_cosine64(x, offsets),
    }


def test_every_instruction_set_and_number_of_threads(exact: Any, levels: Any, pinned: Any) -> None:
    computed: dict[str, dict[str, list[Any]]] = {}
    operations = results(exact)
    for isa in (None, *levels):
        for threads in (None, *THREADS) if isa is None else THREADS:
            with pinned(isa=isa, threads=threads):
                for name, operation in operations.items():
                    digest = sha256(*operation())
                    computed.setdefault(name, {}).setdefault(digest, []).append((isa, threads))
    assert {name: found for name, found in computed.items() if len(found) > 1} == {}


def test_the_rounding_mode_of_the_caller_changes_nothing(exact: Any) -> None:
    round_to = ctypes.CDLL(None).fesetround
    x, offsets = cases.families(4000, 24, 1), np.array([0, 4000])
    cosine = exact.max_cosine64(x, offsets)[0][1:].astype(np.float32)
    operations = {name: results(exact)[name] for name in ("canonical", "assign64", "max_cosine64")}
    for threshold in np.unique(cosine)[:: len(cosine) // 4].tolist():
        for rule in (exact.greedy_keep, exact.components):
            operations[f"{rule.__name__} {threshold}"] = lambda rule=rule, threshold=threshold: (
                rule(x, offsets, threshold),
            )
    for name, operation in operations.items():
        expected = operation()
        assert round_to(0x800) == 0  # upwards
        try:
            found = operation()
        finally:
            round_to(0)
        assert_same_bits(found, expected, name)


def test_a_row_does_not_depend_on_the_rows_beside_it(exact: Any) -> None:
    x, centroids = pool(), cases.mixture(300, 96, 6)
    labels, scores = tamis.assign(x, centroids)
    canonical = tamis.canonical(x.astype(np.float64) * 3)[0]
    cosine, index = tamis.max_cosine(x, other=centroids)
    for size in (1, 7, 64, 1000):
        for start in range(0, len(x) if size > 60 else 50 * size, size):
            part = slice(start, start + size)
            assert_same_bits(tamis.assign(x[part], centroids), (labels[part], scores[part]), part)
            assert_same_bits(
                tamis.max_cosine(x[part], other=centroids), (cosine[part], index[part]), part
            )
            assert_same_bits(
                tamis.canonical(x[part].astype(np.float64) * 3)[0], canonical[part], part
            )


def test_a_segment_does_not_depend_on_the_segments_beside_it(exact: Any) -> None:
    x = pool()
    offsets = cases.zipf(len(x), 25, 3)
    cosine, index = tamis.max_cosine(x, offsets)
    keep = exact.greedy_keep(x, offsets, 0.99)
    lowest = exact.components(x, offsets, 0.99)
    for start, stop in zip(offsets[:-1], offsets[1:], strict=True):
        alone = np.array([0, stop - start])
        part, own = x[start:stop], slice(start, stop)
        assert_same_bits(tamis.max_cosine(part)[0], cosine[own])
        moved = index[own] - np.where(index[own] < 0, 0, start)
        assert_same_bits(tamis.max_cosine(part)[1], moved)
        assert_same_bits(exact.greedy_keep(part, alone, 0.99), keep[own])
        assert_same_bits(exact.components(part, alone, 0.99), lowest[own] - start)


def test_repeated_calls_agree(pinned: Any) -> None:
    x = cases.mixture(3000, 32, 1)
    with pinned(threads=3):
        digests = {sha256(*tamis.max_cosine(x), *tamis.assign(x, x[:200])) for _ in range(20)}
    assert len(digests) == 1


def test_the_machine_reports_its_levels_in_order(levels: Any) -> None:
    assert levels[0] == "scalar"
    assert [level for level in ALL_LEVELS if level in levels] == list(levels)


@pytest.mark.parametrize("level", [*ALL_LEVELS, "sse9", "AVX2 ", ""])
def test_a_level_that_is_absent_is_an_error(level: str, levels: Any, pinned: Any) -> None:
    x = cases.unit_rows(20, 8)
    calls: list[Callable[[], Any]] = [
        lambda: tamis.canonical(x.astype(np.float32)),
        lambda: tamis.assign(x, x),
        lambda: tamis.kmeans(x, 2),
        lambda: tamis.max_cosine(x),
        lambda: list(tamis.pairs_above(x, None, 0.5)),
    ]
    for call in calls:
        with pinned(isa=level):
            if level in levels or level == "":  # set but empty is as if it were not set
                call()
                continue
            with pytest.raises((ValueError, RuntimeError), match="TAMIS_CPU_ISA") as caught:
                call()
        assert level.strip() in str(caught.value)
        assert all(name in str(caught.value) for name in levels), "it lists what there is"


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1.5"])
def test_a_senseless_number_of_threads_is_an_error(threads: str, pinned: Any) -> None:
    with pinned(threads=threads), pytest.raises(ValueError, match="TAMIS_NUM_THREADS"):
        tamis.max_cosine(cases.unit_rows(20, 8))


def test_many_threads_for_few_rows(pinned: Any) -> None:
    x = cases.unit_rows(3, 8)
    expected = tamis.max_cosine(x)
    with pinned(threads=64):
        assert_same_bits(tamis.max_cosine(x), expected)
