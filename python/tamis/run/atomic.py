"""Files that are either whole or absent.

Every file is written under a temporary name in its own folder, flushed, fsynced and renamed, and
the folder is fsynced: a reader never sees half a file, whatever moment the writer is killed at.
The bytes depend on the content alone (no time stamps, sorted JSON keys), and their sha256 is taken
while they are written.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tamis.errors import RunError

if TYPE_CHECKING:
    import pyarrow as pa

TEMPORARY_SUFFIX = ".tamis-tmp"
_BLOCK_BYTES = 1 << 24
_ROWS_PER_GROUP = 1 << 17  # fixed, so that a table's bytes do not depend on who writes it

# The system calls that can fail for want of space or permission; tests replace them.
_write = os.write
_fsync = os.fsync
_rename = os.replace

_CAUSES = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EACCES: "permission is denied; choose a folder that you may write to",
    errno.EPERM: "the operation is not permitted; choose a folder that you may write to",
    errno.EROFS: "the file system is read-only; choose a folder that you may write to",
    errno.ENOTDIR: "a part of that path is a file, not a folder; choose another path",
    errno.EISDIR: "that path is a folder; choose another path",
    errno.EFBIG: "the file would be too large for this file system",
}


@dataclass(frozen=True)
class Written:
    """Size in bytes and sha256 (64 hex digits) of a file that was written whole."""

    size: int
    sha256: str


class AtomicFile(io.RawIOBase):
    """The temporary file behind :func:`replacing`: write-only, sequential, hashed on the way."""

    def __init__(self, path: Path, descriptor: int) -> None:
        super().__init__()
        self._path = path
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self._size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any, /) -> int:
        """Write all of `data` (any contiguous buffer), return its bytes. Raises RunError."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _BLOCK_BYTES):
            block = view[start : start + _BLOCK_BYTES]
            self._hash.update(block)
            try:
                while block:
                    block = block[_write(self._descriptor, block) :]
            except OSError as error:
                raise write_failure(self._path, error) from error
        self._size += len(view)
        return len(view)

    @property
    def written(self) -> Written:
        """Size and sha256 of what has been written so far."""
        return Written(self._size, self._hash.hexdigest())


def write_failure(path: Path, error: OSError) -> RunError:
    """Return the one sentence for a failed write to `path`."""
    cause = _CAUSES.get(error.errno or 0, error.strerror or str(error))
    return RunError(f"cannot write {path}: {cause}")


def make_folder(path: Path) -> None:
    """Create `path` and its parents. Raises RunError when that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise RunError(f"cannot create the folder {path}: a file of that name exists") from None
    except OSError as error:
        raise write_failure(path, error) from error


def sync_folder(path: Path) -> None:
    """Make renames and removals inside `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[AtomicFile]:
    """Open a file that takes the name `path`, all at once, when the block ends without an error.

    Args:
        path: the final name; its folder must exist. A file of that name is replaced.

    Yields:
        A writable binary file without seek. After the block its `written` holds size and sha256.

    Raises:
        RunError: one sentence for a full disk, a missing permission, or any other failed write.
            The temporary file is removed, and a file that was at `path` before is untouched.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "a.bin") as file:
        ...     _ = file.write(b"whole")
        >>> (folder / "a.bin").read_bytes(), file.written.size
        (b'whole', 5)
    """
    path = Path(path)
    # The processes of a job array may have one pid on two hosts.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with _explained(path):
        descriptor = os.open(temporary, flags, 0o666)
    try:
        try:
            # An OSError of the block itself passes as it is: it may be about another file.
            file = AtomicFile(path, descriptor)
            yield file
            with _explained(path):
                _fsync(descriptor)
        finally:
            os.close(descriptor)
        with _explained(path):
            _rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    with _explained(path):
        sync_folder(path.parent)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_failure(path, error) from error


def write_bytes(path: Path | str, data: bytes) -> Written:
    """Write `data` to `path` atomically. Raises RunError; see :func:`replacing`."""
    with replacing(path) as file:
        file.write(data)
    return file.written


def json_bytes(value: Any) -> bytes:
    """Return the one JSON text of `value`: sorted keys, two spaces, no NaN, a final newline."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def write_json(path: Path | str, value: Any) -> Written:
    """Write `value` as JSON to `path` atomically. Raises RunError; see :func:`replacing`."""
    return write_bytes(path, json_bytes(value))


def write_npy(path: Path | str, array: np.ndarray) -> Written:
    """Write `array` as a C-ordered `.npy` to `path` atomically.

    Raises:
        RunError: the file cannot be written.
        ValueError: `array` holds Python objects, which could only be pickled.
    """
    with replacing(path) as file:
        write_npy_into(file, array)
    return file.written


def write_npy_into(file: AtomicFile, array: np.ndarray) -> None:
    """Write `array` as `.npy` into an open file, in blocks, without a second copy of it."""
    if array.dtype.hasobject:
        raise ValueError("expected an array without Python objects, which cannot be stored")
    array = np.ascontiguousarray(array).reshape(array.shape)  # keep 0-d arrays 0-d
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    if array.size:
        file.write(array.reshape(-1).view(np.uint8))


def write_parquet(path: Path | str, table: pa.Table) -> Written:
    """Write `table` to `path` atomically. Raises RunError; see :func:`replacing`."""
    with replacing_parquet(path, table.schema) as (writer, file):
        writer.write_table(table, row_group_size=_ROWS_PER_GROUP)
    return file.written


@contextlib.contextmanager
def replacing_parquet(path: Path | str, schema: pa.Schema) -> Iterator[tuple[Any, AtomicFile]]:
    """Like :func:`replacing`, for a table written piece by piece.

    Yields:
        (writer, file): `writer.write_table(table)` and `writer.write_batch(batch)` append rows;
        after the block `file.written` holds size and sha256.
    """
    with replacing(path) as file, parquet_writer(file, schema) as writer:
        yield writer, file


def parquet_writer(file: AtomicFile, schema: pa.Schema) -> Any:
    """A pyarrow writer into an open file; the same tables always give the same bytes."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(file, schema, version="2.6", compression="zstd")


def remove_temporaries(folder: Path, *, apart: str = "", spared: str = "") -> list[Path]:
    """Remove what killed writers left anywhere under `folder`; return the removed paths, sorted.

    Args:
        folder: where to look.
        apart: subfolders that hold a file of this name are left alone: others may work there.
        spared: temporaries of the file of this name are too.
    """
    leftovers = []
    for place, folders, files in os.walk(folder):
        if apart:
            folders[:] = [name for name in folders if not Path(place, name, apart).exists()]
        for name in files:
            kept = spared and name.startswith(f".{spared}.")
            if name.startswith(".") and name.endswith(TEMPORARY_SUFFIX) and not kept:
                leftovers.append(Path(place, name))
    leftovers.sort()
    for path in leftovers:
        path.unlink(missing_ok=True)
    return leftovers
