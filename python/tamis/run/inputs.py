"""What a run remembers of its input files, and how it notices that one has changed.

A file is the same when its path inside the pool, its size and its fingerprint are the same. Up to
64 MiB the fingerprint is the sha256 of the whole content; beyond that it covers 64 blocks of 64 KiB
spread evenly from the first byte to the last, so that opening a pool of any size stays cheap. The
modification time is a hint for people and decides nothing: a touched file is not a changed one, and
an edit of a larger file that keeps its size and misses every block is not seen. Remote files are
treated alike, by ranged reads. A folder of many small files counts as one: its fingerprint covers
all names and sizes, and blocks of the files laid end to end.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from tamis.data.remote import Place, name_inside
from tamis.errors import RunError

WHOLE_BYTES = 1 << 26
_BLOCKS = 64
_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class InputFile:
    """One file that a run reads.

    Attributes:
        path: name inside the pool, parts separated by "/"; the same wherever the pool lies.
        location: where the file is now.
        size: bytes.
        mtime_ns: modification time, nanoseconds since 1970; 0 for a remote file.
    """

    path: str
    location: Place
    size: int
    mtime_ns: int

    @classmethod
    def at(cls, location: Place, root: Place) -> InputFile:
        """Describe the file at `location` inside the pool folder `root`. Raises OSError."""
        status = location.stat()
        name = name_inside(location, root)
        return cls(name, location, status.st_size, status.st_mtime_ns)

    def fingerprint(self) -> str:
        """See :func:`fingerprint`."""
        return fingerprint(self.location)


@dataclass(frozen=True)
class InputFolder(InputFile):
    """Many small files that are one input.

    Attributes:
        files: their paths below `location`, sorted.
        sizes: bytes of each.
    """

    files: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()

    @classmethod
    def of(cls, root: Place, files: Sequence[str]) -> InputFolder:
        """Describe files below `root`. Raises OSError."""
        statuses = [(root / name).stat() for name in files]
        sizes = tuple(status.st_size for status in statuses)
        latest = max((status.st_mtime_ns for status in statuses), default=0)
        return cls(".", root, sum(sizes), latest, tuple(files), sizes)

    def fingerprint(self) -> str:
        """Return "folder:HEX" over names, sizes, and the content laid end to end.

        Of the content, as of a file's, all counts up to 64 MiB, and 64 blocks beyond that. A local
        file that cannot be read counts as such: it is a bad row, which must not stop the run.

        Raises:
            RunError: a file is gone, or a remote one cannot be read.
        """
        digest = hashlib.sha256()
        for name, size in zip(self.files, self.sizes, strict=True):
            digest.update(f"{size} {name}\0".encode("utf-8", "surrogateescape"))
        if self.size <= WHOLE_BYTES:
            spans = [(0, self.size)]
        else:
            spans = [(start, start + _BLOCK_BYTES) for start in _block_starts(self.size)]
        starts = [0, *accumulate(self.sizes)]
        for start, stop in spans:
            index = bisect.bisect_right(starts, start) - 1
            while index < len(self.files) and starts[index] < stop:
                offset = max(start - starts[index], 0)
                n_bytes = min(stop - starts[index], self.sizes[index]) - offset
                digest.update(_read_part(self.location / self.files[index], offset, n_bytes))
                index += 1
        return f"folder:{digest.hexdigest()}"


def fingerprint(location: Place) -> str:
    """Return "sha256:HEX" of a file up to 64 MiB, "sampled:HEX" of a larger one.

    Raises:
        RunError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with location.open("rb", buffering=0) as file:
            size = file.seek(0, 2)
            if size <= WHOLE_BYTES:
                file.seek(0)
                while block := file.read(1 << 20):
                    digest.update(block)
                return f"sha256:{digest.hexdigest()}"
            for start in _block_starts(size):
                file.seek(start)
                digest.update(file.read(_BLOCK_BYTES))
            return f"sampled:{digest.hexdigest()}"
    except OSError as error:
        raise _unreadable(location, error) from error


def input_records(inputs: Iterable[InputFile]) -> dict[str, dict[str, Any]]:
    """Return path -> {size, mtime_ns, fingerprint} for the manifest."""
    return {
        file.path: {
            "size": file.size,
            "mtime_ns": file.mtime_ns,
            "fingerprint": file.fingerprint(),
        }
        for file in inputs
    }


def input_changes(
    old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return one line per input that was added, removed or changed; mtimes are ignored."""
    changes = [f"{path}: removed" for path in old if path not in new]
    for path, record in new.items():
        if path not in old:
            changes.append(f"{path}: added")
        elif old[path]["size"] != record["size"]:
            changes.append(f"{path}: {old[path]['size']} bytes -> {record['size']} bytes")
        elif old[path]["fingerprint"] != record["fingerprint"]:
            changes.append(f"{path}: same size, other content")
    return sorted(changes)


def _block_starts(size: int) -> list[int]:
    """The first bytes of the blocks, the same ones in every version."""
    last = max(size - _BLOCK_BYTES, 0)
    return sorted({index * last // (_BLOCKS - 1) for index in range(_BLOCKS)})


def _read_part(location: Place, offset: int, n_bytes: int) -> bytes:
    try:
        with location.open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read(n_bytes)
    except OSError as error:
        if isinstance(location, Path) and not isinstance(error, FileNotFoundError):
            return b"cannot be read"
        raise _unreadable(location, error) from error


def _unreadable(location: Place, error: OSError) -> RunError:
    return RunError(f"cannot read the input {location}: {error.strerror or error}")
