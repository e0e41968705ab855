"""Counter-based random choices: the same rows on every device, version and number of workers.

Row i has a 64-bit key that depends on (seed, purpose, i) alone; a sample of m rows is the m rows
with the smallest keys. The mixing function is the finaliser of splitmix64 (Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014). It is a bijection of 64-bit words
and the increment is odd, so two rows of one (seed, purpose) never share a key, and the order of a
sample needs no rule for ties.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

TRAIN: Final = 1  # which rows train the centroids
INIT: Final = 2  # which training rows become the first centroids
ORDER: Final = 3  # the order of rows under which_to_keep="random"
RECALL: Final = 4  # which rows are compared with all rows to estimate recall
RESIDUAL: Final = 5  # which kept rows are checked for a kept duplicate
BATCH: Final = 6  # which rows are compared in one batch
CAPTION: Final = 7  # which tokens a captioner draws
SHOWN: Final = 8  # which rows a contact sheet shows
REFERENCE: Final = 9  # which rows a reference set is made of
VALIDATION: Final = 10  # which families of pairs an adapter is validated on
EPOCH: Final = 11  # the order of training pairs in an epoch
MISMATCH: Final = 12  # which pairs are exchanged to get mismatched ones

_WORD: Final = 2**64
_INCREMENT: Final = 0x9E3779B97F4A7C15
_BLOCK: Final = 1 << 18  # rows whose keys are held at once: 2 MiB, about a second-level cache


def keys(seed: int, purpose: int, index: npt.NDArray[np.int64] | range) -> npt.NDArray[np.uint64]:
    """Return the random keys of the rows `index`.

    With C = 0x9E3779B97F4A7C15 and all arithmetic modulo 2^64::

        state = mix(seed + C * (purpose + 1))
        key_i = mix(state + C * (i + 1))

    Args:
        seed: any integer; only its value modulo 2^64 matters.
        purpose: TRAIN, INIT and so on, so that choices made for different
            purposes with one seed are independent.
        index: row numbers, an integer array of any shape or a range.

    Returns:
        uint64 keys in the shape of `index`.

    Example:
        >>> keys(0, TRAIN, range(2))
        array([5095610196844313600, 3982070227906906278], dtype=uint64)
    """
    state = np.uint64((seed + _INCREMENT * (purpose + 1)) % _WORD)
    state = _mix(np.array([state], dtype=np.uint64))[0]
    if isinstance(index, range):
        rows = np.arange(index.start, index.stop, index.step, dtype=np.int64)
    else:
        rows = np.asarray(index, dtype=np.int64)
    counter = rows.astype(np.uint64)
    with np.errstate(over="ignore"):
        counter += np.uint64(1)
        counter *= np.uint64(_INCREMENT)
        counter += state
    return _mix(counter)


def smallest(n: int, count: int, seed: int, purpose: int) -> npt.NDArray[np.int64]:
    """Return the `count` rows of 0..n-1 with the smallest keys, in the order of their keys.

    All n rows come back, in key order, when `count` is n or more. Memory is O(count + block),
    whatever n is.

    Args:
        n: number of rows to choose from.
        count: number of rows to choose.
        seed: any integer.
        purpose: TRAIN, INIT and so on.

    Returns:
        int64 row numbers, shape (min(n, count),).

    Raises:
        ValueError: n or count is negative.

    Example:
        >>> smallest(10, 3, seed=0, purpose=TRAIN)
        array([3, 1, 9])
    """
    if n < 0 or count < 0:
        raise ValueError(f"n and count must not be negative, got n={n} and count={count}")
    rows = np.empty(0, dtype=np.int64)
    best = np.empty(0, dtype=np.uint64)
    if count == 0:
        return rows
    for start in range(0, n, _BLOCK):
        block = np.arange(start, min(start + _BLOCK, n), dtype=np.int64)
        block_keys = keys(seed, purpose, block)
        if len(best) >= count:
            hopeful = block_keys < best[:count].max()
            block, block_keys = block[hopeful], block_keys[hopeful]
        rows, best = np.concatenate([rows, block]), np.concatenate([best, block_keys])
        if len(best) > count:
            chosen = np.argpartition(best, count - 1)[:count]
            rows, best = rows[chosen], best[chosen]
    return rows[np.argsort(best)]


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
