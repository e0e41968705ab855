"""Keys of many rows without a Python string for each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import overload

import pyarrow as pa


class _Keys(Sequence[str]):
    """Keys that are made when asked for."""

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return self._several(index)
        return self._several(slice(index, index + 1 or None))[0]

    @abstractmethod
    def _several(self, rows: slice) -> list[str]: ...


class RowNumbers(_Keys):
    """The numbers 0 .. n - 1 as text.

    Example:
        >>> RowNumbers(12)[9:11], RowNumbers(12)[-1]
        (['9', '10'], '11')
    """

    def __init__(self, n_rows: int) -> None:
        self._rows = range(n_rows)

    def __len__(self) -> int:
        return len(self._rows)

    def _several(self, rows: slice) -> list[str]:
        return [str(row) for row in self._rows[rows]]


class TextKeys(_Keys):
    """The texts of an Arrow array without nulls.

    Example:
        >>> TextKeys(pa.array(["a", "b", "c"]))[1:]
        ['b', 'c']
    """

    def __init__(self, texts: pa.Array) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def _several(self, rows: slice) -> list[str]:
        return [str(text) for text in self._texts[rows].to_pylist()]


class PathKeys(_Keys):
    """Paths without their endings.

    Example:
        >>> PathKeys(["a/1.png", "a/2.tar.jpg"])[:]
        ['a/1', 'a/2.tar']
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def _several(self, rows: slice) -> list[str]:
        return [path_key(path) for path in self._paths[rows]]


def path_key(path: str) -> str:
    """Return a path without its ending; bytes of a name that are not UTF-8 as \\xNN."""
    key = PurePosixPath(path).with_suffix("").as_posix()
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
