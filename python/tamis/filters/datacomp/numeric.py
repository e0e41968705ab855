"""Numeric metadata columns in the dtype that they are stored in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.errors import PoolError

if TYPE_CHECKING:
    from tamis.filters.datacomp.captions import Reasons


def numbers(column: pa.ChunkedArray, name: str, reasons: Reasons) -> np.ndarray:
    """Return a column as (n,) of its own dtype, zero where null or NaN.

    The dtype decides how a score compares with a threshold, so it is never changed. Rows that are
    null or NaN are noted in `reasons`, unless they have a reason already.

    Raises:
        PoolError: the column does not hold integers or floating-point numbers.

    Example:
        >>> reasons = {}
        >>> column = pa.chunked_array([pa.array([0.5, None], pa.float32())])
        >>> numbers(column, "score", reasons), reasons
        (array([0.5, 0. ], dtype=float32), {1: 'score is null'})
    """
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise PoolError(f"expected column {name!r} to hold numbers, got {kind}; name another one")
    if column.null_count:
        _note(column.is_null(), f"{name} is null", reasons)
        column = pc.fill_null(column, pa.scalar(0).cast(kind))
    values = np.asarray(column.to_numpy())
    if values.dtype.kind != "f" or not np.isnan(values).any():
        return values
    _note(np.isnan(values), f"{name} is NaN", reasons)
    return np.where(np.isnan(values), values.dtype.type(0), values)


def _note(where: pa.ChunkedArray | np.ndarray, reason: str, reasons: Reasons) -> None:
    for row in np.flatnonzero(np.asarray(where)).tolist():
        reasons.setdefault(row, reason)
