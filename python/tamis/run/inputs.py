"""What a run remembers of its input files, and how it notices that one has changed.

A file is the same when its path inside the pool, its size and its fingerprint are the same. Up to
64 MiB the fingerprint is the sha256 of the whole content; beyond that it covers 64 blocks of 64 KiB
spread evenly from the first byte to the last, so that opening a pool of any size stays cheap. The
modification time is a hint for people and decides nothing: a touched file is not a changed one, and
an edit of a larger file that keeps its size and misses every block is not seen.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        mtime_ns: modification time, nanoseconds since 1970.
    """

    path: str
    location: Path
    size: int
    mtime_ns: int

    @classmethod
    def at(cls, location: Path, root: Path) -> InputFile:
        """Describe the file at `location` inside the pool folder `root`. Raises OSError."""
        status = location.stat()
        name = location.relative_to(root).as_posix()
        return cls(name, location, status.st_size, status.st_mtime_ns)


def fingerprint(location: Path) -> str:
    """Return "sha256:HEX" of a file up to 64 MiB, "sampled:HEX" of a larger one.

    Raises:
        RunError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(location, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= WHOLE_BYTES:
                while block := file.read(1 << 20):
                    digest.update(block)
                return f"sha256:{digest.hexdigest()}"
            for index in range(_BLOCKS):
                file.seek(index * (size - _BLOCK_BYTES) // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
            return f"sampled:{digest.hexdigest()}"
    except OSError as error:
        raise RunError(f"cannot read the input {location}: {error.strerror or error}") from error


def input_records(inputs: Iterable[InputFile]) -> dict[str, dict[str, Any]]:
    """Return path -> {size, mtime_ns, fingerprint} for the manifest."""
    return {
        file.path: {
            "size": file.size,
            "mtime_ns": file.mtime_ns,
            "fingerprint": fingerprint(file.location),
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
