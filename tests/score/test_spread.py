"""Quantiles and counts against NumPy on the whole column."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.score.spread import OTHER_REASONS, QUANTILES, SHOWN_REASONS, spread


def tables(values: np.ndarray, step: int) -> list[pa.Table]:
    return [
        pa.table(
            {
                "a": pa.array(values[start : start + step]),
                "reason": pa.array(
                    ["nan" if np.isnan(v) else None for v in values[start : start + step]],
                    pa.string(),
                ),
            }
        )
        for start in range(0, len(values), step)
    ]


@given(st.lists(st.floats(width=32), max_size=60), st.integers(1, 20))
def test_against_the_sorted_scores(numbers: list[float], step: int) -> None:
    values = np.array(numbers, np.float32)
    parts = tables(values, step)
    found = spread(lambda: iter(parts))
    finite = np.sort(values[np.isfinite(values)])
    assert found["rows_in"] == len(values)
    assert found["unscored"] == np.isnan(values).sum()
    assert found["infinite"] == np.isinf(values).sum()
    assert found["reasons"] == ({"nan": found["unscored"]} if found["unscored"] else {})
    if not len(finite):
        assert found["mean"] is found["min"] is found["max"] is found["quantiles"]["0.5"] is None
        return
    assert found["mean"] == pytest.approx(math.fsum(finite.tolist()) / len(finite), rel=1e-15)
    assert (found["min"], found["max"]) == (finite[0], finite[-1])
    for q in QUANTILES:
        assert found["quantiles"][f"{q:g}"] == finite[math.floor(q * (len(finite) - 1))]


def test_many_scores_in_one_bucket() -> None:
    values = (0.25 + np.random.default_rng(0).random(50_000) * 1e-3).astype(np.float32)
    parts = tables(values, 7000)
    found = spread(lambda: iter(parts))
    ordered = np.sort(values)
    for q in QUANTILES:
        assert found["quantiles"][f"{q:g}"] == ordered[math.floor(q * (len(ordered) - 1))]


def test_reasons_without_end_are_summed_up() -> None:
    told = [f"row {row} is bad" for row in range(250)] + ["often"] * 3 + ["zz"] * 2
    values = pa.array(np.full(len(told), np.nan, np.float32))
    found = spread(lambda: iter([pa.table({"a": values, "reason": told})]))
    assert len(found["reasons"]) == SHOWN_REASONS + 1
    assert found["reasons"]["often"] == 3 and found["reasons"]["zz"] == 2
    assert found["reasons"][OTHER_REASONS] == 250 - (SHOWN_REASONS - 2)
    assert sum(found["reasons"].values()) == found["unscored"] == len(told)
