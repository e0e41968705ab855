"""One column of a table, read range by range, wherever the table lies."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tamis.data.ids import is_text
from tamis.data.parquet_file import open_parquet, parquet_errors
from tamis.data.remote import Place
from tamis.errors import PoolError

Mask: TypeAlias = NDArray[np.bool_]
ColumnKind: TypeAlias = Literal["number", "set", "text"]
_BATCH_ROWS = 1 << 18


@dataclass(frozen=True)
class Cells:
    """Some rows of a column.

    Attributes:
        values: float32, float64, int64, uint64 or bool (n,), or a pyarrow array of text.
        valid: bool (n,), where there is a value; None where all are there. A NaN is no value.
    """

    values: Any
    valid: Mask | None

    def __len__(self) -> int:
        return len(self.values)

    def slice(self, start: int, stop: int) -> Cells:
        """Return rows start .. stop - 1, without a copy."""
        values = self.values
        part = values.slice(start, stop - start) if isinstance(values, pa.Array) else None
        return Cells(
            values[start:stop] if part is None else part,
            None if self.valid is None else self.valid[start:stop],
        )

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self.values.nbytes) + (0 if self.valid is None else self.valid.nbytes)


class Column(Protocol):
    """Cells by row number."""

    @property
    def kind(self) -> ColumnKind:
        """What it holds: numbers, bools (a set of rows) or texts."""

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Of numbers: float32 (of float16 too), float64, int64 or uint64; else None."""

    def read(self, start: int, stop: int) -> Cells:
        """Return rows start .. stop - 1."""


def kind_of(arrow: pa.DataType) -> ColumnKind | None:
    """Return the kind of a pyarrow type, None for one that no expression can use."""
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    if pa.types.is_boolean(arrow):
        return "set"
    if pa.types.is_integer(arrow) or pa.types.is_floating(arrow):
        return "number"
    return "text" if is_text(arrow) else None


def dtype_of(arrow: pa.DataType) -> np.dtype[Any] | None:
    """Return what numbers of a pyarrow type are read as; None for other kinds."""
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    if pa.types.is_floating(arrow):
        return np.dtype(np.float64 if pa.types.is_float64(arrow) else np.float32)
    if pa.types.is_integer(arrow):
        return np.dtype(np.uint64 if pa.types.is_uint64(arrow) else np.int64)
    return None


def common_type(types: Sequence[pa.DataType]) -> pa.DataType | None:
    """Return a type that holds what all of these hold, None where they are of several kinds.

    Example:
        >>> common_type([pa.float32(), pa.float64()]), common_type([pa.int8(), pa.string()])
        (DataType(double), None)
    """
    if all(arrow == types[0] for arrow in types):
        return types[0]
    kinds = {kind_of(arrow) for arrow in types}
    if len(kinds) > 1 or None in kinds:
        return None
    if kinds != {"number"}:
        return pa.large_string() if kinds == {"text"} else pa.bool_()
    return pa.from_numpy_dtype(np.result_type(*(dtype_of(arrow) for arrow in types)))


def to_cells(array: pa.Array) -> Cells:
    """Turn a pyarrow array of one of the three kinds into cells."""
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    valid = None if not array.null_count else array.is_valid().to_numpy(zero_copy_only=False)
    dtype = dtype_of(array.type)
    if dtype is None and not pa.types.is_boolean(array.type):
        # Views have no kernel that compares them.
        plain = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
        return Cells(array if plain else array.cast(pa.large_string()), valid)
    if dtype is None:
        filled = array.fill_null(False) if valid is not None else array
        return Cells(filled.to_numpy(zero_copy_only=False), valid)
    if pa.types.is_floating(array.type):
        # Nulls come back as NaN, which is no value anyway.
        values = array.to_numpy(zero_copy_only=False)
        return Cells(np.ascontiguousarray(values, dtype), None)
    filled = array.fill_null(0) if valid is not None else array
    return Cells(np.ascontiguousarray(filled.to_numpy(zero_copy_only=False), dtype), valid)


