"""Foreign, cut and hostile `.npy` files: one clear sentence, and nothing in them is run."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.pools import (
    read_all,
    saved,
    uids,
    unit_rows,
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


def test_reading_an_array_of_any_dtype_by_rows(tmp_path: Path) -> None:
    array = np.array([("a", 1), ("b", 2), ("c", 3)], "U3,i4")
    np.save(tmp_path / "a.npy", array)
    file = NpyFile.open(tmp_path / "a.npy")
    assert file.read(1, 3).tolist() == array[1:].tolist()
    assert file.read(2, 2).shape == (0,)
