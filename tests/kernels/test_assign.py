"""tamis.assign equals the reference to the bit, on inputs that attack its approximate passes."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases
import tamis
from bits import assert_same_bits
from tamis.kernels import reference


def check(x: Any, centroids: Any, levels: Any, pinned: Any, case: Any, **options: Any) -> None:
    expected = reference.assign(x, centroids, **options)
    for level in levels:
        with pinned(isa=level):
            assert_same_bits(tamis.assign(x, centroids, **options), expected, (case, level))


@pytest.mark.parametrize("d", cases.DIMS)
@pytest.mark.parametrize("name", cases.FAMILIES)
def test_every_family_and_width(name: str, d: int, levels: Any, pinned: Any) -> None:
    family = cases.FAMILIES[name]
    rows = family(83, d, 1)
    # Centroids of the same family: 50 of the rows themselves, the others nearly so.
    check(rows, rows[33:], levels, pinned, "own rows")
    check(rows, family(35, d, 2), levels, pinned, "another seed", metric="euclidean")


@pytest.mark.parametrize("d", [1, 2, 3, 7, 8, 16, 33, 48, 65, 257, 768, 4096])
def test_near_ties_of_2_to_the_minus_48(d: int, levels: Any, pinned: Any) -> None:
    for metric in ("dot", "euclidean"):
        x, centroids = cases.equidistant(150, d, d)
        check(
            x, centroids, levels, pinned, "equidistant", metric=metric, top=min(4, len(centroids))
        )
        check(x, centroids[::-1], levels, pinned, "reversed", metric=metric)


@pytest.mark.parametrize("d", [8, 9, 17, 64, 100, 257, 384, 768, 1000, 4096])
@pytest.mark.parametrize("mislead", [cases.misleading_bfloat16, cases.misleading_int8])
def test_candidates_that_mislead_a_low_precision_pass(
    mislead: Any, d: int, levels: Any, pinned: Any
) -> None:
    x, candidates = mislead(64, d, d)
    labels = reference.assign(x, candidates)[0]
    if d >= 64:  # else other pairs may come closer
        assert labels.tolist() == list(range(1, 128, 2))
    check(x, candidates, levels, pinned, "pairs")
    check(x, candidates[::-1], levels, pinned, "reversed", metric="euclidean")
    check(candidates, x, levels, pinned, "candidates as rows")
    # With every candidate comes its opposite: no common part that a kernel could take away first.
    few, pairs = mislead(16, d, d + 1)
    check(few, np.concatenate([pairs, -pairs]), levels, pinned, "opposites")
    check(few, np.concatenate([-pairs, pairs]), levels, pinned, "opposites", top=3)


@pytest.mark.parametrize("d", [1, 5, 64, 100, 512])
def test_a_thousand_equal_centroids(d: int, levels: Any, pinned: Any) -> None:
    x = cases.unit_rows(70, d, 0)
    centroids = np.repeat(cases.unit_rows(1, d, 1), 1000, axis=0)
    check(x, centroids, levels, pinned, "all equal")
    check(x, centroids, levels, pinned, "all equal", top=3)
    centroids[501:] = cases.last_bits(499, d, 2)
    check(x, centroids, levels, pinned, "half of them nearly equal")
    check(centroids[400:600], centroids, levels, pinned, "themselves", metric="euclidean")


@pytest.mark.parametrize(
    ("n", "k", "d"),
    [(1, 1, 1), (1, 2000, 33), (4000, 1, 33), (2000, 1500, 96), (700, 3000, 384), (5000, 257, 20)],
)
def test_many_tiles(n: int, k: int, d: int, levels: Any, pinned: Any) -> None:
    x = cases.mixture(n, d, 3)
    check(x, cases.mixture(k, d, 4), levels, pinned, "mixture")
    check(x, np.resize(x, (k, d)), levels, pinned, "rows as centroids", metric="euclidean")


def test_all_of_many_centroids_in_order(levels: Any, pinned: Any) -> None:
    for name in ("mixture", "copies"):
        centroids = cases.FAMILIES[name](700, 24, 6)
        for top in (300, 700):
            check(cases.mixture(30, 24, 5), centroids, levels, pinned, name, top=top)


@pytest.mark.parametrize("top", [1, 2, 3, 8, 20, 57])
@pytest.mark.parametrize("name", ["mixture", "near_copies", "copies", "one_hot", "last_bits"])
def test_the_best_few(name: str, top: int, levels: Any, pinned: Any) -> None:
    family = cases.FAMILIES[name]
    for metric in ("dot", "euclidean"):
        check(family(60, 65, 5), family(57, 65, 6), levels, pinned, name, top=top, metric=metric)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("d", [1, 7, 8, 9, 64, 100, 768])
def test_centroids_are_used_as_they_are_given(d: int, dtype: str, levels: Any, pinned: Any) -> None:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    rng = np.random.default_rng(d)
    x = cases.mixture(50, d, 1)
    for scale in (1e-3, 1 / np.sqrt(d), 40.0):
        centroids = (rng.standard_normal((41, d)) * scale).astype(kind)
        centroids[7] = 0
        centroids[20] = centroids[3]
        for metric in ("dot", "euclidean"):
            check(x, centroids, levels, pinned, scale, metric=metric, top=2)


@pytest.mark.parametrize("d", [4097, 20_000, 65_536, 70_000])
def test_widths_beyond_the_promise_are_right_or_refused(d: int, levels: Any, pinned: Any) -> None:
    x, centroids = cases.mixture(70, d, 1), cases.mixture(50, d, 2)
    largest = np.sign(x[:3]) * np.float16(1 / np.sqrt(d))  # the largest sums of 8-bit products
    x[5:8] = centroids[20:23] = cases.canonical16(largest)
    expected = reference.assign(x, centroids)
    for level in levels:
        with pinned(isa=level):
            if d > 65_536:
                with pytest.raises(ValueError, match="65536"):
                    tamis.assign(x, centroids)
            else:
                assert_same_bits(tamis.assign(x, centroids), expected, level)


def test_centroids_of_very_different_size(levels: Any, pinned: Any) -> None:
    x = cases.mixture(60, 48, 0)
    centroids = np.random.default_rng(0).standard_normal((50, 48))
    centroids *= np.exp2(np.linspace(-60, 60, 50))[:, None]
    check(x, centroids, levels, pinned, "float64", top=5)
    check(x, centroids, levels, pinned, "float64", metric="euclidean", top=50)
    check(x, centroids[20:30].astype(np.float32), levels, pinned, "float32", metric="euclidean")
    large = cases.wide_range(9, 48, 1) * np.float16(60000)
    check(x, large, levels, pinned, "large float16", top=9)


def test_centroids_below_the_range_of_float32(levels: Any, pinned: Any) -> None:
    x = cases.mixture(40, 17, 0)
    centroids = np.random.default_rng(0).standard_normal((30, 17))
    for scale in (1e-38, 1e-45, 1e-160, 1e-200):
        for metric in ("dot", "euclidean"):
            check(x, centroids * scale, levels, pinned, scale, metric=metric, top=3)


def test_centroids_far_larger_than_the_rows(levels: Any, pinned: Any) -> None:
    x = cases.unit_rows(60, 40, 0)
    base = np.random.default_rng(0).standard_normal((1, 40)) * 2.0**50
    noise = np.random.default_rng(1).standard_normal((200, 40))
    for size in (2.0**26, 2.0**20, 1.0, 2.0**-2):
        for metric in ("dot", "euclidean"):
            check(x, base + noise * size, levels, pinned, size, metric=metric)
            check(x, base + noise * size, levels, pinned, size, metric=metric, top=5)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_euclidean_centroids_whose_squares_leave_float32(levels: Any, pinned: Any) -> None:
    x = cases.unit_rows(50, 24, 0)
    centroids = np.random.default_rng(0).standard_normal((400, 24))
    for size in (2.0**60, 2.0**63, 2.0**70, 2.0**97):
        for part in (np.s_[::], np.s_[::3]):  # beside others of about unit norm
            large = centroids.copy()
            large[part] *= size
            for top in (1, 3):
                check(x, large, levels, pinned, size, metric="euclidean", top=top)


def test_euclidean_rows_of_any_scale(levels: Any, pinned: Any) -> None:
    rng = np.random.default_rng(0)
    x, centroids = rng.standard_normal((50, 12)), rng.standard_normal((20, 12))
    x[3] = 0
    for scale in (1.0, 2.0**-40, 2.0**30):
        check(x * scale, centroids * scale, levels, pinned, scale, metric="euclidean", top=2)
    expected = reference.assign(x, centroids, metric="euclidean")[0]
    for scale in (2.0**-500, 2.0**500, 2.0**-900):  # here the scores leave float32's range
        with np.errstate(over="ignore"):
            labels = tamis.assign(x * scale, centroids * scale, metric="euclidean")[0]
        assert_same_bits(labels, expected, scale)


def test_float64_centroids_that_differ_in_the_last_bit(levels: Any, pinned: Any) -> None:
    x = cases.unit_rows(40, 31, 0)
    centroids = np.repeat(np.random.default_rng(1).standard_normal((1, 31)), 64, axis=0)
    element = np.random.default_rng(2).integers(31, size=64)
    at = np.arange(64), element
    centroids[at] = np.nextafter(centroids[at], 9.0)
    for metric in ("dot", "euclidean"):
        check(x, centroids, levels, pinned, metric, metric=metric, top=7)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(0, 10**6),
    st.sampled_from(list(cases.FAMILIES)),
    st.sampled_from(["dot", "euclidean"]),
    st.integers(1, 5),
)
@settings(max_examples=300)
def test_any_shape(n: int, k: int, d: int, seed: int, name: str, metric: Any, top: int) -> None:
    family = cases.FAMILIES[name]
    rows = family(n + k, d, seed)
    options = {"metric": metric, "top": min(top, k)}
    expected = reference.assign(rows[:n], rows[n:], **options)
    assert_same_bits(tamis.assign(rows[:n], rows[n:], **options), expected)


def test_rows_are_made_canonical_first() -> None:
    x = np.random.default_rng(0).standard_normal((50, 30)) * 17
    centroids = cases.unit_rows(9, 30)
    expected = reference.assign(reference.canonical(x)[0], centroids)
    assert_same_bits(tamis.assign(x, centroids), expected)
    assert_same_bits(
        tamis.assign(x[::-1, ::1].astype(np.float32)[::-1], centroids),
        tuple(reference.assign(x.astype(np.float32), centroids)),
    )


def test_strided_and_read_only_inputs() -> None:
    x, c = cases.mixture(80, 31, 0), cases.mixture(40, 31, 1)
    expected = reference.assign(x[::2], c[::-1])
    x.flags.writeable = c.flags.writeable = False
    assert_same_bits(tamis.assign(x[::2], c[::-1]), expected)
    assert_same_bits(tamis.assign(np.asfortranarray(x[::2]), np.asfortranarray(c[::-1])), expected)


def test_assign64(exact: Any, levels: Any, pinned: Any) -> None:
    for d in (1, 8, 33, 100, 512):
        for name, family in cases.FAMILIES.items():
            rows, centroids = family(60, d, 3), family(20, d, 4)
            for top in (1, 4):
                expected = reference.assign64(rows, centroids, top=top)
                for level in levels:
                    with pinned(isa=level):
                        actual = exact.assign64(rows, centroids, top=top)
                    assert_same_bits(actual, expected, (name, d, top, level))


def test_no_rows() -> None:
    for top, shape in ((1, (0,)), (3, (0, 3))):
        labels, scores = tamis.assign(
            np.empty((0, 5), dtype=np.float16), cases.unit_rows(4, 5), top=top
        )
        assert labels.shape == scores.shape == shape
        assert labels.dtype == np.int32 and scores.dtype == np.float32


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_bad_rows_are_counted_and_the_first_is_named(value: float) -> None:
    x = np.ones((100, 4), dtype=np.float32)
    x[[17, 40, 99]] = value
    with pytest.raises(ValueError, match=r"\b3\b") as caught:
        tamis.assign(x, cases.unit_rows(4, 4))
    assert re.search(r"\b17\b", str(caught.value)), caught.value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"centroids": cases.unit_rows(4, 6)}, r"\b6\b.*\b5\b|\b5\b.*\b6\b"),
        ({"centroids": cases.unit_rows(4, 5)[0]}, "2-D|dimension"),
        ({"centroids": np.empty((0, 5), dtype=np.float16)}, "centroid"),
        ({"centroids": np.full((4, 5), np.nan, dtype=np.float32)}, "centroid"),
        ({"centroids": np.full((4, 5), np.inf, dtype=np.float16)}, "centroid"),
        ({"top": 5}, "top"),
        ({"top": 0}, "top"),
        ({"metric": "cosine"}, "metric|cosine"),
        ({"device": "cuda"}, "cuda|CUDA"),
        ({"device": "abacus"}, "device|abacus"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"centroids": cases.unit_rows(4, 5), **change}
    with pytest.raises((ValueError, RuntimeError), match=words) as caught:
        tamis.assign(cases.unit_rows(9, 5), **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("metric", ["dot", "euclidean"])
def test_a_guess_changes_nothing(metric: Any, levels: Any, pinned: Any) -> None:
    from tamis.kernels.assign import ScaledRows, best_centroids

    rng = np.random.default_rng(0)
    for name, family in cases.FAMILIES.items():
        rows, centroids = ScaledRows(family(300, 65, 1), 0, 0.0), family(120, 65, 2)
        expected = best_centroids(rows, centroids, metric, 1)
        for guess in (expected[0], rng.integers(0, 120, 300), np.zeros(300)):
            guess = np.ascontiguousarray(guess, dtype=np.int32)
            for level in levels:
                with pinned(isa=level):
                    found = best_centroids(rows, centroids, metric, 1, guess=guess)
                assert_same_bits(found, expected, (name, level))
