"""The journal: whole records stay, a torn tail goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.run.journal import Journal


@given(st.integers(0, 200))
def test_any_torn_tail_is_cut_off(tmp_path_factory, size: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    journal = Journal(path)
    lines = []
    for index in range(5):
        journal.append({"index": index})
        lines.append(path.stat().st_size)
    os.truncate(path, min(size, lines[-1]))
    reopened = Journal(path)
    whole = sum(end <= size for end in lines)
    assert [record["index"] for record in reopened.records] == list(range(whole))
    reopened.append({"index": "new"})
    assert Journal(path).records[-1] == {"index": "new"}
    assert len(Journal(path).records) == whole + 1


@pytest.mark.parametrize("tail", [b"\0\0\0\n", b"[]\n", b'{"a": 1', b"\xff\xfe\n"])
def test_a_damaged_line_ends_the_journal(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "j.jsonl"
    Journal(path).append({"a": 0})
    with open(path, "ab") as file:
        file.write(tail + b'{"a": 2}\n')
    assert Journal(path).records == [{"a": 0}]
