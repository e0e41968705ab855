"""The columns of a tar's samples: from the parquet beside it, joined on `key`, else from the json.

img2dataset writes the parquet in the order of its input and with the failures, the tar in the order
of the downloads: only the key tells which row belongs to which sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tamis.data.ids import Ids, is_text
from tamis.data.metadata import UID_COLUMN, MetadataFile
from tamis.data.remote import Place
from tamis.data.samples.tar_json import json_table
from tamis.data.samples.tar_source import Tar, index_of
from tamis.data.uid import parse_uids, uid_fault
from tamis.errors import PoolError

KEY_COLUMN = "key"
_STATUS_COLUMN = "status"
_UID = "^[0-9a-f]{32}$"


class TarMetadata:
    """The metadata columns of one tar, a row for each sample; null where a sample has none.

    Args:
        tar: the tar.
        name: of the tar inside the pool; ids of samples that lost theirs depend on it.
        parquet: the table beside it. One without the column `key`, or without the key of any
            sample, is not about these samples, and the json is used.
    """

    def __init__(self, tar: Tar, name: str, parquet: Place | None) -> None:
        self._tar = tar
        self._name = name
        self._parquet = parquet
        self._mtime_ns = _mtime_ns(parquet)

    @property
    def columns(self) -> list[str]:
        """Their names. Raises PoolError."""
        return list(self._table_schema().names)

    def read(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """Return rows start .. stop - 1 of some columns. Raises PoolError for an unknown one."""
        known = self.columns
        for name in names:
            if name not in known:
                raise PoolError(
                    f"{self._tar.place}: no metadata column {name!r}; the columns are "
                    f"{', '.join(known) or '(none)'}"
                )
        if self._joined() is None:
            table = json_table(self._tar).select(list(names))
        else:
            table = _parquet_rows(self._tar, self._parquet_place(), self._mtime_ns, tuple(names))
        return table.slice(start, stop - start)

    def ids(self, column: str | None) -> Ids | None:
        """Return the ids of all rows from a column, by default "uid"; None where that is absent.

        A sample whose metadata is lost gets an id made from the names of tar and key, so that it
        counts as a row like any other; among uids it is a uid.

        Raises:
            PoolError: no column of the name that was asked for, or one that holds no ids.
        """
        if column is None:
            if UID_COLUMN not in self.columns:
                return None
            column = UID_COLUMN
        values = self.read([column], 0, index_of(self._tar).n_rows).column(0).combine_chunks()
        try:
            return Ids.of(self._completed(values, column))
        except (PoolError, TypeError) as error:
            raise PoolError(f"{self._tar.place}: column {column!r}: {error}") from error

    def without_uid(self) -> int:
        """Return how many samples have no valid uid, 0 where no column is called so."""
        if UID_COLUMN not in self.columns:
            return 0
        n_rows = index_of(self._tar).n_rows
        values = self.read([UID_COLUMN], 0, n_rows).column(0).combine_chunks()
        return n_rows - int(pc.sum(_usable(values, UID_COLUMN)).as_py() or 0)

    def problems(self) -> list[str]:
        """Return what does not fit between the tar and the parquet, one sentence each."""
        if self._parquet is None:
            return []
        place = self._parquet
        joined = self._joined()
        if joined is None:
            return [f"{place.name} has no column {KEY_COLUMN!r} with keys of this tar: not used"]
        problems = []
        if joined.null_count:
            problems.append(f"{joined.null_count:,} samples have no row in {place.name}")
        table = MetadataFile.open(place)
        if _STATUS_COLUMN in table.schema.names:
            rows = _read_parquet(place, (KEY_COLUMN, _STATUS_COLUMN))
            stated = rows.filter(pc.equal(rows[_STATUS_COLUMN], "success"))[KEY_COLUMN]
            keys = index_of(self._tar).keys
            lost = stated.filter(pc.invert(pc.is_in(_as_text(stated), value_set=keys)))
            if len(lost):
                first = ", ".join(map(str, lost.slice(0, 5).to_pylist()))
                problems.append(
                    f"{len(lost):,} successes of {place.name} are not in the tar: {first}"
                    + ", ..." * (len(lost) > 5)
                )
        return problems

    def _table_schema(self) -> pa.Schema:
        if self._joined() is None:
            return json_table(self._tar).schema
        return MetadataFile.open(self._parquet_place()).schema

    def _joined(self) -> pa.Array | None:
        return None if self._parquet is None else _join(self._tar, self._parquet, self._mtime_ns)

    def _parquet_place(self) -> Place:
        assert self._parquet is not None
        return self._parquet

    def _completed(self, values: pa.Array, column: str) -> pa.Array:
        """Fill in the ids that are missing."""
        usable = _usable(values, column)
        missing = pc.invert(usable).to_numpy(zero_copy_only=False).nonzero()[0]
        if not len(missing):
            return values
        keys = index_of(self._tar).keys
        if not is_text(values.type):
            row = int(missing[0])
            raise PoolError(f"sample {keys[row].as_py()!r} has no id")
        if column == UID_COLUMN and len(missing) == len(values) and values.null_count < len(values):
            first = values.drop_null()
            raise PoolError(uid_fault(str(first[parse_uids(_as_text(first))[1]].as_py())))
        filled = values.to_pylist()
        for row in missing.tolist():
            text = f"{self._name}/{keys[row].as_py()}"
            filled[row] = hashlib.sha256(text.encode()).hexdigest()[:32]
        return pa.array(filled, pa.large_string())


def _mtime_ns(place: Place | None) -> int:
    # Asking for a remote file costs a request, and tells no time.
    try:
        return place.stat().st_mtime_ns if isinstance(place, Path) else 0
    except OSError:
        return 0  # reading it will say what is wrong


def _usable(values: pa.Array, column: str) -> pa.Array:
    """Which values can be ids, bool without nulls."""
    if column == UID_COLUMN and is_text(values.type):
        return pc.fill_null(pc.match_substring_regex(values, _UID), False)
    return values.is_valid()


@lru_cache(maxsize=16)
def _join(tar: Tar, parquet: Place, mtime_ns: int) -> pa.Array | None:
    """Return int32 (n,): each sample's row in the parquet, null where it has none.

    `mtime_ns` only makes sure that a table that has changed is read anew.
    """
    table = MetadataFile.open(parquet)
    if KEY_COLUMN not in table.schema.names or not is_text(table.schema.field(KEY_COLUMN).type):
        return None
    known = _as_text(_read_parquet(parquet, (KEY_COLUMN,))[KEY_COLUMN])
    keys = index_of(tar).keys
    rows = pc.index_in(keys, value_set=known)
    if len(keys) and rows.null_count == len(keys):
        return None
    counts = pc.value_counts(known.filter(pc.is_in(known, value_set=keys)))
    for entry in counts.filter(pc.greater(counts.field("counts"), 1)).slice(0, 1):
        raise PoolError(f"{parquet}: the key {entry['values'].as_py()!r} is there twice")
    return rows


@lru_cache(maxsize=4)
def _parquet_rows(tar: Tar, parquet: Place, mtime_ns: int, names: tuple[str, ...]) -> pa.Table:
    """Return columns of the parquet in the order of the samples."""
    return _read_parquet(parquet, names).take(_join(tar, parquet, mtime_ns)).combine_chunks()


def _read_parquet(place: Place, names: tuple[str, ...]) -> pa.Table:
    from tamis.data.parquet_file import open_parquet, parquet_errors

    with parquet_errors(place):
        return open_parquet(place).read(columns=list(names), use_threads=False).select(list(names))


def _as_text(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    values = values.cast(pa.large_string())
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
