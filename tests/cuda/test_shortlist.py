"""The shortlist keeps the best column whatever the approximations, within their bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cuda.library import Library

from bits import assert_same_bits

CANDIDATES = 16
NO_COLUMN, RESCAN = -1, -2
TILE = 128
ERROR = 2.0**-14


@pytest.fixture(scope="module", params=["of blocks", "of warps"], autouse=True)
def sharers(built: Library, request: pytest.FixtureRequest) -> None:
    """Who shares the rows of a list: the threads of a block, or of a warp."""
    built.shares_by_warps = request.param == "of warps"


def shortlist(
    library: Library, approximate: Any, exact: Any, per_split: int, error: float = ERROR
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The column decided on for every row, and how many float64 scores it took."""
    n, k = exact.shape
    splits = -(-k // per_split)
    labels, scored = library.empty((2, n), np.int32)
    library.call(
        *(
            "emulated_shortlist",
            library.array(approximate.astype(np.float32)),
            library.array(exact),
        ),
        *(
            n,
            k,
            int(library.shares_by_warps),
            per_split,
            error,
            library.empty((n, splits, CANDIDATES), np.int64),
        ),
        *(library.empty((n, splits), np.int32), labels, scored),
    )
    return labels, scored


def approximations(exact: Any, rng: Any) -> Any:
    """Wrong by up to ERROR: evenly, or always by all of it."""
    sign = rng.choice([-1.0, 1.0], size=exact.shape)
    size = rng.choice([0.0, 0.5, 1.0], size=(len(exact), 1)) * rng.choice(
        [rng.random(exact.shape), np.ones(exact.shape)]
    )
    return exact + ERROR * (1 - 2.0**-8) * sign * size


def test_keys_sort_as_floats_do(library: Library) -> None:
    rng = np.random.default_rng(0)
    drawn = np.sort(rng.standard_normal(1000) * np.exp2(rng.integers(-149, 126, 1000)))
    values = np.array([-np.inf, *drawn, -0.0, 0.0, np.inf], np.float32)
    keys, back = np.empty(len(values), np.int32), np.empty_like(values)
    ends = np.empty(2, np.float32)
    library.call("emulated_order_keys", values, len(values), keys, back, ends)
    assert_same_bits(back, values)
    assert ends.tolist() == [-np.inf, np.inf]
    order = np.lexsort((np.signbit(values) == 0, values))
    assert (np.diff(keys[order]) >= 0).all()
    assert (np.diff(keys[order])[np.diff(values[order]) > 0] > 0).all()


@pytest.mark.parametrize("dim", [1, 8, 16, 17, 768, 1024, 4096])
def test_margin_covers_two_errors_and_what_is_rounded_after(library: Library, dim: int) -> None:
    out = np.empty(2)
    library.call("emulated_errors", dim, -1.0, out)
    assert out[0] == -(-dim // 16) * 16 * 2.0**-23
    fine = out[1]
    assert 32 * 2.0**-23 < fine <= max(out[0], 2.0**-17.5)
    library.call("emulated_errors", dim, float(out[0]), out)
    assert 2 * out[0] + 2.0**-22 <= out[1] <= 2.01 * out[0] + 2.0**-21
    # A threshold: the margin's distance, once more rounded, of scores below 2.
    best = np.float32(2) - np.float32(2) ** -23
    assert float(best) - float(best - np.float32(out[1])) >= 2 * out[0]


def test_compacting_keeps_what_is_above_in_its_order(library: Library) -> None:
    @given(
        st.lists(st.sampled_from([-np.inf, -1.0, 0.25, 0.5, 1.0]), max_size=CANDIDATES),
        st.sampled_from([-np.inf, 0.0, 0.25, 0.75, np.inf]),
        st.sampled_from([1, 3]),
    )
    def check(scores: list[float], threshold: float, stride: int) -> None:
        n = len(scores)
        kept_scores = np.full((n + 1, stride), 7, np.float32)
        columns = np.full((n + 1, stride), 7, np.int32)
        kept_scores[:n, 0], columns[:n, 0] = scores, np.arange(n)
        kept = np.empty(1, np.int64)
        library.call("emulated_compact", kept_scores, columns, stride, n, threshold, kept)
        above = [i for i, score in enumerate(scores) if score > threshold]
        assert columns[: kept[0], 0].tolist() == above
        assert kept_scores[: kept[0], 0].tolist() == [scores[i] for i in above]
        assert (columns[:, 1:] == 7).all()
        assert columns[n, 0] == 7

    check()


def expected(approximate: Any, exact: Any, per_split: int, margin: np.float32) -> tuple[Any, Any]:
    """Labels and float64 scores taken, by the rules of the shortlist, one tile after another."""
    n, k = exact.shape
    approximate = approximate.astype(np.float32)
    rescan = np.zeros(n, bool)
    for begin in range(0, k, per_split):
        part = approximate[:, begin : begin + per_split]
        for end in range(TILE, part.shape[1] + TILE, TILE):
            seen = part[:, :end]
            above = seen > seen.max(axis=1, keepdims=True) - margin
            rescan |= above.sum(axis=1) > CANDIDATES
    threshold = approximate.max(axis=1, keepdims=True) - margin
    scored = (approximate > threshold).sum(axis=1).astype(np.int32)
    sees = np.isfinite(exact).any(axis=1)
    labels = np.where(sees, exact.argmax(axis=1), NO_COLUMN).astype(np.int32)
    return np.where(rescan, np.int32(RESCAN), labels), np.where(rescan, np.int32(0), scored)


def test_the_best_column_is_found_or_the_row_rescanned(library: Library) -> None:
    errors = np.empty(2)
    library.call("emulated_errors", 8, ERROR, errors)

    @settings(max_examples=60, deadline=None)
    @given(
        n=st.sampled_from([1, 7, 128, 130]),
        k=st.sampled_from([1, 2, 17, 127, 128, 129, 300, 513]),
        per_split=st.sampled_from([TILE, 2 * TILE, 8 * TILE]),
        step=st.sampled_from([0.0, 2.0**-40, ERROR / 8, ERROR, 4 * ERROR, 2.0**-10]),
        values=st.sampled_from([1, 2, 5, 40, 1000]),
        unseen=st.sampled_from([0.0, 0.5, 0.99]),
        order=st.sampled_from(["random", "rising", "falling"]),
        seed=st.integers(0, 2**32 - 1),
    )
    def check(
        n: int,
        k: int,
        per_split: int,
        step: float,
        values: int,
        unseen: float,
        order: str,
        seed: int,
    ) -> None:
        rng = np.random.default_rng(seed)
        ranks = rng.integers(values, size=(n, k))
        if order != "random":
            ranks = np.sort(ranks, axis=1)[:, :: 1 if order == "rising" else -1]
        exact = rng.uniform(-1, 0.9, size=(n, 1)) + step * ranks
        approximate = approximations(exact, rng)
        hidden = rng.random((n, k)) < unseen
        exact[hidden] = approximate[hidden] = -np.inf
        with library.configured(seed=seed % 5):
            found = shortlist(library, approximate, exact, per_split)
        assert_same_bits(found, expected(approximate, exact, per_split, np.float32(errors[1])))
        library.forget()

    check()


@pytest.mark.parametrize("copies", [1, 2, 15, 16, 17, 40, 200])
@pytest.mark.parametrize("stride", [1, 3])
def test_a_list_holds_sixteen_ties(library: Library, copies: int, stride: int) -> None:
    exact = np.full((5, copies * stride + 200), -0.5)
    exact[:, 90 : 90 + copies * stride : stride] = 0.75
    labels, scored = shortlist(library, exact, exact, 1024)
    assert (labels == (90 if copies <= CANDIDATES else RESCAN)).all()
    if copies <= CANDIDATES:
        assert (scored == copies).all()


def test_stale_candidates_make_room(library: Library) -> None:
    """Ten near the best of tile 0, ten near the better one of tile 1, and one best of all."""
    exact = np.full((3, 3 * TILE), -1.0)
    exact[:, 5:15], exact[:, TILE + 5 : TILE + 15], exact[:, 2 * TILE + 9] = 0.0, 0.5, 0.75
    labels, scored = shortlist(library, exact, exact, 3 * TILE)
    assert (labels == 2 * TILE + 9).all()
    assert (scored == 1).all()
    labels, scored = shortlist(library, exact, exact, TILE)  # a list for each tile
    assert (labels == 2 * TILE + 9).all()
    assert (scored == 1).all()


def test_a_split_that_overflows_gives_the_row_up(library: Library) -> None:
    exact = np.tile(np.linspace(-1, -0.5, 2 * TILE), (2, 1))
    exact[0, :20], exact[:, TILE] = 0.0, 0.5
    labels, _ = shortlist(library, exact, exact, TILE)
    assert labels.tolist() == [RESCAN, TILE]


@pytest.mark.parametrize("slots", [1, 8, 264])
def test_splits_fill_the_device_and_cover_all_columns(library: Library, slots: int) -> None:
    tiles = np.empty(1, np.int64)
    for blocks in (1, 2, 7, 100, 263, 264, 265, 5000):
        for columns in (1, 2, 31, 33, 128, 391, 8000):
            library.call("emulated_tiles_per_split", blocks, columns, slots, tiles)
            per_split = int(tiles[0])
            splits = -(-columns // per_split)
            assert 1 <= per_split <= columns
            assert splits <= 32
            rounds = -(-blocks * splits // slots)
            assert rounds * (per_split + 1) <= -(-blocks // slots) * (columns + 1)
            if blocks * min(columns, 32) <= slots:
                assert splits == -(-columns // -(-columns // min(columns, 32)))
