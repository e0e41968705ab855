"""Pools of every layout: rows, ids and columns as their owners wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.pools import (
    read_all,
    uids,
    unit_rows,
    write_clip_retrieval,
    write_datacomp,
    write_lists,
)

from tamis.data.parquet_file import MISSING, MISSING_ELEMENT
from tamis.data.pool import open_pool


def same(rows: np.ndarray, expected: np.ndarray) -> bool:
    return rows.dtype == expected.dtype and rows.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("rows_per_unit", [1, 3, 5, 100])
def test_npy_file(tmp_path: Path, dtype: str, rows_per_unit: int) -> None:
    rows = unit_rows(10, dtype=dtype)
    np.save(tmp_path / "a.npy", rows)
    pool = open_pool(tmp_path / "a.npy")
    assert (pool.kind, pool.n_rows, pool.dim, pool.dtype) == ("npy", 10, 8, np.dtype(dtype))
    assert pool.id_kind == "row"
    assert same(read_all(pool, rows_per_unit), rows)
    assert pool.ids().to_list() == list(range(10))


def test_npy_folder_in_numeric_order_with_units_that_cover_every_row(tmp_path: Path) -> None:
    sizes = {"e_10.npy": 4, "e_2.npy": 7, "e_1.npy": 0, "e_003.npy": 1}
    rows = {name: unit_rows(size, seed=index) for index, (name, size) in enumerate(sizes.items())}
    for name, array in rows.items():
        np.save(tmp_path / name, array)
    (tmp_path / ".hidden.npy").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    pool = open_pool(tmp_path)
    assert [path.name for path in pool.files] == ["e_1.npy", "e_2.npy", "e_003.npy", "e_10.npy"]
    expected = np.concatenate([rows[path.name] for path in pool.files])
    assert same(read_all(pool), expected)
    units = pool.units(3)
    assert [unit.n_rows for unit in units] == [3, 3, 1, 1, 3, 1]
    assert [unit.first_row for unit in units] == [0, 3, 6, 7, 8, 11]
    assert len({unit.name for unit in units}) == len(units)
    assert pool.file_name(units[-1]) == "e_10.npy"
    assert [pool.locate(row)[0].name for row in (0, 6, 7, 8)] == [
        "e_2.npy", "e_2.npy", "e_003.npy", "e_10.npy",
    ]  # fmt: skip
    assert pool.locate(11) == (tmp_path / "e_10.npy", 3)
    with pytest.raises(IndexError):
        pool.locate(12)
    with pytest.raises(ValueError, match="rows_per_unit"):
        pool.units(0)


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (np.array(uids(5)), "uid32"),
        (np.array(["é" * 40, "b", "c", "d", "e"]), "string"),
        (np.array([2**60 + 1, 5, 4, 3, -(2**60)]), "int64"),
        (np.array([(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)], "u8,u8"), "uid32"),
    ],
)
def test_ids_beside_npy(tmp_path: Path, ids: np.ndarray, kind: str) -> None:
    rows = unit_rows(5)
    np.save(tmp_path / "a.npy", rows[:3])
    np.save(tmp_path / "a.ids.npy", ids[:3])
    np.save(tmp_path / "b.npy", rows[3:])
    np.save(tmp_path / "b.ids.npy", ids[3:])
    pool = open_pool(tmp_path)
    assert pool.id_kind == kind
    assert pool.n_rows == 5
    assert "ids from .ids.npy files" in pool.describe()
    if kind != "uid32" or ids.dtype.kind == "U":
        assert pool.ids().to_list() == ids.tolist()
        parts = [pool.read_ids(unit).to_list() for unit in pool.units(2)]
        assert [value for part in parts for value in part] == ids.tolist()
    assert [file.path for file in pool.inputs()] == [
        "a.npy", "a.ids.npy", "b.npy", "b.ids.npy",
    ]  # fmt: skip


@pytest.mark.parametrize("fixed", [False, True], ids=["list", "fixed-size list"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("rows_per_unit", [1, 4, 100])
def test_parquet_lists(tmp_path: Path, fixed: bool, dtype: str, rows_per_unit: int) -> None:
    rows = unit_rows(30, dtype=dtype)
    names = uids(30)
    write_lists(tmp_path / "p2.parquet", rows[:11], fixed=fixed, uid=names[:11])
    write_lists(tmp_path / "p10.parquet", rows[11:], fixed=fixed, uid=names[11:])
    pool = open_pool(tmp_path)
    assert (pool.kind, pool.embedding, pool.dim) == ("parquet", "embedding", 8)
    assert same(read_all(pool, rows_per_unit), rows)
    assert pool.ids().to_list() == names
    assert pool.id_kind == "uid32"
    assert all(pool.bad_reasons(unit) == {} for unit in pool.units(rows_per_unit))


def test_parquet_units_in_any_order(tmp_path: Path) -> None:
    rows = unit_rows(30)
    write_lists(tmp_path / "p.parquet", rows)
    pool = open_pool(tmp_path / "p.parquet")
    units = pool.units(4)
    for index in np.random.default_rng(0).permutation(np.repeat(np.arange(len(units)), 2)):
        unit = units[index]
        assert same(pool.read_embeddings(unit), rows[unit.start : unit.stop])


def test_bad_parquet_rows_are_nan_with_a_reason(tmp_path: Path) -> None:
    lists = [[1, 2, 3], None, [4, 5], [6, 7, 8], [9, None, 1], [], [1, 2, 3, 4], [0, 0, 1]]
    table = pa.table({"key": list("abcdefgh"), "e": pa.array(lists, pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "p.parquet")
    pool = open_pool(tmp_path)
    assert pool.dim == 3
    expected = {
        1: MISSING,
        2: "embedding has 2 values, expected 3",
        4: MISSING_ELEMENT,
        5: "embedding has 0 values, expected 3",
        6: "embedding has 4 values, expected 3",
    }
    for rows_per_unit in (100, 3, 1):
        found = {}
        for unit in reversed(pool.units(rows_per_unit)):
            reasons = pool.bad_reasons(unit)  # before and after reading the rows
            rows = pool.read_embeddings(unit)
            assert pool.bad_reasons(unit) == reasons
            for place, row in enumerate(rows):
                index = unit.first_row + place
                assert np.isnan(row).all() if place in reasons else row.tolist() == lists[index]
            found.update({unit.first_row + place: reason for place, reason in reasons.items()})
        assert found == expected


def test_bad_fixed_size_rows(tmp_path: Path) -> None:
    lists = pa.array([None, [1, 2], [None, 3], [4, 5]], pa.list_(pa.float16(), 2))
    pq.write_table(pa.table({"e": lists}), tmp_path / "p.parquet")
    pool = open_pool(tmp_path)
    (unit,) = pool.units(10)
    rows = pool.read_embeddings(unit)
    assert np.isnan(rows).all(axis=1).tolist() == [True, False, True, False]
    assert rows[[1, 3]].tolist() == [[1, 2], [4, 5]]
    assert pool.bad_reasons(unit) == {0: MISSING, 2: MISSING_ELEMENT}


@pytest.mark.parametrize("padded", [True, False])
def test_clip_retrieval_pairs_by_number(tmp_path: Path, padded: bool) -> None:
    sizes = [3] * 11  # so that 10 sorts before 2 as text
    rows = write_clip_retrieval(tmp_path, sizes, padded=padded)["img_emb"]
    pool = open_pool(tmp_path)
    assert (pool.kind, pool.embedding, pool.id_column) == (
        "clip-retrieval", "img_emb", "image_path",
    )  # fmt: skip
    assert same(read_all(pool), rows)
    assert pool.ids().to_list() == [f"{key:09d}" for key in range(33)]


def test_clip_retrieval_with_padded_arrays_and_unpadded_metadata(tmp_path: Path) -> None:
    rows = write_clip_retrieval(tmp_path, [2] * 11, padded=False)["img_emb"]
    for path in (tmp_path / "img_emb").iterdir():
        number = int(path.stem.split("_")[-1])
        path.rename(path.with_name(f"img_emb_{number:04d}.npy"))
    pool = open_pool(tmp_path)
    assert same(read_all(pool), rows)
    assert pool.ids().to_list() == [f"{key:09d}" for key in range(22)]


def test_clip_retrieval_of_two_kinds_and_without_ids(tmp_path: Path) -> None:
    kinds = ("img_emb", "text_emb")
    rows = write_clip_retrieval(tmp_path, [3, 4], padded=True, kinds=kinds)
    for kind in kinds:
        assert same(read_all(open_pool(tmp_path, embedding=kind)), rows[kind])
        assert open_pool(tmp_path / kind).kind == "npy"
    for path in (tmp_path / "metadata").iterdir():
        pq.write_table(pq.read_table(path).select(["caption"]), path)
    pool = open_pool(tmp_path, embedding="img_emb")
    assert pool.describe().endswith("row numbers as ids")
    assert pool.id_kind == "row"
    assert open_pool(tmp_path, embedding="img_emb", ids="caption").id_column == "caption"


@pytest.mark.parametrize("compressed", [False, True], ids=["stored", "compressed"])
@pytest.mark.parametrize("place", ["", "metadata"])
def test_datacomp(tmp_path: Path, compressed: bool, place: str) -> None:
    names, rows = write_datacomp(tmp_path / place, [5, 1, 8], compressed=compressed)
    for key in ("b32_img", "l14_img"):
        pool = open_pool(tmp_path, embedding=key)
        assert (pool.kind, pool.id_kind) == ("datacomp", "uid32")
        assert pool.ids().to_list() == names
        for rows_per_unit in (1, 3, 100):
            assert same(read_all(pool, rows_per_unit), rows[key])
        units = pool.units(2)
        for unit in reversed(units):
            first = unit.first_row
            assert same(pool.read_embeddings(unit), rows[key][first : first + unit.n_rows])
    assert pool.read_column("original_width").tolist() == [*range(5), 0, *range(8)]
    assert pool.read_column("clip_b32_similarity_score").dtype == np.float64
    assert len(pool.inputs()) == 6


def test_one_datacomp_shard_by_either_file(tmp_path: Path) -> None:
    write_datacomp(tmp_path, [5, 3])
    for name in ("0001.parquet", "0001.npz"):
        pool = open_pool(tmp_path / name, embedding="b32_img")
        assert (pool.kind, pool.n_rows) == ("datacomp", 3)
        assert [file.path for file in pool.inputs()] == ["0001.npz", "0001.parquet"]


def test_only_array_of_an_npz_needs_no_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uid": uids(2)}), tmp_path / "a.parquet")
    np.savez(tmp_path / "a.npz", img=unit_rows(2))
    assert open_pool(tmp_path).embedding == "img"


@pytest.mark.parametrize(
    ("column", "values", "dtype"),
    [
        ("int", pa.array([2**53 + 1, -1], pa.int64()), np.int64),
        ("small", pa.array([1, 2], pa.uint8()), np.int64),
        ("bool", pa.array([True, False]), np.int64),
        ("hole", pa.array([None, 2], pa.int32()), np.float64),
        ("half", pa.array(np.array([1, 2], "f2")), np.float64),
        ("float", pa.array([1.5, None], pa.float32()), np.float64),
        ("unsigned", pa.array([2**64 - 1, 0], pa.uint64()), np.float64),
    ],
)
def test_numeric_columns(tmp_path: Path, column: str, values: pa.Array, dtype: type) -> None:
    write_lists(tmp_path / "p.parquet", unit_rows(2), **{column: values})
    numbers = open_pool(tmp_path).read_column(column)
    assert numbers.dtype == dtype
    expected = [np.nan if value is None else value for value in values.to_pylist()]
    assert np.array_equal(numbers, np.array(expected, dtype), equal_nan=dtype is np.float64)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"key": ["k", "l"], "id": [1, 2], "uid": ["0" * 32, "1" * 32]}, "uid"),
        ({"key": ["k", "l"], "id": [1, 2]}, "id"),
        ({"key": ["k", "l"], "url": ["u", "v"]}, "key"),
        ({"url": ["u", "v"]}, None),
    ],
)
def test_id_column_that_is_taken(tmp_path: Path, columns: dict, expected: str | None) -> None:
    write_lists(tmp_path / "p.parquet", unit_rows(2), **columns)
    assert open_pool(tmp_path).id_column == expected
    last = list(columns)[-1]
    assert open_pool(tmp_path, ids=last).ids().to_list() == columns[last]


def test_uids_in_a_column_of_another_name(tmp_path: Path) -> None:
    names = uids(300)
    write_lists(tmp_path / "a.parquet", unit_rows(200), key=names[:200])
    write_lists(tmp_path / "b.parquet", unit_rows(100), key=names[200:])
    assert open_pool(tmp_path).id_kind == "uid32"
    write_lists(tmp_path / "b.parquet", unit_rows(100), key=[*names[200:299], "other"])
    pool = open_pool(tmp_path)
    assert pool.id_kind == "string"
    assert pool.ids().to_list() == [*names[:299], "other"]


def test_description_says_how_the_pool_was_understood(tmp_path: Path) -> None:
    write_datacomp(tmp_path, [5, 1000])
    assert open_pool(tmp_path, embedding="l14_img").describe() == (
        "datacomp pool: 2 files, 1,005 rows of 12 x float16 (l14_img), ids from column uid"
    )
