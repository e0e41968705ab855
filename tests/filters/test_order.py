"""The global order of rows."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
from tests.filters.oracle import order_of

from tamis.filters.semdedup.order import global_ranks, id_ranks
from tamis.kernels import sample

HEX = ["ff" * 16, "00" * 16, "0a" * 16, "00" * 16, "7f" * 16]
IDS: dict[str, list[Any]] = {
    "int": [30, -5, 2, -5, 7],
    "str": ["b", "", "ab", "", "é"],
    "hex": HEX,
    "bytes": [b"b", b"a", b"\xff", b"a", b"0"],
    "beyond 64 bits": [2**100, -(2**90), 0, -(2**90), 5],
}


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS.keys())
def test_ids_of_every_kind_are_ordered_and_equal_ids_by_row(ids: list[Any]) -> None:
    expected = sorted(range(5), key=lambda row: (ids[row], row))
    for given in (ids, np.array(ids), np.array(ids, dtype=object)):
        assert np.argsort(id_ranks(given, 5)).tolist() == expected


def test_two_word_ids_are_ordered_by_word() -> None:
    words = [(2, 0), (1, 2**63 + 1), (1, 5), (2, 0), (0, 2**64 - 1)]
    ids = np.array(words, dtype="u8,u8")
    expected = sorted(range(5), key=lambda row: (words[row], row))
    assert np.argsort(id_ranks(ids, 5)).tolist() == expected


def test_without_ids_the_row_number_counts() -> None:
    assert id_ranks(None, 4).tolist() == [0, 1, 2, 3]
    assert id_ranks(None, 0).tolist() == []


def test_large_unsigned_ids_do_not_turn_into_floats() -> None:
    ids = np.array([2**64 - 1, 2**64 - 2, 2**63], dtype=np.uint64)
    assert id_ranks(ids, 3).tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        ([1.5, 2.0], TypeError),
        ([True, False], TypeError),
        (np.array([1, "a"], dtype=object), TypeError),
        ([1, 2, 3], ValueError),
        ([[1, 2]], ValueError),
    ],
)
def test_other_ids_are_refused(ids: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="ids must"):
        id_ranks(ids, 2)


@pytest.mark.parametrize("which", ["hard", "easy", "random", "asc", "desc"])
@pytest.mark.parametrize("ids", [None, IDS["int"] * 40, IDS["hex"] * 40])
def test_every_order_equals_sorting_in_python(which: str, ids: list[Any] | None) -> None:
    rng = np.random.default_rng(7)
    dots = rng.choice([-1.0, 0.25, 0.5, 1.0], size=200)
    values = rng.choice([1.0, -2.0, 3.0, np.nan], size=200) if which in ("asc", "desc") else None
    keys = sample.keys(3, sample.ORDER, range(200)).tolist()
    rank = global_ranks(which, dots=dots, id_rank=id_ranks(ids, 200), seed=3, values=values)
    plain = None if values is None else [None if np.isnan(v) else v for v in values]
    expected = order_of(which, dots.tolist(), ids or list(range(200)), keys=keys, values=plain)
    assert np.argsort(rank).tolist() == expected


def test_easy_is_hard_backwards() -> None:
    dots = np.array([0.5, 0.5, 0.1, 0.9])
    hard = global_ranks("hard", dots=dots, id_rank=np.array([1, 0, 3, 2]))
    easy = global_ranks("easy", dots=dots, id_rank=np.array([1, 0, 3, 2]))
    assert (hard + easy == 3).all()


def test_random_depends_on_the_seed() -> None:
    ranks = [
        global_ranks("random", dots=np.zeros(50), id_rank=np.arange(50), seed=s) for s in (0, 1)
    ]
    assert (ranks[0] != ranks[1]).any()


@pytest.mark.parametrize(
    "values",
    [
        ["b", "a", "c", "a"],
        np.array([2, 1, 3, 1], dtype=np.uint8),
        np.array([-(2**63), 5, 2**63 - 1, 5]),
        [datetime.date(2020, 1, d) for d in (2, 1, 3, 1)],
        np.array(["2020-01-02", "2020-01-01", "2020-01-03", "2020-01-01"], dtype="datetime64[D]"),
    ],
)
def test_metadata_of_any_kind(values: Any) -> None:
    plain = np.asarray(values).tolist()
    for which in ("asc", "desc"):
        rank = global_ranks(which, dots=np.zeros(4), id_rank=np.arange(4), values=values)
        expected = order_of(which, [0.0] * 4, list(range(4)), values=plain)
        assert np.argsort(rank).tolist() == expected


@pytest.mark.parametrize(
    ("which", "values", "message"),
    [
        ("hardest", None, "which_to_keep must be one of"),
        ("asc", None, "needs one rank value"),
        ("hard", [1, 2], "takes no rank values"),
        ("desc", [1, 2, 3], "rank must have shape"),
    ],
)
def test_wrong_orders_are_refused(which: str, values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        global_ranks(which, dots=np.zeros(2), id_rank=np.arange(2), values=values)


def test_metadata_that_cannot_be_compared_is_refused() -> None:
    values = np.array([1, "a"], dtype=object)
    with pytest.raises(TypeError, match="rank must"):
        global_ranks("asc", dots=np.zeros(2), id_rank=np.arange(2), values=values)
    with pytest.raises(TypeError, match="rank must"):
        global_ranks("asc", dots=np.zeros(2), id_rank=np.arange(2), values=np.array([1j, 2]))
