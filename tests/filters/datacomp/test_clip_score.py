"""What the transcription of clip_score says of ties; the selection's tests compare with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.filters.datacomp import stock
from tests.filters.datacomp.metadata import edge_cases


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=40),
    st.floats(0, 1, exclude_max=True),
)
def test_a_share_keeps_one_row_more_and_every_tie(scores: list[int], fraction: float) -> None:
    values = np.array(scores, np.float32) / 8
    n = int(len(values) * fraction)
    cut = sorted(values.tolist(), reverse=True)[n]
    kept = values >= stock.clip_threshold(values, fraction)
    assert kept.tolist() == [value >= cut for value in values.tolist()]
    assert kept.sum() >= n + 1


def test_the_whole_pool_is_an_index_error_in_the_published_code() -> None:
    with pytest.raises(IndexError):
        stock.clip_score(edge_cases(), "l14", fraction=1.0)


def test_a_threshold_is_compared_in_float32() -> None:
    """float32(0.7) lies below 0.7, and a score of float32(0.7) is kept nevertheless."""
    scores = np.array([0.7], np.float32)
    assert float(scores[0]) < 0.7
    table = {"uid": ["0" * 32], "clip_l14_similarity_score": scores}
    assert stock.clip_score(table, "l14", threshold=0.7) == ["0" * 32]
    table["clip_l14_similarity_score"] = scores.astype(np.float64)
    assert stock.clip_score(table, "l14", threshold=0.7) == []


def test_a_subset_file_is_sorted_and_keeps_repeats() -> None:
    uids = ["ff" * 16, "00" * 15 + "01", "ff" * 16]
    content = stock.subset(uids)
    assert content.dtype == np.dtype("u8,u8")
    assert content.tolist() == [(0, 1), (2**64 - 1, 2**64 - 1), (2**64 - 1, 2**64 - 1)]
