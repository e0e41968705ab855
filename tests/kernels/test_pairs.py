"""tamis.pairs_above yields exactly the reference's pairs, in its order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases
import tamis
from bits import assert_same_bits
from tamis.kernels import reference

Blocks = Any
Check = Callable[[Any, Any, float, Any], int]


def joined(blocks: Blocks) -> tuple[Any, ...]:
    empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    return tuple(np.concatenate(parts) for parts in zip(empty, *blocks, strict=True))


@pytest.fixture(scope="module")
def check(levels: Any, pinned: Any) -> Check:
    """Compare the pairs with the reference's on every instruction set; return how many."""

    def compare(x: Any, offsets: Any, threshold: float, case: Any) -> int:
        expected = joined(reference.pairs_above(x, offsets, threshold))
        for level in levels:
            with pinned(isa=level):
                actual = joined(tamis.pairs_above(x, offsets, threshold))
            assert_same_bits(actual, expected, (case, threshold, level))
        return len(expected[0])

    return compare


@pytest.mark.parametrize("name", cases.FAMILIES)
@pytest.mark.parametrize("d", [1, 9, 64, 100])
def test_every_family(name: str, d: int, check: Check) -> None:
    x = cases.FAMILIES[name](150, d, 1)
    cosine = np.concatenate([c[2] for c in reference.pairs_above(x, None, -2.0)])
    # Thresholds at, and one float32 beside, values that occur.
    middle = np.sort(cosine)[len(cosine) // 2]
    for threshold in (middle, np.nextafter(middle, np.float32(-2)), 0.999, 1.0):
        check(x, cases.ragged(150, d), float(threshold), name)
    check(x, None, float(middle), name)


def test_the_threshold_is_a_float32_and_strict(check: Check) -> None:
    x = np.array([[1, 0], [0.6, 0.8], [0.8, 0.6]], dtype=np.float64)
    cosine = float(joined(reference.pairs_above(x, None, 0.9))[2][0])
    assert check(x, None, cosine, "equal") == 0
    assert check(x, None, float(np.nextafter(np.float32(cosine), np.float32(0))), "below") == 1
    # A float64 that rounds to the cosine's float32 is the same threshold.
    assert check(x, None, cosine - 1e-9, "rounds up to it") == 0


def test_all_pairs_and_none(check: Check) -> None:
    x = cases.near_copies(300, 33, 0)
    for threshold in (-2.0, -np.inf, -3e38):
        assert check(x, None, threshold, "all") == 300 * 299 // 2
    for threshold in (2.0, np.inf, 3e38):
        assert check(x, None, threshold, "none") == 0
    check(x, None, 1.0, "one")


def test_pairs_come_in_order_and_in_bounded_blocks() -> None:
    x = np.repeat(cases.unit_rows(1, 8), 3000, axis=0)
    total, last, largest = 0, -1, 0
    for i, j, cosine in tamis.pairs_above(x, None, 0.5):
        assert i.dtype == j.dtype == np.int64 and cosine.dtype == np.float32
        order = j * 3000 + i
        assert order[0] > last and (np.diff(order) > 0).all() and (i < j).all()
        last, total, largest = order[-1], total + len(i), max(largest, len(i))
    assert total == 3000 * 2999 // 2
    assert largest < total  # it is not one array of all pairs


def test_it_is_lazy() -> None:
    blocks = iter(tamis.pairs_above(np.repeat(cases.unit_rows(1, 8), 3000, axis=0), None, 0.5))
    first = next(blocks)
    assert first[0][0] == 0 and first[1][0] == 1


@given(
    st.lists(st.integers(0, 10), max_size=6),
    st.integers(1, 10),
    st.integers(0, 10**6),
    st.sampled_from(list(cases.FAMILIES)),
    st.floats(-1.1, 1.1),
)
@settings(max_examples=200)
def test_any_segments(
    check: Check, sizes: list[int], d: int, seed: int, name: str, threshold: float
) -> None:
    offsets = np.concatenate([[0], np.cumsum(np.array(sizes, dtype=np.int64))])
    check(cases.FAMILIES[name](70, d, seed)[: offsets[-1]], offsets, threshold, name)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_bad_rows_are_refused(value: float) -> None:
    x = np.ones((9, 3))
    x[4] = value
    with pytest.raises(ValueError, match=r"\b4\b"):
        list(tamis.pairs_above(x, None, 0.5))


@pytest.mark.parametrize(("offsets", "threshold"), [([0, 4], 0.5), (None, float("nan"))])
def test_wrong_arguments_are_refused(offsets: Any, threshold: float) -> None:
    with pytest.raises(ValueError, match=r"offsets|threshold"):
        list(tamis.pairs_above(cases.unit_rows(9, 3), offsets, threshold))
