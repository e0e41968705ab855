"""From cosines to kept sets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.filters.semdedup.select import DEFAULT_EPS, PAPER_EPS, eps_curve, select

COSINES = st.lists(
    st.one_of(
        st.just(-math.inf),
        st.sampled_from([1.0, 0.999, 0.5, 0.0, -0.25, -1.0]),
        st.floats(-1, 1, width=32),
    ),
    min_size=1,
    max_size=30,
)


def as_cosine(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float32)


@given(COSINES, st.floats(0, 2))
def test_eps_compares_float32_with_float32(values: list[float], eps: float) -> None:
    chosen = select(as_cosine(values), eps=eps)
    assert chosen is not None
    assert chosen.keep.tolist() == [not np.float32(v) > np.float32(1 - eps) for v in values]
    assert (chosen.eps, chosen.ties_at_cut) == (eps, 0)


@given(COSINES, st.data())
def test_keep_rows_takes_exactly_n_by_cosine_then_id(values: list[float], data: Any) -> None:
    cosine = as_cosine(values)
    count = data.draw(st.integers(1, len(values)))
    ids = np.array(data.draw(st.permutations(range(len(values)))))
    chosen = select(cosine, ids, keep_rows=count)
    assert chosen is not None
    expected = sorted(range(len(values)), key=lambda row: (cosine[row], ids[row]))[:count]
    assert np.flatnonzero(chosen.keep).tolist() == sorted(expected)

    largest = cosine[chosen.keep].max()
    at_cut = int((cosine == largest).sum())
    is_split = bool((cosine[~chosen.keep] == largest).any())
    assert chosen.ties_at_cut == (at_cut if is_split else 0)
    # The set is that of eps_, less the ties that the ids removed.
    assert 0 <= chosen.eps <= 2
    if abs(largest) > 2.0**-28 and largest > -1:
        wider = select(cosine, eps=chosen.eps)
        assert wider is not None
        assert (wider.keep == (cosine <= largest)).all()
        assert wider.keep.sum() == count + (at_cut - (cosine[chosen.keep] == largest).sum())
    # What was removed is above the threshold, unless nothing came before it.
    removed = cosine[~chosen.keep]
    assert ((removed > chosen.threshold) | (removed == -np.inf)).all()


@given(COSINES)
def test_kept_sets_are_nested(values: list[float]) -> None:
    cosine = as_cosine(values)
    by_eps = [select(cosine, eps=eps) for eps in (0.0, 1e-7, 0.01, 0.5, 1.0, 1.5, 2.0)]
    by_count = [select(cosine, keep_rows=n) for n in range(len(values), 0, -1)]
    for family in (by_eps, by_count):
        for wider, narrower in zip(family[:-1], family[1:], strict=True):
            assert wider is not None
            assert narrower is not None
            assert not (narrower.keep & ~wider.keep).any()


@pytest.mark.parametrize(
    ("keep", "n_rows", "expected"),
    [(0.5, 7, 3), (1.0, 7, 7), (0.29, 100, 29), (1 / 3, 3, 1), (0.1, 9, 0), (0.999, 1000, 999)],
)
def test_keep_is_a_floor(keep: float, n_rows: int, expected: int) -> None:
    rng = np.random.default_rng(0)
    chosen = select(rng.choice([0.5, 0.7, 0.9], size=n_rows).astype(np.float32), keep=keep)
    assert chosen is not None
    assert chosen.keep.sum() == expected


def test_eps_0_removes_nothing_and_copies_go_from_6e_8_on() -> None:
    cosine = as_cosine([-math.inf, 1.0])
    assert select(cosine, eps=0.0).keep.tolist() == [True, True]
    assert select(cosine, eps=2e-8).keep.tolist() == [True, True]
    assert select(cosine, eps=6e-8).keep.tolist() == [True, False]


def test_without_a_choice_nothing_is_selected() -> None:
    assert select(as_cosine([0.5])) is None


def test_fewer_rows_than_first_rows() -> None:
    chosen = select(as_cosine([-math.inf, -math.inf, 0.5]), np.array([1, 0, 2]), keep_rows=1)
    assert chosen.keep.tolist() == [False, True, False]
    assert (chosen.eps, chosen.ties_at_cut) == (2.0, 2)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"eps": -1e-9}, r"eps must be in \[0, 2\]"),
        ({"eps": 2.1}, r"eps must be in \[0, 2\]"),
        ({"eps": math.nan}, r"eps must be in \[0, 2\]"),
        ({"keep": 0.0}, r"keep must be in \(0, 1\]"),
        ({"keep": 1.01}, r"keep must be in \(0, 1\]"),
        ({"keep": math.nan}, r"keep must be in \(0, 1\]"),
        ({"keep_rows": 0}, "keep_rows must be a whole number"),
        ({"keep_rows": 1.5}, "keep_rows must be a whole number"),
        ({"keep_rows": 4}, "more than the 3 usable rows"),
        ({"eps": 0.1, "keep": 0.5}, "at most one of eps, keep and keep_rows, got eps and keep"),
        ({"keep": 0.5, "keep_rows": 1}, "at most one"),
        ({"eps": 0.1, "keep_rows": 1}, "at most one"),
    ],
)
def test_wrong_choices_are_refused(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select(as_cosine([0.1, 0.2, 0.3]), **choice)


def test_the_curve_counts_what_select_keeps() -> None:
    rng = np.random.default_rng(1)
    cosine = rng.uniform(-1, 1, size=500).astype(np.float32)
    cosine[:3] = -np.inf
    curve = eps_curve(cosine)
    assert set(PAPER_EPS) <= set(curve["eps"].tolist())
    assert (curve["eps"] == DEFAULT_EPS).all()
    assert curve["kept"].tolist() == [int(select(cosine, eps=e).keep.sum()) for e in curve["eps"]]
    assert (curve["kept"] + curve["removed"] == 500).all()
    assert (curve["eps"][0], curve["kept"][0]) == (0.0, 500)
