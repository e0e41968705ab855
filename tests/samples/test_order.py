"""Rows in the right order: numbers without padding, tars and tables that are ordered apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.samples.layouts import pairs, read_all, table, write_parquet, write_tar

from tamis.data.pool import open_pool
from tamis.data.samples import open_samples
from tamis.errors import PoolError

ROWS = pairs(24)


def test_unpadded_numbers_as_laion_has_them(tmp_path: Path) -> None:
    (tmp_path / "img_emb").mkdir()
    for number in range(12):
        rows = ROWS[2 * number : 2 * number + 2]
        captions = pa.table(
            {"image_path": [r.key for r in rows], "caption": [r.text for r in rows]}
        )
        write_parquet(tmp_path / "metadata" / f"metadata_{number}.parquet", captions)
        np.save(tmp_path / "img_emb" / f"img_emb_{number}.npy", np.ones((2, 4), "f2"))
    pool = open_samples(tmp_path)
    assert [sample.text for sample in read_all(pool)] == [row.text for row in ROWS]
    assert pool.ids().to_list() == open_pool(tmp_path).ids().to_list()


def test_two_tables_of_one_number(tmp_path: Path) -> None:
    (tmp_path / "text_emb").mkdir()
    for name in ("1", "01"):
        write_parquet(
            tmp_path / "metadata" / f"metadata_{name}.parquet", pa.table({"caption": ["a"]})
        )
    with pytest.raises(PoolError, match="have the same number; remove one of them"):
        open_samples(tmp_path)


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_tars_are_joined_with_tables_of_another_order(tmp_path: Path, order: str) -> None:
    (tmp_path / "shards").mkdir()
    write_tar(tmp_path / "shards" / "0.tar", ROWS[:10])
    write_tar(tmp_path / "shards" / "1.tar", ROWS[10:])
    rows = list(reversed(ROWS))
    if order == "shuffled":
        rows = [ROWS[i] for i in np.random.default_rng(0).permutation(len(ROWS))]
    write_parquet(tmp_path / "metadata" / "a.parquet", table(rows[:5]), group=2)
    write_parquet(tmp_path / "metadata" / "b.parquet", table(rows[5:]), group=3)
    pool = open_samples(tmp_path)
    assert pool.ids().to_list() == [row.uid for row in ROWS]
    assert pool.problems() == []
    for rows_per_unit in (1, 7, 100):
        for unit in pool.units(rows_per_unit):
            here = ROWS[unit.first_row : unit.first_row + unit.n_rows]
            columns = pool.read_columns(["original_width", "text", "key", "uid"], unit)
            assert columns.to_pydict() == {
                "original_width": [row.width for row in here],
                "text": [row.text for row in here],
                "key": [row.key for row in here],
                "uid": [row.uid for row in here],
            }


def test_samples_without_metadata_have_nulls_and_are_told(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    write_tar(tmp_path / "shards" / "0.tar", ROWS[:10])
    write_parquet(tmp_path / "metadata" / "a.parquet", table([*ROWS[2:4], *ROWS[6:]]))
    pool = open_samples(tmp_path)
    lost = (0, 1, 4, 5)
    for rows_per_unit in (1, 2, 100):
        read = [pool.read_columns(["key", "text"], unit) for unit in pool.units(rows_per_unit)]
        texts = [text for part in read for text in part.column("text").to_pylist()]
        assert texts == [None if i in lost else row.text for i, row in enumerate(ROWS[:10])]
        keys = [key for part in read for key in part.column("key").to_pylist()]
        assert keys == [row.key for row in ROWS[:10]]
    assert pool.ids().to_list() == [row.uid for row in ROWS[:10]]
    shown = ", ".join(ROWS[i].key for i in lost[:3])
    assert pool.problems() == [
        f"shards/0.tar: 4 samples have no row of metadata: {shown}",
        "14 rows of metadata have no sample in the tars",
    ]


def test_a_sample_with_damaged_json_is_alone_without_metadata(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    path = tmp_path / "shards" / "0.tar"
    write_tar(path, ROWS[:5])
    content = path.read_bytes()
    path.write_bytes(content.replace(ROWS[2].uid.encode(), b"\xff" * 32))
    write_parquet(tmp_path / "metadata" / "a.parquet", table(ROWS[:5]))
    pool = open_samples(tmp_path)
    texts = pool.read_columns(["text"], pool.units(9)[0]).column(0).to_pylist()
    assert texts == [None if i == 2 else row.text for i, row in enumerate(ROWS[:5])]
    assert [sample.image for sample in read_all(pool)] == [row.image for row in ROWS[:5]]
    ids = pool.ids().to_list()
    assert [ids[i] == ROWS[i].uid for i in range(5)] == [True, True, False, True, True]
    assert any("have no row of metadata" in told for told in pool.problems())


def test_metadata_of_other_samples(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    write_tar(tmp_path / "shards" / "0.tar", ROWS[:10])
    write_parquet(tmp_path / "metadata" / "a.parquet", table(ROWS[10:]))
    pool = open_samples(tmp_path)
    lost = rf"0.tar: no sample's uid is in the pool's metadata, not even that of .*{ROWS[0].uid}"
    with pytest.raises(PoolError, match=lost):
        pool.read_columns(["text"], pool.units(4)[0])
    assert "no sample's uid is in the pool's metadata" in pool.problems()[0]
    assert len(read_all(pool)) == 10


def test_metadata_with_a_uid_twice(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    write_tar(tmp_path / "shards" / "0.tar", ROWS[:3])
    write_parquet(tmp_path / "metadata" / "a.parquet", table([*ROWS, ROWS[3]]))
    pool = open_samples(tmp_path)
    told = rf"id '{ROWS[3].uid}' is there twice: .*a.parquet row 3 and .*a.parquet row 24"
    with pytest.raises(PoolError, match=told):
        pool.read_columns(["text"], pool.units(4)[0])


def test_uids_that_differ_in_their_last_digit_only(tmp_path: Path) -> None:
    from dataclasses import replace

    rows = [replace(row, uid=f"{i:032x}") for i, row in enumerate(ROWS)]
    rows[0] = replace(rows[0], uid="f" * 32)
    rows[1] = replace(rows[1], uid="ff" * 15 + "00")
    (tmp_path / "shards").mkdir()
    write_tar(tmp_path / "shards" / "0.tar", rows)
    write_parquet(tmp_path / "metadata" / "a.parquet", table(rows[::-1]))
    pool = open_samples(tmp_path)
    columns = pool.read_columns(["uid", "text"], pool.units(100)[0])
    assert columns.column(0).to_pylist() == [row.uid for row in rows]
    assert columns.column(1).to_pylist() == [row.text for row in rows]


def test_datacomp_rows_are_those_of_the_embeddings(tmp_path: Path) -> None:
    for name, rows in {"b10": ROWS[:5], "b9": ROWS[5:]}.items():
        write_parquet(tmp_path / f"{name}.parquet", table(rows))
        np.savez(tmp_path / f"{name}.npz", l14_img=np.ones((len(rows), 4), "f2"))
    samples, pool = open_samples(tmp_path), open_pool(tmp_path)
    assert samples.ids().to_list() == pool.ids().to_list()
    assert [sample.text for sample in read_all(samples)] == [r.text for r in (*ROWS[5:], *ROWS[:5])]
