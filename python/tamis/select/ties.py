"""Which of the rows that tie at a cut are kept: those with the lowest ids.

Memory: one bit for each row of a block with kept ties, and the ids of at most COLLECTED ties at a
time. More ties than that are first counted by their ids, 16 bits at a time, until the bucket with
the last kept one is small enough (text ids are all collected).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np

from tamis.data.column import Mask
from tamis.data.ids import Ids
from tamis.select.order_statistic import DIGIT_BITS, count_digits, ordered_keys

COLLECTED = 1 << 22

# (start of the block, places of the tied rows in it, their ids)
TiedRows: TypeAlias = tuple[int, np.ndarray, Ids]
KeptTies: TypeAlias = dict[int, np.ndarray]


def lowest_ids(
    passes: Callable[[], Iterable[TiedRows]], n_ties: int, n_kept: int, block_rows: int
) -> KeptTies:
    """Choose the ties to keep.

    Args:
        passes: gives all tied rows, block by block, each time it is called.
        n_ties: how many there are.
        n_kept: how many of them to keep; equal ids are taken in row order.
        block_rows: rows of a block.

    Returns:
        Start of a block -> the kept rows in it, one bit each; see :func:`mark`.
    """
    below: Callable[[Ids], Mask] | None = None
    inside: Callable[[Ids], Mask] | None = None
    n_inside = n_kept
    if n_ties > COLLECTED:
        prefix = _Prefix()
        while n_ties > COLLECTED and prefix.bits < prefix.width(passes):
            n_ties, n_below = prefix.narrow(passes, n_inside)
            n_inside -= n_below
        if prefix.bits:
            below, inside = prefix.below, prefix.inside
    chosen = _lowest(_only(passes(), inside), n_inside)
    kept: KeptTies = {}
    for start, places, ids in passes():
        mask = np.zeros(block_rows, bool)
        if below is not None:
            mask[places[below(ids)]] = True
        first, last = np.searchsorted(chosen, (start, start + block_rows))
        mask[chosen[first:last] - start] = True
        if mask.any():
            kept[start] = np.packbits(mask)
    return kept


def mark(kept: KeptTies, start: int, n_rows: int) -> Mask | None:
    """Return bool (n_rows,): the kept ties of the block at `start`; None where it has none."""
    bits = kept.get(start)
    return None if bits is None else np.unpackbits(bits, count=n_rows).astype(bool)


def _lowest(tied: Iterable[TiedRows], n_kept: int) -> np.ndarray:
    """Return the rows of the `n_kept` lowest ids, ascending."""
    rows: list[np.ndarray] = []
    parts: list[Ids] = []
    for start, places, ids in tied:
        rows.append(places + start)
        parts.append(ids)
    if not rows:
        return np.empty(0, np.int64)
    order = Ids.concat(parts).argsort()[:n_kept]
    return np.sort(np.concatenate(rows)[order])


def _only(tied: Iterable[TiedRows], inside: Callable[[Ids], Mask] | None) -> Iterator[TiedRows]:
    for start, places, ids in tied:
        if inside is None:
            yield start, places, ids
        else:
            chosen = np.flatnonzero(inside(ids))
            yield start, places[chosen], ids.take(chosen)


class _Prefix:
    """The first bits of the id at which the kept ties end."""

    def __init__(self) -> None:
        self.value = 0
        self.bits = 0
        self._width: int | None = None

    def width(self, passes: Callable[[], Iterable[TiedRows]]) -> int:
        """Return the bits of an id: 128, 64, or 0 for text, which is not counted."""
        if self._width is None:
            kinds = {ids.kind for _, _, ids in passes()}
            self._width = 0 if "string" in kinds else 128 if "uid32" in kinds else 64
        return self._width

    def narrow(self, passes: Callable[[], Iterable[TiedRows]], n_kept: int) -> tuple[int, int]:
        """Take 16 bits more; return how many ids begin so, and how many of the rest are below."""
        counts = np.zeros(1 << DIGIT_BITS, np.int64)
        word, place = divmod(self.bits, 64)
        known = self.value & ((1 << place) - 1)
        for _, _, ids in passes():
            keys = _words(ids)[word][self._upper_half(ids, word)]
            counts += count_digits(keys, 48 - place, known, first=place == 0)
        so_far = np.cumsum(counts)
        digit = int(np.searchsorted(so_far, n_kept))
        self.value = self.value << DIGIT_BITS | digit
        self.bits += DIGIT_BITS
        return int(counts[digit]), int(so_far[digit] - counts[digit])

    def below(self, ids: Ids) -> Mask:
        """Return which ids are smaller than all that begin so."""
        return self._compare(ids, lambda key, limit: key < limit)

    def inside(self, ids: Ids) -> Mask:
        """Return which ids begin so."""
        return self._compare(ids, lambda key, limit: key == limit)

    def _upper_half(self, ids: Ids, word: int) -> Mask | slice:
        if word == 0:
            return slice(None)
        mask: Mask = _words(ids)[0] == np.uint64(self.value >> (self.bits - 64))
        return mask

    def _compare(self, ids: Ids, compare: Callable[[np.ndarray, np.uint64], Mask]) -> Mask:
        words = _words(ids)
        if self.bits <= 64:
            return compare(words[0] >> np.uint64(64 - self.bits), np.uint64(self.value))
        rest = self.bits - 64
        first = np.uint64(self.value >> rest)
        same: Mask = words[0] == first
        last = np.uint64(self.value & ((1 << rest) - 1))
        return (same & compare(words[1] >> np.uint64(64 - rest), last)) | (
            ~same & compare(words[0], first)
        )


def _words(ids: Ids) -> list[np.ndarray]:
    if ids.kind == "uid32":
        return [ids.values[:, 0], ids.values[:, 1]]
    return [ordered_keys(np.ascontiguousarray(ids.values))]
