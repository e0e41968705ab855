"""The k-th largest of any number of values, by counting, in bounded memory.

A value becomes an unsigned integer, its key, in the same order. One pass counts the keys by their
highest 16 bits and finds the bucket that holds the k-th; the next counts the keys of that bucket by
the following 16 bits: two passes for float32, four for 64-bit numbers, 65,536 counters each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

DIGIT_BITS = 16
_DIGITS = 1 << DIGIT_BITS


@dataclass(frozen=True)
class Cut:
    """Where the k-th largest key is.

    Attributes:
        key: that key.
        above: keys larger than it.
        at: keys equal to it.
    """

    key: int
    above: int
    at: int


def ordered_keys(values: np.ndarray) -> np.ndarray:
    """Return keys whose unsigned order is the order of the values; 0.0 and -0.0 are equal.

    Args:
        values: float32 (uint32 keys), float64, int64 or uint64 (uint64 keys), without NaN.

    Example:
        >>> keys = ordered_keys(np.array([-1.5, -0.0, 0.0, 2.0], np.float32))
        >>> (np.diff(keys.astype(np.int64)) > 0).tolist()
        [True, False, True]
    """
    if values.dtype == np.uint64:
        return values
    if values.dtype == np.int64:
        keys: np.ndarray = values.view(np.uint64) ^ np.uint64(1 << 63)
        return keys
    unsigned: Any = np.uint32 if values.dtype == np.float32 else np.uint64
    sign = unsigned(1 << (np.dtype(unsigned).itemsize * 8 - 1))
    bits = (values + values.dtype.type(0)).view(unsigned)  # -0.0 + 0.0 is 0.0
    # Negative numbers: all bits turned over. Others: the sign bit set.
    return np.asarray(np.where(bits & sign, ~bits, bits | sign))


def value_of(key: int, dtype: np.dtype[Any]) -> float | int:
    """Return the value of a key of :func:`ordered_keys`.

    Example:
        >>> value_of(int(ordered_keys(np.array([0.25]))[0]), np.dtype(np.float64))
        0.25
    """
    if dtype == np.uint64:
        return key
    if dtype == np.int64:
        return key - (1 << 63)
    unsigned: Any = np.uint32 if dtype == np.float32 else np.uint64
    bits = dtype.itemsize * 8
    sign = 1 << (bits - 1)
    raw = key ^ sign if key & sign else ~key & ((1 << bits) - 1)
    return float(np.array(raw, unsigned).view(dtype))


def kth_largest(passes: Callable[[], Iterable[np.ndarray]], k: int, bits: int) -> Cut | None:
    """Find the k-th largest key.

    Args:
        passes: gives all keys, in blocks, each time it is called.
        k: from 1.
        bits: of a key, 32 or 64.

    Returns:
        The cut; None where there are fewer than k keys.

    Example:
        >>> keys = np.array([5, 9, 7, 7], np.uint32)
        >>> kth_largest(lambda: [keys], 2, 32)
        Cut(key=7, above=1, at=2)
    """
    prefix, above, at = 0, 0, 0
    for shift in range(bits - DIGIT_BITS, -1, -DIGIT_BITS):
        counts = np.zeros(_DIGITS, np.int64)
        for keys in passes():
            counts += count_digits(keys, shift, prefix, first=shift == bits - DIGIT_BITS)
        from_top = np.cumsum(counts[::-1])
        if above + from_top[-1] < k:
            return None
        place = int(np.searchsorted(from_top, k - above))
        digit = _DIGITS - 1 - place
        at = int(counts[digit])
        above += int(from_top[place]) - at
        prefix = prefix << DIGIT_BITS | digit
    return Cut(prefix, above, at)


def count_digits(keys: np.ndarray, shift: int, prefix: int, *, first: bool) -> np.ndarray:
    """Count, by the 16 bits at `shift`, the keys whose higher bits are `prefix`."""
    kind = keys.dtype.type
    if not first:
        keys = keys[keys >> kind(shift + DIGIT_BITS) == kind(prefix)]
    digits = (keys >> kind(shift)).astype(np.uint16)
    return np.bincount(digits, minlength=_DIGITS)
