"""The members of a tar, found from the headers alone, damaged and hostile ones included.

A header whose checksum is right is believed, unless its data would end after the file. From
anything else the scan goes on at the next 512-byte block that is a header marked "ustar" with a
right checksum; the bytes between are lost. (A long name in an extended header has no checksum: a
change there makes another name.) Links, devices, pipes, folders, and what webdataset calls meta
data (`__x__`) are passed over. Every byte lost and every member passed over is told, folders apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tamis.data.limits import Limits
from tamis.data.samples import tar_header as head
from tamis.data.samples.tar_header import BLOCK, ZEROS, parse_header
from tamis.data.samples.tar_index import Grouping, TarIndex, shown
from tamis.errors import PoolError

ReadAt = Callable[[int, int], bytes]
"""(offset, bytes) -> what the file holds there; shorter at its end."""

FAULT_SPARSE = "sample has a sparse member"
FAULT_SIZES = "sample has a member that states two sizes"

_WINDOW = 1 << 13
_LARGEST_WINDOW = 1 << 20
_LONGEST_NAME = 1 << 16
_LONGEST_PAX = 1 << 20
_SHOWN = 5
_MAGIC = np.frombuffer(b"ustar", np.uint8)


def scan_tar(read_at: ReadAt, n_bytes: int, name: str, limits: Limits) -> TarIndex:
    """Return the index of a tar of `n_bytes`.

    Args:
        read_at: reads the file.
        n_bytes: its size.
        name: for messages.
        limits: `members` caps how many there may be.

    Raises:
        PoolError: no tar, more members than allowed, two members of one name, or one key twice.
    """
    scan = _Scan(read_at, n_bytes, name, limits)
    scan.run()
    return scan.index()


@dataclass
class _Extended:
    """What extended headers say of the member that follows them."""

    path: bytes | None = None
    size: int | None = None
    sparse: bool = False
    unreadable: bool = False


@dataclass
class _Notes:
    """Sentences about one kind of problem: the first few, and how many there are."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, example: str) -> None:
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < _SHOWN:
            examples.append(example)

    def sentences(self) -> tuple[str, ...]:
        lines = []
        for kind, count in self.counts.items():
            more = f" and {count - _SHOWN:,} more" if count > _SHOWN else ""
            lines.append(f"{kind}: {', '.join(self.examples[kind])}{more}")
        return tuple(lines)


