"""Bringing the rows of one score table into the order of another's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from tamis.data.column import ArrayColumn, ParquetColumn, kind_of
from tamis.data.id_index import IdIndex
from tamis.data.ids import Ids
from tamis.data.score_file import ScoreFiles
from tamis.errors import PoolError

BLOCK_ROWS = 1 << 18


def blocks(n_rows: int) -> list[tuple[int, int]]:
    """The ranges of rows that are read at a time."""
    return [(start, min(start + BLOCK_ROWS, n_rows)) for start in range(0, n_rows, BLOCK_ROWS)]


def equal_ids(one: ScoreFiles, other: ScoreFiles) -> bool:
    """Compare texts as they are stored; nothing is parsed."""
    first, second = one.column(one.id_column), other.column(other.id_column)
    for start, stop in blocks(one.n_rows):
        a, b = first.read_arrow(start, stop), second.read_arrow(start, stop)
        if a.type != b.type:
            try:
                b = b.cast(a.type)
            except pa.ArrowException:
                return False
        if not a.equals(b):
            return False
    return True


def positions_in(own: Callable[[int, int], Ids], n_rows: int, table: ScoreFiles) -> np.ndarray:
    """Return the row in `table` of each of `n_rows` rows, -1 where it has none.

    Args:
        own: gives the ids of rows start .. stop - 1.
        n_rows: how many rows there are.
        table: where they are looked for.

    Raises:
        PoolError: an id is there twice.
    """
    reader = table.ids()
    ids = Ids.concat([reader.read(start, stop) for start, stop in blocks(table.n_rows)])
    index = IdIndex(ids)
    if len(index) < len(ids):
        repeated = int(index.counts.argmax())
        raise PoolError(
            f"{table.path}: id {index.ids[repeated]!r} is there {index.counts[repeated]} times; "
            "expected one row for each id, remove the repeats"
        )
    positions = np.empty(n_rows, np.int64)
    for start, stop in blocks(n_rows):
        places = index.find(own(start, stop))
        positions[start:stop] = np.where(places >= 0, index.rows[places], -1)
    return positions


def gathered(column: ParquetColumn, n_rows: int, positions: np.ndarray) -> ArrayColumn:
    """Bring a column into the order of the common rows, in memory."""
    found = positions >= 0
    array = pa.chunked_array([column.read_arrow(*block) for block in blocks(n_rows)], column.arrow)
    if kind_of(column.arrow) == "text":
        array = array.cast(pa.large_string())  # the joined text may need offsets of 64 bits
    taken = array.take(pa.array(positions, mask=~found))
    return ArrayColumn.of(taken)
