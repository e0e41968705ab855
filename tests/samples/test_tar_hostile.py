"""Tars made to mislead: every one is refused in a sentence, or costs its own sample only."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.samples.hostile_tars import (
    END,
    changed_header,
    header,
    member,
    members_of,
    padded,
    sample_members,
    tar_of,
    uid,
)

from tamis.data.image import TOO_LARGE
from tamis.data.limits import Limits
from tamis.data.samples.source import Side
from tamis.data.samples.tar_file import IMAGE_MISSING, TarShard
from tamis.data.samples.tar_index import FAULT_DAMAGED, FAULT_KEY, FAULT_PATH
from tamis.data.samples.tar_scan import FAULT_SIZES, FAULT_SPARSE
from tamis.errors import PoolError

BOTH: frozenset[Side] = frozenset({"image", "text"})
BEFORE, AFTER = tar_of(members_of([1]))[: -len(END)], tar_of(members_of([2]))


def opened(tmp_path: Path, content: bytes, **limits: int) -> TarShard:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    return TarShard.open(path, limits=Limits(**limits))


def between(tmp_path: Path, content: bytes, **limits: int) -> tuple[TarShard, dict[str, str]]:
    """A shard with `content` between two good samples, which must stay whole; and its faults."""
    shard = opened(tmp_path, BEFORE + content + AFTER, **limits)
    rows = {sample.key: sample for sample in shard.read(0, shard.n_rows, BOTH)}
    for number in (1, 2):
        sample = rows.pop(f"{number:09d}")
        assert sample.image == sample_members(number)[0][1]
        assert sample.text == f"caption {number}"
    assert not any(tmp_path.parent.glob("*canary*")) and not Path("/canary").exists()
    return shard, {key: "; ".join(sorted(set(s.faults.values()))) for key, s in rows.items()}


@pytest.mark.parametrize(
    "name", ["../canary.jpg", "/canary.jpg", "a/../../canary.jpg", "..canary/..jpg"]
)
def test_paths_that_lead_out(tmp_path: Path, name: str) -> None:
    shard, faults = between(tmp_path, member(name, b"x"))
    if name.startswith("..c"):  # looks so, but does not: the base name begins with its dot
        assert faults == {}
        assert shard.problems() == [
            "a.tar: passed over, because of its name: '..canary/..jpg'",
        ]
        return
    assert faults == {name.removesuffix(".jpg"): FAULT_PATH}
    assert shard.problems()[0] == f"a.tar: 1 samples: {FAULT_PATH}: {name.removesuffix('.jpg')}"


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
    ],
)
def test_what_is_no_plain_file(tmp_path: Path, kind: bytes, what: str) -> None:
    # A size is stated, but no data follow: the next header comes at once.
    content = header("9.jpg", 5000, kind=kind) + member("9.txt", b"t")
    shard, faults = between(tmp_path, content)
    assert faults == {"9": IMAGE_MISSING}
    assert shard.index().problems == (f"passed over, as it is no plain file: '9.jpg' ({what})",)


def test_folders_meta_members_and_names_without_suffix(tmp_path: Path) -> None:
    content = (
        header("folder/", 0, kind=tarfile.DIRTYPE)
        + member("__meta__", b"x")
        + member("__pycache__/9.jpg", b"x")
        + member("Makefile", b"x")
        + member(".hidden", b"x")
        + member("9.jpg", b"x")
        + header("8.jpg", 700, kind=b"?")
        + padded(b"u" * 700)
    )
    shard, faults = between(tmp_path, content)
    assert faults == {"9": "text is missing"}
    assert shard.index().problems == (
        "passed over, because it is meta data of the archive: '__meta__', '__pycache__/9.jpg'",
        "passed over, because of its name: 'Makefile', '.hidden'",
        "passed over, as its type is unknown: '8.jpg'",
    )


def test_one_name_twice(tmp_path: Path) -> None:
    for second in ("9.jpg", "9.JPG"):
        with pytest.raises(PoolError, match=r"a\.tar: sample '9' has two members '\.jpg'"):
            between(tmp_path, member("9.jpg", b"x") + member(second, b"y"))


def test_members_that_are_not_side_by_side(tmp_path: Path) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg", "b.txt", "a.txt"]
    with pytest.raises(PoolError, match=r"a\.tar: the members of sample '[ab]' are not side"):
        opened(tmp_path, tar_of([(name, b"x") for name in names]))


@pytest.mark.parametrize(
    ("names", "key", "suffix"),
    [
        (["12.5_a.jpg", "12.5_a.txt", "12.6_b.jpg", "12.6_b.txt"], "12", "5_a.jpg"),
        (["a.v1.jpg", "b.v2.jpg"], "a", "v1.jpg"),
        (["a.jpg", "a.txt", "b.jpg", "b.txt", "b.2.jpg", "b.2.txt"], "b", "2.jpg"),
        (["a.jpg", "a.txt", "b.jpg", "b.txt", "c.2.jpg", "c.2.txt"], "c", "2.jpg"),
        (["x.tar.gz", "x.1.jpeg"], "x", "1.jpeg"),
    ],
)
def test_a_key_that_holds_a_dot(tmp_path: Path, names: list[str], key: str, suffix: str) -> None:
    with pytest.raises(PoolError) as error:
        opened(tmp_path, tar_of([(name, b"x") for name in names]))
    assert str(error.value).endswith(
        f"a.tar: the member '{key}.{suffix}' would have the key '{key}' and the suffix '{suffix}': "
        "a key ends at the first dot, so it must hold none; rename the members"
    )


def test_suffixes_may_hold_dots(tmp_path: Path) -> None:
    names = [f"{key}.{s}" for key in "abc" for s in ("jpg", "txt", "seg.png", "depth.png")]
    shard = opened(tmp_path, tar_of([(name, name.encode()) for name in [*names, "c.thumb.jpg"]]))
    assert [sample.image for sample in shard.read(0, 3, BOTH)] == [b"a.jpg", b"b.jpg", b"c.jpg"]


def test_a_name_of_100000_characters(tmp_path: Path) -> None:
    for tar_format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        content = member("n" * 100_000 + ".jpg", b"x", tar_format=tar_format)
        shard, faults = between(tmp_path, content)
        assert faults == {}
        assert len(shard.index().problems) == 1
        assert shard.index().problems[0].startswith("damaged: from byte")


def test_a_nul_or_foreign_bytes_in_a_key(tmp_path: Path) -> None:
    record = b"20 path=9\0\0\0\0\0\0.jpg\n"
    pax = padded(record)
    content = header("x", len(record), kind=tarfile.XHDTYPE) + pax + member("short.jpg", b"x")
    shard, faults = between(tmp_path, content)
    assert list(faults.values()) == [FAULT_KEY]
    content = member("bad\udcff.jpg", b"x")
    shard, faults = between(tmp_path, content)
    assert faults == {"bad\\xff": FAULT_KEY}
    assert shard.n_rows == 3


def pax(records: dict[str, str]) -> bytes:
    """A pax header with these records for the member that follows."""
    lines = b""
    for key, value in records.items():
        record = f" {key}={value}\n".encode()
        length = len(record) + 2
        lines += str(length + (length > 99)).encode() + record
    return header("pax", len(lines), kind=tarfile.XHDTYPE) + padded(lines)


def test_a_pax_size_that_differs(tmp_path: Path) -> None:
    content = pax({"size": "1500"}) + header("9.jpg", 3) + padded(b"x" * 1500)
    assert between(tmp_path, content)[1] == {"9": FAULT_SIZES}
    same = pax({"size": "3"}) + member("9.jpg", b"abc") + member("9.txt", b"t")
    shard, faults = between(tmp_path, same)
    assert faults == {"9": ""} and shard.problems() != []
    for wrong in ("-1", "1e3", "9" * 30, ""):
        shard, faults = between(tmp_path, pax({"size": wrong}) + member("9.jpg", b"x"))
        assert faults == {} and "damaged" in shard.index().problems[0]


def test_a_pax_header_that_is_damaged_or_renames_all(tmp_path: Path) -> None:
    broken = header("x", 9, kind=tarfile.XHDTYPE) + padded(b"99 path=a")
    shard, faults = between(tmp_path, broken + member("9.jpg", b"x"))
    assert faults == {} and "damaged" in shard.index().problems[0]
    record = b"16 path=same.jpg\n"
    all_names = header("g", 17, kind=tarfile.XGLTYPE) + padded(b"17 path=same.jpg\n")
    assert len(record) == 17
    shard, faults = between(tmp_path, all_names)
    assert faults == {}
    assert shard.index().problems == ("passed over, as it would rename all members: 'g'",)


def test_sparse_members(tmp_path: Path) -> None:
    old = changed_header(header("9.jpg", 512, kind=tarfile.GNUTYPE_SPARSE), 482, b"\1")
    more, last = bytearray(512), bytearray(512)
    more[504] = 1
    assert between(tmp_path, old + bytes(more) + bytes(last) + padded(b"d" * 512))[1] == {
        "9": FAULT_SPARSE
    }
    new = pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}) + member("9.jpg", b"d" * 100)
    assert between(tmp_path, new)[1] == {"9": FAULT_SPARSE}


NEGATIVE = b"\xff" * 12
HUGE = b"\x80" + b"\x7f" * 11
PAST_END = b"77777777777\0"


@pytest.mark.parametrize("size", [NEGATIVE, HUGE, PAST_END, b"-0000000001\0", b"0x000000001\0"])
def test_sizes_that_cannot_be(tmp_path: Path, size: bytes) -> None:
    content = changed_header(header("9.jpg", 0), 124, size) + padded(b"x" * 700)
    shard, faults = between(tmp_path, content + member("9.txt", b"t"))
    assert faults == {"9": FAULT_DAMAGED}
    assert any(problem.startswith("damaged: from byte") for problem in shard.index().problems)
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        extended = changed_header(header("x", 0, kind=kind), 124, size)
        assert between(tmp_path, extended)[1] == {}


def test_a_member_above_the_cap(tmp_path: Path) -> None:
    content = member("9.jpg", b"x" * 3000) + member("9.txt", b"t")
    assert between(tmp_path, content, member_bytes=2000)[1] == {"9": TOO_LARGE}


def test_more_members_than_allowed(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="more than 5 members; raise the limit"):
        opened(tmp_path, BEFORE + AFTER, members=5)


def test_empty_members_by_the_hundred_thousand(tmp_path: Path) -> None:
    template = header("k.jpg", 0)
    path = tmp_path / "a.tar"
    with open(path, "wb") as file:
        file.writelines(
            changed_header(template, 0, b"%06d.jpg" % number) for number in range(100_000)
        )
        file.write(END)
    tracemalloc.start()
    try:
        shard = TarShard.open(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
    assert shard.n_rows == 100_000
    sample = shard.read(99_999, 100_000, frozenset({"image"}))[0]
    assert (sample.key, dict(sample.faults)) == ("099999", {"image": "image is empty"})


def test_a_hundred_thousand_members_of_one_sample(tmp_path: Path) -> None:
    template = header("k.jpg", 0)
    content = bytearray()
    for number in range(20_000):
        content += changed_header(template, 0, b"k.s%06d" % number)
    shard = opened(tmp_path, bytes(content) + END)
    assert (shard.n_rows, len(shard.index().members(0))) == (1, 20_000)


def test_thousands_of_dotted_suffixes_in_one_sample(tmp_path: Path) -> None:
    template = header("k.jpg", 0)
    parts = [changed_header(template, 0, b"k.s%06d.jpg" % number) for number in range(20_000)]
    shard = opened(tmp_path, BEFORE + member("k.jpg", b"x") + b"".join(parts) + AFTER)
    assert (shard.n_rows, len(shard.index().members(1))) == (3, 20_001)


def test_many_damaged_headers(tmp_path: Path) -> None:
    bad = bytearray(header("9.jpg", 0))
    bad[0] ^= 1
    shard, faults = between(tmp_path, bytes(bad) * 2000)
    assert faults == {}
    assert len(shard.index().problems) == 1
    past = changed_header(header("9.jpg", 0), 124, PAST_END)
    parts = [changed_header(past, 0, b"%06d.jpg" % number) for number in range(2000)]
    shard, faults = between(tmp_path, b"".join(parts))
    assert len(faults) == 2000 and set(faults.values()) == {FAULT_DAMAGED}
    assert shard.index().problems[0].endswith("and 1,995 more")


def test_compressed_tars_and_files_that_are_none(tmp_path: Path) -> None:
    good = BEFORE + AFTER
    for content, name in (
        (gzip.compress(good), "gzip"),
        (bz2.compress(good), "bzip2"),
        (lzma.compress(good), "xz"),
        (b"PK\x03\x04" + good, "zip"),
    ):
        with pytest.raises(PoolError, match=rf"a\.tar: compressed \({name}\); decompress it"):
            opened(tmp_path, content)
    for content in (b"x" * 5000, b"\x00" * 100 + b"y" * 5000):
        with pytest.raises(PoolError, match="not a tar: no header in it is valid"):
            opened(tmp_path, content)
    empty = opened(tmp_path, b"")
    assert (empty.n_rows, empty.problems()) == (0, ["a.tar: empty: no byte in it"])
    assert (opened(tmp_path, END).n_rows, opened(tmp_path, END).problems()) == (0, [])


def test_nested_tars_stay_members(tmp_path: Path) -> None:
    nested = gzip.compress(BEFORE)
    shard, faults = between(tmp_path, member("9.tar", BEFORE + AFTER) + member("9.gz", nested))
    assert (shard.n_rows, list(faults)) == (3, ["9"])


def test_tars_joined_end_to_end_are_read_on(tmp_path: Path) -> None:
    shard = opened(tmp_path, BEFORE + END + bytes(8192) + AFTER + bytes(1 << 20))
    ids = shard.ids(None)
    assert ids is not None and ids.to_list() == [uid(1), uid(2)]
    assert len(shard.index().problems) == 1
    assert shard.index().problems[0].startswith("goes on after an end mark: at byte")
    assert [dict(sample.faults) for sample in shard.read(0, 2, BOTH)] == [{}, {}]


def test_headers_of_old_tars(tmp_path: Path) -> None:
    v7 = changed_header(header("9.jpg", 3), 257, bytes(8)) + padded(b"abc")
    v7 += changed_header(header("9.txt", 1, kind=b"\0"), 257, bytes(8)) + padded(b"t")
    assert between(tmp_path, v7)[1] == {"9": ""}
    with tarfile.open(fileobj=io.BytesIO(v7 + END)) as tar:
        assert tar.getnames() == ["9.jpg", "9.txt"]
    signed = bytearray(header("9é.jpg", 3))
    total = sum(b - 256 if b > 127 else b for b in signed[:148] + signed[156:]) + 8 * 32
    signed[148:156] = b"%06o\0 " % total
    assert list(between(tmp_path, bytes(signed) + padded(b"abc"))[1]) == ["9é"]


FIELDS = st.sampled_from([0, 100, 124, 148, 156, 257, 345, 482])
BLOCKS = st.one_of(
    st.just(bytes(512)),
    st.binary(min_size=512, max_size=512),
    st.builds(
        lambda name, size, kind, changes: _with(header(name, 0), size, kind, changes),
        st.sampled_from(
            ["a.jpg", "a.txt", "b.json", "../c.jpg", "d/e.png", "x" * 99, "./@LongLink"]
        ),
        st.one_of(
            st.integers(0, 3000).map(lambda n: b"%011o\0" % n), st.binary(min_size=12, max_size=12)
        ),
        st.sampled_from(list(b"0012345679xgLKSXDV\0")),
        st.lists(st.tuples(FIELDS, st.binary(max_size=12)), max_size=2),
    ),
    st.builds(
        lambda records: padded(b"".join(records)),
        st.lists(
            st.sampled_from([b"16 path=b.c.jpg\n", b"9 size=3\n", b"12 size=512\n", b"99 a"]),
            max_size=3,
        ),
    ),
)


def _with(block: bytes, size: bytes, kind: int, changes: list[tuple[int, bytes]]) -> bytes:
    for start, content in [(124, size), (156, bytes([kind])), *changes]:
        block = changed_header(block, start, content)
    return block


@given(st.lists(BLOCKS, max_size=14), st.integers(0, 600))
def test_any_blocks_are_a_pool_error_or_samples(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes], cut: int
) -> None:
    path = tmp_path_factory.mktemp("blocks") / "a.tar"
    content = b"".join(blocks)
    path.write_bytes(content[: max(len(content) - cut, 0)])
    try:
        shard = TarShard.open(path)
        samples = shard.read(0, shard.n_rows, BOTH)
        ids = shard.ids(None)
        shard.problems()
    except PoolError as error:
        assert str(path) in str(error)  # noqa: PT017 - both outcomes are right
        return
    assert len(samples) == shard.n_rows == (len(ids) if ids is not None else shard.n_rows)
    for sample in samples:
        assert (sample.image is None) == ("image" in sample.faults)
        assert (sample.text is None) == ("text" in sample.faults)
