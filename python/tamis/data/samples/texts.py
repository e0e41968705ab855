"""Captions and documents of unknown origin: which of them are text that can be used."""

from __future__ import annotations

from tamis.data.limits import Limits

TEXT_MISSING = "text is missing"
TEXT_TOO_LONG = "text has too many bytes"
TEXT_NOT_UTF8 = "text is not valid UTF-8"
TEXT_HAS_NUL = "text holds a NUL character"
TEXT_HAS_SURROGATE = "text holds a lone surrogate"
TEXT_NO_STRING = "text is not a string"


def checked_text(raw: bytes | str | None, limits: Limits) -> tuple[str | None, str | None]:
    """Return (text, None), or (None, why it cannot be used).

    Args:
        raw: the bytes of a caption or document, or what a parser made of them.
        limits: `text_bytes` caps its length in UTF-8.

    Example:
        >>> checked_text(b"a red kite", Limits())
        ('a red kite', None)
        >>> checked_text("half a pair: \\ud83d", Limits())
        (None, 'text holds a lone surrogate')
    """
    if raw is None:
        return None, TEXT_MISSING
    # No character has more than four bytes, so this alone bounds what is encoded below.
    if len(raw) > limits.text_bytes:
        return None, TEXT_TOO_LONG
    if isinstance(raw, str):
        try:
            encoded = raw.encode()
        except UnicodeEncodeError:
            return None, TEXT_HAS_SURROGATE
        text = raw
    else:
        encoded = raw
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return None, TEXT_NOT_UTF8
    if len(encoded) > limits.text_bytes:
        return None, TEXT_TOO_LONG
    if "\0" in text:
        return None, TEXT_HAS_NUL
    return text, None
