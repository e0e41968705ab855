"""The lines of a text file, plain or compressed, in bounded memory.

A plain file is read from the nearest of the offsets noted when its lines were counted. A compressed
one can only be read forwards: reading on is cheap, going back starts at its first byte again.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import threading
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from tamis.data.remote import Place
from tamis.errors import PoolError

_BUFFER_BYTES = 1 << 20
_LINES_PER_OFFSET = 256
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, ValueError)


@dataclass
class LineFile:
    """The lines of one file that are not blank, numbered from 0.

    Attributes:
        path: the file.
        n_lines: how many there are.
        cap: bytes of a line that are kept; what is longer comes back as None.
    """

    path: Place
    n_lines: int
    cap: int
    _offsets: array[int]
    _cursor: _Lines | None = field(default=None, repr=False)
    _mutex: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(cls, path: Place, cap: int) -> LineFile:
        """Count the lines, which reads the whole file once. Raises PoolError."""
        offsets: array[int] = array("q")
        n_lines = 0
        with _explained(path), _Lines(path, cap) as lines:
            for start in lines.starts():
                if n_lines % _LINES_PER_OFFSET == 0:
                    offsets.append(start)
                n_lines += 1
        return cls(path, n_lines, cap, offsets)

    @property
    def compressed(self) -> bool:
        """Whether it is read through a decompressor."""
        return compression(self.path.name) is not None

    def read(self, start: int, stop: int) -> list[bytes | None]:
        """Return lines start .. stop - 1; None for a line of more than `cap` bytes.

        Raises:
            PoolError: the file is damaged or has become shorter.
        """
        with self._mutex, _explained(self.path):
            lines, self._cursor = self._at(start), None
            try:
                wanted = range(stop - start)  # first, or zip would take a line too many
                taken = [line for _, line in zip(wanted, lines.each(), strict=False)]
                if len(taken) < stop - start:
                    raise PoolError(
                        f"{self.path}: the file has fewer lines than it had; it changed"
                    )
                if stop < self.n_lines:
                    self._cursor = lines
            finally:
                if self._cursor is None:
                    lines.close()
        return taken

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cursor": None, "_mutex": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _mutex=threading.Lock())

    def _at(self, line: int) -> _Lines:
        """A reader that stands before `line`: the last one where it is on the way."""
        lines = self._cursor
        noted = 0 if self.compressed else line // _LINES_PER_OFFSET
        if lines is None or lines.number > line or lines.number < noted * _LINES_PER_OFFSET:
            self.close()
            lines = _Lines(self.path, self.cap)
            if noted:
                lines.jump(self._offsets[noted], noted * _LINES_PER_OFFSET)
        for _ in zip(range(line - lines.number), lines.each(), strict=False):
            pass
        return lines


class _Lines:
    """A file that is open at the start of line `number`."""

    def __init__(self, path: Place, cap: int) -> None:
        self._raw = path.open("rb", buffering=_BUFFER_BYTES)
        self._cap = cap
        self.number = 0
        self._stream: BinaryIO = self._raw
        kind = compression(path.name)
        if kind is not None:
            self._stream = kind(self._raw)

    def jump(self, offset: int, number: int) -> None:
        self._stream.seek(offset)
        self.number = number

    def starts(self) -> Iterator[int]:
        """Yield the offset of every line that is not blank."""
        offset = 0
        while True:
            length, line = self._next()
            if length == 0:
                return
            if line is None or line.strip():
                yield offset
                self.number += 1
            offset += length

    def each(self) -> Iterator[bytes | None]:
        """Yield every line that is not blank."""
        while True:
            length, line = self._next()
            if length == 0:
                return
            if line is None or line.strip():
                self.number += 1
                yield line

    def _next(self) -> tuple[int, bytes | None]:
        """Return (bytes of the next line, the line); (0, None) at the end."""
        line = self._stream.readline(self._cap + 1)
        length = len(line)
        if length <= self._cap:
            return length, line
        if line.endswith(b"\n") and length == self._cap + 1:
            return length, line
        while not line.endswith(b"\n"):
            line = self._stream.readline(_BUFFER_BYTES)
            if not line:
                break
            length += len(line)
        return length, None

    def close(self) -> None:
        self._stream.close()
        self._raw.close()

    def __del__(self) -> None:
        if hasattr(self, "_stream"):
            self.close()

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def compression(name: str) -> Callable[[BinaryIO], BinaryIO] | None:
    """Return what opens the compressed content of a file by its ending, None for a plain one."""
    return _OPENERS.get(name.rpartition(".")[2].lower())


def _zstd(raw: BinaryIO) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")


def _buffered(stream: Any) -> BinaryIO:
    return io.BufferedReader(stream, _BUFFER_BYTES)


_OPENERS: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    "gz": lambda raw: _buffered(gzip.GzipFile(fileobj=raw, mode="rb")),
    "bz2": lambda raw: _buffered(bz2.BZ2File(raw)),
    "xz": lambda raw: _buffered(lzma.LZMAFile(raw)),  # noqa: SIM115 - closed by its reader
    "zst": lambda raw: _buffered(_zstd(raw)),
}


@contextmanager
def _explained(path: Place) -> Iterator[None]:
    try:
        yield
    except PoolError:
        raise
    except OSError as error:
        # A decompressor's own errors are OSErrors without a number.
        if error.errno is None and error.strerror is None:
            raise PoolError(f"{path}: damaged or cut off ({error}); copy it again") from error
        raise PoolError(f"cannot read {path}: {error.strerror or error}") from error
    except _DAMAGE as error:
        raise PoolError(f"{path}: damaged or cut off ({error}); copy it again") from error
