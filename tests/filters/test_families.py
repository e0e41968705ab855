"""Families of bit-identical rows."""

from __future__ import annotations

import numpy as np
import pytest
from tests.filters.oracle import cosine, integers
from tests.filters.pools import PARALLEL, clustered, parallel

from tamis.filters.semdedup import families
from tamis.filters.semdedup.families import collapse, row_hashes
from tamis.filters.semdedup.source import ArraySource
from tamis.filters.semdedup.tiles import Side


def a_side(rows: np.ndarray, offsets: list[int], tile_rows: int = 1000) -> Side:
    index = np.arange(len(rows), dtype=np.int64)
    return Side.open(ArraySource(rows), index, index, np.array(offsets), tile_rows)


def first_copies(rows: np.ndarray, offsets: list[int]) -> list[int]:
    first = []
    for start, stop in zip(offsets[:-1], offsets[1:], strict=True):
        seen: dict[bytes, int] = {}
        first += [seen.setdefault(rows[row].tobytes(), row) for row in range(start, stop)]
    return first


@pytest.mark.parametrize("tile_rows", [7, 1000])
def test_the_first_row_of_each_family_represents_it(tile_rows: int) -> None:
    for rows in (clustered(100, 5, seed=1), parallel(50, seed=2)):
        offsets = [0, len(rows)] if tile_rows < len(rows) else [0, 30, 30, len(rows)]
        found = collapse(a_side(rows, offsets, tile_rows))
        expected = first_copies(rows, offsets)
        assert found.first.rows[found.slot].tolist() == expected
        assert found.copies.tolist() == [row for row, first in enumerate(expected) if first != row]
        np.testing.assert_array_equal(found.first.segment, found.side.segment[found.first.rows])


def test_a_hash_collision_joins_no_different_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "row_hashes", lambda rows: np.zeros(len(rows), dtype=np.uint64))
    rows = clustered(60, 4, seed=3)
    found = collapse(a_side(rows, [0, 60]))
    assert len(found.copies)  # the copies of the first row are still found
    np.testing.assert_array_equal(rows, rows[found.first.rows[found.slot]])


@pytest.mark.parametrize("dim", [1, 2, 3, 8, 33])
def test_hashes_tell_rows_apart_and_do_not_depend_on_the_block(dim: int) -> None:
    rows = np.unique(clustered(300, dim, seed=dim).view(np.uint16), axis=0).view(np.float16)
    hashes = row_hashes(rows)
    assert len(np.unique(hashes)) == len(rows)
    np.testing.assert_array_equal(np.concatenate([row_hashes(row[None]) for row in rows]), hashes)


def test_signs_change_the_hash() -> None:
    row = np.full(8, 0.35, dtype=np.float16)
    flipped = np.array([row, row, row])
    flipped[1, [3, 7]] *= -1
    flipped[2, [1, 2, 5, 6]] *= -1
    assert len(np.unique(row_hashes(flipped))) == 3


def test_the_parallel_pool_has_rows_closer_to_another_row_than_to_themselves() -> None:
    """Without such rows the tests of exact collapse would attack nothing."""
    units = integers(PARALLEL)
    assert any(cosine(a, b) > cosine(a, a) for a in units for b in units if a != b)
