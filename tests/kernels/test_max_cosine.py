"""tamis.max_cosine equals the reference to the bit in every kind of segment."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases
import tamis
from bits import assert_same_bits
from tamis.kernels import reference


def check(x: Any, levels: Any, pinned: Any, case: Any, *arguments: Any, **options: Any) -> None:
    expected = reference.max_cosine(x, *arguments, **options)
    for level in levels:
        with pinned(isa=level):
            actual = tamis.max_cosine(x, *arguments, **options)
        assert_same_bits(actual, expected, (case, level))


@pytest.mark.parametrize("d", cases.DIMS)
@pytest.mark.parametrize("name", cases.FAMILIES)
def test_every_family_and_width(name: str, d: int, levels: Any, pinned: Any) -> None:
    x = cases.FAMILIES[name](90, d, 7)
    check(x, levels, pinned, "one segment")
    check(x, levels, pinned, "ragged", cases.ragged(90, d), side="others")


@pytest.mark.parametrize("side", ["earlier", "others"])
@pytest.mark.parametrize("n", [1000, 3000])
def test_many_tiles(n: int, side: Any, levels: Any, pinned: Any) -> None:
    for name in ("mixture", "near_copies", "families", "copies"):
        x = cases.FAMILIES[name](n, 48, 1)
        check(x, levels, pinned, name, side=side)
        check(x, levels, pinned, name, cases.zipf(n, 20, 2), side=side)
        check(x, levels, pinned, name, cases.ragged(n, 3), side=side)


@pytest.mark.parametrize("d", [8, 17, 64, 257, 768, 4096])
@pytest.mark.parametrize("mislead", [cases.misleading_bfloat16, cases.misleading_int8])
def test_candidates_that_mislead_a_low_precision_pass(
    mislead: Any, d: int, levels: Any, pinned: Any
) -> None:
    x, candidates = mislead(32, d, d)
    check(np.concatenate([candidates, x]), levels, pinned, "earlier")
    check(np.concatenate([x, candidates[::-1]]), levels, pinned, "others", side="others")
    check(x, levels, pinned, "other", other=candidates)
    few, pairs = mislead(16, d, d + 1)
    check(few, levels, pinned, "opposites", other=np.concatenate([pairs, -pairs]))
    check(np.concatenate([pairs, -pairs, few]), levels, pinned, "earlier opposites")


@pytest.mark.parametrize("d", [2, 8, 31, 65, 768])
def test_near_ties(d: int, levels: Any, pinned: Any) -> None:
    x, centroids = cases.equidistant(100, d, d)
    check(np.concatenate([centroids, x]), levels, pinned, "earlier")
    check(x, levels, pinned, "other", other=centroids)
    # Dots that differ by 2^-48 and norms that differ by more: the quotient decides.
    close = cases.last_bits(100, d, d)
    check(close, levels, pinned, "last bits", side="others")


def test_rows_at_odd_addresses(exact: Any) -> None:
    x, offsets = cases.mixture(200, 33, 1), np.array([0, 120, 200])
    odd = np.empty(x.nbytes + 1, dtype=np.uint8)[1:].view(np.float16).reshape(x.shape)
    odd[:] = x
    odd_offsets = np.empty(25, dtype=np.uint8)[1:].view(np.int64)
    odd_offsets[:] = offsets
    assert not odd.flags.aligned and not odd_offsets.flags.aligned
    assert_same_bits(tamis.max_cosine(odd, odd_offsets), tamis.max_cosine(x, offsets))
    assert_same_bits(exact.max_cosine64(odd, odd_offsets), exact.max_cosine64(x, offsets))
    assert_same_bits(tamis.assign(odd, odd[:20]), tamis.assign(x, x[:20]))


def test_a_thousand_equal_rows_take_the_lowest_index(levels: Any, pinned: Any) -> None:
    x = np.repeat(cases.unit_rows(1, 100, 0), 1000, axis=0)
    check(x, levels, pinned, "earlier")
    check(x, levels, pinned, "others", side="others")
    index = tamis.max_cosine(x, side="others")[1]
    assert index[0] == 1 and not index[1:].any()


def test_singletons_and_empty_segments_have_no_neighbour(levels: Any, pinned: Any) -> None:
    x = cases.unit_rows(5000, 3)
    offsets = np.arange(5001)
    for side in ("earlier", "others"):
        cosine, index = tamis.max_cosine(x, offsets, side=side)
        assert (cosine == -np.inf).all() and (index == -1).all()
    check(x, levels, pinned, "pairs", np.arange(0, 5001, 2))
    check(x, levels, pinned, "gaps", np.sort(np.r_[0, 0, np.arange(5001), 2500, 5000]))


def test_negative_cosines_are_not_clipped(levels: Any, pinned: Any) -> None:
    x = np.array([[1, 0], [-1, 0], [-0.6, 0.8]])
    check(x, levels, pinned, "negative")
    assert tamis.max_cosine(x)[0][1] == -1


@pytest.mark.parametrize("d", [1, 8, 33, 257])
def test_the_matching_segment_of_another_pool(d: int, levels: Any, pinned: Any) -> None:
    for name in ("mixture", "near_copies", "one_hot", "subnormal_heavy"):
        x, other = cases.FAMILIES[name](150, d, 1), cases.FAMILIES[name](211, d, 2)
        check(x, levels, pinned, name, other=other)
        offsets = np.array([0, 0, 10, 100, 100, 149, 150])
        other_offsets = np.array([0, 40, 41, 41, 100, 211, 211])
        check(x, levels, pinned, name, offsets, other=other, other_offsets=other_offsets)
    assert (tamis.max_cosine(x, other=other[:0])[1] == -1).all()


@given(st.data())
@settings(max_examples=300)
def test_any_segments(exact: Any, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(0, 12), max_size=6))
    d, seed = data.draw(st.integers(1, 18)), data.draw(st.integers(0, 10**6))
    family = cases.FAMILIES[data.draw(st.sampled_from(list(cases.FAMILIES)))]
    offsets = np.concatenate([[0], np.cumsum(np.array(sizes, dtype=np.int64))])
    n = int(offsets[-1])
    x = family(n + 40, d, seed)[:n]
    side = data.draw(st.sampled_from(["earlier", "others"]))
    assert_same_bits(
        tamis.max_cosine(x, offsets, side=side), reference.max_cosine(x, offsets, side=side)
    )
    limits = np.array(
        data.draw(st.lists(st.integers(0, 13), min_size=n, max_size=n)), dtype=np.int64
    )
    limits = np.minimum(limits, np.repeat(sizes, sizes).astype(np.int64))
    options: dict[str, Any] = {"limits": data.draw(st.sampled_from([None, limits]))}
    if data.draw(st.booleans()):
        y_sizes = np.array(
            data.draw(st.lists(st.integers(0, 12), min_size=len(sizes), max_size=len(sizes))),
            dtype=np.int64,
        )
        options["other_offsets"] = np.concatenate([[0], np.cumsum(y_sizes)])
        options["other"] = family(int(y_sizes.sum()) + 40, d, seed + 1)[: y_sizes.sum()]
        if options["limits"] is not None:
            options["limits"] = np.minimum(limits, np.repeat(y_sizes, sizes))
    else:
        options["exclude_self"] = data.draw(st.booleans())
    actual = exact.max_cosine64(x, offsets, **options)
    assert_same_bits(actual, reference.max_cosine64(x, offsets, **options), options)


@pytest.mark.parametrize("name", cases.FAMILIES)
def test_float64_cosines_limits_and_pairs(name: str, exact: Any, levels: Any, pinned: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = cases.FAMILIES[name](400, 65, 1), cases.FAMILIES[name](300, 65, 2)
    offsets, other_offsets = cases.ragged(400, 1), None
    pieces = len(offsets) - 1
    other_offsets = np.concatenate([[0], np.sort(rng.integers(0, 301, pieces - 1)), [300]])
    own = np.repeat(np.diff(offsets), np.diff(offsets))
    theirs = np.repeat(np.diff(other_offsets), np.diff(offsets))
    i, j = rng.integers(0, 400, 200), rng.integers(0, 300, 200)
    all_options: tuple[dict[str, Any], ...] = (
        {},
        {"exclude_self": True},
        {"limits": rng.integers(0, own + 1)},
        {"limits": rng.integers(0, own + 1), "exclude_self": True},
        {"other": y, "other_offsets": other_offsets},
        {"other": y, "other_offsets": other_offsets, "limits": rng.integers(0, theirs + 1)},
    )
    for options in all_options:
        expected = reference.max_cosine64(x, offsets, **options)
        for level in levels:
            with pinned(isa=level):
                actual = exact.max_cosine64(x, offsets, **options)
            assert_same_bits(actual, expected, (level, list(options)))
    paired = reference.paired_cosine64(x, i, y, j)
    for level in levels:
        with pinned(isa=level):
            assert_same_bits(exact.paired_cosine64(x, i, y, j), paired, level)


def test_inputs_of_every_dtype_and_stride(levels: Any, pinned: Any) -> None:
    x = np.random.default_rng(0).standard_normal((60, 34)) * 3
    offsets = np.array([0, 20, 60])
    for dtype in (np.float16, np.float32, np.float64):
        values = x.astype(dtype)
        values.flags.writeable = False
        for view in (values, values[::-1], values[:, ::-2], np.asfortranarray(values)):
            check(view, levels, pinned, dtype, offsets)
            check(view, levels, pinned, dtype, offsets, other=view[::-1], other_offsets=offsets)
    expected = reference.max_cosine(x, offsets)
    for kind in (np.int32, np.uint64, np.int64):
        assert_same_bits(tamis.max_cosine(x, offsets.astype(kind)), expected, kind)
    assert_same_bits(tamis.max_cosine(x, [0, 20, 60]), expected)


def test_no_rows() -> None:
    x = np.empty((0, 4), dtype=np.float16)
    for offsets in (None, np.array([0]), np.array([0, 0, 0])):
        cosine, index = tamis.max_cosine(x, offsets)
        assert cosine.shape == index.shape == (0,)
        assert cosine.dtype == np.float32 and index.dtype == np.int64


@pytest.mark.parametrize("argument", ["x", "other"])
@pytest.mark.parametrize("value", [np.nan, -np.inf, 0.0])
def test_bad_rows_are_counted_and_the_first_is_named(value: float, argument: str) -> None:
    rows = {"x": np.ones((100, 4)), "other": np.ones((100, 4))}
    rows[argument][[23, 50]] = value
    with pytest.raises(ValueError, match=r"\b2\b") as caught:
        tamis.max_cosine(rows["x"], other=rows["other"])
    assert re.search(r"\b23\b", str(caught.value)), caught.value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offsets": np.array([0, 5])}, "offsets"),
        ({"offsets": np.array([1, 9])}, "offsets"),
        ({"offsets": np.array([0, 7, 3, 9])}, "offsets"),
        ({"offsets": np.array([0, 10])}, "offsets"),
        ({"offsets": np.array([], dtype=np.int64)}, "offsets"),
        ({"offsets": np.array([[0, 9]])}, "offsets"),
        ({"offsets": np.array([0.0, 9.0])}, "offsets"),
        ({"side": "later"}, "side|later"),
        ({"other": cases.unit_rows(4, 6)}, r"\b6\b.*\b5\b|\b5\b.*\b6\b"),
        (
            {
                "offsets": np.array([0, 9]),
                "other": cases.unit_rows(4, 5),
                "other_offsets": np.array([0, 2, 4]),
            },
            "offsets|segments",
        ),
        ({"other_offsets": np.array([0, 9])}, "other"),
        ({"x": cases.unit_rows(9, 5)[0]}, "2-D|dimension"),
        ({"device": "cuda"}, "cuda|CUDA"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"x": cases.unit_rows(9, 5), **change}
    with pytest.raises((ValueError, TypeError, RuntimeError), match=words) as caught:
        tamis.max_cosine(**arguments)
    assert "\n" not in str(caught.value)
