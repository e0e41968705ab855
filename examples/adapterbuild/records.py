"""What the RDF block of a drawing says beside its title: who drew it, and keywords."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

from poolbuild.source import Drawing

_WORK = re.compile(r"<(?:cc:)?Work\b.*?</(?:cc:)?Work>", re.DOTALL)
_CREATOR = re.compile(r"<dc:creator\b[^>]*>(.*?)</dc:creator>", re.DOTALL)
_TITLE = re.compile(r"<dc:title[^>]*>(.*?)</dc:title>", re.DOTALL)
_SUBJECT = re.compile(r"<dc:subject\b[^>]*>(.*?)</dc:subject>", re.DOTALL)
_ITEM = re.compile(r"<rdf:li>(.*?)</rdf:li>", re.DOTALL)
_NOT_KEYWORDS = frozenset({"", "hash", "unsorted"})
"""Left behind by the collection's own tools."""


@dataclass(frozen=True)
class Record:
    """`author` is empty where the file names none; `keywords` have spaces for underscores."""

    author: str
    keywords: tuple[str, ...]


def read_record(folder: Path, drawing: Drawing) -> Record:
    """Reads the record of a drawing; `folder` holds ``png/`` and ``svg/``."""
    svg = folder / "svg" / Path(drawing.path).with_suffix(".svg")
    work = _WORK.search(svg.read_text(encoding="utf-8", errors="replace"))
    block = work.group() if work else ""
    creator, subject = _CREATOR.search(block), _SUBJECT.search(block)
    name = _TITLE.search(creator.group(1)) if creator else None
    items = _ITEM.findall(subject.group(1)) if subject else []
    keywords = [_plain(item) for item in items]
    return Record(
        _plain(name.group(1)) if name else "",
        tuple(word.replace("_", " ") for word in keywords if word not in _NOT_KEYWORDS),
    )


def _plain(text: str) -> str:
    return " ".join(html.unescape(text).split())
