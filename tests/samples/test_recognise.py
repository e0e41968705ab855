"""What could be read in two ways, or in none: one sentence that says how to choose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.samples.layouts import (
    json_lines,
    pairs,
    read_all,
    table,
    write_images,
    write_parquet,
    write_tar,
)

from tamis.data.pool import open_pool
from tamis.data.samples import open_samples
from tamis.errors import PoolError

ROWS = pairs(6)


def refused(path: Path, message: str, **asked: str) -> None:
    with pytest.raises(PoolError, match=message) as caught:
        open_samples(path, **asked)
    assert "\n" not in str(caught.value)


def test_nothing(tmp_path: Path) -> None:
    refused(tmp_path / "absent", "absent does not exist")
    refused(tmp_path, r"holds no samples: expected .tar, .parquet or .jsonl files, images")
    (tmp_path / "x.md").write_text("")
    refused(tmp_path / "x.md", r"x.md: expected a .tar, .parquet or .jsonl file of samples")


def test_samples_further_down_are_pointed_at(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "en" / "train.parquet", pa.table({"text": ["a"]}))
    refused(tmp_path, rf"holds no samples: .*; {tmp_path}/data/en holds some$")


def test_embeddings_are_not_samples(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2), "f2"))
    refused(tmp_path, "holds embeddings, not samples; open it with tamis.data.open_pool")
    refused(tmp_path / "a.npy", "holds embeddings, not samples; open it with tamis.data.open_pool")
    (tmp_path / "c" / "img_emb").mkdir(parents=True)
    refused(tmp_path / "c", "holds embeddings, not samples")
    lists = pa.table({"id": [1], "vector": [[1.0]]})
    write_parquet(tmp_path / "d" / "a.parquet", lists)
    refused(tmp_path / "d", "expected a column of texts or images, it has id, vector; name it")


def test_samples_are_not_embeddings(tmp_path: Path) -> None:
    (tmp_path / "t" / "shards").mkdir(parents=True)
    write_tar(tmp_path / "t" / "shards" / "0.tar", ROWS)
    write_images(tmp_path / "i", ROWS, texts=False)
    (tmp_path / "l").mkdir()
    (tmp_path / "l" / "a.jsonl").write_bytes(json_lines(ROWS))
    for path in ("t", "t/shards", "t/shards/0.tar", "i", "l"):
        with pytest.raises(PoolError, match="holds samples, not embeddings; `tamis embed` makes"):
            open_pool(tmp_path / path)


@pytest.mark.parametrize(
    ("parts", "kinds"),
    [
        ("tar images", "webdataset or images"),
        ("tar lines", "webdataset or text"),
        ("tar table", "webdataset or parquet"),
        ("table lines", "parquet or text"),
        ("table images", "parquet or images"),
        ("lines images", "text or images"),
        ("inner table", "datacomp or parquet"),
        ("inner clip tar", "webdataset or clip-retrieval"),
    ],
)
def test_two_things(tmp_path: Path, parts: str, kinds: str) -> None:
    for part in parts.split():
        if part == "tar":
            write_tar(tmp_path / "a.tar", ROWS)
        elif part == "images":
            write_images(tmp_path / "deep" / "down", ROWS, texts=False)
        elif part == "lines":
            (tmp_path / "a.jsonl").write_bytes(json_lines(ROWS))
        elif part == "table":
            write_parquet(tmp_path / "b.parquet", pa.table({"text": ["a"]}))
        elif part == "inner":
            write_parquet(tmp_path / "metadata" / "metadata_0.parquet", table(ROWS))
        else:
            (tmp_path / "img_emb").mkdir()
    hint = "; name the subfolder or file to read"
    refused(tmp_path, f"could be read as {kinds}{hint}")


def test_a_column_decides_for_tables(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", ROWS)
    write_parquet(tmp_path / "b.parquet", pa.table({"text": ["x", "y"]}))
    refused(tmp_path, r"or a column of the tables with text= or image=")
    assert open_samples(tmp_path, text="text").n_rows == 2
    assert open_samples(tmp_path / "a.tar").kind == "webdataset"
    refused(tmp_path / "a.tar", "webdataset, which has no columns to choose; leave text=", text="x")
    write_images(tmp_path / "i", ROWS, texts=False)
    refused(tmp_path / "i", "images, which has no columns to choose; leave image=", image="x")


def test_a_table_that_names_images_owns_the_images_beside_it(tmp_path: Path) -> None:
    write_images(tmp_path, ROWS, texts=False)
    paths = [f"part_{i // 5}/{row.key}.{row.ending}" for i, row in enumerate(ROWS)]
    write_parquet(tmp_path / "a.parquet", pa.table({"path": paths}))
    pool = open_samples(tmp_path)
    assert pool.kind == "parquet" and pool.sides == {"image"}
    assert [sample.image for sample in read_all(pool)] == [row.image for row in ROWS]


def test_columns_are_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, pa.table({"text": ["a"], "caption": ["b"], "n": [1]}))
    refused(path, "both text and caption may be the text; name one with text=")
    assert read_all(open_samples(path, text="caption"))[0].text == "b"
    refused(path, "expected a column 'x', it has text, caption, n", text="x")
    refused(path, "expected column 'n' to hold text, got int64; name another one", text="n")
    refused(
        path, "expected column 'n' to hold paths, encoded images or struc", text="text", image="n"
    )
    write_parquet(path, pa.table({"image": ["a"], "path": ["b"]}))
    refused(path, "both image and path may be the image; name one with image=")
    assert open_samples(path, image="path").sides == {"image"}


def test_files_that_lack_a_column(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", pa.table({"text": ["a"], "image_path": ["x"]}))
    write_parquet(tmp_path / "b.parquet", pa.table({"text": ["a"]}))
    refused(tmp_path, r"b.parquet: expected a column 'image_path', it has text")
    write_parquet(tmp_path / "b.parquet", pa.table({"text": ["a"], "image_path": [b"x"]}))
    refused(
        tmp_path, r"b.parquet has images in image_path \(bytes\) and texts in text, .*a.parquet"
    )


def test_unknown_columns_and_sides(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", pa.table({"text": ["a"], "n": [1]}))
    (tmp_path / "b.jsonl").write_text('{"text": "a", "m": 1}\n')
    write_images(tmp_path / "i", ROWS, texts=False)
    for path, message in (
        (tmp_path / "a.parquet", "expected a column 'x', it has text, n"),
        (tmp_path / "b.jsonl", "expected a field 'x', its first lines have text, m"),
        (tmp_path / "i", "a folder of images has no columns, so no 'x'"),
    ):
        pool = open_samples(path)
        with pytest.raises(PoolError, match=message):
            pool.read_columns(["x"], pool.units(1)[0])
        with pytest.raises(PoolError):
            open_samples(path, ids="x").ids()
    pool = open_samples(tmp_path / "a.parquet")
    with pytest.raises(PoolError, match=r"a.parquet has no images, only texts"):
        pool.read(pool.units(1)[0], ["image"])


def test_lines_that_are_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("[1]\n2\n")
    refused(path, "expected JSON lines, one object a line, but its first 2 lines hold none")
    path.write_text('{"a": 1, "b": 2}\n')
    refused(path, "expected one field of text, caption, TEXT, its first lines have a, b; name")
    path.write_text('{"text": "x", "caption": "y"}\n')
    refused(path, "expected one field of text, caption, TEXT, its first lines have text, caption")
    assert read_all(open_samples(path, text="caption"))[0].text == "y"
    refused(path, "expected a field 'z', it has text, caption", text="z")
    refused(path, "JSON lines hold texts only, so no image 'z'", image="z")
    path.write_text("\n \n")
    refused(path, "holds no samples")


def test_plain_json_counts_where_nothing_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "00000_stats.json").write_text("{}")
    (tmp_path / "c4-train.0.json").write_bytes(json_lines(ROWS))
    assert open_samples(tmp_path).n_rows == 6
    write_tar(tmp_path / "0.tar", ROWS)
    assert open_samples(tmp_path).kind == "webdataset"


def test_ids_that_repeat_name_both_places(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tar(tmp_path / f"{name}.tar", ROWS[:3], with_json=False)
    key = ROWS[0].key
    with pytest.raises(PoolError, match=rf"id '{key}' is there twice: .*a.tar row 0 and .*b.tar r"):
        open_samples(tmp_path).ids()
    assert any("is there twice" in told for told in open_samples(tmp_path).problems())
    assert open_samples(tmp_path, ids="row").ids().to_list() == list(range(6))


def test_ids_in_some_files_only(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", ROWS[:3])
    write_tar(tmp_path / "b.tar", ROWS[3:], with_json=False)
    with pytest.raises(PoolError, match=r"a.tar has ids but b.tar has none; name a column"):
        open_samples(tmp_path).ids()


def test_two_images_of_one_key(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "a.png").write_bytes(b"x")
    refused(tmp_path, r"a.jpg and a.png have the same key 'a'; rename one of them")


def test_a_table_with_a_column_called_row(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", pa.table({"text": ["a"], "row": [7]}))
    with pytest.raises(PoolError, match="means row numbers, but there is a column of that name"):
        open_samples(tmp_path, ids="row").ids()
    assert open_samples(tmp_path).ids().to_list() == [0]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    for name, message in (
        ("a.parquet", "not a readable parquet file"),
        ("a.jsonl.gz", "damaged or cut off"),
        ("a.jsonl.xz", "damaged or cut off"),
        ("a.jsonl.zst", "damaged or cut off"),
        ("a.jsonl.bz2", "damaged or cut off"),
    ):
        (tmp_path / name).write_bytes(b"\x1f\x8bnothing of the kind")
        refused(tmp_path / name, rf"{name}: {message}")


def test_metadata_without_uid_beside_tars(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", ROWS)
    write_parquet(tmp_path / "metadata" / "0.parquet", pa.table({"text": ["a"]}))
    refused(tmp_path, r"0.parquet has no column uid to join the tars with; name .* to leave the")


def test_empty_files_are_told(tmp_path: Path) -> None:
    empty = pa.table({"text": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "a.parquet")
    refused(tmp_path, "holds no samples")
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "b.parquet")
    pool = open_samples(tmp_path)
    assert pool.problems() == ["1 of 2 files hold no rows, such as a.parquet"]
    assert read_all(pool)[0].text == "x"


def test_images_and_texts_without_partner_are_told(tmp_path: Path) -> None:
    write_images(tmp_path, ROWS, texts=True)
    (tmp_path / "part_0" / f"{ROWS[1].key}.txt").rename(tmp_path / "part_0" / "zzz.txt")
    (tmp_path / "link").symlink_to(tmp_path / "part_0")
    pool = open_samples(tmp_path)
    assert pool.problems() == [
        "1 texts have no image beside them: part_0/zzz.txt",
        "1 of 6 images have no text beside them",
        "1 links to folders or to nothing, pipes or devices are passed over: link",
    ]
    samples = read_all(pool)
    assert [sample.faults for sample in samples] == [
        {"text": "text is missing"} if row == 1 else {} for row in range(6)
    ]


def test_json_of_other_types_in_a_column(tmp_path: Path) -> None:
    lines = [{"text": "a", "n": 1}, {"text": "b", "n": "x"}, {"text": "c"}, {"text": "d", "n": 4}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pool = open_samples(tmp_path)
    with pytest.raises(PoolError, match="field 'n' holds values of several types in rows 0 to 3"):
        pool.read_columns(["n"], pool.units(9)[0])
    assert pool.read_columns(["n"], pool.units(2)[1]).column(0).to_pylist() == [None, 4]
