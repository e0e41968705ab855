"""Reading ranges of a tar, on this machine or elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tamis.data.limits import Limits
from tamis.data.remote import Place
from tamis.data.samples.tar_index import TarIndex
from tamis.data.samples.tar_scan import ReadAt, scan_tar
from tamis.errors import PoolError

_AHEAD_BYTES = 1 << 22
# What lies between two ranges is read too where that is cheaper than another read.
_GAP_BYTES = 1 << 14
_REMOTE_GAP_BYTES = 1 << 20
_READ_BYTES = 1 << 25
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


@contextmanager
def reading(place: Place, ahead: int = 0) -> Iterator[ReadAt]:
    """Open a file for reads of ranges; `ahead` bytes are fetched at a time where it is remote.

    Raises:
        PoolError: it cannot be opened or read.
    """
    try:
        with place.open("rb", buffering=0 if isinstance(place, Path) else ahead) as file:
            if isinstance(place, Path):
                descriptor = file.fileno()
                yield lambda offset, n_bytes: _pread(descriptor, offset, n_bytes)
            else:

                def read_at(offset: int, n_bytes: int) -> bytes:
                    file.seek(offset)
                    return file.read(n_bytes)

                yield read_at
    except OSError as error:
        raise PoolError(f"cannot read {place}: {error.strerror or error}") from error


@dataclass(frozen=True)
class Tar:
    """A tar file as it was when it was opened.

    Attributes:
        place: where it lies.
        n_bytes: its size.
        mtime_ns: its modification time, 0 where that is not known.
        limits: caps on what is believed.
    """

    place: Place
    n_bytes: int
    mtime_ns: int
    limits: Limits

    @classmethod
    def at(cls, place: Place, limits: Limits) -> Tar:
        """Look at a file. Raises PoolError."""
        try:
            status = place.stat()
        except OSError as error:
            raise PoolError(f"cannot read {place}: {error.strerror or error}") from error
        return cls(place, status.st_size, status.st_mtime_ns, limits)


@lru_cache(maxsize=16)
def index_of(tar: Tar) -> TarIndex:
    """Return the index of a tar; the latest few are kept, about 25 bytes for each member.

    Raises:
        PoolError: see `scan_tar`; or the tar is compressed.
    """
    place = tar.place
    with reading(place, _AHEAD_BYTES) as read_at:
        start = read_at(0, 8)
        for magic, name in _COMPRESSED.items():
            if start.startswith(magic):
                raise PoolError(
                    f"{place}: compressed ({name}); decompress it: members are read where they lie"
                )
        return scan_tar(read_at, tar.n_bytes, str(place), tar.limits)


def read_ranges(
    place: Place, ranges: Sequence[tuple[int, int]], read_at: ReadAt
) -> Iterator[memoryview]:
    """Yield the content of each (offset, bytes), ascending; those close to each other in one read.

    A view keeps the whole read, up to 32 MiB or one member, in memory.

    Raises:
        PoolError: the file is shorter than it was.
    """
    gap = _GAP_BYTES if isinstance(place, Path) else _REMOTE_GAP_BYTES
    first = 0
    while first < len(ranges):
        start = ranges[first][0]
        last, stop = first, start + ranges[first][1]
        while last + 1 < len(ranges):
            offset, n_bytes = ranges[last + 1]
            if offset - stop > gap or offset + n_bytes - start > _READ_BYTES:
                break
            last, stop = last + 1, offset + n_bytes
        content = memoryview(read_at(start, stop - start))
        if len(content) < stop - start:
            raise PoolError(f"{place}: the file has become shorter since it was opened")
        for offset, n_bytes in ranges[first : last + 1]:
            yield content[offset - start : offset - start + n_bytes]
        first = last + 1


def _pread(descriptor: int, offset: int, n_bytes: int) -> bytes:
    content = os.pread(descriptor, n_bytes, offset)
    if len(content) == n_bytes or not content:
        return content
    parts = [content]
    n_read = len(content)
    while n_read < n_bytes and (part := os.pread(descriptor, n_bytes - n_read, offset + n_read)):
        parts.append(part)
        n_read += len(part)
    return b"".join(parts)
