"""Damaged, foreign and hostile files: one clear sentence, nothing run, nothing lost."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.pools import (
    read_all,
    uids,
    unit_rows,
    write_clip_retrieval,
    write_datacomp,
    write_lists,
)

from tamis.data.npy_file import NpyFile
from tamis.data.pool import open_pool
from tamis.errors import PoolError


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def npy(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode()
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + body


def saved(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


GOOD = saved(unit_rows(10))
HEADER = "{{'descr': {0}, 'fortran_order': False, 'shape': {1}, }}"

NPY_FAULTS = {
    "empty": (b"", "does not start like one"),
    "no npy": (b"PK\x03\x04 something else", "does not start like one"),
    "version": (b"\x93NUMPY\x09\x00\x01\x00", "unknown version"),
    "header cut off": (GOOD[:40], "header is cut off"),
    "truncated": (GOOD[:-1], r"promises 10 x 8 float16 \(160 bytes\), but only 159 follow: it is"),
    "no body": (GOOD[:128], "but only 0 follow"),
    "too long": (GOOD + b"\0", "but 161 follow: it is not one plain array"),
    "fortran": (saved(np.asfortranarray(unit_rows(10))), "Fortran order; save numpy.ascontig"),
    "big-endian": (saved(unit_rows(10).astype(">f2")), "is big-endian; save array.astype"),
    "1-D": (saved(np.zeros(5, "f2")), r"shape \(rows, dim\), got 1-D \(5,\)"),
    "3-D": (saved(np.zeros((5, 4, 3), "f2")), r"got 3-D \(5, 4, 3\)"),
    "0-D": (saved(np.zeros((), "f2")), "got 0-D"),
    "integers": (saved(np.zeros((5, 4), "i4")), "float16, float32 or float64, got int32"),
    "complex": (saved(np.zeros((5, 4), "c8")), "got complex64"),
    "dim 0": (saved(np.zeros((5, 0), "f2")), "got dim 0"),
    "no rows": (saved(np.zeros((0, 4), "f2")), "holds no rows"),
    "not a literal": (npy("__import__('os')"), "header cannot be read"),
    "nested": (npy("(" * 5000), "header cannot be read"),
    "no shape": (npy("{'descr': '<f2', 'fortran_order': False}"), "header cannot be read"),
    "negative": (npy(HEADER.format("'<f2'", "(-1, 4)")), "header cannot be read"),
    "huge": (npy(HEADER.format("'<f2'", "(1073741824, 1073741824)")), "but only 0 follow"),
    "beyond int64": (npy(HEADER.format("'<f2'", f"({2**70}, 4)")), "header cannot be read"),
    "float shape": (npy(HEADER.format("'<f2'", "(2.0, 4)")), "header cannot be read"),
    "true shape": (npy(HEADER.format("'<f2'", "(True, 4)")), "header cannot be read"),
    "unknown dtype": (npy(HEADER.format("'zz'", "(1, 4)")), "header cannot be read"),
    "list of nothing": (npy(HEADER.format("[('a',)]", "(1, 4)")), "header cannot be read"),
    "sizeless dtype": (npy(HEADER.format("'|V0'", "(1, 4)")), "have no size"),
    "long header": (npy(" " * 70_000, version=b"\x02\x00"), "longer than 65536 bytes"),
    "not utf-8": (b"\x93NUMPY\x03\x00\x02\x00\x00\x00\xff\xff", "header cannot be read"),
}


@pytest.mark.parametrize("fault", NPY_FAULTS)
def test_faulty_npy(tmp_path: Path, fault: str) -> None:
    content, message = NPY_FAULTS[fault]
    (tmp_path / "bad.npy").write_bytes(content)
    with pytest.raises(PoolError, match=message) as raised:
        open_pool(tmp_path / "bad.npy")
    text = str(raised.value)
    assert "bad.npy" in text
    assert "\n" not in text


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_npy_version_is_read(tmp_path: Path, version: int) -> None:
    rows = unit_rows(4)
    text = HEADER.format("'<f2'", "(4, 8)")
    (tmp_path / "a.npy").write_bytes(npy(text, rows.tobytes(), bytes([version, 0])))
    assert read_all(open_pool(tmp_path)).tobytes() == rows.tobytes()


@pytest.mark.parametrize("kind", ["embeddings", "ids", "npz"])
def test_pickles_are_never_loaded(tmp_path: Path, kind: str) -> None:
    canary = tmp_path / "canary"
    evil = saved(np.array([[Canary(canary)]], dtype=object), allow_pickle=True)
    assert b"canary" in evil
    assert isinstance(pickle.loads(evil[evil.index(b"\x80") :]), np.ndarray)
    assert canary.exists()  # the canary works
    canary.unlink()
    folder = tmp_path / "pool"
    folder.mkdir()
    if kind == "npz":
        pq.write_table(pa.table({"uid": uids(1)}), folder / "a.parquet")
        with zipfile.ZipFile(folder / "a.npz", "w") as archive:
            archive.writestr("img.npy", evil)
    else:
        (folder / ("a.npy" if kind == "embeddings" else "a.ids.npy")).write_bytes(evil)
        if kind == "ids":
            np.save(folder / "a.npy", unit_rows(1))
    with pytest.raises(PoolError, match="pickled Python objects, which are never loaded"):
        open_pool(folder)
    assert not canary.exists()


def test_file_that_shrinks_after_it_was_opened(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(GOOD)
    pool = open_pool(tmp_path)
    (tmp_path / "a.npy").write_bytes(GOOD[:-50])
    with pytest.raises(PoolError, match="ended in the middle of its rows"):
        read_all(pool)
    (tmp_path / "a.npy").unlink()
    with pytest.raises(PoolError, match="cannot read"):
        read_all(pool)
    with pytest.raises(PoolError, match="cannot read"):
        pool.inputs()


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
    with pytest.raises(PoolError, match="several arrays: b32_img, l14_img; choose one with --emb"):
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


class TestNpz:
    def test_faults_of_the_archive(self, tmp_path: Path) -> None:
        write_datacomp(tmp_path, [5])
        path = tmp_path / "0000.npz"
        good = path.read_bytes()
        for content in (b"", b"x" * 100, good[: len(good) // 2], good[:-10]):
            path.write_bytes(content)
            with pytest.raises(PoolError, match=r"not a readable .npz"):
                open_pool(tmp_path, embedding="b32_img")

    def test_two_members_of_one_name(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"uid": uids(10)}), tmp_path / "a.parquet")
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("img.npy", GOOD)
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr("img.npy", GOOD)
        with pytest.raises(PoolError, match="two members of the archive have the same name"):
            open_pool(tmp_path)

    def test_archive_without_arrays(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"uid": uids(10)}), tmp_path / "a.parquet")
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("readme.txt", "")
        with pytest.raises(PoolError, match=r"several arrays: \(none\)"):
            open_pool(tmp_path)

    def test_member_that_lies_about_its_size(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"uid": uids(10)}), tmp_path / "a.parquet")
        for body in (GOOD[:-1], GOOD + b"\0"):
            for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                with zipfile.ZipFile(tmp_path / "a.npz", "w", compression) as archive:
                    archive.writestr("img.npy", body)
                with pytest.raises(PoolError, match=r"a.npz\[img\]: the header promises 10 x 8"):
                    open_pool(tmp_path)

    @pytest.mark.parametrize("compression", ["deflated", "bzip2", "lzma"])
    def test_every_compression_and_damage_inside(self, tmp_path: Path, compression: str) -> None:
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


def outcome(path: Path) -> None:
    """Open and read everything; only a PoolError may come of it."""
    try:
        pool = open_pool(path, embedding=None if path.suffix == ".npy" else "e")
        if pool.n_rows < 10_000:
            read_all(pool, 4)
            pool.ids()
            pool.inputs()
    except PoolError as error:
        assert str(error)  # noqa: PT017 - most damage is found, some is harmless; neither crashes


damage = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8)


@given(damage, st.floats(0, 1.2))
def test_any_damage_to_an_npy_is_a_pool_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], keep: float
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "e.npy"
    path.write_bytes(damaged(GOOD, changes, keep))
    outcome(path)


@given(damage, st.floats(0, 1.2), st.booleans())
def test_any_damage_to_an_npz_is_a_pool_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[float, int]],
    keep: float,
    compressed: bool,
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    pq.write_table(pa.table({"uid": uids(10)}), folder / "a.parquet")
    (np.savez_compressed if compressed else np.savez)(folder / "a.npz", e=unit_rows(10))
    good = (folder / "a.npz").read_bytes()
    (folder / "a.npz").write_bytes(damaged(good, changes, keep))
    outcome(folder)


@given(damage, st.floats(0, 1.2))
def test_any_damage_to_a_parquet_is_a_pool_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], keep: float
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    lists = pa.array(unit_rows(10).tolist(), pa.list_(pa.float32()))
    pq.write_table(pa.table({"uid": uids(10), "e": lists}), folder / "a.parquet")
    good = (folder / "a.parquet").read_bytes()
    (folder / "a.parquet").write_bytes(damaged(good, changes, keep))
    outcome(folder)


def damaged(content: bytes, changes: list[tuple[float, int]], keep: float) -> bytes:
    result = bytearray(content)
    for place, value in changes:
        result[min(int(place * len(result)), len(result) - 1)] = value
    return bytes(result[: max(int(keep * len(result)), 1)])


def test_reading_an_array_of_any_dtype_by_rows(tmp_path: Path) -> None:
    array = np.array([("a", 1), ("b", 2), ("c", 3)], "U3,i4")
    np.save(tmp_path / "a.npy", array)
    file = NpyFile.open(tmp_path / "a.npy")
    assert file.read(1, 3).tolist() == array[1:].tolist()
    assert file.read(2, 2).shape == (0,)
