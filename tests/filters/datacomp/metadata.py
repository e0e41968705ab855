"""A metadata set of edge cases, and the DataComp folder that holds it."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CAPTIONS = [
    "",
    " ",
    "\n",
    "\n\n\n\n\n\n",
    "\0\0\0\0\0\0\0",
    "abcde",
    "abcdef",
    "a b c",  # 5 characters, 3 words
    "a b cd",  # 6 characters, 3 words
    "ab cd",
    "ab cde",
    "ab cdef",  # 2 words
    "onlyoneword",
    "trailing\n",  # one word, two of fastText's tokens
    "\ntrailing",
    "line\nline\nline",
    "line\r\nline\r\nline",
    "tab\tand space",
    "vertical\vtab\fform feed",
    "nul\0between\0words",  # one word, three of fastText's tokens
    "no\u00a0break\u00a0space",  # three words, one token
    "em\u2003space\u3000ideographic",
    "\u2028line\u2029separator\u0085here",
    "zero\u200bwidth\u200bspace is none",
    "\x1cfile\x1dgroup\x1erecord\x1funit",  # white space to str.split() alone
    "a photo of a red kite over the old harbour",
    "un homme marche dans la rue avec son chien",
    "Ein kleiner Hund l\u00e4uft \u00fcber die gr\u00fcne Wiese",
    "\u7d05\u3044\u51e7\u304c\u6e2f\u306e\u4e0a\u3092\u98db\u3093\u3067\u3044\u308b",
    "\U0001f98a\U0001f98a \U0001f98a \U0001f98a",  # astral code points are one character
    "e\u0301e\u0301 e\u0301",  # combining marks are characters
    "__label__fr a label is no word",
    "dog",
    "two dogs, barking",
    "the dogs were running",
    "DOGS AND CATS",
    "word " * 20_000,
    "x" * 100_000,
]
SIZES = [
    (0, 0),
    (0, 600),
    (600, 0),
    (-300, 600),
    (199, 199),
    (200, 200),
    (200, 600),  # exactly 3.0
    (600, 200),
    (200, 601),
    (601, 200),
    (199, 597),
    (333, 999),
    (333, 1000),
    (1 << 31, 1 << 31),
    (1 << 40, 3 << 40),
    (1 << 40, (3 << 40) + 1),
]
EXACT = np.float32(0.28)
SCORES = np.array(
    [
        EXACT,
        np.nextafter(EXACT, np.float32(0)),
        np.nextafter(EXACT, np.float32(1)),
        0.28,
        0.1,
        0.3,
        0.3,
        0.3,
        -0.0,
        0.0,
        -1.0,
        1.0,
    ],
    np.float32,
)


def edge_cases() -> dict[str, Any]:
    """Every caption with every size, a language column, and scores full of ties."""
    rows = list(product(CAPTIONS, SIZES))
    numbers = np.arange(len(rows))
    # Ids whose order is not that of the rows, so that only the rule can decide what is kept.
    uids = [f"{(n * 0x9E3779B97F4A7C15 + 1) % (1 << 128):032x}" for n in numbers.tolist()]
    return {
        "uid": uids,
        "text": [caption for caption, _ in rows],
        "original_width": np.array([size[0] for _, size in rows], np.int64),
        "original_height": np.array([size[1] for _, size in rows], np.int64),
        "clip_b32_similarity_score": SCORES[numbers % len(SCORES)],
        "clip_l14_similarity_score": SCORES[numbers * 7 % len(SCORES)],
        "lang": [("en", "fr", "en", "EN", "")[n % 5] for n in numbers.tolist()],
    }


def write_datacomp(
    folder: Path, table: dict[str, Any], arrays: dict[str, np.ndarray] | None = None
) -> Path:
    """Write a table as DataComp does: two files, X.parquet beside X.npz."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = pa.table(table)
    cut = len(whole) // 3
    for name, part in (("0a" * 16, slice(0, cut)), ("f1" * 16, slice(cut, None))):
        start, stop, _ = part.indices(len(whole))
        pq.write_table(whole.slice(start, stop - start), folder / f"{name}.parquet")
        if arrays:
            np.savez(folder / f"{name}.npz", **{key: rows[part] for key, rows in arrays.items()})
    return folder


def kept(table: dict[str, Any], verdicts: pa.Array) -> list[str]:
    """The uids of the rows with a true verdict."""
    return [uid for uid, keep in zip(table["uid"], verdicts.to_pylist(), strict=True) if keep]
