"""Tars as img2dataset and webdataset write them: read as the webdataset package reads them."""

from __future__ import annotations

import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.samples.hostile_tars import (
    members_of,
    sample_members,
    tar_of,
    uid,
    write_with_tarfile,
)

from tamis.data.image import EMPTY, TOO_LARGE
from tamis.data.limits import Limits
from tamis.data.remote import place_of
from tamis.data.samples.source import Side
from tamis.data.samples.tar_file import IMAGE_MISSING, TarShard
from tamis.data.samples.texts import TEXT_MISSING, TEXT_TOO_LONG
from tamis.errors import PoolError

SHARDS = sorted((Path(__file__).parents[2] / "examples/pool/shards").glob("*.tar"))
BOTH: frozenset[Side] = frozenset({"image", "text"})
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def read_by_webdataset(path: Path) -> list[dict[str, Any]]:
    tariterators = pytest.importorskip("webdataset.tariterators")
    with open(path, "rb") as stream:
        source = [{"url": str(path), "stream": stream}]
        return list(tariterators.group_by_keys(tariterators.tar_file_expander(source)))


def saved(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("path", SHARDS, ids=lambda path: path.name)
def test_the_sample_pool_is_read_as_webdataset_reads_it(path: Path) -> None:
    expected = read_by_webdataset(path)
    shard = TarShard.open(path, stats=path.with_name(f"{path.stem}_stats.json"))
    assert shard.problems() == []
    assert shard.sides == BOTH
    assert list(shard.keys()) == [sample["__key__"] for sample in expected]
    ids = shard.ids(None)
    assert ids is not None and ids.kind == "uid32"
    assert ids.to_list() == [json.loads(sample["json"])["uid"] for sample in expected]
    samples = shard.read(0, shard.n_rows, BOTH)
    for sample, other in zip(samples, expected, strict=True):
        assert sample.text == other["txt"].decode()
        assert sample.image in (other.get("jpg"), other.get("png"), other.get("gif"))
        assert not sample.faults
    assert shard.read(17, 29, BOTH) == samples[17:29]
    texts = shard.read(0, shard.n_rows, frozenset({"text"}))
    assert [(sample.key, sample.text) for sample in samples] == [(s.key, s.text) for s in texts]
    assert all(sample.image is None and not sample.faults for sample in texts)


@pytest.mark.parametrize("tar_format", FORMATS)
def test_long_and_foreign_names(tmp_path: Path, tar_format: int) -> None:
    names = ["d/" * 60 + "key", "café/猫", "short"]
    if tar_format != tarfile.USTAR_FORMAT:
        names += ["x" * 99, "y" * 100, "z" * 3000, "d" * 200 + "/" + "e" * 200]
    members = [(f"{name}.{suffix}", name.encode()) for name in names for suffix in ("jpg", "txt")]
    path = tmp_path / "a.tar"
    write_with_tarfile(path, members, tar_format)
    shard = TarShard.open(path)
    assert list(shard.keys()) == names
    assert shard.problems() == []
    assert [sample["__key__"] for sample in read_by_webdataset(path)] == names
    assert [sample.image for sample in shard.read(0, len(names), BOTH)] == [
        name.encode() for name in names
    ]


PART = st.sampled_from(["a", "b", "c.d", "A", "__m__", ".h", "e"])
NAME = st.tuples(
    st.sampled_from(["", "d/", "__x__/", "./", "a.b/"]),
    PART,
    st.sampled_from(["", ".jpg", ".JPG", ".txt", ".seg.png", "."]),
).map("".join)


@given(st.lists(st.tuples(NAME, st.binary(max_size=3)), max_size=12))
def test_grouping_is_webdatasets(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes]]
) -> None:
    # A base name that begins with a dot: webdataset makes the folder its key, tamis none.
    members = [(name, data) for name, data in members if "/." not in name.removeprefix("./")]
    members = [(name, data) for name, data in members if not name.startswith((".h", "./."))]
    path = saved(tmp_path_factory.mktemp("group") / "a.tar", tar_of(members))
    try:
        expected = read_by_webdataset(path)
    except ValueError:
        with pytest.raises(PoolError, match="two members"):
            TarShard.open(path)
        return
    keys = [sample.pop("__key__") for sample in expected]
    try:
        shard = TarShard.open(path)
    except PoolError as error:
        dotted = any(suffix.count(".") for sample in expected for suffix in sample)
        assert len(set(keys)) < len(keys) or dotted, error  # noqa: PT017
        return
    assert list(shard.keys()) == keys
    content = path.read_bytes()
    for row, sample in enumerate(expected):
        assert {
            suffix: content[at : at + size] for suffix, at, size in shard.index().members(row)
        } == {suffix: data for suffix, data in sample.items() if not suffix.startswith("__")}


