"""What all files of a pool must agree on: dim, dtype, and the column of the ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tamis.data.ids import Ids
from tamis.data.layouts import Part
from tamis.data.remote import Place
from tamis.errors import PoolError


def common_id_column(
    path: Place, kind: str, parts: Sequence[Part], asked: str | None
) -> str | None:
    """Return the one id column of all parts. Raises PoolError where they differ."""
    tables = [part.metadata for part in parts if part.metadata is not None]
    if not tables:
        if asked is not None:
            raise PoolError(
                f"{path}: a pool of .npy files has no columns, so no id column {asked!r}; "
                "its ids are in X.ids.npy beside X.npy"
            )
        return None
    column = tables[0].id_column(asked)
    for table in tables[1:]:
        if table.id_column(asked) != column:
            raise PoolError(
                f"{table.path} has the id column {table.id_column(asked)!r}, "
                f"{tables[0].path} has {column!r}; name the one to use"
            )
    if column is None and kind == "datacomp":
        raise PoolError(
            f"{tables[0].path}: expected a column uid, it has {', '.join(tables[0].schema.names)}; "
            "name the column of the ids"
        )
    return column


def common_rows(parts: Sequence[Part]) -> tuple[int, np.dtype[Any]]:
    """Return the dim and dtype of all parts that have rows. Raises PoolError where they differ."""
    filled = [part for part in parts if part.n_rows] or parts
    if not filled:
        return 0, np.dtype("<f2")
    shapes = Counter(_row_type(part) for part in filled)
    usual = shapes.most_common(1)[0][0]
    for part in filled:
        if _row_type(part) != usual:
            other, found = _say(usual), _say(_row_type(part))
            raise PoolError(
                f"{part.embeddings.name} has rows of {found}, the pool's other files of {other}; "
                "they must be alike"
            )
    return usual


def require_distinct(ids: Ids, locate: Callable[[int], tuple[Place, int]], remedy: str) -> None:
    """Raise PoolError, naming both places, where an id is there twice.

    Args:
        ids: of all rows.
        locate: row -> (file, row in the file).
        remedy: how the sentence ends.
    """
    repeat = ids.first_duplicate()
    if repeat is None:
        return
    first, second = map(locate, repeat)
    raise PoolError(
        f"id {ids[repeat[0]]!r} is there twice: {first[0]} row {first[1]} and "
        f"{second[0]} row {second[1]}; ids must differ{remedy}"
    )


def _row_type(part: Part) -> tuple[int, np.dtype[Any]]:
    return part.embeddings.shape[1], part.embeddings.dtype


def _say(row_type: tuple[int, np.dtype[Any]]) -> str:
    return f"{row_type[0]} x {row_type[1]}"
