"""Rows that two lower rows of their segment are copies of, found by hashes and proven by bits."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from tests.cuda.library import Library

import cases

Int64 = npt.NDArray[np.int64]


def by_definition(x: cases.Rows, offsets: Int64, wanted: list[int]) -> npt.NDArray[np.uint8]:
    spare = np.zeros(len(x), np.uint8)
    for s, begin in enumerate(offsets[:-1].tolist()):
        before: Counter[bytes] = Counter()
        for row in range(begin, offsets[s + 1]):
            spare[row] = wanted[s] and before[x[row].tobytes()] >= 2
            before[x[row].tobytes()] += 1
    return spare


def marked(
    library: Library, x: cases.Rows, offsets: Int64, wanted: list[int], key_bits: int = 64
) -> npt.NDArray[np.uint8]:
    arguments = (
        *(library.array(x.view(np.uint16)), *x.shape),
        *(library.array(offsets), len(offsets) - 1),
        *(library.array(np.array([*wanted, max(wanted)], np.int32)), key_bits),
    )
    size = np.zeros(1, np.int64)
    library.call("emulated_mark_spare", *arguments, size, None, None)
    assert size[0] <= 44 * len(x) + 64
    spare = library.empty(len(x), np.uint8)
    work = library.empty(int(size[0]), np.uint8)
    library.call("emulated_mark_spare", *arguments, None, spare, work)
    return spare


@pytest.mark.parametrize("d", [8, 264])
@pytest.mark.parametrize("seed", [0, 1])
def test_marks_what_the_definition_says(library: Library, d: int, seed: int) -> None:
    x = np.concatenate([cases.copies(250, d, seed), cases.small_integers(50, d, seed)])
    offsets, wanted = np.array([0, 0, 3, 120, 121, 260, 300]), [0, 1, 1, 1, 0, 1]
    with library.configured(seed=seed, host_threads=1 + seed):
        spare = marked(library, x, offsets, wanted)
    assert spare.any() and (spare == by_definition(x, offsets, wanted)).all()
    assert not marked(library, x, offsets, [0] * 6).any(), "nothing is wanted"


@pytest.mark.parametrize("key_bits", [1, 2, 4])
def test_rows_of_one_key_are_told_apart_by_their_bits(library: Library, key_bits: int) -> None:
    x = cases.copies(200, 8, 3, distinct=3)
    x[:4] = cases.unit_rows(4, 8, 9)
    offsets, wanted = np.array([0, 40, 80, 120, 200]), [1, 1, 1, 1]
    spare, most = marked(library, x, offsets, wanted, key_bits), by_definition(x, offsets, wanted)
    assert (spare <= most).all() and spare.sum() < most.sum()


def test_two_copies_are_two_of_the_same_row(library: Library) -> None:
    marks = 0
    for seed in range(10):
        x = cases.unit_rows(2, 8, seed)[[0, 1, 0, 1, 0]]
        spare = marked(library, x, np.array([0, 5]), [1], key_bits=1)
        assert not spare[:4].any(), "the first two rows of a key were not both copies"
        marks += int(spare[4])
    assert 0 < marks < 10, "some pairs of rows have one key, some have two"