class _Scan:
    def __init__(self, read_at: ReadAt, n_bytes: int, name: str, limits: Limits) -> None:
        self._read_at = read_at
        self._n_bytes = n_bytes
        self._name = name
        self._limits = limits
        self._samples = Grouping(name)
        self._notes = _Notes()
        self._extended: _Extended | None = None
        self._after_damage = False

    def index(self) -> TarIndex:
        return self._samples.index(self._notes.sentences())

    def run(self) -> None:
        position = 0
        window, base = b"", 0
        n_members = 0
        while True:
            block = window[position - base : position - base + BLOCK]
            if len(block) < BLOCK:
                window, base = self._read_at(position, _WINDOW), position
                block = window[:BLOCK]
                if len(block) < BLOCK:
                    self._ends_early(position, block)
                    return
            header = parse_header(block)
            if header is None:
                following = self._pass_over(position, block)
                if following is None:
                    return
                position = following
                continue
            n_members += 1
            if n_members > self._limits.members:
                raise PoolError(
                    f"{self._name}: the tar has more than {self._limits.members:,} members; "
                    "raise the limit if that is meant"
                )
            kind, size, name = header
            data = position + BLOCK
            if kind in head.REGULAR and self._extended is None and not self._after_damage:
                stop = data + size
                if stop <= self._n_bytes:
                    if not self._samples.add(name, data, size):
                        self._skipped(name)
                    position = (stop + BLOCK - 1) & -BLOCK
                    continue
            following = self._unusual(header, block, data)
            if following is None:
                return
            position = following

    def _unusual(self, header: head.Header, block: bytes, data: int) -> int | None:
        """Take any member; return where the next header should be, None at the end of the tar."""
        kind, size, name = header
        extended, self._extended = self._extended or _Extended(), None
        if kind in head.EXTENDED:
            return self._extend(header, data, extended)
        if kind in head.WITHOUT_DATA:
            if kind != head.DIRECTORY:
                self._notes.add(
                    "passed over, as it is no plain file",
                    f"{shown(extended.path or name)} ({head.WITHOUT_DATA[kind]})",
                )
            return data
        cut = self._after_damage and extended.path is None and head.name_may_be_cut(block)
        name = name if extended.path is None else extended.path
        fault = FAULT_SPARSE if extended.sparse or kind == head.SPARSE else None
        if kind == head.SPARSE:
            data = self._after_sparse_map(block, data)
        if extended.size is not None and extended.size != size:
            size, fault = extended.size, FAULT_SIZES
        whole = data + size <= self._n_bytes
        if kind not in head.REGULAR and kind != head.SPARSE:
            self._notes.add("passed over, as its type is unknown", shown(name))
        elif extended.unreadable or cut:
            self._damage(data - BLOCK, data + size if whole else None)
        else:
            self._after_damage = self._add(name, data, size, whole, fault)
        return (data + size + BLOCK - 1) & -BLOCK if whole else self._search(data)

    def _add(self, name: bytes, data: int, size: int, whole: bool, fault: str | None) -> bool:
        """Add a member; return whether the next one still follows damage without a sample."""
        if not self._samples.add(name, data, size, whole=whole, fault=fault):
            self._skipped(name)
            return self._after_damage
        if self._after_damage:
            self._samples.touch()
        return False

    def _extend(self, header: head.Header, data: int, extended: _Extended) -> int | None:
        kind, size, name = header
        if data + size > self._n_bytes:
            return self._search(data)
        self._extended = extended
        stop = (data + size + BLOCK - 1) & -BLOCK
        if kind == head.LONG_LINK:
            return stop
        if kind == head.LONG_NAME:
            extended.unreadable |= size > _LONGEST_NAME
            if not extended.unreadable:
                extended.path = self._read_at(data, size).partition(b"\0")[0]
            return stop
        records = head.parse_pax(self._read_at(data, size)) if size <= _LONGEST_PAX else None
        if kind == head.PAX_GLOBAL:
            if records is None or records.keys() & {b"path", b"size"}:
                self._notes.add("passed over, as it would rename all members", shown(name))
            return stop
        if records is None or len(records.get(b"path", b"")) > _LONGEST_NAME:
            extended.unreadable = True
            return stop
        extended.path = records.get(b"path", extended.path)
        if b"size" in records:
            extended.size = head.decimal(records[b"size"])
            extended.unreadable |= extended.size is None
        extended.sparse |= any(key.startswith(b"GNU.sparse") for key in records)
        return stop

    def _after_sparse_map(self, block: bytes, data: int) -> int:
        more = block[482]
        while more and data + BLOCK <= self._n_bytes:
            more = self._read_at(data, BLOCK)[504]
            data += BLOCK
        return data

    def _pass_over(self, position: int, block: bytes) -> int | None:
        """Return where the next header lies after what is none, None at the end of the tar."""
        self._extended = None
        if block == ZEROS:
            following = self._next_block(position, lambda blocks: blocks.any(axis=1))
            if following is None:
                return None
            self._notes.add("goes on after an end mark", f"at byte {position:,}")
            self._after_damage = True  # zeros may have taken the place of members
            self._samples.touch()
            position = following
            if parse_header(self._read_at(position, BLOCK)) is not None:
                return position
        following = self._search(position)
        if following is None and position == 0:
            raise PoolError(f"{self._name}: not a tar: no header in it is valid")
        return following

    def _search(self, position: int) -> int | None:
        """Give up what lies before the next header that is valid; return where that is."""
        following = self._next_header(position)
        self._damage(position, following)
        return following

    def _damage(self, start: int, stop: int | None) -> None:
        self._extended = None
        self._after_damage = True
        self._samples.touch()
        until = f"byte {stop:,}" if stop is not None else "its end"
        self._notes.add("damaged", f"from byte {start:,} to {until}")

    def _ends_early(self, position: int, block: bytes) -> None:
        self._samples.touch()
        end = f"at byte {self._n_bytes:,}"
        if self._n_bytes == 0:
            self._notes.add("empty", "no byte in it")
        elif block.strip(b"\0"):
            self._notes.add("cut in the middle of a header", end)
        else:
            self._notes.add("without end mark, perhaps cut", end)

    def _skipped(self, name: bytes) -> None:
        kind = "of its name" if not name.startswith(b"__") else "it is meta data of the archive"
        self._notes.add(f"passed over, because {kind}", shown(name))

    def _next_header(self, position: int) -> int | None:
        def marked(blocks: Any) -> Any:
            return (blocks[:, 257:262] == _MAGIC).all(axis=1)

        found = self._next_block(position, marked)
        while found is not None:
            if parse_header(self._read_at(found, BLOCK)) is not None:
                return found
            found = self._next_block(found + BLOCK, marked)
        return None

    def _next_block(self, position: int, wanted: Callable[[Any], Any]) -> int | None:
        """Return the position of the first wanted block from `position` on."""
        length = _WINDOW
        while position < self._n_bytes:
            content = self._read_at(position, length)
            whole = len(content) // BLOCK
            if whole == 0:
                return None
            found = np.flatnonzero(
                wanted(np.frombuffer(content, np.uint8, whole * BLOCK).reshape(whole, BLOCK))
            )
            if len(found):
                return position + int(found[0]) * BLOCK
            position += whole * BLOCK
            length = min(2 * length, _LARGEST_WINDOW)
        return None
