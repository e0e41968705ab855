"""Which rows are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.embed.small import plain_pool

from tamis.data.ids import Ids
from tamis.errors import PoolError
from tamis.report.choice import choose_rows, named_rows, read_row

_scores = st.lists(st.one_of(st.just(np.nan), st.sampled_from([0.0, 0.25, 0.5, 1.0])), max_size=40)


@given(_scores, st.integers(1, 50), st.integers(-5, 5))
def test_random_rows_prefer(scores: list[float], n_rows: int, seed: int) -> None:
    preferred = np.arange(len(scores)) % 3 == 0
    chosen = choose_rows(np.array(scores, float), n_rows, seed=seed, preferred=preferred)
    assert len(set(chosen.tolist())) == min(n_rows, len(scores))
    assert (np.diff(chosen) > 0).all()
    assert preferred[chosen].sum() == min(n_rows, preferred.sum())


@given(_scores, st.integers(1, 50))
def test_extremes_are_ranked_and_ties_keep_their_order(scores: list[float], n_rows: int) -> None:
    values = np.array(scores, float)
    usable = [row for row, score in enumerate(scores) if not np.isnan(score)]
    for order, sign in (("lowest", 1), ("highest", -1)):
        expected = sorted(usable, key=lambda row: (sign * scores[row], row))[:n_rows]
        assert choose_rows(values, n_rows, order=order).tolist() == expected


def test_a_seed_chooses_the_same_rows_and_another_others() -> None:
    scores = np.zeros(1000)
    chosen = [choose_rows(scores, 10, seed=seed).tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    # A counter-based choice: the rows of a pool that grows are those, or newer ones.
    longer = choose_rows(np.zeros(1500), 10, seed=0).tolist()
    assert set(longer) - set(chosen[0]) == {row for row in longer if row >= 1000}


def test_rows_by_name() -> None:
    uids = [f"{n:032x}" for n in (5, 3, 9)]
    assert named_rows(Ids.of(uids), [uids[2], uids[0], uids[2]]).tolist() == [2, 0, 2]
    assert named_rows(Ids.of(["b", "a"]), ["a"]).tolist() == [1]
    assert named_rows(Ids.rows(4), ["3"]).tolist() == [3]
    numbers = Ids.of([-1, 0, -7])
    assert named_rows(numbers, ["-7", "-1"]).tolist() == [2, 0]
    absent = [(numbers, "x"), (numbers, "9" * 30), (numbers, "7")]
    for ids, name in [(Ids.of(uids), "b"), (Ids.of(["b"]), "c"), (Ids.rows(4), "x"), *absent]:
        with pytest.raises(PoolError, match="no row has the id"):
            named_rows(ids, [name])


def test_one_row_of_a_pool(tmp_path: Path) -> None:
    pool = plain_pool(tmp_path / "pool", 5)
    everything = [sample for unit in pool.units(2) for sample in pool.read(unit)]
    assert [read_row(pool, row) for row in range(5)] == everything


def test_refusals() -> None:
    with pytest.raises(ValueError, match="order of random, lowest, highest"):
        choose_rows(np.zeros(3), 1, order="best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 row or more"):
        choose_rows(np.zeros(3), 0)
