"""Parquet tables beside embeddings: the ids of the rows, and numeric columns to rank by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.data.ids import Ids, is_text
from tamis.data.parquet_file import open_parquet, parquet_errors
from tamis.data.remote import Place
from tamis.data.uid import parse_uids, uid_fault
from tamis.errors import PoolError

# Looked for in this order; "image_path" is what clip-retrieval calls the key.
ID_COLUMNS = ("uid", "id", "key", "image_path")
UID_COLUMN = "uid"
_BATCH_ROWS = 1 << 17


@dataclass(frozen=True)
class MetadataFile:
    """One parquet table.

    Attributes:
        path: the file.
        n_rows: rows, from the footer.
        schema: the columns.
    """

    path: Place
    n_rows: int
    schema: pa.Schema

    @classmethod
    def open(cls, path: Place) -> MetadataFile:
        """Read the footer. Raises PoolError."""
        file = open_parquet(path)
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise PoolError(f"{path}: two columns are called {twice!r}; rename one of them")
        return cls(path, file.metadata.num_rows, file.schema_arrow)

    def id_column(self, asked: str | None) -> str | None:
        """Return the column of ids: the one asked for, else the first of ID_COLUMNS, else None.

        Raises:
            PoolError: the column asked for is absent, or holds neither text nor integers.
        """
        names = self.schema.names
        if asked is not None and asked not in names:
            raise PoolError(f"{self.path}: expected an id column {asked!r}, it has {self._names()}")
        column = asked or next((name for name in ID_COLUMNS if name in names), None)
        if column is not None:
            kind = _plain_type(self.schema.field(column).type)
            if not (is_text(kind) or pa.types.is_integer(kind)):
                raise PoolError(
                    f"{self.path}: expected id column {column!r} to hold text or integers, got "
                    f"{kind}; name another column"
                )
        return column

    def read_ids(self, column: str, *, strict_uids: bool | None = None) -> Ids:
        """Read an id column.

        Args:
            column: its name.
            strict_uids: whether text must be DataComp uids; None means iff it is called "uid".

        Raises:
            PoolError: a missing id, or what is not a uid where one must be; names the row.
        """
        if column not in self.schema.names:
            raise PoolError(f"{self.path}: expected a column {column!r}, it has {self._names()}")
        strict = column == UID_COLUMN if strict_uids is None else strict_uids
        parts = []
        first = 0
        for array in self._batches(column):
            if array.null_count:
                row = first + int(pc.index(array.is_null(), True).as_py())
                raise PoolError(f"{self.path}: row {row} of column {column!r} has no id")
            try:
                part = Ids.of(array)
            except (PoolError, TypeError) as error:
                raise PoolError(f"{self.path}: column {column!r}: {error}") from error
            if strict and part.kind == "string" and len(part):
                _, bad = parse_uids(part.values)
                raise PoolError(f"{self.path}: row {first + bad}: {uid_fault(str(part[bad]))}")
            parts.append(part)
            first += len(part)
        return Ids.concat(parts)

    def read_numbers(self, column: str) -> np.ndarray:
        """Read a numeric column: int64 (n,) for integers without nulls, else float64, NaN = null.

        Raises:
            PoolError: no such column, or one that is not numeric; lists the numeric columns.
        """
        numeric = [field.name for field in self.schema if _is_number(field.type)]
        if column not in numeric:
            what = "is not numeric" if column in self.schema.names else "does not exist"
            raise PoolError(
                f"{self.path}: column {column!r} {what}; the numeric columns are "
                f"{', '.join(numeric) or '(none)'}"
            )
        parts = [_numbers(array) for array in self._batches(column)]
        if not parts:
            return np.empty(0, np.float64)
        # One float64 part, which integers with nulls are, makes all of them float64.
        return np.concatenate(parts)

    def _batches(self, column: str) -> Iterator[pa.Array]:
        file = open_parquet(self.path)
        with parquet_errors(self.path):
            # No Arrow threads anywhere: at exit they can outlive what they refer to and crash.
            for batch in file.iter_batches(_BATCH_ROWS, columns=[column], use_threads=False):
                yield batch.column(0)

    def _names(self) -> str:
        return ", ".join(self.schema.names)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _numbers(array: pa.Array) -> np.ndarray:
    if pa.types.is_floating(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False), np.float64)
    if array.null_count or pa.types.is_uint64(array.type):
        return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    return np.asarray(array.cast(pa.int64()).to_numpy(zero_copy_only=False))
