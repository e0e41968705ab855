"""greedy_keep and components equal the reference, and obey what the rules promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases
from bits import assert_same_bits
from tamis.kernels import reference


def check(exact: Any, rows: Any, offsets: Any, threshold: float, case: Any) -> None:
    keep = exact.greedy_keep(rows, offsets, threshold)
    assert_same_bits(keep, reference.greedy_keep(rows, offsets, threshold), (case, "greedy"))
    lowest = exact.components(rows, offsets, threshold)
    expected = reference.components(rows, offsets, threshold)
    assert_same_bits(lowest, expected, (case, "components"))


@pytest.mark.parametrize("name", cases.FAMILIES)
@pytest.mark.parametrize("d", [1, 3, 16, 65, 257])
def test_every_family(name: str, d: int, exact: Any, levels: Any, pinned: Any) -> None:
    rows = cases.FAMILIES[name](200, d, 1)
    cosine = reference.cosines(rows, rows).astype(np.float32)
    for quantile in (0.2, 0.9, 0.99, 1):
        value = np.quantile(cosine, quantile, method="nearest")
        for level in levels:
            with pinned(isa=level):
                for threshold in (value, np.nextafter(value, np.float32(-2))):
                    check(exact, rows, np.array([0, 200]), float(threshold), (quantile, level))
                    check(exact, rows, cases.ragged(200, d), float(threshold), (quantile, level))


@pytest.mark.parametrize("name", ["mixture", "near_copies", "families", "copies"])
def test_many_tiles(name: str, exact: Any, levels: Any, pinned: Any) -> None:
    rows = cases.FAMILIES[name](2500, 40, 1)
    for level in levels:
        with pinned(isa=level):
            for threshold in (0.8, 0.999):
                check(exact, rows, np.array([0, 2500]), threshold, level)
                check(exact, rows, cases.zipf(2500, 30, 1), threshold, level)


def test_a_chain_is_one_component_but_every_other_row_stays(exact: Any) -> None:
    angle = np.arange(500) * 0.01
    rows = reference.canonical(np.column_stack([np.cos(angle), np.sin(angle)]))[0]
    offsets = np.array([0, 500])
    threshold = float(np.cos(0.012))
    assert not exact.components(rows, offsets, threshold).any()
    check(exact, rows, offsets, threshold, "chain")
    backwards = np.random.default_rng(0).permutation(500)
    check(exact, rows[backwards], offsets, threshold, "shuffled chain")


@given(
    st.lists(st.integers(0, 14), max_size=5),
    st.integers(1, 8),
    st.integers(0, 10**6),
    st.sampled_from(list(cases.FAMILIES)),
    st.floats(-1.1, 1.1) | st.sampled_from([0.5, 0.0, 1.0]),
)
@settings(max_examples=400)
def test_any_segments(
    exact: Any, sizes: list[int], d: int, seed: int, name: str, threshold: float
) -> None:
    offsets = np.concatenate([[0], np.cumsum(np.array(sizes, dtype=np.int64))])
    rows = cases.FAMILIES[name](80, d, seed)[: offsets[-1]]
    check(exact, rows, offsets, threshold, name)
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
