"""The digest of the ids against its definition."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from tamis.data import ids_digest as module
from tamis.data.ids import Ids
from tamis.data.ids_digest import ids_digest

UIDS = [f"{value:032x}" for value in (5, 2**127 + 3, 0, 2**64)]
TEXTS = ["", "a", "ü" * 300, "b\0c"]
NUMBERS = [0, -1, 2**62]


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_the_definition(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_ROWS", block)
    uids = b"uid32\n" + b"".join(bytes.fromhex(uid) for uid in UIDS)
    encoded = [text.encode() for text in TEXTS]
    texts = b"string\n" + b"".join(struct.pack("<Q", len(text)) + text for text in encoded)
    numbers = b"int64\n" + struct.pack("<3q", *NUMBERS)
    rows = b"row\n" + struct.pack("<4q", *range(4))
    for ids, content in (
        (Ids.of(UIDS), uids),
        (Ids.of(TEXTS), texts),
        (Ids.of(NUMBERS), numbers),
        (Ids.rows(4), rows),
    ):
        assert ids_digest(ids) == hashlib.sha256(content).hexdigest()
        part, whole = ids.slice(1, 3), ids.take(np.array([1, 2]))
        assert ids_digest(part) == ids_digest(whole)


def test_order_kind_and_cuts_count() -> None:
    some = [Ids.of(["ab", "c"]), Ids.of(["a", "bc"]), Ids.of(["c", "ab"]), Ids.of(["abc"])]
    some += [Ids.of([0, 1]), Ids.rows(2), Ids.of(UIDS), Ids.of(UIDS, kind="string")]
    assert len({ids_digest(ids) for ids in some}) == len(some)
