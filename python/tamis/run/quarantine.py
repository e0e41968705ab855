"""Quarantine: the rows that cannot be used, each with the reason, none dropped in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

NOT_A_NUMBER = "embedding has a NaN"
INFINITE = "embedding has an infinite value"
ZERO = "embedding is zero"


@dataclass(frozen=True)
class BadRow:
    """A row without a usable embedding.

    Attributes:
        row: its number in the pool.
        file: its file, as a path inside the pool.
        file_row: its number in that file, from 0.
        reason: why, in a few words.
    """

    row: int
    file: str
    file_row: int
    reason: str


class _Ids(Protocol):
    def take(self, rows: Any) -> Any: ...


def reasons_of(
    rows: np.ndarray, bad: np.ndarray, known: Mapping[int, str] | None = None
) -> dict[int, str]:
    """Return row -> reason for the bad rows of a unit.

    Args:
        rows: (n, dim), the embeddings as they came, before they were made canonical.
        bad: bool (n,), the rows that could not be made canonical.
        known: reasons that are known already, such as `Pool.bad_reasons(unit)`; they prevail.

    Example:
        >>> reasons_of(np.array([[0.0, 0], [1, 2], [np.inf, 1]]), np.array([True, False, True]))
        {0: 'embedding is zero', 2: 'embedding has an infinite value'}
    """
    reasons = {}
    for row in np.flatnonzero(bad).tolist():
        values = np.asarray(rows[row], np.float64)
        if known is not None and row in known:
            reasons[row] = known[row]
        elif np.isnan(values).any():
            reasons[row] = NOT_A_NUMBER
        else:
            reasons[row] = INFINITE if np.isinf(values).any() else ZERO
    return reasons


def quarantine_table(bad_rows: Sequence[BadRow], ids: _Ids) -> pa.Table:
    """Return the content of `quarantine.parquet`: uid, file, row (in the file), reason.

    Args:
        bad_rows: in any order; the table is in the order of the pool's rows.
        ids: the ids of all rows of the pool, an `Ids`.
    """
    ordered = sorted(bad_rows, key=lambda bad: bad.row)
    rows = np.array([bad.row for bad in ordered], np.int64)
    return pa.table(
        {
            "uid": ids.take(rows).to_arrow(),
            "file": pa.array([bad.file for bad in ordered], pa.string()),
            "row": pa.array([bad.file_row for bad in ordered], pa.int64()),
            "reason": pa.array([bad.reason for bad in ordered], pa.string()),
        }
    )
