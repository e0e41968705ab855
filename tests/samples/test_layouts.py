"""Every layout of samples, written from the sample pool and read back identical."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.samples.layouts import (
    COMPRESSIONS,
    POOL,
    Row,
    json_lines,
    pairs,
    read_all,
    table,
    write_images,
    write_parquet,
    write_tar,
)

from tamis.data.samples import SamplePool, open_samples

ROWS = pairs(25)


def check(
    pool: SamplePool, rows: tuple[Row, ...], kind: str, *, images: bool = True, texts: bool = True
) -> None:
    """The pool has these rows, in this order, however it is cut, also after a pickle."""
    assert (pool.kind, pool.n_rows) == (kind, len(rows))
    assert pool.sides == {side for side, has in (("image", images), ("text", texts)) if has}
    whole = read_all(pool, 1000)
    assert [sample.image for sample in whole] == [row.image if images else None for row in rows]
    assert [sample.text for sample in whole] == [row.text if texts else None for row in rows]
    assert not any(sample.faults for sample in whole)
    again = pickle.loads(pickle.dumps(pool))
    for rows_per_unit in (1, 4):
        assert read_all(pool, rows_per_unit) == whole
        backwards = [again.read(unit) for unit in reversed(again.units(rows_per_unit))]
        assert [sample for unit in reversed(backwards) for sample in unit] == whole
    assert [key for unit in pool.units(4) for key in pool.keys(unit)] == [s.key for s in whole]
    assert pool.problems() == []


def test_sample_pool_as_shards_metadata_and_both() -> None:
    rows = pairs()
    for path, kind in ((POOL, "webdataset"), (POOL / "shards", "webdataset")):
        pool = open_samples(path)
        check(pool, rows, kind)
        assert pool.ids().to_list() == [row.uid for row in rows]
    pool = open_samples(POOL / "metadata")
    check(pool, rows, "datacomp", images=False)
    assert pool.ids().to_list() == [row.uid for row in rows]


@pytest.mark.parametrize("place", ["file", "folder", "shards"])
def test_webdataset(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "shards" if place == "shards" else tmp_path
    folder.mkdir(exist_ok=True)
    write_tar(folder / "2.tar", ROWS[:10])
    write_tar(folder / "10.tar", ROWS[10:])
    if place == "file":
        pool, rows = open_samples(folder / "10.tar"), ROWS[10:]
    else:
        pool, rows = open_samples(tmp_path), ROWS
    check(pool, rows, "webdataset")
    assert pool.ids().to_list() == [row.uid for row in rows]
    assert [sample.key for sample in read_all(pool)] == [row.key for row in rows]
    columns = [pool.read_columns(["original_width"], unit).column(0) for unit in pool.units(4)]
    widths = [width for column in columns for width in column.to_pylist()]
    assert widths == [row.width for row in rows]


def test_webdataset_without_json_has_its_keys_as_ids(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", ROWS, with_json=False)
    pool = open_samples(tmp_path)
    check(pool, ROWS, "webdataset")
    assert pool.ids().to_list() == [row.key for row in ROWS]


def test_keys_and_row_numbers_can_be_asked_for(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", ROWS)
    assert open_samples(tmp_path, ids="key").ids().to_list() == [row.key for row in ROWS]
    numbers = open_samples(tmp_path, ids="row").ids()
    assert (numbers.kind, numbers.to_list()) == ("row", list(range(25)))


@pytest.mark.parametrize("inner", ["", "metadata"])
def test_datacomp(tmp_path: Path, inner: str) -> None:
    folder = tmp_path / inner
    for name, rows in {"00a": ROWS[:10], "0f": ROWS[10:]}.items():
        write_parquet(folder / f"{name}.parquet", table(rows))
        np.savez(folder / f"{name}.npz", l14_img=np.zeros((len(rows), 4), "f2"))
    pool = open_samples(tmp_path)
    check(pool, ROWS, "datacomp", images=False)
    assert pool.ids().to_list() == [row.uid for row in ROWS]
    assert pool.columns == ["uid", "text", "original_width"]
    unit = pool.units(4)[3]
    assert pool.file_name(unit) == f"{inner}/0f.parquet".lstrip("/")
    assert pool.read_columns(["original_width", "uid"], unit).to_pydict() == {
        "original_width": [row.width for row in ROWS[10:14]],
        "uid": [row.uid for row in ROWS[10:14]],
    }
    assert pool.locate(10) == (folder / "0f.parquet", 0)


def test_clip_retrieval(tmp_path: Path) -> None:
    (tmp_path / "img_emb").mkdir()
    for number, rows in {"0": ROWS[:10], "1": ROWS[10:]}.items():
        captions = pa.table(
            {"image_path": [r.key for r in rows], "caption": [r.text for r in rows]}
        )
        write_parquet(tmp_path / "metadata" / f"metadata_{number}.parquet", captions)
    pool = open_samples(tmp_path)
    check(pool, ROWS, "clip-retrieval", images=False)
    assert pool.ids().to_list() == [row.key for row in ROWS]


def test_parquet_with_paths(tmp_path: Path) -> None:
    write_images(tmp_path / "images", ROWS, texts=False)
    paths = [f"images/part_{i // 5}/{row.key}.{row.ending}" for i, row in enumerate(ROWS)]
    rows = pa.table({"image_path": paths, "caption": [row.text for row in ROWS]})
    write_parquet(tmp_path / "pairs.parquet", rows)
    for path in (tmp_path, tmp_path / "pairs.parquet"):
        pool = open_samples(path)
        check(pool, ROWS, "parquet")
        assert [sample.key for sample in read_all(pool)] == paths


@pytest.mark.parametrize("form", ["binary", "large_binary", "struct", "struct with paths"])
def test_parquet_with_images(tmp_path: Path, form: str) -> None:
    images: pa.Array = pa.array([row.image for row in ROWS], pa.large_binary())
    if form == "binary":
        images = images.cast(pa.binary())
    elif form == "struct":
        names = pa.array([f"/nowhere/{row.key}" for row in ROWS])
        images = pa.StructArray.from_arrays([images.cast(pa.binary()), names], ["bytes", "path"])
    elif form == "struct with paths":
        write_images(tmp_path / "images", ROWS, texts=False)
        names = pa.array(
            [f"images/part_{i // 5}/{row.key}.{row.ending}" for i, row in enumerate(ROWS)]
        )
        nothing = pa.nulls(len(ROWS), pa.binary())
        images = pa.StructArray.from_arrays([nothing, names], ["bytes", "path"])
    texts = pa.array([row.text for row in ROWS]).dictionary_encode()
    rows = pa.table({"key": [row.key for row in ROWS], "image": images, "TEXT": texts})
    write_parquet(tmp_path / "train.parquet", rows)
    pool = open_samples(tmp_path)
    check(pool, ROWS, "parquet")
    assert pool.ids().to_list() == [row.key for row in ROWS]
    assert pool.columns == ["key", "TEXT"]


@pytest.mark.parametrize("texts", [True, False])
def test_images(tmp_path: Path, texts: bool) -> None:
    write_images(tmp_path, ROWS, texts=texts)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.jpg").write_bytes(b"")
    (tmp_path / "part_0" / ".b.jpg").write_bytes(b"")
    (tmp_path / "notes.md").write_bytes(b"")
    pool = open_samples(tmp_path)
    check(pool, ROWS, "images", texts=texts)
    keys = [f"part_{i // 5}/{row.key}" for i, row in enumerate(ROWS)]
    assert pool.ids().to_list() == keys
    assert pool.locate(7) == (tmp_path / f"{keys[7]}.{ROWS[7].ending}", 0)
    assert pool.columns == []


@pytest.mark.parametrize("ending", COMPRESSIONS)
@pytest.mark.parametrize("name", ["docs.jsonl", "c4-train.00001-of-01024.json", "docs.ndjson"])
def test_json_lines(tmp_path: Path, name: str, ending: str) -> None:
    path = tmp_path / f"{name}{ending}"
    path.write_bytes(COMPRESSIONS[ending](json_lines(ROWS)))
    for place in (path, tmp_path):
        pool = open_samples(place)
        check(pool, ROWS, "text", images=False)
        assert pool.columns == ["text", "width", "uid"]
        assert pool.ids().to_list() == [row.uid for row in ROWS]
        table = pool.read_columns(["width"], pool.units(7)[1])
        assert table.to_pydict() == {"width": [row.width for row in ROWS[7:14]]}


def test_text_parquet(tmp_path: Path) -> None:
    documents = pa.table({"url": ["u"] * 25, "text": [row.text for row in ROWS]})
    write_parquet(tmp_path / "docs.parquet", documents)
    pool = open_samples(tmp_path)
    check(pool, ROWS, "text", images=False)
    assert pool.ids().kind == "row"


def test_sides_are_read_alone_or_together(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", ROWS)
    pool = open_samples(tmp_path)
    assert all(sample.text is None for sample in read_all(pool, 4, ["image"]))
    assert all(sample.image is None for sample in read_all(pool, 4, ["text"]))
    assert [sample.image for sample in read_all(pool, 4, {"image"})] == [r.image for r in ROWS]
    assert [sample.faults for sample in read_all(pool, 4, ["text"])] == [{}] * 25
    assert [sample.key for sample in read_all(pool, 4, [])] == [row.key for row in ROWS]


def test_describe_says_what_was_recognised() -> None:
    assert open_samples(POOL).describe() == (
        "webdataset pool: 2 files, 1,030 rows with images and texts, joined by uid with 1,030 rows "
        "of metadata"
    )
    described = open_samples(POOL / "metadata").describe()
    assert described == "datacomp pool: 2 files, 1,030 rows with texts"


def test_inputs_name_every_file_once() -> None:
    names = [file.path for file in open_samples(POOL).inputs()]
    assert sorted(names) == sorted(
        f"{folder}/{shard}{ending}"
        for shard in ("00000", "00001")
        for folder, ending in (
            ("shards", ".tar"),
            ("shards", "_stats.json"),
            ("metadata", ".parquet"),
        )
    )
