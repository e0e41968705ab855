"""Images named by path in a table: only files inside the pool's folder are read."""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass
from pathlib import Path

from tamis.data.image import TOO_LARGE
from tamis.data.limits import Limits
from tamis.data.remote import Place, RemotePath, name_inside

IMAGE_MISSING = "image is missing"
IMAGE_OUTSIDE = "image path leaves the pool's folder"
IMAGE_NO_FILE = "image file does not exist"
IMAGE_UNREADABLE = "image file cannot be read"


@dataclass(frozen=True)
class ImageFiles:
    """Reads the images that a table names.

    Attributes:
        root: the pool's folder, which no path may leave, nor a link inside it.
        folder: the table's folder; relative paths start there.
        limits: `member_bytes` is checked before a file is read.
    """

    root: Place
    folder: Place
    limits: Limits

    def read(self, path: str | None) -> tuple[bytes | None, str | None]:
        """Return (content, None), or (None, why there is none)."""
        if not path:
            return None, IMAGE_MISSING
        place = self._inside(path)
        return (None, IMAGE_OUTSIDE) if place is None else read_image(place, self.limits)

    def _inside(self, path: str) -> Place | None:
        if "\0" in path:
            return None
        if isinstance(self.root, RemotePath):
            if "://" in path:
                return None
            start = name_inside(self.folder, self.root)
            inside = posixpath.normpath(posixpath.join(start, path))
            outside = inside.startswith(("/", "../")) or inside in (".", "..")
            return None if outside else self.root / inside
        try:
            place = Path(os.path.realpath(Path(self.folder) / path))  # type: ignore[arg-type]
            return place if place.is_relative_to(os.path.realpath(self.root)) else None
        except (OSError, ValueError):
            return None


def read_image(place: Place, limits: Limits) -> tuple[bytes | None, str | None]:
    """Return (content, None) of an image file, or (None, why it cannot be used)."""
    content, fault = read_capped(place, limits.member_bytes)
    return (None, TOO_LARGE) if fault is None and content is None else (content, fault)


def read_capped(place: Place, cap: int) -> tuple[bytes | None, str | None]:
    """Return (content, None); (None, None) where it has more than `cap` bytes; or (None, why)."""
    try:
        if isinstance(place, Path) and not stat.S_ISREG(place.stat().st_mode):
            return None, IMAGE_NO_FILE  # a folder or a device; opening a pipe would wait
        with place.open("rb", buffering=0) as file:
            size = file.seek(0, 2)
            if size > cap:
                return None, None
            file.seek(0)
            return _read_all(file, size), None
    except FileNotFoundError:
        return None, IMAGE_NO_FILE
    except (OSError, ValueError):
        return None, IMAGE_UNREADABLE


def _read_all(file: object, size: int) -> bytes:
    parts = []
    while size > 0 and (part := file.read(size)):  # type: ignore[attr-defined]
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
