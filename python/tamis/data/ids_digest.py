"""One digest of the ids of all rows: equal digests mean row-aligned tables, no id compared."""

from __future__ import annotations

import hashlib

import numpy as np

from tamis.data.ids import Ids

_BLOCK_ROWS = 1 << 18
METADATA_KEY = b"tamis.ids"
"""Under which a parquet file's schema metadata holds the digest."""


def ids_digest(ids: Ids) -> str:
    """Return the sha256 (64 hex digits) of the ids in row order.

    Hashed are the kind, a newline, and each id: a uid as its 16 big-endian bytes, text as the
    length of its UTF-8 bytes (8 bytes, little-endian) and those bytes, a number as 8 little-endian
    bytes. Memory is one block of rows.

    Example:
        >>> ids_digest(Ids.rows(2))[:16]
        '403188640e0dd0fd'
        >>> ids_digest(Ids.of([0, 1])) == ids_digest(Ids.rows(2))  # ids of another kind
        False
    """
    digest = hashlib.sha256(f"{ids.kind}\n".encode())
    for start in range(0, len(ids), _BLOCK_ROWS):
        digest.update(_bytes(ids.slice(start, min(start + _BLOCK_ROWS, len(ids)))))
    return digest.hexdigest()


def _bytes(ids: Ids) -> bytes:
    if ids.kind == "uid32":
        return bytes(ids.values.astype(">u8").tobytes())
    if ids.kind != "string":
        return bytes(np.asarray(ids.values).astype("<i8").tobytes())
    texts = [text.encode() for text in ids.values.to_pylist()]
    return b"".join(len(text).to_bytes(8, "little") + text for text in texts)
