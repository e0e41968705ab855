"""SIEVE fused with CLIP, against the published order statistic computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.filters.sieve.captioned import captions, sieve, text_pool

from tamis.data.ids import Ids
from tamis.data.score_table import ScoreTables
from tamis.select import select

PUBLISHED = "top(fuse(minmax(sieve), minmax(clip), weights=[0.5, 0.5]), {}, ties='datacomp')"


def published(
    scores: Sequence[Sequence[float]], weights: Sequence[float], fraction: float
) -> list[int]:
    """The rows that are kept: at least the element at descending rank int(N * fraction).

    The published code knows no rows without a score (NaN). Here they are rows of the pool, so N
    counts them; they are never kept, and scale nothing.
    """
    assert sum(weights) == 1.0
    fused = [0.0] * len(scores[0])
    for column, weight in zip(scores, weights, strict=True):
        finite = [score for score in column if not np.isnan(score)]
        low, high = min(finite), max(finite)
        for row, score in enumerate(column):
            fused[row] += weight * ((score - low) / (high - low))
    scored = sorted((value for value in fused if not np.isnan(value)), reverse=True)
    threshold = scored[int(len(fused) * fraction)]
    return [row for row, value in enumerate(fused) if value >= threshold]


def kept(expression: str, **columns: Sequence[float]) -> list[int]:
    (n_rows,) = {len(column) for column in columns.values()}
    tables = ScoreTables.of(
        Ids.of([f"{row:032x}" for row in range(n_rows)]),
        {name: np.array(column, np.float32) for name, column in columns.items()},
    )
    return sorted(select(tables, expression).rows.tolist())


eighths = st.integers(-8, 8).map(lambda value: value / 8)
pairs = st.lists(st.tuples(eighths, eighths), min_size=2, max_size=40).filter(
    lambda rows: all(len(set(column)) > 1 for column in zip(*rows, strict=True))
)


@given(pairs, st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.9, 0.999]))
def test_the_published_selection(rows: list[tuple[float, float]], fraction: float) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    if fraction > 0:
        found = kept(PUBLISHED.format(fraction), sieve=columns[0], clip=columns[1])
        assert found == published(columns, [0.5, 0.5], fraction)


def test_by_hand() -> None:
    # minmax(sieve) = 0, .25, .5, .75, 1 and minmax(clip) = 1, .5, .5, 0, 1
    cap, clip = [0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.25, 0.25, 0.2, 0.3]
    exact_cap, exact_clip = [0.0, 0.25, 0.5, 0.75, 1.0], [1.0, 0.5, 0.5, 0.0, 1.0]
    # fused = .5, .375, .5, .375, 1: int(5 * 0.2) = 1, so .5 is the threshold, and two rows have it
    assert published([exact_cap, exact_clip], [0.5, 0.5], 0.2) == [0, 2, 4]
    assert kept(PUBLISHED.format(0.2), sieve=exact_cap, clip=exact_clip) == [0, 2, 4]
    narrow = [np.float32(cap).astype("f8").tolist(), np.float32(clip).astype("f8").tolist()]
    assert kept(PUBLISHED.format(0.2), sieve=cap, clip=clip) == published(narrow, [0.5, 0.5], 0.2)
    # Without the published rule for ties a fifth of five rows is one row.
    assert kept(
        PUBLISHED.format(0.2).replace(", ties='datacomp'", ""), sieve=exact_cap, clip=exact_clip
    ) == [4]


def test_an_outlier_spoils_minmax_but_not_ranks() -> None:
    """One absurd score flattens all others of its column; ranks and quantiles do not notice."""
    sieve_scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    clip = [0.30, 0.29, 0.28, 0.27, 0.26, 0.25, 0.24, 0.23, 0.22, 0.10]
    outlier = [*sieve_scores[:-1], 1000.0]
    top = "top(fuse({0}(sieve), {0}(clip), weights=[0.7, 0.3]), 0.3)"
    assert kept(top.format("minmax"), sieve=sieve_scores, clip=clip) == [6, 7, 8]
    assert kept(top.format("minmax"), sieve=outlier, clip=clip) == [0, 1, 9]
    for scale in ("rank", "quantile"):
        before = kept(top.format(scale), sieve=sieve_scores, clip=clip)
        assert before == kept(top.format(scale), sieve=outlier, clip=clip) == [7, 8, 9]


def test_rows_without_a_score_are_rows_of_the_pool() -> None:
    cap = [0.0, 0.25, np.nan, 0.5, 0.75, 1.0, 0.3]
    clip = [1.0, 0.5, 1.0, 0.5, 0.0, 1.0, np.nan]
    # fused = .5, .375, -, .5, .375, 1, -: int(7 * 0.3) = 2, int(5 * 0.3) = 1, both are .5
    assert kept(PUBLISHED.format(0.3), sieve=cap, clip=clip) == [0, 3, 5]
    # int(7 * 0.45) = 3, whose element is .375; int(5 * 0.45) = 2 would have been .5
    assert kept(PUBLISHED.format(0.45), sieve=cap, clip=clip) == [0, 1, 3, 4, 5]
    both = f"({PUBLISHED.format(0.45)}) within (sieve >= 0) & (clip >= 0)"
    assert kept(both, sieve=cap, clip=clip) == [0, 3, 5]


@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_from_a_run(fraction: float, tmp_path: Path) -> None:
    texts = [f"alt text number {row * row % 40}" for row in range(60)]
    lists = captions(60)
    pool = text_pool(tmp_path / "pool.parquet", texts)
    lines = sieve(pool, tmp_path / "run", lists)
    clip = np.random.default_rng(0).integers(0, 9, 60).astype("f4") / 32
    uids = [line["uid"] for line in lines]
    pq.write_table(pa.table({"uid": uids, "clip": clip}), tmp_path / "run" / "scores" / "c.parquet")
    found = select(tmp_path / "run", PUBLISHED.format(fraction))
    expected = published([[line["sieve"] for line in lines], clip.tolist()], [0.5, 0.5], fraction)
    unscored = {row for row, line in enumerate(lines) if line["reason"] is not None}
    assert sorted(found.rows.tolist()) == expected and not unscored & set(expected)
    assert len(unscored) > 5 and len(expected) > 60 * fraction
