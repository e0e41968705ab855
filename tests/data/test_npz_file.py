"""Foreign, cut and damaged `.npz` archives."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.pools import (
    read_all,
    saved,
    uids,
    unit_rows,
    write_datacomp,
)

from tamis.data.pool import open_pool
from tamis.errors import PoolError

GOOD = saved(unit_rows(10))


def test_faults_of_the_archive(tmp_path: Path) -> None:
    write_datacomp(tmp_path, [5])
    path = tmp_path / "0000.npz"
    good = path.read_bytes()
    for content in (b"", b"x" * 100, good[: len(good) // 2], good[:-10]):
        path.write_bytes(content)
        with pytest.raises(PoolError, match=r"not a readable .npz"):
            open_pool(tmp_path, embedding="b32_img")


def test_two_members_of_one_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uid": uids(10)}), tmp_path / "a.parquet")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("img.npy", GOOD)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("img.npy", GOOD)
    with pytest.raises(PoolError, match="two members of the archive have the same name"):
        open_pool(tmp_path)


def test_archive_without_arrays(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uid": uids(10)}), tmp_path / "a.parquet")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(PoolError, match=r"several arrays: \(none\)"):
        open_pool(tmp_path)


def test_member_that_lies_about_its_size(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uid": uids(10)}), tmp_path / "a.parquet")
    for body in (GOOD[:-1], GOOD + b"\0"):
        for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            with zipfile.ZipFile(tmp_path / "a.npz", "w", compression) as archive:
                archive.writestr("img.npy", body)
            with pytest.raises(PoolError, match=r"a.npz\[img\]: the header promises 10 x 8"):
                open_pool(tmp_path)


@pytest.mark.parametrize("compression", ["deflated", "bzip2", "lzma"])
def test_every_compression_and_damage_inside(tmp_path: Path, compression: str) -> None:
    pq.write_table(pa.table({"uid": uids(1000)}), tmp_path / "a.parquet")
    rows = unit_rows(1000)
    method = getattr(zipfile, f"ZIP_{compression.upper()}")
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("img.npy", saved(rows))
    assert read_all(open_pool(tmp_path), 300).tobytes() == rows.tobytes()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(PoolError, match=r"a.npz"):
        read_all(open_pool(tmp_path), 300)
