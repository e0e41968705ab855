"""Ids: exact, in the promised order, and found when repeated."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.data.ids import Ids
from tamis.data.uid import format_uids, parse_uids, uid_fault
from tamis.errors import PoolError

hex_uid = st.text("0123456789abcdef", min_size=32, max_size=32)
near_uid = st.text("0123456789abcdefABCDEFg \0é", min_size=0, max_size=34) | hex_uid
int64 = st.integers(-(2**63), 2**63 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]))
lists_of_ids = st.lists(hex_uid) | st.lists(text) | st.lists(int64) | st.lists(hex_uid | text)


@given(lists_of_ids)
def test_ids_come_back_exactly(values: list) -> None:
    ids = Ids.of(values)
    assert ids.to_list() == values
    assert [ids[row] for row in range(len(ids))] == values
    assert ids.to_arrow().to_pylist() == values


@given(lists_of_ids)
def test_order_is_lexicographic_for_text_and_numeric_for_numbers(values: list) -> None:
    ids = Ids.of(values)
    expected = sorted(range(len(values)), key=lambda row: values[row])  # stable
    assert ids.argsort().tolist() == expected
    assert ids.take(ids.argsort()).to_list() == sorted(values)
    assert [ids.rank().tolist().index(place) for place in range(len(values))] == expected


@given(st.lists(st.integers(0, 6), max_size=12), st.sampled_from(["uid32", "string", "int64"]))
def test_first_duplicate_is_the_first_in_row_order(numbers: list[int], kind: str) -> None:
    values = {
        "uid32": [f"{number:032x}" for number in numbers],
        "string": [f"id {number}" for number in numbers],
        "int64": numbers,
    }[kind]
    expected = None
    for row, value in enumerate(values):
        if value in values[:row]:
            expected = (values.index(value), row)
            break
    assert Ids.of(values).first_duplicate() == expected


@given(st.lists(near_uid, min_size=1))
def test_uids_are_told_from_other_text(values: list[str]) -> None:
    digits = set("0123456789abcdef")
    wrong = [row for row, uid in enumerate(values) if len(uid) != 32 or set(uid) - digits]
    ids = Ids.of(values)
    assert ids.kind == ("string" if wrong else "uid32")
    array = pa.array(values, pa.large_string())
    ascii_only = all(uid.isascii() for uid in values)
    if ascii_only:
        pairs, bad = parse_uids(array)
        assert bad == (wrong[0] if wrong else -1)
        good = values[: wrong[0]] if wrong else values
        assert format_uids(pairs[: len(good)]).to_pylist() == good
    if wrong:
        with pytest.raises(PoolError, match=f"row {wrong[0]}: "):
            Ids.of(values, kind="uid32")
    else:
        assert Ids.of(values, kind="string").kind == "string"


@given(st.lists(hex_uid, min_size=1), st.data())
def test_slices_and_offsets(values: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values)))
    stop = data.draw(st.integers(start, len(values)))
    for ids in (Ids.of(values), Ids.of(values, kind="string")):
        assert ids.slice(start, stop).to_list() == values[start:stop]
    pairs, bad = parse_uids(pa.array(values, pa.large_string())[start:stop])
    assert bad == -1
    assert format_uids(pairs).to_pylist() == values[start:stop]


@given(st.lists(st.lists(hex_uid | text, max_size=4), max_size=4))
def test_concat_joins_uids_with_other_text(parts: list[list[str]]) -> None:
    joined = [value for part in parts for value in part]
    assert Ids.concat([Ids.of(part) for part in parts]).to_list() == joined


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array(["b", "aa"]), "string"),
        (np.array([b"b", b"aa"]), "string"),
        (np.array(["b", "aa"], dtype=object), "string"),
        (pa.chunked_array([["b"], ["aa"]]), "string"),
        (pa.chunked_array([], pa.string()), "string"),
        (pa.array(["b", "aa"]).dictionary_encode(), "string"),
        (np.array([3, 1], np.uint8), "int64"),
        (np.array([2**63 - 1, -(2**63)]), "int64"),
        (pa.array([2**53 + 1], pa.uint64()), "int64"),
        (np.array([(1, 2), (0, 9)], "u8,u8"), "uid32"),
        ([], "string"),
    ],
)
def test_what_ids_are_taken_from(values, kind: str) -> None:
    ids = Ids.of(values)
    assert ids.kind == kind
    assert Ids.of(ids) is ids
    if kind != "uid32":
        expected = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
        assert ids.to_list() == [v.decode() if isinstance(v, bytes) else v for v in expected]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([1.5], TypeError, "all text or all integers"),
        ([True], TypeError, "all text or all integers"),
        (["a", 1], TypeError, "all text or all integers"),
        ([b"\xff"], TypeError, "all text or all integers"),
        (np.array([b"\xff"]), UnicodeError, "utf-8"),
        (["a", None], PoolError, "row 1 is null"),
        (pa.array([2**63], pa.uint64()), PoolError, "largest int64"),
        ([2**70], PoolError, "largest int64"),
    ],
)
def test_what_ids_are_not(values, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Ids.of(values)


def test_kinds_do_not_mix() -> None:
    with pytest.raises(PoolError, match="int64 and string"):
        Ids.concat([Ids.of(["a"]), Ids.of([1])])
    with pytest.raises(PoolError, match="expected DataComp uids"):
        Ids.of(["a"]).to_uid_array()


def test_row_numbers() -> None:
    ids = Ids.rows(3, first=5)
    assert ids.to_list() == list(ids) == [5, 6, 7]
    assert ids.first_duplicate() is None
    assert ids[1] == 6


def test_uids_take_16_bytes() -> None:
    assert Ids.of([f"{row:032x}" for row in range(1000)]).nbytes == 16_000


@pytest.mark.parametrize(
    ("uid", "message"),
    [
        ("0" * 31, "has 31 characters; expected 32 lower-case hexadecimal digits"),
        ("0" * 33, "has 33 characters"),
        ("0" * 31 + "g", "is not hexadecimal"),
        ("0" * 31 + "A", "has upper-case digits; DataComp's are lower case"),
        ("x" * 5000, "has 5000 characters"),
    ],
)
def test_fault_of_a_uid_is_named(uid: str, message: str) -> None:
    assert message in uid_fault(uid)
    assert len(uid_fault(uid)) < 300
