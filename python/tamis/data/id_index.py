"""Where ids stand in a list of ids: the search behind every join and every list of uids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.data.ids import Ids


class IdIndex:
    """Some ids, sorted and without repeats.

    Memory: 16 bytes per different uid, 8 per integer, the text and 8 per string.

    Attributes:
        rows: int64, of each different id, in ascending order, the first row that has it.
        counts: int64, how many rows have it.

    Example:
        >>> index = IdIndex(Ids.of(["b", "a", "b"]))
        >>> index.find(Ids.of(["a", "c", "b"])).tolist(), index.counts.tolist()
        ([0, -1, 1], [1, 2])
    """

    def __init__(self, ids: Ids) -> None:
        order = ids.argsort()
        ordered = ids.take(order)
        starts = np.flatnonzero(_first_of_each(ordered))
        self.kind = ids.kind
        self.rows = order[starts]
        self.counts = np.diff(np.append(starts, len(order)))
        self._ids = ordered if len(starts) == len(order) else ordered.take(starts)
        self._longest = 0
        if self.kind == "uid32":
            self._high = np.ascontiguousarray(self._ids.values[:, 0])
            self._low = np.ascontiguousarray(self._ids.values[:, 1])
            self._longest = _longest_run(self._high)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> Ids:
        """The different ids, ascending."""
        return self._ids

    def find(self, ids: Ids) -> np.ndarray:
        """Return int64 (n,): the place of each id among :attr:`ids`, -1 where it is not there.

        Ids of another kind are not there; "row" and "int64" are one kind here.
        """
        if not len(self) or not len(ids) or not self._comparable(ids):
            return np.full(len(ids), -1, np.int64)
        if self.kind in ("uid32", "string"):
            if self.kind != ids.kind:
                return self._find_text(ids)
            return self._find_pairs(ids.values) if self.kind == "uid32" else self._find_text(ids)
        places = np.minimum(np.searchsorted(self._ids.values, ids.values), len(self) - 1)
        return np.where(self._ids.values[places] == ids.values, places, -1)

    def _comparable(self, ids: Ids) -> bool:
        texts = ("uid32", "string")
        return (self.kind in texts) == (ids.kind in texts)

    def _find_text(self, ids: Ids) -> np.ndarray:
        found = pc.index_in(ids.to_arrow(), value_set=self._ids.to_arrow())
        places: np.ndarray = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return places

    def _find_pairs(self, pairs: np.ndarray) -> np.ndarray:
        # Sorted questions walk through memory in one direction; random ones miss every cache.
        order = np.argsort(pairs[:, 0])
        high, low = pairs[order, 0], pairs[order, 1]
        first = np.searchsorted(self._high, high)
        if self._longest > 1:
            first = self._bisect(first, np.searchsorted(self._high, high, side="right"), low)
        place = np.minimum(first, len(self) - 1)
        found = (self._high[place] == high) & (self._low[place] == low)
        places = np.empty(len(pairs), np.int64)
        places[order] = np.where(found, place, -1)
        return places

    def _bisect(self, first: np.ndarray, last: np.ndarray, low: np.ndarray) -> np.ndarray:
        """Search the second half among those with an equal first half, all questions at once."""
        for _ in range(int(self._longest).bit_length()):
            middle = (first + last) >> 1
            below = (first < last) & (self._low[np.minimum(middle, len(self) - 1)] < low)
            last = np.where(below, last, np.minimum(middle, last))
            first = np.where(below, middle + 1, first)
        return first


def _first_of_each(ordered: Ids) -> np.ndarray:
    first = np.ones(len(ordered), bool)
    if len(ordered) > 1:
        values: Any = ordered.values
        if ordered.kind == "string":
            assert isinstance(values, pa.Array)
            first[1:] = pc.not_equal(values[1:], values[:-1]).to_numpy(zero_copy_only=False)
        elif ordered.kind == "uid32":
            first[1:] = (values[1:] != values[:-1]).any(axis=1)
        else:
            first[1:] = values[1:] != values[:-1]
    return first


def _longest_run(ordered: np.ndarray) -> int:
    if not len(ordered):
        return 0
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return int(np.diff(np.append(starts, len(ordered))).max())
