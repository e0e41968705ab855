"""The json members of a tar: one object for each sample, its top-level scalars as columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pyarrow as pa

from tamis.data.limits import Limits
from tamis.data.samples.tar_index import JSON_SUFFIX
from tamis.data.samples.tar_source import Tar, index_of, read_ranges, reading

CAPTION = "caption"
_COLUMNS = 1000
_INT64 = range(-(1 << 63), 1 << 63)


def parse_object(data: bytes, limits: Limits) -> dict[str, Any] | None:
    """Return a json object, None for what is none, is damaged, or exceeds `limits.json_bytes`.

    Example:
        >>> parse_object(b'{"uid": 1}', Limits()), parse_object(b"[1]", Limits())
        ({'uid': 1}, None)
    """
    if len(data) > limits.json_bytes:
        return None
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def objects(tar: Tar) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield (row, its object) for each sample with a json, in row order. Raises PoolError."""
    index = index_of(tar)
    if JSON_SUFFIX not in index.suffix_names:
        return
    members = (index.suffixes == index.suffix_names.index(JSON_SUFFIX)).nonzero()[0]
    members = members[index.sizes[members] <= tar.limits.json_bytes]
    rows = (index.starts.searchsorted(members, side="right") - 1).tolist()
    ranges = list(zip(index.offsets[members].tolist(), index.sizes[members].tolist(), strict=True))
    with reading(tar.place) as read_at:
        for row, data in zip(rows, read_ranges(tar.place, ranges, read_at), strict=True):
            yield row, parse_object(bytes(data), tar.limits)


@lru_cache(maxsize=4)
def json_table(tar: Tar) -> pa.Table:
    """Return the scalars of all objects, a row for each sample; the latest few tables are kept.

    A column is bool, int64, double or string; values of several types become their json text. At
    most 1000 columns are taken, in the order in which they come; where there is none, the table has
    no rows. Raises PoolError.
    """
    columns: dict[str, tuple[list[int], list[Any]]] = {}
    for row, value in objects(tar):
        for name, entry in (value or {}).items():
            if not isinstance(entry, str | int | float):
                continue
            if name not in columns:
                if len(columns) == _COLUMNS or not _is_text(name):
                    continue
                columns[name] = [], []
            rows, entries = columns[name]
            rows.append(row)
            entries.append(entry)
    n_rows = index_of(tar).n_rows
    return pa.table({name: _column(n_rows, *entries) for name, entries in columns.items()})


def _column(n_rows: int, rows: list[int], entries: list[Any]) -> pa.Array:
    kinds = {type(entry) for entry in entries}
    if kinds == {bool}:
        kind = pa.bool_()
    elif kinds == {int} and all(entry in _INT64 for entry in entries):
        kind = pa.int64()
    elif kinds <= {int, float}:
        kind, entries = pa.float64(), [_float(entry) for entry in entries]
    else:
        kind = pa.large_string()
        entries = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
        entries = [entry if _is_text(entry) else None for entry in entries]
    values: list[Any] = [None] * n_rows
    for row, entry in zip(rows, entries, strict=True):
        values[row] = entry
    return pa.array(values, kind)


def _float(entry: int | float) -> float | None:
    try:
        return float(entry)
    except OverflowError:
        return None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True
