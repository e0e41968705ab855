"""Buckets, and how many texts go into a batch."""

from __future__ import annotations

import numpy as np
import pytest

from tamis.embed.padding import bucket_of, buckets_up_to, mask_of, moved_right, texts_per_batch


@pytest.mark.parametrize("longest", [1, 15, 16, 17, 77, 256, 2048, 8192])
def test_every_length_has_the_smallest_bucket(longest: int) -> None:
    buckets = buckets_up_to(longest)
    assert buckets[-1] == longest and list(buckets) == sorted(set(buckets))
    for length in range(1, longest + 1):
        bucket = bucket_of(length, buckets)
        assert bucket == min(b for b in buckets if b >= length)


def test_no_batch_holds_more_tokens_than_a_full_one() -> None:
    for batch_size in (1, 7, 256):
        for bucket in (1, 16, 77, 128, 129, 2048):
            texts = texts_per_batch(bucket, batch_size)
            assert 1 <= texts <= batch_size
            assert texts == 1 or texts * bucket <= batch_size * 128
    assert texts_per_batch(128, 7) == 7


def test_masks() -> None:
    lengths = np.array([1, 3])
    assert mask_of(lengths, 3).tolist() == [[1, 0, 0], [1, 1, 1]]
    assert moved_right(mask_of(lengths, 3), lengths).tolist() == [[0, 0, 1], [1, 1, 1]]
