"""`.npy` files, read row by row range with plain file reads.

Nothing is mapped into memory, so a reader's resident memory is the rows it was asked for. The
header is data: it is parsed as a literal, never run, and pickled arrays are refused.
"""

from __future__ import annotations

import ast
import math
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from tamis.data.remote import Place
from tamis.errors import PoolError

_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 1 << 16
EMBEDDING_DTYPES = (np.dtype("<f2"), np.dtype("<f4"), np.dtype("<f8"))


@dataclass(frozen=True)
class NpyHeader:
    """What a `.npy` header promises: shape, dtype, and where the elements start (bytes)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row: of all dimensions but the first."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def n_bytes(self) -> int:
        """Bytes of all elements."""
        return self.dtype.itemsize * math.prod(self.shape)


@dataclass(frozen=True)
class NpyFile:
    """An uncompressed, C-ordered array inside a file; `.npy`, or a stored member of an `.npz`.

    Attributes:
        path: the file.
        header: its shape, dtype and offset in the file.
        name: how messages call the array.
    """

    path: Place
    header: NpyHeader
    name: str

    @classmethod
    def open(cls, path: Place) -> NpyFile:
        """Read and check the header of a `.npy` file.

        Raises:
            PoolError: not a `.npy`, pickled, Fortran-ordered, big-endian, truncated or too long.
        """
        try:
            with path.open("rb") as file:
                header = parse_header(file, str(path))
                check_size(header, file.seek(0, 2) - header.offset, str(path))
        except OSError as error:
            raise PoolError(f"cannot read {path}: {error.strerror or error}") from error
        return cls(path, header, str(path))

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype, little-endian."""
        return self.header.dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows start .. stop - 1. Raises PoolError when the file has become shorter."""
        rows = np.empty((stop - start, *self.shape[1:]), self.dtype)
        if rows.size == 0:
            return rows
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.header.offset + start * self.header.row_bytes)
                read_into(file, rows, self.name)
        except OSError as error:
            raise PoolError(f"cannot read {self.path}: {error.strerror or error}") from error
        return rows


def read_into(file: Any, rows: np.ndarray, name: str) -> None:
    """Fill `rows` from the file's position on. Raises PoolError when it ends too early."""
    view = rows.reshape(-1).view(np.uint8).data
    while view:
        n_read = file.readinto(view)
        if not n_read:
            raise PoolError(f"{name}: the file ended in the middle of its rows; copy it again")
        view = view[n_read:]


def parse_header(file: BinaryIO, name: str) -> NpyHeader:
    """Read a `.npy` header from the file's position on.

    Raises:
        PoolError: see :meth:`NpyFile.open`.
    """
    start = file.read(8)
    if len(start) < 8 or start[:6] != _MAGIC:
        raise PoolError(f"{name}: expected a .npy array, but the file does not start like one")
    width, layout = (2, "<H") if start[6] == 1 else (4, "<I")
    length_field = file.read(width)
    if start[6] not in (1, 2, 3) or len(length_field) < width:
        raise PoolError(f"{name}: the .npy header is cut off or of an unknown version")
    length = struct.unpack(layout, length_field)[0]
    text = file.read(min(length, _MAX_HEADER + 1))
    if length > _MAX_HEADER or len(text) < length:
        raise PoolError(f"{name}: the .npy header is cut off or longer than {_MAX_HEADER} bytes")
    shape, dtype = _parse_description(text, "utf-8" if start[6] == 3 else "latin-1", name)
    return NpyHeader(shape, dtype, 8 + width + length)


def check_size(header: NpyHeader, available: int, name: str) -> None:
    """Raise PoolError unless exactly the promised bytes follow the header."""
    if available == header.n_bytes:
        return
    shape = " x ".join(map(str, header.shape)) or "one"
    promised = f"{name}: the header promises {shape} {header.dtype} ({header.n_bytes} bytes)"
    if available < header.n_bytes:
        raise PoolError(f"{promised}, but only {available} follow: it is truncated, copy it again")
    raise PoolError(f"{promised}, but {available} follow: it is not one plain array")


def check_embeddings(header: NpyHeader, name: str) -> None:
    """Raise PoolError unless the array is 2-D, float16, float32 or float64, with dim >= 1."""
    if len(header.shape) != 2:
        raise PoolError(
            f"{name}: expected embeddings of shape (rows, dim), got {len(header.shape)}-D "
            f"{header.shape}; reshape the array"
        )
    if header.dtype not in EMBEDDING_DTYPES:
        raise PoolError(
            f"{name}: expected embeddings of float16, float32 or float64, got {header.dtype}"
        )
    if header.shape[1] == 0:
        raise PoolError(f"{name}: expected embeddings with at least one element, got dim 0")


def _parse_description(
    text: bytes, encoding: str, name: str
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        description = ast.literal_eval(text.decode(encoding))
        shape, fortran = description["shape"], description["fortran_order"]
        dtype = np.lib.format.descr_to_dtype(description["descr"])
        well_formed = (
            isinstance(shape, tuple)
            and all(type(size) is int and 0 <= size < 1 << 62 for size in shape)
            and type(fortran) is bool
            and isinstance(dtype, np.dtype)
        )
    except (ValueError, TypeError, KeyError, IndexError, SyntaxError, RecursionError, MemoryError):
        well_formed = False
    if not well_formed:
        raise PoolError(f"{name}: the .npy header cannot be read")
    if dtype.hasobject:
        raise PoolError(
            f"{name}: the array holds pickled Python objects, which are never loaded; "
            "save it again as numbers"
        )
    if fortran and len(shape) > 1:
        raise PoolError(
            f"{name}: the array is in Fortran order; save numpy.ascontiguousarray of it"
        )
    if _is_big_endian(dtype):
        raise PoolError(f"{name}: the array is big-endian; save array.astype('<f4') or the like")
    if dtype.itemsize == 0:
        raise PoolError(f"{name}: the array's elements have no size")
    return shape, dtype


def _is_big_endian(dtype: np.dtype[Any]) -> bool:
    if dtype.fields is not None:
        return any(_is_big_endian(field[0]) for field in dtype.fields.values())
    return dtype.str[0] == ">"
