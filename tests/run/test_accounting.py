"""Counts that must add up, reasons for every bad row, and the memory plan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.data.ids import Ids
from tamis.errors import AccountingError, BadRowsError, RunError
from tamis.run.accounting import check_accounting, check_bad_rows
from tamis.run.plan import (
    BATCH_ELEMENT_BYTES,
    CENTROID_ELEMENT_BYTES,
    UNIT_ELEMENT_BYTES,
    MemoryPlan,
)
from tamis.run.quarantine import INFINITE, NOT_A_NUMBER, ZERO, BadRow, quarantine_table, reasons_of


@given(st.integers(-3, 20), st.integers(-3, 20), st.integers(-3, 20), st.integers(0, 40))
def test_accounting_is_the_sum(kept: int, removed: int, quarantined: int, rows_in: int) -> None:
    if kept + removed + quarantined == rows_in and min(kept, removed, quarantined) >= 0:
        check_accounting(rows_in, kept=kept, removed=removed, quarantined=quarantined)
    else:
        with pytest.raises(AccountingError, match=f"{rows_in} rows came in, but kept {kept} "):
            check_accounting(rows_in, kept=kept, removed=removed, quarantined=quarantined)


def test_too_many_bad_rows() -> None:
    check_bad_rows(1, 100, max_fraction=0.01)
    check_bad_rows(0, 100, max_fraction=0)
    with pytest.raises(BadRowsError, match=r"2 of 100 rows \(2.00%\) .* than the 1.00% allowed"):
        check_bad_rows(2, 100, max_fraction=0.01)
    assert (BadRowsError.exit_code, AccountingError.exit_code) == (3, 4)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_every_bad_row_has_a_reason(dtype: str) -> None:
    rows = np.ones((6, 4), dtype)
    rows[1] = 0
    rows[2, 3] = np.nan
    rows[3, 0] = -np.inf
    rows[4] = np.nan
    bad = np.array([False, True, True, True, True, False])
    assert reasons_of(rows, bad, {4: "embedding missing", 5: "not asked"}) == {
        1: ZERO,
        2: NOT_A_NUMBER,
        3: INFINITE,
        4: "embedding missing",
    }


@pytest.mark.parametrize("ids", [["u", "v", "w"], [7, 8, 9], ["0" * 32, "1" * 32, "2" * 32]])
def test_quarantine_is_in_row_order(ids: list) -> None:
    bad = [BadRow(2, "b.npy", 0, ZERO), BadRow(0, "a.npy", 0, NOT_A_NUMBER)]
    assert quarantine_table(bad, Ids.of(ids)).to_pydict() == {
        "uid": [ids[0], ids[2]],
        "file": ["a.npy", "b.npy"],
        "row": [0, 0],
        "reason": [NOT_A_NUMBER, ZERO],
    }
    nothing = quarantine_table([], Ids.of(ids))
    assert nothing.schema == quarantine_table(bad, Ids.of(ids)).schema
    assert nothing.num_rows == 0


class TestPlan:
    @given(
        st.integers(1, 10**9), st.integers(1, 4096), st.integers(1, 10**6), st.integers(0, 2**38)
    )
    def test_plan_stays_within_its_budget_or_says_what_is_needed(
        self, n_rows: int, dim: int, n_clusters: int, budget: int
    ) -> None:
        try:
            plan = MemoryPlan.of(n_rows, dim, n_clusters, budget)
        except RunError as error:
            needed = float(str(error).split(" GB")[0].split()[-1]) * 1e9
            assert needed > budget
            MemoryPlan.of(n_rows, dim, n_clusters, int(needed) + 1)  # and that is enough
            return
        unit_rows = min(plan.rows_per_unit, n_rows)
        assert plan.held_bytes + unit_rows * dim * UNIT_ELEMENT_BYTES <= budget
        assert plan.held_bytes + plan.rows_per_batch * dim * BATCH_ELEMENT_BYTES <= budget
        assert plan.held_bytes > n_clusters * dim * CENTROID_ELEMENT_BYTES
        assert plan.max_train_rows >= min(n_clusters, n_rows)
        assert plan.rows_per_unit >= 1

    def test_ten_million_rows_run_in_three_gigabytes(self) -> None:
        plan = MemoryPlan.of(10_000_000, 512, 1_000, 3_000_000_000)
        assert plan.rows_per_unit == 65536
        assert plan.max_train_rows >= 256_000

    def test_small_budgets_are_refused(self) -> None:
        message = (
            "10,000,000 rows of 512 in 1,000 clusters need at least 1.95 GB of memory, the budget "
            "is 1.00 GB; raise --memory or lower --clusters"
        )
        with pytest.raises(RunError, match=message):
            MemoryPlan.of(10_000_000, 512, 1_000, 1_000_000_000)
