"""Families never straddle, and no pair is lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tamis import canonical
from tamis.filters.hype.training.pairs import series_codes
from tamis.filters.hype.training.split import FEWEST_FAMILIES, families, joined, partners, split

Labels = list[int]


def oracle(groupings: Sequence[Labels]) -> Labels:
    """Depth-first search over rows that share a group."""
    n = len(groupings[0])
    found = [-1] * n
    for start in range(n):
        waiting = [start] if found[start] < 0 else []
        while waiting:
            row = waiting.pop()
            found[row] = start
            waiting += [
                other
                for other in range(n)
                if found[other] < 0 and any(groups[row] == groups[other] for groups in groupings)
            ]
    return found


@st.composite
def groupings(draw: st.DrawFn) -> list[Labels]:
    n = draw(st.integers(1, 24))
    numbers = st.lists(st.integers(0, n - 1), min_size=n, max_size=n)
    return draw(st.lists(numbers, min_size=1, max_size=3))


@given(groupings())
def test_components_of_several_groupings(labels: list[Labels]) -> None:
    assert joined([np.array(groups) for groups in labels]).tolist() == oracle(labels)


def test_a_long_chain() -> None:
    n = 20_001
    row = np.arange(n)
    assert not joined([row // 2, (row + 1) // 2]).any()


@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(0, 3))
def test_partners_are_of_another_family(labels: Labels, seed: int) -> None:
    of_family = np.array(labels)
    if len(set(labels)) == 1:
        with pytest.raises(ValueError, match="two families"):
            partners(of_family)
        return
    found = partners(of_family)
    assert (of_family[found] != of_family).all()


@given(st.lists(st.integers(0, 30), min_size=30, max_size=200), st.floats(0.05, 0.5))
def test_a_split_is_whole_families(labels: Labels, share: float) -> None:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    of_family = first[inverse]
    rows = np.arange(len(labels)) * 3 + 1
    sizes = np.sort(np.bincount(of_family)[first])
    if len(first) < FEWEST_FAMILIES or sizes[:2].sum() > share * len(labels):
        with pytest.raises(ValueError, match="families"):
            split(of_family, rows, share=share, seed=1)
        return
    assume(sizes.max() * 2 <= share * len(labels))  # else a large one may leave no room for two
    train, validation = split(of_family, rows, share=share, seed=1)
    assert np.array_equal(np.sort([*train, *validation]), np.arange(len(labels)))
    assert not set(of_family[train]) & set(of_family[validation])
    assert len(validation) <= share * len(labels)


def test_what_makes_a_family() -> None:
    random = np.random.default_rng(0)
    images, texts = random.normal(size=(7, 16)), random.normal(size=(7, 9))
    images[3] = images[0] + 0.05 * random.normal(size=16)  # a near-copy
    texts[5] = texts[3]  # the same caption
    series = series_codes(["a", None, "a", None, None, None, None])
    rows = canonical(images)[0], canonical(texts)[0]
    assert families(*rows, near=0.95).tolist() == [0, 1, 2, 0, 4, 0, 6]
    assert families(*rows, near=0.95, series=series).tolist() == [0, 1, 0, 0, 4, 0, 6]
    assert families(*rows, near=0.99999).tolist() == [0, 1, 2, 3, 4, 3, 6]


def test_a_row_keeps_its_side_when_others_come() -> None:
    """The keys are of the rows in the pool, so families that stay are ordered as before."""
    alone = split(np.arange(100), np.arange(100), share=0.2, seed=0).validation
    more = split(np.arange(200), np.arange(200), share=0.2, seed=0).validation
    assert set(more[more < 100]) & set(alone)


@pytest.mark.parametrize(
    ("labels", "told"),
    [([0] * 50, "are 1 families"), ([*range(7)], "expected 8 families or more")],
)
def test_too_few_families(labels: Labels, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        split(np.array(labels), np.arange(len(labels)), share=0.2, seed=0)


def test_an_empty_validation() -> None:
    of_family = np.repeat(np.arange(10) * 10, 10)
    with pytest.raises(ValueError, match="the validation would be empty"):
        split(of_family, np.arange(100), share=0.05, seed=0)
