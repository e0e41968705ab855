"""Keys of many rows without a Python string for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import pyarrow as pa


class RowNumbers(Sequence[str]):
    """The numbers 0 .. n - 1 as text.

    Example:
        >>> RowNumbers(12)[9:11]
        ['9', '10']
    """

    def __init__(self, n_rows: int) -> None:
        self._rows = range(n_rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [str(row) for row in self._rows[index]]
        return str(self._rows[index])


class TextKeys(Sequence[str]):
    """The texts of an Arrow array without nulls, made into str when asked for.

    Example:
        >>> TextKeys(pa.array(["a", "b", "c"]))[1:]
        ['b', 'c']
    """

    def __init__(self, texts: pa.Array) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [str(text) for text in self._texts[index].to_pylist()]
        return str(self._texts[index].as_py())
