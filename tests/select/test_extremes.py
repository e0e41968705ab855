"""top and bottom: against sorting, against DataComp's rule as it is written, at every corner."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.filters.datacomp import stock
from tests.select.tables import chosen, hard_scores, kept, uids

from tamis.data.ids import Ids
from tamis.data.score_table import ScoreTables
from tamis.select import ties as tie_rule
from tamis.select.order_statistic import kth_largest, ordered_keys, value_of
from tamis.select.scan import SUM_ROWS

DTYPES = [np.float32, np.float64, np.int64, np.uint64]


def sorted_top(values: np.ndarray, ids: Ids, k: int, *, largest: bool = True) -> list[int]:
    """The rule said with a sort: by value, then by id, then by row."""
    order = sorted(
        np.flatnonzero(~np.isnan(values)).tolist(),
        key=lambda row: (-values[row] if largest else values[row], ids[row], row),
    )
    return sorted(order[:k])


@pytest.mark.parametrize("word", ["top", "bottom"])
@pytest.mark.parametrize("n_rows", [1, 2, 7, 300, 2500])
def test_exactly_k_rows_ties_by_id(n_rows: int, word: str) -> None:
    values, ids = hard_scores(n_rows), uids(n_rows)
    tables = ScoreTables.of(ids, {"x": values})
    scored = int((~np.isnan(values)).sum())
    for k in sorted({1, 2, n_rows // 3, n_rows // 2, n_rows - 1, n_rows, n_rows + 5} - {0}):
        found = kept(tables, f"{word}(x, {k})", block_rows=SUM_ROWS)
        assert found == sorted_top(values, ids, k, largest=word == "top")
        assert len(found) == min(k, scored)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_number(dtype: Any) -> None:
    random = np.random.default_rng(3)
    if np.dtype(dtype).kind == "f":
        values = random.standard_normal(999).astype(dtype) ** 9
    else:
        info = np.iinfo(dtype)
        values = random.integers(info.min, info.max, 999, dtype=dtype, endpoint=True)
        values[:4] = info.max, info.min, info.max - 1, info.max
    values[100:140] = values[0]
    ids = uids(999)
    tables = ScoreTables.of(ids, {"x": values})
    for k in (1, 2, 20, 500, 998):
        assert kept(tables, f"top(x, {k})") == sorted(
            sorted(
                range(999),
                key=lambda row: (
                    -int(values[row]) if values.dtype.kind != "f" else -values[row],
                    ids[row],
                ),
            )[:k]
        )


@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=60),
    st.data(),
)
def test_keys_keep_the_order_and_give_the_value_back(numbers: list[float], data: Any) -> None:
    for dtype in (np.float32, np.float64):
        values = np.array(numbers, dtype)
        keys = ordered_keys(values)
        order = np.argsort(values, kind="stable")
        assert (np.argsort(keys, kind="stable") == order).all()
        assert [value_of(int(key), values.dtype) for key in keys] == values.tolist()
    k = data.draw(st.integers(1, len(numbers)))
    found = kth_largest(lambda: [keys[:7], keys[7:]], k, 64)
    assert found is not None
    at = int(np.sort(keys)[::-1][k - 1])
    assert (found.key, found.above, found.at) == (at, (keys > at).sum(), (keys == at).sum())
    assert kth_largest(lambda: [keys], len(numbers) + 1, 64) is None


@pytest.mark.parametrize("fraction", ["0.29", "0.3", "0.1", "0.7", "0.57", "1e-3", "1.0", "0.9999"])
@pytest.mark.parametrize("n_rows", [1, 10, 100, 1000])
def test_the_fraction_is_exact_and_of_all_rows(fraction: str, n_rows: int) -> None:
    values = np.arange(n_rows, dtype=np.float32)
    values[::5] = np.nan
    tables = ScoreTables.of(uids(n_rows), {"x": values})
    found = chosen(tables, f"top(x, {fraction})")
    asked = math.floor(Fraction(fraction) * n_rows)
    scored = int((~np.isnan(values)).sum())
    assert len(found) == min(asked, scored)
    (term,) = found.report["terms"]
    assert (term["asked"], term["of_rows"]) == (asked, n_rows)
    assert found.report["without_score"] == term["without_score"] == n_rows - scored


def stock_rows(values: np.ndarray, fraction: float) -> list[int]:
    """The published rule on these scores, NaN and all."""
    table = {"uid": list(range(len(values))), "clip_l14_similarity_score": values}
    return [int(row) for row in stock.clip_score(table, "l14", fraction=fraction)]


@given(st.integers(0, 2**32), st.integers(1, 400), st.floats(0.001, 0.999))
def test_datacomps_rule(seed: int, n_rows: int, fraction: float) -> None:
    values = hard_scores(n_rows, seed)
    tables = ScoreTables.of(Ids.rows(n_rows), {"x": values})
    assert kept(tables, f'top(x, {fraction}, ties="datacomp")') == stock_rows(values, fraction)


@pytest.mark.parametrize("fraction", [0.29, 0.57, 0.58, 0.1, 0.7])
def test_datacomps_product_is_rounded_as_float64(fraction: float) -> None:
    values = np.arange(100, dtype=np.float32)
    tables = ScoreTables.of(Ids.rows(100), {"x": values})
    found = kept(tables, f'top(x, {fraction}, ties="datacomp")')
    assert found == stock_rows(values, fraction)
    assert len(found) == int(100 * fraction) + 1


def test_datacomps_rule_where_it_fails_or_finds_nan() -> None:
    values = np.array([0.5, np.nan, 0.25, np.nan], np.float32)
    tables = ScoreTables.of(Ids.rows(4), {"x": values})
    with pytest.raises(IndexError):
        stock_rows(values, 1.0)
    assert kept(tables, 'top(x, 1.0, ties="datacomp")') == [0, 2]
    # Element 2 of the descending order is NaN, and nothing is >= NaN.
    assert stock_rows(values, 0.5) == []
    found = chosen(tables, 'top(x, 0.5, ties="datacomp")')
    assert found.rows.tolist() == [] and found.report["terms"][0]["threshold"] == "NaN"
    assert found.ids.kind == "row"


def test_datacomps_rule_from_below() -> None:
    values = np.array([3, 1, 1, 2, 1, 0], np.float32)
    tables = ScoreTables.of(Ids.rows(6), {"x": values})
    assert kept(tables, 'bottom(x, 1, ties="datacomp")') == [1, 2, 4, 5]
    assert kept(tables, "bottom(x, 2)") == [1, 5]


def test_a_fraction_of_what_is_left() -> None:
    values, ids = hard_scores(2000), uids(2000)
    basic = np.random.default_rng(8).random(2000) < 0.4
    tables = ScoreTables.of(ids, {"x": values, "basic": basic})
    inside = np.flatnonzero(basic)
    expected = sorted_top(values[inside], ids.take(inside), int(basic.sum()) * 3 // 10)
    found = chosen(tables, "top(x, 0.3) within basic", block_rows=SUM_ROWS)
    assert found.rows.tolist() == inside[expected].tolist()
    first, second = found.report["terms"]
    assert (first["term"], first["within"]) == ("top(x, 0.3)", "basic")
    assert first["of_rows"] == second["rows"] == basic.sum()
    everywhere = kept(tables, "top(x, 0.3) & basic")
    assert everywhere != found.rows.tolist()
    # The same, twice over.
    nested = "top(x, 0.5) within (top(x, 0.5) within basic)"
    assert kept(tables, nested) == kept(tables, "top(x, 0.5) within top(x, 0.5) within basic")


def test_the_report_tells_the_cut() -> None:
    values = np.array([0.5, 0.25, 0.25, 0.25, 0.125, np.nan, -np.inf], np.float32)
    tables = ScoreTables.of(list("gfedcba"), {"x": values})
    (term,) = chosen(tables, "top(x, 3)").report["terms"]
    assert term == {
        "term": "top(x, 3)",
        "within": None,
        "rows": 3,
        "kept": 3,
        "without_score": 1,
        "of_rows": 7,
        "asked": 3,
        "threshold": 0.25,
        "at_threshold": 3,
        "kept_at_threshold": 2,
    }
    (term,) = chosen(tables, "bottom(x, 1)").report["terms"]
    assert term["threshold"] == "-inf" and term["at_threshold"] == 1
    (term,) = chosen(tables, "top(x, 7)").report["terms"]
    assert (term["asked"], term["rows"], term["threshold"]) == (7, 6, None)


@pytest.mark.parametrize("kind", ["uid32", "int64", "row", "string", "same"])
@pytest.mark.parametrize("collected", [0, 1, 30, 10_000])
def test_many_ties_are_counted_by_their_ids(
    kind: str, collected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tie_rule, "COLLECTED", collected)
    n_rows = 4000
    random = np.random.default_rng(5)
    ids = {
        "uid32": uids(n_rows),
        "int64": Ids.of(random.permutation(n_rows) * 7_000_000_000_000 - 2**53),
        "row": Ids.rows(n_rows),
        "string": Ids.of([f"k{number}" for number in random.permutation(n_rows)]),
        "same": Ids("uid32", np.full((n_rows, 2), 3, np.uint64)),
    }[kind]
    values = np.where(random.random(n_rows) < 0.9, 1.0, 2.0).astype(np.float32)
    tables = ScoreTables.of(ids, {"x": values})
    for k in (int((values == 2).sum()) + 1, 1000, 2500, 3999):
        expected = sorted_top(values, ids, k)
        assert kept(tables, f"top(x, {k})", block_rows=SUM_ROWS) == expected
