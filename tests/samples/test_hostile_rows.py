"""Bad rows of tables, lines and folders: a fault each, and the neighbours whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.samples.layouts import COMPRESSIONS, read_all

from tamis.data.limits import Limits
from tamis.data.samples import Sample, SamplePool, open_samples
from tamis.data.samples.texts import checked_text
from tamis.errors import PoolError

LIMITS = Limits(text_bytes=100, member_bytes=50)
BAD_TEXTS = {
    b"null \0 inside": "text holds a NUL character",
    b"\xff\xfe": "text is not valid UTF-8",
    b"\xed\xa0\xbd": "text is not valid UTF-8",  # half a pair, as some encoders write it
    b"\xc3": "text is not valid UTF-8",
    b"a" * 101: "text has too many bytes",
    "é".encode() * 51: "text has too many bytes",
}


def faults(pool: SamplePool, side: str) -> list[str | None]:
    samples = read_all(pool)
    assert all((getattr(s, side) is None) == (side in s.faults) for s in samples)
    return [sample.faults.get(side) for sample in samples]


@pytest.mark.parametrize(("raw", "reason"), BAD_TEXTS.items())
def test_checked_text(raw: bytes, reason: str) -> None:
    assert checked_text(raw, LIMITS) == (None, reason)


def test_checked_text_of_strings() -> None:
    assert checked_text("\ud83d", LIMITS) == (None, "text holds a lone surrogate")
    assert checked_text("é" * 50, LIMITS) == ("é" * 50, None)
    assert checked_text("é" * 51, LIMITS) == (None, "text has too many bytes")
    assert checked_text(None, LIMITS) == (None, "text is missing")
    assert checked_text("", LIMITS) == ("", None)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_texts_of_a_table(tmp_path: Path, kind: pa.DataType) -> None:
    cells = [b"good", None, *BAD_TEXTS, "é".encode() * 50]
    if kind == pa.binary():
        array = pa.array(cells, kind)
    else:
        wide = pa.array(cells, pa.large_binary() if kind == pa.large_string() else pa.binary())
        # A text column that holds what is no text, as a careless writer makes it.
        array = pa.Array.from_buffers(kind, len(wide), wide.buffers())
    pq.write_table(pa.table({"text": array}), tmp_path / "a.parquet")
    pool = open_samples(tmp_path, limits=LIMITS)
    expected = [None, "text is missing", *BAD_TEXTS.values(), None]
    assert faults(pool, "text") == expected
    assert read_all(pool)[-1].text == "é" * 50


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_texts_of_lines(tmp_path: Path, ending: str) -> None:
    cases = {
        b'{"text": "good"}': None,
        b'{"text": null}': "text is missing",
        b'{"other": 1}': "text is missing",
        b'{"text": 5}': "text is not a string",
        b'{"text": "a\\u0000b"}': "text holds a NUL character",
        b'{"text": "\\ud83d"}': "text holds a lone surrogate",
        b'{"text": "\xff"}': "line is not a JSON object",
        b"[1]": "line is not a JSON object",
        b'{"text": "cut': "line is not a JSON object",
        b"[" * 700: "line is not a JSON object",
        b'{"text": ' + b"9" * 5000 + b"}": "text has too many bytes",
        b'{"text": "' + b"a" * 101 + b'"}': "text has too many bytes",
        b'{"text": "' + b"a" * 900 + b'"}': "text has too many bytes",  # longer than a line may be
        b'{"text": "last"}': None,
    }
    content = b"\n  \n" + b"\n".join(cases)  # blank lines are no rows; the last has no newline
    (tmp_path / f"a.jsonl{ending}").write_bytes(COMPRESSIONS[ending](content))
    pool = open_samples(tmp_path, limits=LIMITS)
    assert faults(pool, "text") == list(cases.values())
    assert [sample.text for sample in read_all(pool) if sample.text] == ["good", "last"]


def test_images_by_path(tmp_path: Path) -> None:
    pool_folder = tmp_path / "pool"
    (pool_folder / "images").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (pool_folder / "images" / "good.jpg").write_bytes(b"good")
    (pool_folder / "images" / "empty.jpg").write_bytes(b"")
    (pool_folder / "images" / "large.jpg").write_bytes(b"a" * 51)
    (pool_folder / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (pool_folder / "in.jpg").symlink_to(pool_folder / "images" / "good.jpg")
    (pool_folder / "up").symlink_to(tmp_path)
    os.mkfifo(pool_folder / "pipe.jpg")
    outside = "image path leaves the pool's folder"
    cases: dict[str | None, str | None] = {
        "images/good.jpg": None,
        "images/../images/good.jpg": None,
        f"{pool_folder}/images/good.jpg": None,
        "in.jpg": None,
        "images/empty.jpg": None,
        "../secret.jpg": outside,
        f"{tmp_path}/secret.jpg": outside,
        "/etc/passwd": outside,
        "out.jpg": outside,
        "up/secret.jpg": outside,
        "images/good.jpg\0": outside,
        "images/none.jpg": "image file does not exist",
        "images": "image file does not exist",
        "pipe.jpg": "image file does not exist",
        "images/good.jpg/x": "image file cannot be read",
        "a" * 300: "image file cannot be read",
        "images/large.jpg": "image has too many bytes",
        "": "image is missing",
        None: "image is missing",
    }
    pq.write_table(pa.table({"image_path": list(cases)}), pool_folder / "a.parquet")
    pool = open_samples(pool_folder, limits=LIMITS)
    assert faults(pool, "image") == list(cases.values())
    contents = [sample.image for sample in read_all(pool)][:5]
    assert contents == [b"good", b"good", b"good", b"good", b""]


def test_a_small_file_that_unpacks_to_large_texts(tmp_path: Path) -> None:
    cells = pa.chunked_array([pa.array(["a" * (1 << 17)])] * 2000)
    pq.write_table(pa.table({"text": cells}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 1 << 20
    pool = open_samples(tmp_path)
    before = pa.total_allocated_bytes()
    (sample,) = pool.read(pool.units(1)[0])
    assert len(sample.text) == 1 << 17
    assert pa.total_allocated_bytes() - before < 64 << 20  # what the reader keeps; all are 262 MB


def test_images_in_cells(tmp_path: Path) -> None:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    cells = [
        {"bytes": b"good", "path": "x"},
        {"bytes": None, "path": None},
        None,
        {"bytes": b"a" * 51, "path": None},
        {"bytes": None, "path": "../a.jpg"},
    ]
    pq.write_table(pa.table({"image": pa.array(cells, kind)}), tmp_path / "a.parquet")
    assert faults(open_samples(tmp_path, limits=LIMITS), "image") == [
        None,
        "image is missing",
        "image is missing",
        "image has too many bytes",
        "image path leaves the pool's folder",
    ]


def test_folder(tmp_path: Path) -> None:
    good, large = tmp_path / "0.jpg", tmp_path / "1.jpg"
    good.write_bytes(b"image")
    large.write_bytes(b"a" * 51)
    (tmp_path / "2.jpg").write_bytes(b"")
    for row, text in enumerate(BAD_TEXTS):
        (tmp_path / f"{row + 3}.png").write_bytes(b"image")
        (tmp_path / f"{row + 3}.txt").write_bytes(text)
    (tmp_path / "0.txt").write_text("good")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    pool = open_samples(tmp_path, limits=LIMITS)
    assert pool.n_rows == 3 + len(BAD_TEXTS)
    assert faults(pool, "image") == [None, "image has too many bytes", *[None] * 7]
    missing = "text is missing"
    assert faults(pool, "text") == [None, missing, missing, *BAD_TEXTS.values()]
    good.unlink()
    assert read_all(pool)[0] == Sample("0", None, "good", {"image": "image file does not exist"})


def test_a_line_file_that_shrank(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n' * 9)
    pool = open_samples(path)
    path.write_text('{"text": "a"}\n' * 4)
    assert [sample.text for sample in pool.read(pool.units(3)[0])] == ["a"] * 3
    with pytest.raises(PoolError, match=r"a.jsonl: the file has fewer lines than it had"):
        pool.read(pool.units(3)[1])


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_a_compressed_file_that_is_cut_off(tmp_path: Path, ending: str) -> None:
    content = "".join(json.dumps({"text": f"{i}"}) + "\n" for i in range(3000)).encode()
    packed = COMPRESSIONS[ending](content)
    (tmp_path / f"a.jsonl{ending}").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(PoolError, match="damaged or cut off"):
        open_samples(tmp_path)


@pytest.mark.parametrize("field", ["uid", "id"])
def test_a_damaged_line_has_an_id_of_its_own(tmp_path: Path, field: str) -> None:
    known = [f"{i:032x}" if field == "uid" else f"doc {i}" for i in range(5000)]
    lines = [json.dumps({field: name, "text": "t"}) for name in known]
    lines[1] = "{"
    lines[4500] = json.dumps({"text": "t"})
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    ids = open_samples(tmp_path).ids()
    assert ids.kind == ("uid32" if field == "uid" else "string")
    found = ids.to_list()
    assert [row for row in range(5000) if found[row] != known[row]] == [1, 4500]
    assert ids.first_duplicate() is None
    assert open_samples(tmp_path).ids().to_list() == found


def test_a_line_without_its_number(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 7, "text": "a"}\n{"text": "b"}\n')
    with pytest.raises(PoolError, match=r"a.jsonl: field 'id', .*: row 1 has no id; ids=row numb"):
        open_samples(tmp_path).ids()
    assert open_samples(tmp_path, ids="row").ids().to_list() == [0, 1]