def test_sides(tmp_path: Path) -> None:
    caption = json.dumps({"caption": "from json", "n": 1}).encode()
    surrogate = b'{"caption": "\\ud83d"}'
    samples = {
        "a": {"png": b"p", "jpg": b"j", "txt": b"t", "json": caption},
        "b": {"webp": b"w", "json": caption},
        "c": {"JPEG": b"", "txt": b"\xff\xfe"},
        "d": {"txt": b"nul \0 here", "cls": b"3", "pkl": b"cos\nsystem\n"},
        "e": {"jpg": b"x" * 2000, "txt": b"y" * 2000},
        "f": {"gif": b"g", "json": surrogate},
        "g": {"tif": b"t", "json": b"[" * 100_000},
        "h": {"bmp": b"b", "json": b'{"caption": 7}'},
        "i": {"mp3": b""},
        "j": {"tiff": b"t", "txt": "naïve 猫\n".encode()},
    }
    members = [(f"{k}.{suffix}", data) for k, s in samples.items() for suffix, data in s.items()]
    path = saved(tmp_path / "a.tar", tar_of(members))
    shard = TarShard.open(path, limits=Limits(member_bytes=1000, text_bytes=1000))
    rows = {sample.key: sample for sample in shard.read(0, shard.n_rows, BOTH)}
    assert {key: sample.image for key, sample in rows.items()} == {
        "a": b"j", "b": b"w", "c": None, "d": None, "e": None,
        "f": b"g", "g": b"t", "h": b"b", "i": None, "j": b"t",
    }  # fmt: skip
    assert {key: sample.text for key, sample in rows.items() if sample.text is not None} == {
        "a": "t",
        "b": "from json",
        "j": "naïve 猫\n",
    }
    assert {key: dict(sample.faults) for key, sample in rows.items() if sample.faults} == {
        "c": {"image": EMPTY, "text": "text is not valid UTF-8"},
        "d": {"image": IMAGE_MISSING, "text": "text holds a NUL character"},
        "e": {"image": TOO_LARGE, "text": TEXT_TOO_LONG},
        "f": {"text": "text holds a lone surrogate"},
        "g": {"text": TEXT_MISSING},
        "h": {"text": TEXT_MISSING},
        "i": {"image": IMAGE_MISSING, "text": TEXT_MISSING},
    }


def test_sides_are_those_of_the_members(tmp_path: Path) -> None:
    only = {"image": [("0.jpg", b"j")], "text": [("0.txt", b"t")]}
    for side, members in only.items():
        assert TarShard.open(saved(tmp_path / side, tar_of(members))).sides == {side}
    nothing = TarShard.open(saved(tmp_path / "none.tar", tar_of([("0.json", b'{"a": 1}')])))
    assert nothing.sides == set()


def test_columns_of_the_json(tmp_path: Path) -> None:
    objects: list[dict[str, Any]] = [
        {"uid": uid(0), "n": 1, "x": 1, "flag": True, "mixed": 1, "list": [1], "big": 1 << 70},
        {"uid": uid(1), "x": 2.5, "flag": None, "mixed": "a", "bad\ud800": 1},
        {"uid": uid(2), "n": 3, "mixed": True, "s": "\ud800", "later": "yes"},
    ]
    members = [(f"{i}.json", json.dumps(value).encode()) for i, value in enumerate(objects)]
    members += [("3.json", b"no json"), ("4.txt", b"t")]
    shard = TarShard.open(saved(tmp_path / "a.tar", tar_of(members)))
    assert shard.columns == ["uid", "n", "x", "flag", "mixed", "big", "s", "later"]
    table = shard.read_columns(["n", "x", "flag", "mixed", "s", "later", "big"], 0, 5)
    assert table.to_pydict() == {
        "n": [1, None, 3, None, None],
        "x": [1.0, 2.5, None, None, None],
        "flag": [True, None, None, None, None],
        "mixed": ["1", "a", "true", None, None],
        "s": [None] * 5,
        "later": [None, None, "yes", None, None],
        "big": [float(1 << 70), None, None, None, None],
    }
    assert shard.read_columns(["n"], 2, 3).to_pydict() == {"n": [3]}
    with pytest.raises(PoolError, match="no metadata column 'size'; the columns are uid, n, x"):
        shard.read_columns(["size"], 0, 1)


def test_a_sample_without_uid_gets_one(tmp_path: Path) -> None:
    members = [*members_of(range(2)), ("lost.jpg", b"j"), ("odd.json", b'{"uid": "ABC"}')]
    shard = TarShard.open(saved(tmp_path / "a.tar", tar_of(members)))
    ids = shard.ids(None)
    assert ids is not None and ids.kind == "uid32" and len(set(ids.to_list())) == 4
    assert ids.to_list()[:2] == [uid(0), uid(1)]
    again = TarShard.open(saved(tmp_path / "a.tar", tar_of(members))).ids("uid")
    assert again is not None and again.to_list() == ids.to_list()
    assert shard.problems() == ["a.tar: 2 samples have no valid uid, so an id is made of their key"]
    bad = [("0.json", b'{"uid": "ABC"}'), ("1.json", b'{"uid": "DEF"}')]
    with pytest.raises(PoolError, match=r"b\.tar: column 'uid': uid 'ABC' has 3 characters"):
        TarShard.open(saved(tmp_path / "b.tar", tar_of(bad))).ids(None)
    with pytest.raises(PoolError, match="no metadata column 'id'"):
        shard.ids("id")
    assert TarShard.open(saved(tmp_path / "c.tar", tar_of([("0.jpg", b"j")]))).ids(None) is None


