"""The score table: one line for each row of the pool, in its order.

Columns: `uid`, the scorer's own, and `reason`, null where the row has a score. The schema metadata
holds the digest of the ids (`tamis.ids`), so that two tables are known to be row-aligned without
reading an id, and where scores depend on more than their row, on what (`tamis.depends`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.data.dependence import dependence_metadata
from tamis.data.ids import Ids
from tamis.data.ids_digest import METADATA_KEY, ids_digest
from tamis.run.unit_tables import UnitTables

if TYPE_CHECKING:
    from tamis.score.scorer import Scores

UID, REASON = "uid", "reason"
NOT_A_NUMBER = "score is not a number"
UNITS = UnitTables("units", group_rows=1 << 17)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TYPES = (pa.float32(), pa.bool_(), pa.int32(), pa.string())


def check_columns(name: str, columns: pa.Schema) -> None:
    """Raise ValueError unless the name and the columns of a scorer are as `Scorer` says.

    Example:
        >>> check_columns("clip", pa.schema([("clip", pa.float32()), ("clip_text", pa.string())]))
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"expected a name of letters, digits and underscores that starts with a letter, got "
            f"{name!r}"
        )
    if name in (UID, REASON):
        raise ValueError(f"{name!r} is the name of another column of a score table; choose another")
    others = [column for column in columns.names[1:] if not column.startswith(f"{name}_")]
    if columns.names[:1] != [name] or others or len(set(columns.names)) < len(columns.names):
        raise ValueError(
            f"expected the columns {name} and {name}_something, got {', '.join(columns.names)}"
        )
    for column in columns:
        if column.type not in _TYPES[: 2 if column.name == name else None]:
            raise ValueError(f"column {column.name} cannot be of type {column.type}")


def table_schema(columns: pa.Schema, ids: Ids, depends: Mapping[str, Any]) -> pa.Schema:
    """The schema of the joined table.

    Args:
        columns: the scorer's schema.
        ids: of all rows.
        depends: what the scores depend on; see `tamis.data.dependence`.
    """
    id_type = ids.slice(0, 0).to_arrow().type
    fields = [pa.field(UID, id_type), *columns, pa.field(REASON, pa.string())]
    metadata = {METADATA_KEY: ids_digest(ids).encode(), **dependence_metadata(depends)}
    return pa.schema(fields, metadata=metadata)


def unit_table(ids: Ids, columns: pa.Schema, scores: Scores) -> pa.Table:
    """The lines of one unit.

    The main column of a row with a reason is blanked, and a row whose main column is NaN or null
    gets a reason, so that the one says what the other says.

    Args:
        ids: of the unit's rows.
        columns: the scorer's schema.
        scores: what it returned.

    Raises:
        ValueError: missing columns, or not of the unit's length and the stated type.
    """
    if set(scores.columns) != set(columns.names):
        raise ValueError(
            f"expected the columns {', '.join(columns.names)}, got {', '.join(scores.columns)}"
        )
    arrays = [_column(scores, column, len(ids)) for column in columns]
    reasons: list[str | None] = [None] * len(ids)
    for row, reason in scores.reasons.items():
        reasons[row] = reason
    for row in np.flatnonzero(~has_score(arrays[0])).tolist():
        reasons[row] = reasons[row] or NOT_A_NUMBER
    told = pa.array(reasons, pa.string())
    blank = pa.scalar(np.nan if pa.types.is_floating(arrays[0].type) else None, arrays[0].type)
    arrays[0] = pc.if_else(told.is_valid(), blank, arrays[0])
    return pa.table([ids.to_arrow(), *arrays, told], names=[UID, *columns.names, REASON])


def has_score(main: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return bool (n,): where the main column is neither null nor NaN."""
    return np.asarray(pc.invert(main.is_null(nan_is_null=True)).to_numpy(zero_copy_only=False))


def _column(scores: Scores, column: pa.Field, n_rows: int) -> pa.Array:
    values = scores.columns[column.name]
    array = values if isinstance(values, pa.Array) else pa.array(np.asarray(values))
    if len(array) != n_rows or array.type != column.type:
        raise ValueError(
            f"column {column.name}: expected {n_rows} values of {column.type}, got {len(array)} of "
            f"{array.type}"
        )
    return array
