"""greedy_keep and components equal the reference, and obey what the rules promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases
from bits import assert_same_bits
from tamis.kernels import reference

Check = Callable[[Any, Any, float, Any], None]


@pytest.fixture(scope="module")
def check(exact: Any, levels: Any, pinned: Any) -> Check:
    """Compare both rules with the reference on every instruction set."""

    def compare(rows: Any, offsets: Any, threshold: float, case: Any) -> None:
        keep = reference.greedy_keep(rows, offsets, threshold)
        lowest = reference.components(rows, offsets, threshold)
        for level in levels:
            at = (case, threshold, level)
            with pinned(isa=level):
                assert_same_bits(exact.greedy_keep(rows, offsets, threshold), keep, at)
                assert_same_bits(exact.components(rows, offsets, threshold), lowest, at)

    return compare


@pytest.mark.parametrize("name", cases.FAMILIES)
@pytest.mark.parametrize("d", [1, 3, 16, 65, 257])
def test_every_family(name: str, d: int, check: Check) -> None:
    rows = cases.FAMILIES[name](200, d, 1)
    cosine = reference.cosines(rows, rows).astype(np.float32)
    for quantile in (0.2, 0.9, 0.99, 1):
        value = np.quantile(cosine, quantile, method="nearest")
        for threshold in (value, np.nextafter(value, np.float32(-2))):
            check(rows, np.array([0, 200]), float(threshold), quantile)
            check(rows, cases.ragged(200, d), float(threshold), quantile)


@pytest.mark.parametrize("name", ["mixture", "near_copies", "families", "copies"])
def test_many_tiles(name: str, check: Check) -> None:
    rows = cases.FAMILIES[name](2500, 40, 1)
    for threshold in (0.8, 0.999):
        check(rows, np.array([0, 2500]), threshold, "one segment")
        check(rows, cases.zipf(2500, 30, 1), threshold, "segments")


@pytest.mark.parametrize("name", ["mixture", "families", "edge_norms"])
def test_segments_longer_than_what_is_packed_at_once(name: str, check: Check) -> None:
    rows = cases.FAMILIES[name](7000, 12, 1)
    check(rows, np.array([0, 7000]), 0.9, "one segment")
    check(rows, np.array([0, 10, 6500, 6990, 7000]), 0.999, "segments")


def test_a_chain_is_one_component_but_every_other_row_stays(exact: Any, check: Check) -> None:
    angle = np.arange(500) * 0.01
    rows = reference.canonical(np.column_stack([np.cos(angle), np.sin(angle)]))[0]
    offsets = np.array([0, 500])
    threshold = float(np.cos(0.012))
    assert not exact.components(rows, offsets, threshold).any()
    check(rows, offsets, threshold, "chain")
    backwards = np.random.default_rng(0).permutation(500)
    check(rows[backwards], offsets, threshold, "shuffled chain")


@given(
    st.lists(st.integers(0, 14), max_size=5),
    st.integers(1, 8),
    st.integers(0, 10**6),
    st.sampled_from(list(cases.FAMILIES)),
    st.floats(-1.1, 1.1) | st.sampled_from([0.5, 0.0, 1.0]),
)
@settings(max_examples=400)
def test_any_segments(
    exact: Any, check: Check, sizes: list[int], d: int, seed: int, name: str, threshold: float
) -> None:
    offsets = np.concatenate([[0], np.cumsum(np.array(sizes, dtype=np.int64))])
    rows = cases.FAMILIES[name](80, d, seed)[: offsets[-1]]
    check(rows, offsets, threshold, name)
    # First of each component <= kept by SemDeDup <= kept greedily.
    first = exact.components(rows, offsets, threshold) == np.arange(len(rows))
    cosine = exact.max_cosine64(rows, offsets)[0].astype(np.float32)
    published = ~(cosine > np.float32(threshold))
    greedy = exact.greedy_keep(rows, offsets, threshold)
    assert not (first & ~published).any() and not (published & ~greedy).any()


def test_no_rows(exact: Any) -> None:
    rows = np.empty((0, 3), dtype=np.float16)
    for offsets in (np.array([0]), np.array([0, 0])):
        assert exact.greedy_keep(rows, offsets, 0.5).shape == (0,)
        assert exact.components(rows, offsets, 0.5).shape == (0,)
