"""Atomic files: whole or absent, deterministic, and one clear sentence when a write fails."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.errors import RunError
from tamis.run import atomic

WRITERS = {
    "bytes": lambda path: atomic.write_bytes(path, b"x" * 1000),
    "json": lambda path: atomic.write_json(path, {"b": 1, "a": [1, None]}),
    "npy": lambda path: atomic.write_npy(path, np.arange(50, dtype=np.float16).reshape(5, 10)),
    "parquet": lambda path: atomic.write_parquet(path, pa.table({"uid": ["a", "b"]})),
}


class FailingCall:
    """Stands in for a system call and fails with `error` from call number `first` on."""

    def __init__(self, call, error: int, first: int = 1) -> None:
        self.call, self.error, self.left = call, error, first

    def __call__(self, *arguments):
        self.left -= 1
        if self.left <= 0:
            raise OSError(self.error, os.strerror(self.error))
        return self.call(*arguments)


@pytest.mark.parametrize("kind", WRITERS)
def test_size_and_sha256_are_those_of_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    written = WRITERS[kind](path)
    content = path.read_bytes()
    assert written.size == len(content)
    assert written.sha256 == hashlib.sha256(content).hexdigest()
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("kind", WRITERS)
def test_bytes_depend_on_content_alone(tmp_path: Path, kind: str) -> None:
    first, second = WRITERS[kind](tmp_path / "a"), WRITERS[kind](tmp_path / "b")
    assert first == second


def test_contents_read_back(tmp_path: Path) -> None:
    for kind, write in WRITERS.items():
        write(tmp_path / kind)
    assert json.loads((tmp_path / "json").read_text()) == {"a": [1, None], "b": 1}
    assert np.load(tmp_path / "npy").tolist() == np.arange(50).reshape(5, 10).tolist()
    assert pq.read_table(tmp_path / "parquet").to_pydict() == {"uid": ["a", "b"]}


@pytest.mark.parametrize(
    "array",
    [
        np.float64(3.5).reshape(()),
        np.zeros((0, 7), np.float16),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(20)[::3],
        np.array([(1, 2)], "u8,u8"),
        np.array(["é", "abc"]),
    ],
    ids=["0-d", "no rows", "fortran", "strided", "structured", "text"],
)
def test_npy_of_every_shape_and_layout(tmp_path: Path, array: np.ndarray) -> None:
    atomic.write_npy(tmp_path / "a.npy", array)
    read = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert read.tolist() == array.tolist()


def test_objects_are_never_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without Python objects"):
        atomic.write_npy(tmp_path / "a.npy", np.array([{}], dtype=object))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("call", ["_write", "_fsync", "_rename"])
@pytest.mark.parametrize("old", [None, b"old content"])
def test_full_disk_at_any_call_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, call: str, old: bytes | None
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    monkeypatch.setattr(atomic, call, FailingCall(getattr(atomic, call), errno.ENOSPC))
    with pytest.raises(RunError, match=r"^cannot write .*file: the disk is full; free some space"):
        WRITERS[kind](path)
    assert (path.read_bytes() if path.exists() else None) == old
    assert os.listdir(tmp_path) == ([] if old is None else ["file"])


def test_full_disk_in_the_middle_of_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(atomic, "_write", FailingCall(os.write, errno.ENOSPC, first=7))
    with pytest.raises(RunError, match="disk is full"):
        atomic.write_npy(tmp_path / "a.npy", np.zeros(10_000))
    assert os.listdir(tmp_path) == []


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_write", lambda file, data: os.write(file, bytes(data[:7])))
    written = atomic.write_bytes(tmp_path / "a", bytes(range(256)))
    assert (tmp_path / "a").read_bytes() == bytes(range(256))
    assert written.sha256 == hashlib.sha256(bytes(range(256))).hexdigest()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errno.EACCES, "permission is denied; choose a folder that you may write to"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_unwritable_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, sentence: str
) -> None:
    # Simulated, because the super-user may write anywhere.
    monkeypatch.setattr(atomic.os, "open", FailingCall(os.open, error))
    with pytest.raises(RunError, match=sentence):
        atomic.write_bytes(tmp_path / "a", b"")


def test_missing_folder_and_file_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        atomic.write_bytes(tmp_path / "absent" / "a", b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match="a file of that name exists"):
        atomic.make_folder(tmp_path / "file")
    with pytest.raises(RunError, match="is a file, not a folder"):
        atomic.make_folder(tmp_path / "file" / "inner")


def test_error_of_the_block_passes_unchanged(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic.replacing(tmp_path / "a") as file:
            file.write(b"half")
            raise FileNotFoundError("other")

    with pytest.raises(FileNotFoundError, match="other"):
        write_half()
    assert os.listdir(tmp_path) == []


def test_parquet_in_pieces(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(10))})
    with atomic.replacing_parquet(tmp_path / "t.parquet", table.schema) as (writer, file):
        writer.write_table(table.slice(0, 4))
        writer.write_table(table.slice(4))
    assert pq.read_table(tmp_path / "t.parquet").equals(table)
    assert file.written.size == (tmp_path / "t.parquet").stat().st_size


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    leftovers = [tmp_path / ".a.1.tamis-tmp", tmp_path / "inner" / ".b.npy.99.tamis-tmp"]
    for path in [*leftovers, tmp_path / "kept", tmp_path / ".kept"]:
        path.write_bytes(b"")
    assert atomic.remove_temporaries(tmp_path) == leftovers
    assert sorted(os.listdir(tmp_path)) == [".kept", "inner", "kept"]
