"""Row ids: what names a row in every output, and breaks ties between equal scores.

| kind   | from                                  | held as                | order         |
|--------|---------------------------------------|------------------------|---------------|
| uid32  | 32 lower-case hexadecimal digits      | uint64 (n, 2), 16 B    | lexicographic |
| string | any other text                        | pyarrow large_string   | lexicographic |
| int64  | integers                              | int64 (n,)             | numeric       |
| row    | nothing: the row's number in the pool | int64 (n,)             | numeric       |

Nothing is ever cut or rounded: text keeps its length, integers all their 64 bits. Lexicographic
order is that of the UTF-8 bytes, which is the order of the code points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.data.uid import format_uids, parse_uids, uid_fault
from tamis.errors import PoolError

IdKind: TypeAlias = Literal["uid32", "string", "int64", "row"]
UID_DTYPE = np.dtype("u8,u8")
_TOO_LARGE = "an integer id exceeds 9223372036854775807, the largest int64"


@dataclass(frozen=True, eq=False)
class Ids:
    """The ids of n rows, in row order.

    Attributes:
        kind: "uid32", "string", "int64" or "row"; see the module's table.
        values: the ids as the table says.

    Example:
        >>> ids = Ids.of(["b", "a", "c"])
        >>> ids.kind, ids.argsort().tolist(), ids.take([2, 0]).to_list()
        ('string', [1, 0, 2], ['c', 'b'])
    """

    kind: IdKind
    values: Any

    @classmethod
    def rows(cls, n_rows: int, first: int = 0) -> Ids:
        """Return the row numbers first .. first + n_rows - 1 as ids."""
        return cls("row", np.arange(first, first + n_rows, dtype=np.int64))

    @classmethod
    def of(cls, values: Any, *, kind: IdKind | None = None) -> Ids:
        """Take ids from a list, a NumPy array or a pyarrow array.

        Args:
            values: n strings or n integers; or DataComp's dtype "u8,u8"; or an Ids, returned as is.
            kind: None makes text "uid32" where every id is a uid, else "string"; "uid32" demands
                uids; "string" keeps uids as text.

        Raises:
            PoolError: an id is missing, is no uid where one is demanded, or exceeds int64.
            TypeError: the values are neither text nor integers.
        """
        if isinstance(values, Ids):
            return values
        if isinstance(values, np.ndarray) and values.dtype == UID_DTYPE:
            return cls("uid32", np.ascontiguousarray(values).view(np.uint64).reshape(-1, 2))
        array = _to_arrow(values)
        if array.null_count:
            raise PoolError(f"the id of row {int(pc.index(array.is_null(), True).as_py())} is null")
        if pa.types.is_integer(array.type):
            return cls("int64", _to_int64(array))
        if kind == "string":
            return cls("string", array)
        pairs, bad = parse_uids(array)
        if bad >= 0 and kind == "uid32":
            raise PoolError(f"row {bad}: {uid_fault(str(array[bad].as_py()))}")
        return cls("string", array) if bad >= 0 or not len(array) else cls("uid32", pairs)

    @classmethod
    def concat(cls, parts: Sequence[Ids]) -> Ids:
        """Join ids of one kind; uids beside other text become text.

        Raises:
            PoolError: text beside numbers.
        """
        kinds = {part.kind for part in parts if len(part)}
        if kinds == {"uid32", "string"}:
            parts = [Ids("string", part.to_arrow()) for part in parts]
            kinds = {"string"}
        if len(kinds) > 1:
            raise PoolError(f"expected ids of one kind, got {' and '.join(sorted(kinds))}")
        parts = [part for part in parts if len(part)] or list(parts[:1])
        if not parts:
            return cls.rows(0)
        if len(parts) == 1:
            return parts[0]
        if parts[0].kind == "string":
            return cls("string", pa.concat_arrays([part.values for part in parts]))
        return cls(parts[0].kind, np.concatenate([part.values for part in parts]))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> str | int:
        """Return the id of one row as text or int."""
        if self.kind == "string":
            return str(self.values[row].as_py())
        if self.kind == "uid32":
            high, low = self.values[row].tolist()
            return f"{high:016x}{low:016x}"
        return int(self.values[row])

    def __iter__(self) -> Iterator[str | int]:
        return iter(self.to_list())

    @property
    def column_name(self) -> str:
        """What a table that tamis writes calls them: "uid" for DataComp's uids, "id" for others."""
        return "uid" if self.kind == "uid32" else "id"

    @property
    def nbytes(self) -> int:
        """Bytes held by the ids."""
        return int(self.values.nbytes)

    def slice(self, start: int, stop: int) -> Ids:
        """Return rows start .. stop - 1, without a copy."""
        if self.kind == "string":
            start, stop, _ = slice(start, stop).indices(len(self))
            return Ids(self.kind, self.values.slice(start, max(stop - start, 0)))
        return Ids(self.kind, self.values[start:stop])

    def take(self, rows: Any) -> Ids:
        """Return the ids of `rows`, integers in any order, repeats allowed."""
        rows = np.asarray(rows, np.int64)
        if self.kind == "string":
            return Ids(self.kind, self.values.take(pa.array(rows)))
        return Ids(self.kind, self.values[rows])

    def argsort(self) -> np.ndarray:
        """Return int64 (n,): the rows in ascending order of id, equal ids in row order."""
        if self.kind == "string":
            return np.asarray(pc.array_sort_indices(self.values).to_numpy(), np.int64)
        if self.kind == "uid32":
            return _argsort_pairs(self.values)
        return np.argsort(self.values, kind="stable")

    def rank(self) -> np.ndarray:
        """Return int64 (n,): each row's position in :meth:`argsort`, a sort key for ties."""
        order = self.argsort()
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return rank

    def first_duplicate(self) -> tuple[int, int] | None:
        """Return (i, j), i < j, the rows of the first id that came before; None if all differ.

        j is the lowest row whose id an earlier row has, i the lowest row with that id.
        """
        if self.kind == "row" or len(self) < 2:
            return None
        order = self.argsort()
        ordered = self.take(order)
        if ordered.kind == "string":
            same = pc.equal(ordered.values[1:], ordered.values[:-1]).to_numpy(zero_copy_only=False)
        else:
            same = ordered.values[1:] == ordered.values[:-1]
            same = same.all(axis=1) if ordered.kind == "uid32" else same
        if not same.any():
            return None
        # Equal ids are in row order, so the second row of a group is its lowest repeat.
        repeats = np.flatnonzero(same)
        position = repeats[order[repeats + 1].argmin()]
        return int(order[position]), int(order[position + 1])

    def to_arrow(self) -> pa.Array:
        """Return a pyarrow array: large_string for text and uids, int64 for numbers."""
        if self.kind == "uid32":
            return format_uids(self.values)
        return self.values if self.kind == "string" else pa.array(self.values)

    def to_list(self) -> list[str | int]:
        """Return the ids as Python text or ints."""
        values: list[str | int] = self.to_arrow().to_pylist()
        return values

    def to_uid_array(self) -> np.ndarray:
        """Return DataComp's dtype "u8,u8", (n,). Raises PoolError unless the ids are uids."""
        if self.kind != "uid32":
            raise PoolError(f"expected DataComp uids (32 hexadecimal digits), got {self.kind} ids")
        return np.ascontiguousarray(self.values).view(UID_DTYPE).reshape(-1)


