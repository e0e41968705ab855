"""Which drawings belong together, and which of the sample pool are held out."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from poolbuild.source import Drawing

from .records import Record

MAX_HELD_OUT_FAMILY = 30
"""Larger families are learned from: holding them out would leave little, and test one thing."""

_WORD = re.compile(r"[^\W\d_]{3,}")

Codes = npt.NDArray[np.int64]


def series(drawings: Sequence[Drawing], records: Sequence[Record]) -> Codes:
    """Numbers the series: drawings of one folder and one author whose texts share a word.

    A word has three letters or more. Chains count: what shares a word with a member is a member.

    Example:
        >>> from pathlib import Path
        >>> texts = ("LED Circle (Red)", "LED Square", "Orca")
        >>> drawings = [Drawing("a/b.png", Path(), text, "", 1, 1) for text in texts]
        >>> series(drawings, [Record("x", ())] * 3).tolist()
        [0, 0, 2]
    """
    first: dict[tuple[str, str, str], int] = {}
    parent = list(range(len(drawings)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for row, (drawing, record) in enumerate(zip(drawings, records, strict=True)):
        folder = drawing.path.rpartition("/")[0]
        for word in _WORD.findall(drawing.text.lower()):
            one, other = root(first.setdefault((folder, record.author, word), row)), root(row)
            parent[max(one, other)] = min(one, other)
    return np.array([root(row) for row in range(len(parent))], np.int64)


def folder_and_author(drawings: Sequence[Drawing], records: Sequence[Record]) -> Codes:
    """Numbers the stricter series: all drawings of one author in one folder."""
    keys = [
        f"{drawing.path.rpartition('/')[0]}\n{record.author}"
        for drawing, record in zip(drawings, records, strict=True)
    ]
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def held_out(of_family: Codes, in_pool: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Marks the rows whose family has a row of the pool, and `MAX_HELD_OUT_FAMILY` at most."""
    _, family, size = np.unique(of_family, return_inverse=True, return_counts=True)
    with_pool = np.zeros(len(size), np.bool_)
    with_pool[family[in_pool]] = True
    marked: npt.NDArray[np.bool_] = (with_pool & (size <= MAX_HELD_OUT_FAMILY))[family]
    return marked
