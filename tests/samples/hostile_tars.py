"""Tars, sound and hostile, made in memory."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

BLOCK = 512
END = bytes(2 * BLOCK)


def header(
    name: str, size: int, *, kind: bytes = b"0", tar_format: int = tarfile.USTAR_FORMAT
) -> bytes:
    """A header, with the extended headers before it that the format needs."""
    member = tarfile.TarInfo(name)
    member.size = size
    member.type = kind
    return member.tobuf(tar_format, "utf-8", "surrogateescape")


def padded(data: bytes) -> bytes:
    """Data, filled up to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def member(name: str, data: bytes, *, tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    """A plain file."""
    return header(name, len(data), tar_format=tar_format) + padded(data)


def tar_of(
    members: Iterable[tuple[str, bytes]], *, tar_format: int = tarfile.USTAR_FORMAT
) -> bytes:
    """A tar of plain files."""
    parts = [member(name, data, tar_format=tar_format) for name, data in members]
    return b"".join(parts) + END


def with_checksum(block: bytes) -> bytes:
    """A header whose checksum is made right."""
    changed = bytearray(block[:BLOCK])
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed)
    return bytes(changed) + block[BLOCK:]


def changed_header(block: bytes, start: int, content: bytes) -> bytes:
    """A header with other bytes from `start` on, and a checksum that agrees."""
    changed = bytearray(block)
    changed[start : start + len(content)] = content
    return with_checksum(bytes(changed))


def uid(number: int) -> str:
    """A DataComp uid."""
    return f"{number:032x}"


def sample_members(number: int, *, prefix: str = "") -> list[tuple[str, bytes]]:
    """The members of a sample as img2dataset writes them; the image is no image."""
    key = f"{prefix}{number:09d}"
    image = bytes((number * 7 + i * 13) % 251 + 1 for i in range(600 + number % 500))
    meta = {"uid": uid(number), "key": key, "caption": f"caption {number}", "width": number}
    return [
        (f"{key}.jpg", image),
        (f"{key}.txt", f"caption {number}".encode()),
        (f"{key}.json", json.dumps(meta).encode()),
    ]


def members_of(numbers: Iterable[int], *, prefix: str = "") -> list[tuple[str, bytes]]:
    """The members of several samples."""
    return [pair for number in numbers for pair in sample_members(number, prefix=prefix)]


def write_with_tarfile(path: Path, members: Iterable[tuple[str, bytes]], tar_format: int) -> None:
    """A tar as Python's own module writes it."""
    with tarfile.open(path, "w", format=tar_format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
