"""The closest caption, against float64 loops and the kernel of ragged segments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.embed.small import BATCH, DIM, Projection
from tests.filters.sieve.captioned import CAPTIONS, row_of

from tamis.data.pool import open_pool
from tamis.filters.sieve.similarity import closest_stored, encode_sentences, paired_max
from tamis.kernels.canonical import canonical
from tamis.kernels.exact import max_cosine64
from tamis.score.rows import PoolRows

counts = st.lists(st.integers(0, 11), min_size=1, max_size=30)


def rows(n_rows: int, seed: int = 0, dim: int = 24) -> np.ndarray:
    """Canonical; few different ones, so that there are ties."""
    few = np.random.default_rng(seed).integers(-2, 3, (7, dim)).astype("f4")
    return canonical(few[np.random.default_rng(seed + 1).integers(0, 7, n_rows)])[0]


def offsets_of(lengths: Sequence[int]) -> np.ndarray:
    return np.cumsum([0, *lengths])


@given(counts, st.integers(0, 5))
def test_the_maximum_is_that_of_the_ragged_kernel(lengths: list[int], seed: int) -> None:
    bounds = offsets_of(lengths)
    alts, captions = rows(len(lengths), seed), rows(bounds[-1], seed + 10)
    found = paired_max(alts, captions, bounds)
    cosine, index = max_cosine64(
        alts, np.arange(len(alts) + 1), other=captions, other_offsets=bounds
    )
    assert found.index.tolist() == index.tolist()
    np.testing.assert_array_equal(found.cosine, np.where(index < 0, np.nan, cosine))


@given(counts)
def test_the_mean_is_the_sum_in_order_over_the_count(lengths: list[int]) -> None:
    bounds = offsets_of(lengths)
    alts, captions = rows(len(lengths)), rows(bounds[-1], 3)
    wide, other = alts.astype("f8"), captions.astype("f8")
    found = paired_max(alts, captions, bounds)
    for row, (start, stop) in enumerate(zip(bounds, bounds[1:], strict=False)):
        total = 0.0
        for column in range(start, stop):
            norms = np.sqrt((wide[row] ** 2).sum()) * np.sqrt((other[column] ** 2).sum())
            total += (wide[row] * other[column]).sum() / norms
        assert stop == start or found.mean[row] == total / (stop - start)
        assert stop > start or np.isnan(found.mean[row])


def test_indexed_rows_and_bad_ones() -> None:
    every, bounds = rows(9), [0, 3, 3, 6, 8]
    alt_index, caption_index = np.array([4, 4, 1, 0]), np.array([2, 8, 1, 0, 4, 4, 7, 7])
    bad = np.zeros(9, bool)
    bad[[0, 8]] = True
    found = paired_max(
        every,
        every,
        bounds,
        alt_index=alt_index,
        caption_index=caption_index,
        bad_alts=bad,
        bad_captions=bad,
    )
    first = paired_max(every[[4]], every[[2, 1]], [0, 2])
    assert found.cosine[0] == first.cosine[0] and found.mean[0] == first.mean[0]
    assert found.index.tolist()[1] == found.index.tolist()[3] == -1  # no captions, no alt-text
    assert found.index[0] in (0, 2) and found.index[2] in (4, 5)
    assert np.isnan(found.cosine[[1, 3]]).all() and np.isnan(found.mean[[1, 3]]).all()


@pytest.mark.parametrize("bounds", [[0, 2], [0, 1, 2], [1, 2, 3], [0, 3, 2], [0, 2, 2, 3]])
def test_offsets_that_do_not_fit(bounds: list[int]) -> None:
    with pytest.raises(ValueError, match="expected 3 offsets ascending from 0 to 3"):
        paired_max(rows(2), rows(3), bounds)


@pytest.mark.parametrize("rows_at_once", [1, 7, 100])
def test_stored_rows_in_blocks(rows_at_once: int, tmp_path: Path) -> None:
    lengths = [3, 0, 5, 1, 0, 2] * 5
    bounds = offsets_of(lengths)
    alts = np.random.default_rng(0).standard_normal((len(lengths), DIM)).astype("f4")
    captions = np.random.default_rng(1).standard_normal((bounds[-1], DIM)).astype("f4")
    captions[4], captions[8], alts[3] = np.nan, 0, np.inf
    whole = closest_stored(alts, captions, bounds)
    left, bad_left = canonical(alts)
    right, bad_right = canonical(captions)
    expected = paired_max(left, right, bounds, bad_alts=bad_left, bad_captions=bad_right)
    np.save(tmp_path / "alts.npy", alts)
    np.save(tmp_path / "captions.npy", captions)
    files = [tmp_path / "alts.npy", tmp_path / "captions.npy"]
    mapped: list[Any] = [np.load(file, mmap_mode="r") for file in files]
    pools: list[Any] = [PoolRows(open_pool(file), "text") for file in files]
    for sources in (mapped, pools, [mapped[0], pools[1]]):
        found = closest_stored(*sources, bounds, rows_at_once=rows_at_once)
        for name in ("cosine", "index", "mean"):
            for other in (whole, expected):
                np.testing.assert_array_equal(getattr(found, name), getattr(other, name))
    assert np.isnan(whole.cosine[3]) and whole.index[3] == -1


def test_stored_rows_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="expected 3 offsets, got 2"):
        closest_stored(rows(2), rows(3), [0, 3])
    with pytest.raises(ValueError, match="end at 3, the number of captions"):
        closest_stored(rows(2), rows(3), [0, 1, 4])
    with pytest.raises(ValueError, match="ascending"):
        closest_stored(rows(2), rows(3), [0, 4, 3])
    for bounds in ([1, 2, 3], []):
        with pytest.raises(ValueError, match="begin at 0"):
            closest_stored(rows(2), rows(3), bounds)


def test_a_row_depends_on_its_own_text_alone() -> None:
    texts = [*CAPTIONS, "x" * 150, *(f"text {number} " * (number % 9) for number in range(40))]
    found, bad = encode_sentences(Projection(), texts, batch_size=BATCH)
    for text, row, is_bad in zip(texts, found, bad, strict=True):
        alone = row_of(text)
        assert is_bad == (alone is None) == (text == "")
        assert (row == (0 if alone is None else alone)).all()
    assert found.dtype == np.float16
    again, _ = encode_sentences(Projection(), texts[::-1], batch_size=BATCH)
    assert (again[::-1] == found).all()


def test_texts_are_taken_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text {number}" for number in range(50)]
    expected, _ = encode_sentences(Projection(), texts, batch_size=BATCH)
    monkeypatch.setattr("tamis.filters.sieve.similarity.TEXTS_AT_ONCE", 9)
    encoder = Projection()
    found, bad = encode_sentences(encoder, texts, batch_size=BATCH)
    assert (found == expected).all() and not bad.any()
    assert len(encoder.batches) == 11  # two batches for each nine texts, the last five in one
    assert encode_sentences(encoder, [], batch_size=BATCH)[0].shape == (0, DIM)
