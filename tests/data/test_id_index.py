"""Finding ids in lists of ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.data.id_index import IdIndex
from tamis.data.ids import Ids

HALVES = st.integers(0, 4) | st.integers(0, 2**64 - 1)
PAIRS = st.lists(st.tuples(HALVES, HALVES), max_size=40)
NUMBERS = st.lists(st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1), max_size=40)
TEXTS = st.lists(st.text(st.sampled_from("abé\0"), max_size=3), max_size=40)


def check(listed: Ids, asked: Ids) -> None:
    index = IdIndex(listed)
    different = sorted(set(listed.to_list()))
    assert index.ids.to_list() == different and len(index) == len(different)
    assert index.counts.tolist() == [listed.to_list().count(each) for each in different]
    assert index.rows.tolist() == [listed.to_list().index(each) for each in different]
    expected = [different.index(each) if each in different else -1 for each in asked.to_list()]
    found = index.find(asked)
    assert found.tolist() == expected and found.dtype == np.int64


@given(PAIRS, PAIRS)
def test_uids(listed: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    def ids(pairs: list[tuple[int, int]]) -> Ids:
        return Ids("uid32", np.array(pairs, np.uint64).reshape(-1, 2))

    check(ids(listed), ids(asked + listed))


@given(NUMBERS, NUMBERS)
def test_numbers(listed: list[int], asked: list[int]) -> None:
    check(Ids("int64", np.array(listed, np.int64)), Ids("int64", np.array(asked + listed, "i8")))


@given(TEXTS, TEXTS)
def test_texts(listed: list[str], asked: list[str]) -> None:
    check(Ids.of(listed, kind="string"), Ids.of(asked + listed, kind="string"))


def test_ids_of_different_kinds() -> None:
    uid = "0" * 31 + "7"
    for listed, asked, expected in (
        (Ids.rows(9), Ids.of([7, 70]), [7, -1]),
        (Ids.of([7]), Ids.rows(8), [-1] * 7 + [0]),
        (Ids.of([7]), Ids.of(["7"]), [-1]),
        (Ids.of(["7"]), Ids.of([7]), [-1]),
        (Ids.of([uid, "x"]), Ids.of([uid]), [0]),
        (Ids.of([uid]), Ids.of(["x", uid]), [-1, 0]),
        (Ids.of([]), Ids.of([7]), [-1]),
        (Ids.of([7]), Ids.of([]), []),
    ):
        assert IdIndex(listed).find(asked).tolist() == expected


@pytest.mark.parametrize("shift", [0, 8])
def test_a_million_uids(shift: int) -> None:
    random = np.random.default_rng(0)
    pairs = random.integers(0, 1 << 64, (1 << 18, 2), dtype=np.uint64)
    pairs[:, 0] >>= np.uint64(shift * 6)  # long runs of equal first halves, too
    index = IdIndex(Ids("uid32", pairs[: 1 << 17]))
    found = index.find(Ids("uid32", pairs))
    assert (index.ids.values[found[: 1 << 17]] == pairs[: 1 << 17]).all()
    assert (found[1 << 17 :] == -1).all()
