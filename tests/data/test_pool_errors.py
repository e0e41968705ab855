"""What is wrong with a pool as a whole: one sentence that names the file and the row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.pools import (
    uids,
    unit_rows,
    write_clip_retrieval,
    write_datacomp,
    write_lists,
)

from tamis.data.pool import open_pool
from tamis.errors import PoolError


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (unit_rows(3, dim=9), "b.npy has rows of 9 x float16, the pool's other files of 8 x float"),
        (unit_rows(3, dtype="f4"), "b.npy has rows of 8 x float32, the pool's other files of 8 x"),
    ],
)
def test_files_that_differ(tmp_path: Path, other: np.ndarray, message: str) -> None:
    for name, rows in {"a": unit_rows(3), "b": other, "c": unit_rows(3)}.items():
        np.save(tmp_path / f"{name}.npy", rows)
    with pytest.raises(PoolError, match=message):
        open_pool(tmp_path)


def spoil_rows(folder: Path, change: int) -> None:
    table = pq.read_table(folder / "0001.parquet")
    rows = [*range(table.num_rows), 0][: table.num_rows + change]
    pq.write_table(table.take(rows), folder / "0001.parquet")


@pytest.mark.parametrize("change", [-1, 1])
def test_npz_and_parquet_that_differ_by_a_row(tmp_path: Path, change: int) -> None:
    write_datacomp(tmp_path, [5, 5])
    spoil_rows(tmp_path, change)
    message = rf"0001.npz\[b32_img\] has 5 rows but .*0001.parquet has {5 + change}; they must be"
    with pytest.raises(PoolError, match=message):
        open_pool(tmp_path, embedding="b32_img")


def test_missing_partners(tmp_path: Path) -> None:
    write_datacomp(tmp_path / "d", [2, 2])
    (tmp_path / "d" / "0001.npz").rename(tmp_path / "away.npz")
    with pytest.raises(PoolError, match=r"0001.parquet has no 0001.npz beside it"):
        open_pool(tmp_path / "d", embedding="b32_img")
    (tmp_path / "away.npz").rename(tmp_path / "d" / "0001.npz")
    (tmp_path / "d" / "0000.parquet").unlink()
    with pytest.raises(PoolError, match=r"0000.npz has no 0000.parquet beside it"):
        open_pool(tmp_path / "d", embedding="b32_img")
    with pytest.raises(PoolError, match=r"0000.npz has no 0000.parquet beside it"):
        open_pool(tmp_path / "d" / "0000.npz", embedding="b32_img")
    for path in (tmp_path / "d").glob("*.npz"):
        path.unlink()
    with pytest.raises(PoolError, match=r"a DataComp pool needs 0001.npz beside it"):
        open_pool(tmp_path / "d")


def test_names_that_must_be_given(tmp_path: Path) -> None:
    write_datacomp(tmp_path / "d", [2])
    with pytest.raises(PoolError, match=r"several arrays: b32_img, l14_img; choose one \(--emb"):
        open_pool(tmp_path / "d")
    with pytest.raises(PoolError, match="expected an array 'x', the file has b32_img, l14_img"):
        open_pool(tmp_path / "d", embedding="x")
    write_clip_retrieval(tmp_path / "c", [2], padded=True, kinds=("img_emb", "text_emb"))
    with pytest.raises(PoolError, match="several kinds: img_emb, text_emb; choose one"):
        open_pool(tmp_path / "c")
    with pytest.raises(PoolError, match="expected one of img_emb, text_emb, got 'audio'"):
        open_pool(tmp_path / "c", embedding="audio")
    (tmp_path / "p").mkdir()
    lists = pa.array([[1.0], [2.0]])
    pq.write_table(pa.table({"a": lists, "b": lists, "n": [1, 2]}), tmp_path / "p" / "p.parquet")
    with pytest.raises(PoolError, match="several columns of embeddings: a, b; choose one"):
        open_pool(tmp_path / "p")
    with pytest.raises(PoolError, match="expected a column 'z', it has a, b, n"):
        open_pool(tmp_path / "p", embedding="z")
    with pytest.raises(PoolError, match="expected column 'n' to hold lists of half, float or dou"):
        open_pool(tmp_path / "p", embedding="n")
    np.save(tmp_path / "a.npy", unit_rows(2))
    with pytest.raises(PoolError, match=r"expected no embedding name for a pool of .npy files"):
        open_pool(tmp_path / "a.npy", embedding="x")


def test_folders_that_could_be_two_things_or_nothing(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="does not exist"):
        open_pool(tmp_path / "absent")
    with pytest.raises(PoolError, match="holds no pool"):
        open_pool(tmp_path)
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(PoolError, match=r"expected a .npy, .parquet or .npz file"):
        open_pool(tmp_path / "x.txt")
    np.save(tmp_path / "a.npy", unit_rows(2))
    write_lists(tmp_path / "b.parquet", unit_rows(2))
    with pytest.raises(PoolError, match="could be read as parquet or npy"):
        open_pool(tmp_path)
    assert open_pool(tmp_path / "a.npy").kind == "npy"


def test_clip_retrieval_without_partner_number_or_metadata(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    write_clip_retrieval(pool, [2, 2, 2], padded=True)
    images, tables = pool / "img_emb", pool / "metadata"
    (images / "img_emb_001.npy").rename(tmp_path / "away.npy")
    with pytest.raises(
        PoolError, match=r"metadata_001.parquet has no partner: the img_emb file of"
    ):
        open_pool(pool)
    (tmp_path / "away.npy").rename(images / "img_emb_002_copy.npy")
    with pytest.raises(PoolError, match=r"expected a name like img_emb_0.npy"):
        open_pool(pool)
    (images / "img_emb_002_copy.npy").rename(images / "img_emb_2.npy")
    with pytest.raises(PoolError, match="have the same number; remove one of them"):
        open_pool(pool)
    (images / "img_emb_2.npy").rename(images / "img_emb_1.npy")
    (tables / "metadata_001.parquet").unlink()
    with pytest.raises(PoolError, match=r"img_emb_1.npy has no partner: the metadata/metadata_1"):
        open_pool(pool)
    for path in tables.iterdir():
        path.unlink()
    for path in images.iterdir():
        path.unlink()
    with pytest.raises(PoolError, match=r"holds no img_emb_N.npy"):
        open_pool(pool)
    tables.rmdir()
    with pytest.raises(PoolError, match=r"to use row numbers as ids, name .*img_emb as the pool"):
        open_pool(pool)


@pytest.mark.parametrize(
    ("uid", "message"),
    [
        ("0" * 31, "has 31 characters; expected 32 lower-case hexadecimal digits"),
        ("0" * 31 + "z", "is not hexadecimal"),
        ("0" * 31 + "F", "has upper-case digits"),
        (None, "of column 'uid' has no id"),
    ],
)
@pytest.mark.parametrize("row", [0, 3, 6])
def test_bad_uid_names_file_and_row(
    tmp_path: Path, uid: str | None, message: str, row: int
) -> None:
    write_datacomp(tmp_path, [5, 7])
    table = pq.read_table(tmp_path / "0001.parquet")
    names = table.column("uid").to_pylist()
    names[row] = uid
    pq.write_table(table.set_column(0, "uid", [names]), tmp_path / "0001.parquet")
    pool = open_pool(tmp_path, embedding="b32_img")
    with pytest.raises(PoolError, match=rf"0001.parquet: row {row}.*{message}"):
        pool.ids()


@pytest.mark.parametrize("kind", ["uid", "text", "number"])
def test_repeated_id_names_both_places(tmp_path: Path, kind: str) -> None:
    numbers = list(range(20))
    names: list = {"uid": uids(20), "text": [f"t{i}" for i in numbers], "number": numbers}[kind]
    names[17] = names[4]
    names[19] = names[4]
    write_lists(tmp_path / "a.parquet", unit_rows(10), id=names[:10])
    write_lists(tmp_path / "b.parquet", unit_rows(10), id=names[10:])
    message = rf"id {names[4]!r} is there twice: .*a.parquet row 4 and .*b.parquet row 7; ids must"
    with pytest.raises(PoolError, match=message):
        open_pool(tmp_path).ids()


def test_id_columns_that_cannot_be_used(tmp_path: Path) -> None:
    write_lists(tmp_path / "a.parquet", unit_rows(2), id=[1.5, 2.5], key=["a", "b"])
    with pytest.raises(PoolError, match="id column 'id' to hold text or integers, got double"):
        open_pool(tmp_path)
    assert open_pool(tmp_path, ids="key").ids().to_list() == ["a", "b"]
    with pytest.raises(PoolError, match="expected an id column 'x', it has id, key, embedding"):
        open_pool(tmp_path, ids="x")
    write_lists(tmp_path / "a.parquet", unit_rows(2), id=[1, 2], key=["a", "b"])
    write_lists(tmp_path / "b.parquet", unit_rows(2), key=[1, 2])
    with pytest.raises(PoolError, match=r"b.parquet has the id column 'key', .*a.parquet has 'id'"):
        open_pool(tmp_path)
    with pytest.raises(PoolError, match="expected ids of one kind, got int64 and string"):
        open_pool(tmp_path, ids="key").ids()
    write_datacomp(tmp_path / "d", [2])
    table = pq.read_table(tmp_path / "d" / "0000.parquet").drop_columns(["uid"])
    pq.write_table(table, tmp_path / "d" / "0000.parquet")
    with pytest.raises(PoolError, match="expected a column uid, it has text, "):
        open_pool(tmp_path / "d", embedding="b32_img")
    np.save(tmp_path / "n.npy", unit_rows(2))
    with pytest.raises(PoolError, match=r"its ids are in X.ids.npy beside X.npy"):
        open_pool(tmp_path / "n.npy", ids="uid")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.arange(3), "a.npy has 4 rows but .*a.ids.npy has 3; they must be row-aligned"),
        (np.zeros((4, 2), "i8"), "expected one dimension"),
        (np.zeros(4), "a.ids.npy: expected ids that are all text or all integers"),
        (np.zeros(4, "u8"), "id 0 is there twice: .*a.ids.npy row 0 and .*a.ids.npy row 1"),
    ],
)
def test_bad_ids_beside_npy(tmp_path: Path, ids: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", unit_rows(4))
    np.save(tmp_path / "a.ids.npy", ids)
    with pytest.raises(PoolError, match=message):
        open_pool(tmp_path).ids()


def test_ids_without_embeddings_and_embeddings_without_ids(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", unit_rows(4))
    np.save(tmp_path / "b.npy", unit_rows(4))
    np.save(tmp_path / "a.ids.npy", np.arange(4))
    with pytest.raises(PoolError, match=r"b.npy has no ids beside it .*, other files have"):
        open_pool(tmp_path)
    np.save(tmp_path / "b.ids.npy", np.arange(4, 8))
    np.save(tmp_path / "c.ids.npy", np.arange(4))
    with pytest.raises(PoolError, match=r"c.ids.npy has no embeddings: c.npy does not exist"):
        open_pool(tmp_path)


def test_columns_to_rank_by(tmp_path: Path) -> None:
    write_lists(tmp_path / "a.parquet", unit_rows(2), key=["a", "b"], score=[0.5, 1.0], n=[1, 2])
    pool = open_pool(tmp_path)
    with pytest.raises(PoolError, match="column 'x' does not exist; the numeric columns are score"):
        pool.read_column("x")
    with pytest.raises(PoolError, match="column 'key' is not numeric; the numeric columns are sco"):
        pool.read_column("key")
    np.save(tmp_path / "n.npy", unit_rows(2))
    with pytest.raises(PoolError, match="has no metadata columns, so none called 'x'"):
        open_pool(tmp_path / "n.npy").read_column("x")


def test_parquet_without_a_single_embedding(tmp_path: Path) -> None:
    nothing = pa.array([None, None], pa.list_(pa.float32()))
    pq.write_table(pa.table({"e": nothing}), tmp_path / "a.parquet")
    with pytest.raises(PoolError, match="holds no embedding in its first rows"):
        open_pool(tmp_path)
