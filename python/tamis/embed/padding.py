"""Texts of many lengths as arrays of few."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tamis.embed.encoder import Tokens

LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
CLOSE_LENGTHS = (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, *LENGTHS[4:])
"""For small models of short texts, whose time is lost in padding rather than in many shapes."""
FULL_BATCH_LENGTH = 128
_Number = TypeVar("_Number", np.int64, np.bool_)


def buckets_up_to(longest: int, lengths: Sequence[int] = LENGTHS) -> tuple[int, ...]:
    """Return the lengths that texts of at most `longest` tokens are padded to.

    Example:
        >>> buckets_up_to(77)
        (16, 32, 64, 77)
    """
    return (*(length for length in lengths if length < longest), longest)


def bucket_of(length: int, buckets: Sequence[int]) -> int:
    """Return the smallest bucket that holds `length` tokens."""
    return buckets[bisect_left(buckets, length)]


def texts_per_batch(bucket: int, batch_size: int) -> int:
    """Return how many texts of a bucket are encoded at a time.

    It is the batch size up to 128 tokens, and beyond that as many fewer as texts are longer, so
    that no batch holds more tokens than `128 * batch_size`.

    Example:
        >>> [texts_per_batch(bucket, 256) for bucket in (16, 128, 512, 2048)]
        [256, 256, 64, 16]
    """
    return max(1, batch_size * FULL_BATCH_LENGTH // max(bucket, FULL_BATCH_LENGTH))


def mask_of(lengths: Tokens, bucket: int) -> npt.NDArray[np.int64]:
    """Return int64 (n, bucket): 1 where a text is, 0 behind its end."""
    return (np.arange(bucket) < lengths[:, None]).astype(np.int64)


def moved_right(values: npt.NDArray[_Number], lengths: Tokens) -> npt.NDArray[_Number]:
    """Return (n, bucket) values with the padding before the text instead of behind it.

    Example:
        >>> moved_right(np.array([[1, 2, 0], [3, 0, 0]]), np.array([2, 1])).tolist()
        [[0, 1, 2], [0, 0, 3]]
    """
    bucket = values.shape[1]
    columns = (np.arange(bucket) + lengths[:, None]) % bucket
    return np.take_along_axis(values, columns, axis=1)
