"""Phrases that name the medium instead of what it shows, taken out of alt-texts and captions.

"a photo of a cat" and "stock photo" are close to every photo's caption; without such phrases the
sentence encoder compares what is left: the content.

| mode | does |
|---|---|
| `sieve` | as published: every phrase, in order, wherever its letters stand; nothing is tidied up |
| `word` | whole words only, any white space between them; the rest's white space is tidied up |
| `none` | leaves texts as they are |

`sieve` cuts words in two: "photographer" becomes "grapher", and what two pieces join to is open
to the phrases that come later. That is the published behaviour (SIEVE, arXiv 2310.02110), and
`word` is the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

Mode: TypeAlias = Literal["sieve", "word", "none"]
MODES: tuple[Mode, ...] = get_args(Mode)

PHRASES = (
    "an image of",
    "a photo of",
    "stock photo",
    "photo stock",
    "a photo",
    "an image",
    "image",
    "photo",
)
"""The published list, in its order."""

MOST_PHRASES = 10_000
MOST_FILE_BYTES = 1 << 20


class PhraseMask:
    """Takes phrases out of texts, one phrase after the other.

    Letters are compared as `re.IGNORECASE` compares them, in Python's version of Unicode: besides
    upper and lower case, the long s is an s, the Kelvin sign a k, dotted and dotless i are an i.

    Args:
        phrases: at least one character each, at most 10,000 of them.
        mode: "sieve", "word" or "none"; see the module's table.

    Raises:
        ValueError: an unknown mode, or phrases that are none.

    Example:
        >>> mask = PhraseMask()
        >>> mask("A photo of a cat"), mask("the photographer"), mask("staPHOTOck photo")
        (' a cat', 'the grapher', 'stack ')
        >>> PhraseMask(mode="word")("A  photo of a cat, photographer")
        'a cat, photographer'
    """

    def __init__(self, phrases: Sequence[str] = PHRASES, mode: Mode = "sieve") -> None:
        self.phrases = checked_phrases(phrases)
        if mode not in MODES:
            raise ValueError(f"expected a mode {', '.join(MODES)}, got {mode!r}")
        self.mode: Mode = mode
        pattern = _whole_words if mode == "word" else re.escape
        patterns = [pattern(phrase) for phrase in self.phrases]
        self._passes = [re.compile(found, re.IGNORECASE) for found in patterns]
        self._any = re.compile("|".join(patterns), re.IGNORECASE)
        # An ASCII text can only hold these; to look for a few is faster than any expression.
        plain = mode == "sieve" and all(phrase.isascii() for phrase in self.phrases)
        self._needles = _needles(self.phrases) if plain else None

    def __call__(self, text: str) -> str:
        """Return the text without the phrases."""
        if self.mode == "none":
            return text
        if not self._has_some(text):
            return text if self.mode == "sieve" else _tidy(text)
        for phrase in self._passes:
            text = phrase.sub("" if self.mode == "sieve" else " ", text)
        return text if self.mode == "sieve" else _tidy(text)

    def recipe(self) -> dict[str, Any]:
        """What can change a text, as JSON can hold it."""
        return {"mode": self.mode, "phrases": [] if self.mode == "none" else list(self.phrases)}

    def _has_some(self, text: str) -> bool:
        if self._needles is not None and text.isascii():
            lower = text.lower()
            return any(needle in lower for needle in self._needles)
        return self._any.search(text) is not None


def mask_phrases(
    texts: Iterable[str], phrases: Sequence[str] = PHRASES, mode: Mode = "sieve"
) -> list[str]:
    """Return the texts without the phrases; see :class:`PhraseMask`.

    Args:
        texts: alt-texts or captions.
        phrases: taken out in this order.
        mode: "sieve", "word" or "none".

    Raises:
        ValueError: an unknown mode, or phrases that are none.

    Example:
        >>> mask_phrases(["Stock PHOTO: two dogs", "imagery"])
        [': two dogs', 'ry']
        >>> mask_phrases(["Stock PHOTO: two dogs", "imagery"], mode="word")
        [': two dogs', 'imagery']
        >>> mask_phrases(["a drawing of a kite"], ["drawing of", "a"], mode="word")
        ['kite']
    """
    return [*map(PhraseMask(phrases, mode), texts)]


def checked_phrases(phrases: Iterable[str]) -> tuple[str, ...]:
    """Return the phrases. Raises ValueError: none, too many, a blank one, or no Unicode text."""
    found = tuple(phrases)
    if not 0 < len(found) <= MOST_PHRASES:
        raise ValueError(f"expected 1 to {MOST_PHRASES:,} phrases, got {len(found):,}")
    for place, phrase in enumerate(found):
        if not phrase.strip():
            raise ValueError(f"phrase {place} is blank; it would take the spaces out of texts")
        try:
            phrase.encode()
        except UnicodeEncodeError:
            raise ValueError(f"phrase {place} is not valid Unicode: {phrase!r}") from None
    return found


def read_phrases(path: Path | str) -> tuple[str, ...]:
    """Read phrases from a text file, one on a line.

    White space around a phrase is dropped, and so are empty lines.

    Raises:
        ValueError: the file cannot be read, is no UTF-8, holds over 1 MiB, or holds no phrase.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read the phrases {path}: {error.strerror}") from error
    if len(content) > MOST_FILE_BYTES:
        raise ValueError(f"{path} is larger than {MOST_FILE_BYTES:,} bytes; is it a phrase list?")
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not valid UTF-8") from error
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise ValueError(f"{path} holds no phrase; expected one on a line")
    return checked_phrases(found)


def _whole_words(phrase: str) -> str:
    words = r"\s+".join(map(re.escape, phrase.split()))
    return rf"(?<!\w){words}(?!\w)"


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _needles(phrases: Sequence[str]) -> list[str]:
    """The phrases that hold no other one: whoever holds a phrase holds one of these."""
    distinct = sorted({phrase.lower() for phrase in phrases}, key=lambda text: (len(text), text))
    found: list[str] = []
    for phrase in distinct:
        if not any(needle in phrase for needle in found):
            found.append(phrase)
    return found
