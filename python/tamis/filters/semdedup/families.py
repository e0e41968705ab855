"""Families of bit-identical rows: found by hash, confirmed bit by bit, scored once.

A family's first row in rank order represents it. All copies have the same cosine to any row, and
ties go to the lowest rank, so the best earlier row is always a representative: comparing
representatives with one another gives their exact scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.filters.semdedup.source import BLOCK_ROWS, Index, Rows
from tamis.filters.semdedup.tiles import Side

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Families:
    """The families of a side.

    Attributes:
        side: the rows.
        first: their representatives, in rank order within each segment.
        slot: int64 (m,), for every row of the side the position of its representative in `first`.
        copies: int64, positions in the side of the rows that are not representatives, ascending.
    """

    side: Side
    first: Side
    slot: Index
    copies: Index


def collapse(side: Side) -> Families:
    """Find the families of each segment.

    A hash collision costs time and changes nothing: a row that differs from the row it was matched
        with represents itself.
    """
    position = np.arange(len(side), dtype=np.int64)
    hashes = np.empty(len(side), dtype=np.uint64)
    for start, rows, _ in side.tiles():
        hashes[start : start + len(rows)] = row_hashes(rows)
    segment = side.segment
    order = np.lexsort((hashes, segment))
    is_new = np.ones(len(side), dtype=np.bool_)
    is_new[1:] = (np.diff(hashes[order]) != 0) | (np.diff(segment[order]) != 0)
    # lexsort is stable, so the first row of a run of equal hashes has the lowest rank.
    begin = np.maximum.accumulate(np.where(is_new, position, 0))
    first = np.empty(len(side), dtype=np.int64)
    first[order] = order[begin]
    matched = np.flatnonzero(first != position)
    different = matched[~_identical(side, matched, first[matched])]
    first[different] = different

    chosen = np.flatnonzero(first == position)
    slot = np.searchsorted(chosen, first).astype(np.int64)
    return Families(side, side.pick(chosen), slot, np.flatnonzero(first != position))


def row_hashes(rows: Rows) -> Words:
    """64-bit hashes of float16 rows: sum of word_j * c_j mod 2^64 over 32-bit words, c_j fixed odd
    pseudo-random numbers.
    """
    bits = np.ascontiguousarray(rows).view(np.uint16)
    if bits.shape[1] % 2:
        bits = np.pad(bits, ((0, 0), (0, 1)))
    words = bits.view(np.uint32)
    factors = np.random.Generator(np.random.PCG64(0)).integers(
        2**64, size=words.shape[1], dtype=np.uint64
    ) | np.uint64(1)
    hashes = np.empty(len(words), dtype=np.uint64)
    step = max(1, (1 << 21) // max(1, words.shape[1]))
    for start in range(0, len(words), step):
        hashes[start : start + step] = words[start : start + step].astype(np.uint64) @ factors
    return hashes


def _identical(side: Side, left: Index, right: Index) -> NDArray[np.bool_]:
    same = np.empty(len(left), dtype=np.bool_)
    for start in range(0, len(left), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        left_bits = side.read(left[part]).view(np.uint16)
        same[part] = (left_bits == side.read(right[part]).view(np.uint16)).all(axis=1)
    return same
