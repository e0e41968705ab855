"""Open clip art as Debian ships it: PNG drawings, and the SVG files that hold their titles."""

from __future__ import annotations

import hashlib
import html
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_PIXELS = 40_000_000
"""Larger PNGs are skipped: a 3 MB file of this collection can unpack to 623 million pixels."""

_WORK = re.compile(r"<(?:cc:)?Work\b.*?</(?:cc:)?Work>", re.DOTALL)
_TITLE = re.compile(r"<dc:title[^>]*>(.*?)</dc:title>", re.DOTALL)
_DESCRIPTION = re.compile(r"<dc:description[^>]*>(.*?)</dc:description>", re.DOTALL)
_MIN_DESCRIPTION_WORDS = 4


@dataclass(frozen=True)
class Drawing:
    """One image-text pair of the source.

    Attributes:
        path: Of the PNG, relative to ``openclipart/png``, with ``/``.
        file: The PNG itself (links are followed).
        text: Title, with the description after it where that is a sentence.
        sha256: Of the PNG's bytes, 64 hex digits.
        width: Pixels, from the PNG header.
        height: Pixels, from the PNG header.
    """

    path: str
    file: Path
    text: str
    sha256: str
    width: int
    height: int

    @property
    def uid(self) -> str:
        """32 hex digits: the first half of the SHA-256 of the path."""
        return hashlib.sha256(f"openclipart/png/{self.path}".encode()).hexdigest()[:32]

    @property
    def url(self) -> str:
        """Where the PNG lies in the Debian package; not a web address."""
        return f"debian:openclipart-png/usr/share/openclipart/png/{self.path}"


@dataclass(frozen=True)
class Skipped:
    """How many PNGs were left out, by reason."""

    no_title: int
    email_in_title: int
    too_large: int


def find_openclipart(folder: Path) -> Path:
    """Returns the folder that holds ``png/`` and ``svg/``, at or below `folder`.

    Raises:
        FileNotFoundError: No such folder.
    """
    for candidate in (folder, folder / "openclipart", folder / "usr/share/openclipart"):
        if (candidate / "png").is_dir() and (candidate / "svg").is_dir():
            return candidate
    raise FileNotFoundError(
        f"expected the unpacked packages openclipart-png and openclipart-svg, found no "
        f"usr/share/openclipart/png and svg under {folder}; see examples/README.md"
    )


def read_drawings(folder: Path) -> tuple[list[Drawing], Skipped]:
    """Reads every PNG's header and text, in the order of the paths."""
    drawings: list[Drawing] = []
    no_title = email = too_large = 0
    for file in sorted((folder / "png").rglob("*.png")):
        path = file.relative_to(folder / "png").as_posix()
        title, description = _read_text(folder / "svg" / Path(path).with_suffix(".svg"))
        data = file.read_bytes()
        width, height = _png_size(data, file)
        if not title:
            no_title += 1
        elif "@" in title:
            email += 1
        elif width * height > MAX_PIXELS:
            too_large += 1
        else:
            text = join_text(title, description)
            digest = hashlib.sha256(data).hexdigest()
            drawings.append(Drawing(path, file, text, digest, width, height))
    return drawings, Skipped(no_title, email, too_large)


def join_text(title: str, description: str) -> str:
    """Joins title and description as web pages do; one with an e-mail address is left out.

    Example:
        >>> join_text("Crab", "A red crab, swimming")
        'Crab. A red crab, swimming'
        >>> join_text("Crab", "red")
        'Crab'
    """
    sentence = len(description.split()) >= _MIN_DESCRIPTION_WORDS and "@" not in description
    return f"{title}. {description}" if sentence and description != title else title


def families(drawings: Sequence[Drawing]) -> list[list[Drawing]]:
    """Groups byte-equal PNGs; families and their members in the order of the first path."""
    grouped: dict[str, list[Drawing]] = {}
    for drawing in drawings:
        grouped.setdefault(drawing.sha256, []).append(drawing)
    return list(grouped.values())


def _png_size(data: bytes, file: Path) -> tuple[int, int]:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise ValueError(f"expected a PNG file with an IHDR chunk first: {file}")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _read_text(svg: Path) -> tuple[str, str]:
    """Title and description of one SVG. Its RDF block is read as text: not all files are XML."""
    work = _WORK.search(svg.read_text(encoding="utf-8", errors="replace"))
    if work is None:
        return "", ""
    return _field(_TITLE, work.group()), _field(_DESCRIPTION, work.group())


def _field(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    # One unescape undoes XML's own escaping; "&#39;" left behind by the authors stays, as dirt.
    return " ".join(html.unescape(match.group(1)).split()) if match else ""
