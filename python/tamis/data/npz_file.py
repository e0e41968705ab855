"""`.npz` files: one member of a zip, read where it lies when stored, streamed when compressed.

Only the rows asked for are ever held, whatever a compressed member claims to unpack to.
"""

from __future__ import annotations

import lzma
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tamis.data.npy_file import NpyFile, NpyHeader, check_size, parse_header, read_into
from tamis.data.remote import Place, RemotePath
from tamis.errors import PoolError

_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 1

# All that zipfile and its decompressors raise on damaged or unknown archives.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
)


@dataclass
class CompressedMember:
    """An array inside a compressed member; reading forwards is cheap, going back starts over.

    Attributes:
        path: the `.npz`.
        header: shape, dtype and offset inside the member.
        name: how messages call the array.
    """

    path: Place
    header: NpyHeader
    name: str
    _member: str
    _mutex: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _open: tuple[zipfile.ZipFile, Any] | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype, little-endian."""
        return self.header.dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows start .. stop - 1. Raises PoolError when the member is damaged."""
        rows = np.empty((stop - start, *self.shape[1:]), self.dtype)
        if rows.size == 0:
            return rows
        whole = False
        try:
            with self._mutex, _explained(self.path):
                stream = self._stream()
                stream.seek(self.header.offset + start * self.header.row_bytes)
                read_into(stream, rows, self.name)
                whole = True
        finally:
            if not whole or stop == self.shape[0]:
                self.close()
        return rows

    def _stream(self) -> Any:
        if self._open is None:
            archive = zipfile.ZipFile(_source(self.path))
            try:
                self._open = archive, archive.open(self._member)
            except BaseException:
                archive.close()
                raise
        return self._open[1]

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        with self._mutex:
            if self._open is not None:
                archive, stream = self._open
                self._open = None
                stream.close()
                archive.close()


def npz_keys(path: Place) -> list[str]:
    """Return the names of the arrays in an `.npz`, in file order. Raises PoolError."""
    with _explained(path), zipfile.ZipFile(_source(path)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    if len(set(names)) < len(names):
        raise PoolError(f"{path}: two members of the archive have the same name")
    return [name.removesuffix(".npy") for name in names]


def open_member(path: Place, key: str) -> NpyFile | CompressedMember:
    """Read and check the header of one array of an `.npz`.

    Raises:
        PoolError: the archive or the array cannot be used, or there is no such key.
    """
    keys = npz_keys(path)
    if key not in keys:
        raise PoolError(f"{path}: expected an array {key!r}, the file has {', '.join(keys)}")
    name = f"{path}[{key}]"
    with _explained(path), zipfile.ZipFile(_source(path)) as archive:
        member = archive.getinfo(f"{key}.npy")
        if member.flag_bits & _ENCRYPTED:
            raise PoolError(f"{name}: the archive is encrypted")
        with archive.open(member) as stream:
            header = parse_header(stream, name)  # type: ignore[arg-type]
        check_size(header, member.file_size - header.offset, name)
        if member.compress_type != zipfile.ZIP_STORED:
            return CompressedMember(path, header, name, member.filename)
        offset = _data_offset(path, member)
    return NpyFile(path, NpyHeader(header.shape, header.dtype, offset + header.offset), name)


def _source(path: Place) -> Any:
    """What zipfile opens: a path, or an open remote file."""
    return path.open("rb") if isinstance(path, RemotePath) else path


def _data_offset(path: Place, member: zipfile.ZipInfo) -> int:
    """Return where the bytes of a stored member start, and check that they all are there."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        local = file.read(_LOCAL_HEADER_BYTES)
        size = file.seek(0, 2)
    if len(local) < _LOCAL_HEADER_BYTES:
        raise zipfile.BadZipFile("the local header is cut off")
    name_bytes, extra_bytes = struct.unpack("<HH", local[26:30])
    offset: int = member.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    if offset + member.file_size > size or member.compress_size != member.file_size:
        raise zipfile.BadZipFile("a stored member reaches beyond the end of the file")
    return offset


@contextmanager
def _explained(path: Place) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise PoolError(f"{path} does not exist") from None
    except OSError as error:
        raise PoolError(f"cannot read {path}: {error.strerror or error}") from error
    except PoolError:
        raise
    except _DAMAGE as error:
        raise PoolError(f"{path}: not a readable .npz ({error}); copy it again") from error
