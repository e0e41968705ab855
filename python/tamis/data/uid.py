"""DataComp uids: 32 lower-case hexadecimal digits, held as two unsigned 64-bit numbers.

A uid is (high, low) = (int(uid[:16], 16), int(uid[16:], 16)): 16 bytes hold it, and the order of
the pairs is the lexicographic order of the text.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

UID_DIGITS = 32
_BLOCK_ROWS = 1 << 18
_INVALID = 255

_NIBBLE = np.full(256, _INVALID, np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)
_DIGIT = np.frombuffer(b"0123456789abcdef", np.uint8)


def parse_uids(texts: pa.LargeStringArray) -> tuple[np.ndarray, int]:
    """Parse uids.

    Args:
        texts: n strings without nulls.

    Returns:
        (pairs, bad): pairs uint64 (n, 2); bad is the index of the first text that is no uid, and -1
        where all are. Pairs from `bad` on mean nothing.

    Example:
        >>> pairs, bad = parse_uids(pa.array(["0" * 31 + "a", "0" * 31], pa.large_string()))
        >>> pairs[0].tolist(), bad
        ([0, 10], 1)
    """
    n_rows = len(texts)
    pairs = np.zeros((n_rows, 2), np.uint64)
    if n_rows == 0:
        return pairs, -1
    _, offset_buffer, text_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[texts.offset : texts.offset + n_rows + 1]
    wrong_length = np.flatnonzero(np.diff(offsets) != UID_DIGITS)
    n_parsed = int(wrong_length[0]) if len(wrong_length) else n_rows
    characters = np.frombuffer(text_buffer if text_buffer is not None else b"", np.uint8)
    characters = characters[offsets[0] : offsets[0] + n_parsed * UID_DIGITS]
    characters = characters.reshape(n_parsed, UID_DIGITS)
    for start in range(0, n_parsed, _BLOCK_ROWS):
        nibbles = _NIBBLE[characters[start : start + _BLOCK_ROWS]]
        foreign = (nibbles == _INVALID).any(axis=1)
        if foreign.any():
            return pairs, start + int(foreign.argmax())
        packed = nibbles[:, 0::2] << 4 | nibbles[:, 1::2]
        pairs[start : start + len(packed)] = packed.view(">u8")
    return pairs, n_parsed if n_parsed < n_rows else -1


def format_uids(pairs: np.ndarray) -> pa.LargeStringArray:
    """Return the text of each uid of `pairs`, uint64 (n, 2); the inverse of :func:`parse_uids`."""
    n_rows = len(pairs)
    characters = np.empty((n_rows, UID_DIGITS), np.uint8)
    for start in range(0, n_rows, _BLOCK_ROWS):
        packed = pairs[start : start + _BLOCK_ROWS].astype(">u8").view(np.uint8)
        characters[start : start + _BLOCK_ROWS, 0::2] = _DIGIT[packed >> 4]
        characters[start : start + _BLOCK_ROWS, 1::2] = _DIGIT[packed & 15]
    offsets = np.arange(0, (n_rows + 1) * UID_DIGITS, UID_DIGITS, dtype=np.int64)
    return pa.LargeStringArray.from_buffers(n_rows, pa.py_buffer(offsets), pa.py_buffer(characters))


def uid_fault(text: str) -> str:
    """Return why `text` is no uid, and what to do about it, for an error message."""
    shown = repr(text if len(text) <= 80 else text[:77] + "...")
    if len(text) != UID_DIGITS:
        fault = f"uid {shown} has {len(text)} characters"
    elif any(character in "ABCDEF" for character in text) and not set(text.lower()) - set(
        "0123456789abcdef"
    ):
        return f"uid {shown} has upper-case digits; DataComp's are lower case: lower the column"
    else:
        fault = f"uid {shown} is not hexadecimal"
    return (
        f"{fault}; expected 32 lower-case hexadecimal digits "
        "(name the column id if these are not DataComp uids)"
    )