@dataclass(frozen=True)
class ArrayColumn:
    """A column in memory, or mapped from a file."""

    cells: Cells
    kind: ColumnKind

    @classmethod
    def of(cls, values: Any) -> ArrayColumn:
        """Take a NumPy or pyarrow array, or a list.

        Raises:
            TypeError: it holds neither numbers nor bools nor texts.

        Example:
            >>> ArrayColumn.of([1.5, None]).kind, ArrayColumn.of(["en", None]).kind
            ('number', 'text')
        """
        if isinstance(values, np.ndarray) and values.dtype in (
            np.float32,
            np.float64,
            np.int64,
            np.uint64,
            np.bool_,
        ):
            return cls(Cells(values, None), "set" if values.dtype == np.bool_ else "number")
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
        kind = kind_of(array.type)
        if kind is None:
            raise TypeError(f"expected numbers, bools or texts, got {array.type}")
        return cls(to_cells(array), kind)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        return self.cells.values.dtype if self.kind == "number" else None

    def read(self, start: int, stop: int) -> Cells:
        return self.cells.slice(start, stop)


class ParquetColumn:
    """One column of some parquet files, one after the other.

    Ranges that follow each other are read in one go; any other start decodes its row group from the
    beginning. One thread at a time.
    """

    def __init__(self, paths: Sequence[Place], rows: Sequence[int], name: str, arrow: pa.DataType):
        self.name = name
        self.arrow = arrow
        self._paths = list(paths)
        self._starts = np.cumsum([0, *rows]).tolist()
        self._batches: Iterator[pa.Array] | None = None
        self._rest: pa.Array | None = None
        self._next = -1

    @property
    def kind(self) -> ColumnKind:
        kind = kind_of(self.arrow)
        if kind is None:
            raise PoolError(
                f"{self._paths[0]}: column {self.name!r} holds {self.arrow}; expected numbers, "
                "bools or texts"
            )
        return kind

    @property
    def dtype(self) -> np.dtype[Any] | None:
        return dtype_of(self.arrow)

    def read(self, start: int, stop: int) -> Cells:
        return to_cells(self.read_arrow(start, stop))

    def read_arrow(self, start: int, stop: int) -> pa.Array:
        """Return rows start .. stop - 1 as they are stored. Raises PoolError."""
        if self._next != start or self._batches is None:
            self._batches, self._rest = self._from(start), None
        parts: list[pa.Array] = []
        missing = stop - start
        while missing > 0:
            if self._rest is None or len(self._rest) == 0:
                self._rest = next(self._batches, None)
                if self._rest is None:
                    raise PoolError(
                        f"{self._paths[-1]}: column {self.name!r} has fewer rows than its footer "
                        "says; copy the file again"
                    )
            part = self._rest.slice(0, missing)
            self._rest = self._rest.slice(len(part))
            parts.append(part)
            missing -= len(part)
        self._next = stop
        if len(parts) == 1:
            return parts[0]
        return pa.concat_arrays(parts) if parts else pa.array([], self.arrow)

    def _from(self, row: int) -> Iterator[pa.Array]:
        first = max(0, bisect.bisect_right(self._starts, row) - 1)
        for number in range(first, len(self._paths)):
            skipped = max(0, row - self._starts[number])
            for array in self._of_file(self._paths[number], skipped):
                yield array if array.type == self.arrow else self._cast(array, number)

    def _cast(self, array: pa.Array, number: int) -> pa.Array:
        try:
            return array.cast(self.arrow)
        except pa.ArrowInvalid as error:
            raise PoolError(
                f"{self._paths[number]}: column {self.name!r} holds {array.type}, which does not "
                f"fit {self.arrow}, as the files together need: {error}"
            ) from None

    def _of_file(self, path: Place, skipped: int) -> Iterator[pa.Array]:
        file = open_parquet(path)
        with parquet_errors(path):
            group = 0
            while group < file.num_row_groups:
                rows = file.metadata.row_group(group).num_rows
                if skipped < rows:
                    break
                skipped -= rows
                group += 1
            for batch in file.iter_batches(
                _BATCH_ROWS,
                row_groups=range(group, file.num_row_groups),
                columns=[self.name],
                use_threads=False,
            ):
                array = batch.column(0)
                if skipped < len(array):
                    yield array.slice(skipped)
                skipped = max(0, skipped - len(array))


class KeptColumn:
    """A column whose ranges are kept in memory once they have been read.

    It is for readers that go over the same ranges several times.
    """

    def __init__(self, read: Callable[[int, int], Any]) -> None:
        self._read = read
        self._kept: dict[tuple[int, int], Any] = {}

    def read(self, start: int, stop: int) -> Any:
        """Return what the column has for this very range."""
        if (start, stop) not in self._kept:
            self._kept[start, stop] = self._read(start, stop)
        return self._kept[start, stop]
