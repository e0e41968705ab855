"""Headers that every reader of tars understands; keys that no two samples share."""

from __future__ import annotations

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from tamis.data.samples.tar_header import parse_header
from tamis.reshard.names import key_of, member_header

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=130)


@given(TEXT.filter(lambda name: "\0" not in name and not name.endswith("/")), st.integers(0, 5000))
def test_headers_say_name_and_size(name: str, size: int) -> None:
    content = member_header(name, size) + bytes(size) + bytes(-size % 512) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        (member,) = tar.getmembers()
    assert (member.name, member.size, member.mode, member.mtime) == (name, size, 0o644, 0)
    assert member.isreg() and (member.uid, member.gid, member.uname) == (0, 0, "")


@given(st.from_regex(r"[A-Za-z0-9_.%-]{1,100}", fullmatch=True), st.integers(0, 8**11 - 1))
def test_short_headers_are_those_of_tarfile(name: str, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    header = member_header(name, size)
    assert header == member.tobuf(tarfile.USTAR_FORMAT)
    assert parse_header(header) == (ord("0"), size, name.encode())


def test_sizes_beyond_ustar() -> None:
    header = member_header("a.bin", 8**11)
    assert len(header) == 1536 and b"size=8589934592" in header


@given(st.lists(st.tuples(TEXT, st.integers(0, 12)), min_size=2, max_size=2, unique=True))
def test_keys_differ_and_hold_no_dot_or_slash(pairs: list[tuple[str, int]]) -> None:
    keys = [key_of(text, copy) for text, copy in pairs]
    assert keys[0] != keys[1]
    assert not any(set(key) & set("./\\\0") or not key.isascii() for key in keys)