def _argsort_pairs(pairs: np.ndarray) -> np.ndarray:
    high = np.ascontiguousarray(pairs[:, 0])
    order = np.argsort(high)
    ordered = high[order]
    # Random uids differ in their first half, and the fast, unstable sort of it settles the order.
    if (ordered[1:] == ordered[:-1]).any():
        return np.lexsort((pairs[:, 1], high))
    return order


def _to_arrow(values: Any) -> pa.Array:
    """Return an integer or large_string array of the same values."""
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        if isinstance(values, np.ndarray) and values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8")
        try:
            values = pa.array(values, from_pandas=False)
        except OverflowError:
            raise PoolError(_TOO_LARGE) from None
        except (pa.ArrowException, UnicodeError) as error:
            raise TypeError(f"expected ids that are all text or all integers: {error}") from error
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if is_text(values.type) or (pa.types.is_null(values.type) and not len(values)):
        values = values.cast(pa.large_string())
        _require_utf8(values)
    elif not pa.types.is_integer(values.type):
        raise TypeError(f"expected ids that are all text or all integers, got {values.type}")
    if isinstance(values, pa.ChunkedArray):
        return pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    return values


def _require_utf8(texts: pa.Array | pa.ChunkedArray) -> None:
    # A damaged parquet can hold any bytes in a text column; Arrow looks only when asked.
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        raise PoolError("an id is not valid UTF-8 text") from None


def is_text(kind: pa.DataType) -> bool:
    """Return whether `kind` is one of pyarrow's text types."""
    string_view = getattr(pa.types, "is_string_view", None)
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or (string_view is not None and string_view(kind))
    )


def _to_int64(array: pa.Array) -> np.ndarray:
    try:
        return np.ascontiguousarray(array.cast(pa.int64()).to_numpy())
    except pa.ArrowInvalid:
        raise PoolError(_TOO_LARGE) from None