def test_parquet_in_another_order_with_failures(tmp_path: Path) -> None:
    path = saved(tmp_path / "00000.tar", tar_of(members_of([3, 1, 4, 0])))
    table = {
        "uid": [uid(n) for n in range(6)],
        "key": [f"{n:09d}" for n in range(6)],
        "status": ["success", "success", "failed_to_download", "success", "success", "success"],
        "width": [10 * n for n in range(6)],
    }
    parquet = tmp_path / "00000.parquet"
    pq.write_table(pa.table(table), parquet)
    stats = tmp_path / "00000_stats.json"
    stats.write_text(json.dumps({"count": 6, "successes": 5}))
    shard = TarShard.open(path, parquet=parquet, stats=stats)
    assert shard.columns == ["uid", "key", "status", "width"]
    ids = shard.ids(None)
    assert ids is not None and ids.to_list() == [uid(n) for n in (3, 1, 4, 0)]
    assert shard.read_columns(["width"], 1, 4).to_pydict() == {"width": [10, 40, 0]}
    assert shard.problems() == [
        "00000.tar: 1 successes of 00000.parquet are not in the tar: 000000005",
        "00000.tar: 00000_stats.json states 5 successes, the tar has 4",
    ]
    assert [file.path for file in shard.inputs()] == [
        "00000.tar",
        "00000.parquet",
        "00000_stats.json",
    ]


def test_a_parquet_that_is_not_about_the_tar(tmp_path: Path) -> None:
    path = saved(tmp_path / "0.tar", tar_of(members_of(range(3))))
    for number, table in enumerate(
        ({"uid": [uid(9)]}, {"key": ["other"], "uid": [uid(9)]}, {"key": [1]})
    ):
        parquet = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table(table), parquet)
        shard = TarShard.open(path, parquet=parquet)
        assert "uid" in shard.columns and "caption" in shard.columns
        assert shard.problems() == [
            f"0.tar: {number}.parquet has no column 'key' with keys of this tar: not used"
        ]
    twice = {"key": [f"{0:09d}"] * 2, "uid": [uid(0), uid(1)]}
    pq.write_table(pa.table(twice), tmp_path / "twice.parquet")
    with pytest.raises(PoolError, match=r"twice\.parquet: the key '000000000' is there twice"):
        TarShard.open(path, parquet=tmp_path / "twice.parquet").ids(None)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(PoolError, match="not a readable parquet"):
        TarShard.open(path, parquet=tmp_path / "broken.parquet").ids(None)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"[" * 10_000, b"\xff", b"7"])
def test_stats_that_say_nothing(tmp_path: Path, content: bytes) -> None:
    path = saved(tmp_path / "0.tar", tar_of(sample_members(0)))
    shard = TarShard.open(path, stats=saved(tmp_path / "0_stats.json", content))
    assert shard.problems() == ["0.tar: 0_stats.json states no number of successes"]


def test_it_pickles_and_notices_a_change(tmp_path: Path) -> None:
    from tamis.data.samples.tar_source import index_of

    path = saved(tmp_path / "a.tar", tar_of(members_of(range(5))))
    shard = TarShard.open(path)
    copy = pickle.loads(pickle.dumps(shard))
    assert len(pickle.dumps(shard)) < 2000
    assert copy.read(0, 5, BOTH) == shard.read(0, 5, BOTH)
    path.write_bytes(tar_of(members_of(range(4))))
    with pytest.raises(PoolError, match="shorter since it was opened"):
        shard.read(0, 5, BOTH)
    index_of.cache_clear()
    with pytest.raises(PoolError, match="has changed since it was opened"):
        copy.read(0, 4, BOTH)
    path.unlink()
    with pytest.raises(PoolError, match="cannot read"):
        shard.inputs()


def test_by_url() -> None:
    fsspec = pytest.importorskip("fsspec")
    content = tar_of(members_of(range(40)))
    with fsspec.open("memory://tars/00000.tar", "wb") as file:
        file.write(content)
    place = place_of("memory://tars/00000.tar")
    shard = pickle.loads(pickle.dumps(TarShard.open(place, place_of("memory://tars"))))
    assert shard.name == "00000.tar"
    samples = shard.read(0, 40, BOTH)
    assert [sample.image for sample in samples] == [sample_members(n)[0][1] for n in range(40)]
    ids = shard.ids(None)
    assert ids is not None and ids.to_list() == [uid(n) for n in range(40)]
    with pytest.raises(PoolError, match=r"cannot read memory://tars/1\.tar"):
        TarShard.open(place_of("memory://tars/1.tar"))
