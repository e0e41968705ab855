"""Copying members of tars into a new shard: large reads, large writes, nothing decoded."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from tamis.data.samples.tar_file import TarShard
from tamis.data.samples.tar_header import BLOCK
from tamis.data.samples.tar_source import read_ranges, reading
from tamis.reshard.names import key_of, member_header
from tamis.reshard.plan import Plan

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.run.atomic import AtomicFile

END = bytes(2 * BLOCK)
_AHEAD_BYTES = 1 << 22
_WRITE_BYTES = 1 << 22


class Copier:
    """Writes the shards of a plan.

    Args:
        tars: the pool's files, in row order.
        ids: the ids of all rows.
        plan: what goes where.
    """

    def __init__(self, tars: Sequence[TarShard], ids: Ids, plan: Plan) -> None:
        self._tars = tars
        self._ids = ids
        self._plan = plan
        self._starts = [0]
        for tar in tars:
            self._starts.append(self._starts[-1] + tar.n_rows)

    def locate(self, row: int) -> tuple[int, int]:
        """Return (position of the tar, row in it) of a row of the pool."""
        tar = bisect.bisect_right(self._starts, row) - 1
        return tar, row - self._starts[tar]

    def write(self, number: int, file: AtomicFile) -> None:
        """Write a shard, counted from 0. Raises PoolError where a tar cannot be read."""
        pieces: list[bytes | memoryview] = []
        waiting = 0
        for tar, group in groupby(self._plan.shard(number), lambda part: self.locate(part[0])[0]):
            for piece in self._pieces(tar, list(group)):
                large = len(piece) >= _WRITE_BYTES
                if not large:
                    pieces.append(piece)
                    waiting += len(piece)
                if large or waiting >= _WRITE_BYTES:
                    file.write(b"".join(pieces))
                    pieces.clear()
                    waiting = 0
                if large:
                    file.write(piece)  # joining would copy it
        file.write(b"".join([*pieces, END]))

    def _pieces(
        self, tar: int, parts: Sequence[tuple[int, int, int]]
    ) -> Iterator[bytes | memoryview]:
        shard = self._tars[tar]
        index = shard.index()
        members = [index.members(row - self._starts[tar]) for row, _, _ in parts]
        ranges = [(offset, size) for sample in members for _, offset, size in sample]
        with reading(shard.place, _AHEAD_BYTES) as read_at:
            contents = read_ranges(shard.place, ranges, read_at)
            for (row, first, stop), sample in zip(parts, members, strict=True):
                content = [(suffix, next(contents)) for suffix, _, _ in sample]
                for copy in range(first, stop):
                    key = key_of(self._ids[row], copy)
                    for suffix, data in content:
                        yield member_header(f"{key}.{suffix}", len(data))
                        yield data
                        if len(data) % BLOCK:
                            yield END[: -len(data) % BLOCK]
