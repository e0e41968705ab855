"""Random choices against the definition, in Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.kernels import sample

WORD = 2**64
INCREMENT = 0x9E3779B97F4A7C15


def mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def key(seed: int, purpose: int, row: int) -> int:
    state = mix((seed + INCREMENT * (purpose + 1)) % WORD)
    return mix((state + INCREMENT * (row + 1)) % WORD)


def test_mixing_is_the_published_splitmix64() -> None:
    # The first outputs of the generator with state 0, from Vigna's reference implementation.
    states = np.array([INCREMENT * i % WORD for i in (1, 2, 3)], dtype=np.uint64)
    assert sample._mix(states).tolist() == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]


@given(st.integers(-(2**70), 2**70), st.integers(1, 5), st.integers(0, 2**62))
def test_keys_are_the_definition(seed: int, purpose: int, row: int) -> None:
    rows = np.array([row, row + 1])
    expected = [key(seed, purpose, row), key(seed, purpose, row + 1)]
    assert sample.keys(seed, purpose, rows).tolist() == expected
    assert sample.keys(seed, purpose, range(row, row + 2)).tolist() == expected


def test_keys_keep_the_shape_of_the_index_and_leave_it_alone() -> None:
    rows = np.arange(12).reshape(3, 4)
    rows.flags.writeable = False
    keys = sample.keys(7, sample.ORDER, rows)
    assert keys.shape == (3, 4) and keys.dtype == np.uint64
    assert sample.keys(7, sample.ORDER, range(11, -1, -1)).tolist() == keys.ravel()[::-1].tolist()
    assert sample.keys(7, sample.ORDER, range(0)).shape == (0,)


def test_purposes_and_seeds_give_different_keys() -> None:
    purposes = (
        *(sample.TRAIN, sample.INIT, sample.ORDER),
        *(sample.RECALL, sample.RESIDUAL, sample.BATCH),
    )
    assert purposes == (1, 2, 3, 4, 5, 6)
    keys = [sample.keys(seed, p, range(1000)) for p in purposes for seed in (0, 1, 2)]
    assert len(np.unique(np.concatenate(keys))) == len(purposes) * 3 * 1000


@given(st.integers(0, 60), st.integers(0, 70), st.integers(0, 99), st.integers(1, 64))
def test_smallest_is_the_head_of_the_sorted_rows(n: int, count: int, seed: int, block: int) -> None:
    expected = sorted(range(n), key=lambda row: key(seed, sample.TRAIN, row))[:count]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "_BLOCK", block)
        rows = sample.smallest(n, count, seed, sample.TRAIN)
    assert rows.tolist() == expected
    assert rows.dtype == np.int64


def test_a_larger_sample_begins_with_the_smaller_one() -> None:
    n = 1_000_000
    large = sample.smallest(n, 5000, 3, sample.INIT)
    assert np.array_equal(large[:100], sample.smallest(n, 100, 3, sample.INIT))
    order = np.argsort(sample.keys(3, sample.INIT, range(n)))
    assert np.array_equal(large, order[:5000])


@pytest.mark.parametrize(("n", "count"), [(-1, 0), (0, -1)])
def test_negative_sizes_are_refused(n: int, count: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        sample.smallest(n, count, 0, sample.TRAIN)
