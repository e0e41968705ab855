"""The one global order of the rows: of two rows that are compared, the later one may be removed.

| which_to_keep | order |
|---|---|
| hard (default) | float64 dot product with the row's own centroid ascending, then id ascending |
| easy | exactly the reverse of hard |
| random | the row's ORDER key ascending (see `tamis.kernels.sample`), then id |
| asc, desc | a metadata value ascending or descending (missing ones last), then id ascending |

Ids are integers or strings; without ids the row number takes their place, and it decides between
equal ids. A row's number is its number among the usable rows. The rank of a row inside its cluster
is the restriction of this order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tamis.filters.semdedup.source import Doubles, Index
from tamis.kernels import sample

ORDERS = ("hard", "easy", "random", "asc", "desc")


def id_ranks(ids: ArrayLike | None, n_rows: int) -> Index:
    """The position of every row in ascending order of (id, row number).

    Args:
        ids: n_rows integers or strings (also bytes, Python objects of one comparable kind, or a
            structured array of integers such as DataComp's `u8,u8`, compared field by field), or
            None for the row number.
        n_rows: rows to order.

    Returns:
        int64 (n_rows,), a permutation of range(n_rows).

    Raises:
        ValueError: ids have another length or more than one dimension.
        TypeError: ids are neither integers nor strings, or cannot be compared with one another.

    Example:
        >>> id_ranks(["b", "c", "a"], 3).tolist()
        [1, 2, 0]
    """
    if ids is None:
        return np.arange(n_rows, dtype=np.int64)
    values = _column(ids, n_rows, "ids")
    if values.dtype.names is None and values.dtype.kind not in "iuUSOT":
        raise TypeError(f"ids must be integers or strings, got {values.dtype}")
    return inverse(_argsort(values, "ids"))


def global_ranks(
    which_to_keep: str,
    *,
    dots: Doubles,
    id_rank: Index,
    seed: int = 0,
    values: ArrayLike | None = None,
) -> Index:
    """The position of every row in the global order.

    Args:
        which_to_keep: one of `ORDERS`.
        dots: float64 (n,), each row's dot product with its own centroid; used by hard and easy.
        id_rank: int64 (n,) from `id_ranks`.
        seed: of the random order.
        values: (n,) metadata values; needed by asc and desc, and only by them.

    Returns:
        int64 (n,), a permutation of range(n).

    Raises:
        ValueError: an unknown order, or `values` missing, superfluous or of another length.

    Example:
        >>> dots, id_rank = np.array([0.9, 0.5, 0.9]), np.arange(3)
        >>> global_ranks("hard", dots=dots, id_rank=id_rank).tolist()
        [1, 0, 2]
        >>> global_ranks("desc", dots=dots, id_rank=id_rank, values=[1, 3, 2]).tolist()
        [2, 0, 1]
    """
    check_order(which_to_keep, has_values=values is not None)
    n_rows = len(dots)
    if values is not None:
        column = _column(values, n_rows, "rank")
        return inverse(_by_column(column, id_rank, descending=which_to_keep == "desc"))
    if which_to_keep == "random":
        return inverse(np.lexsort((id_rank, sample.keys(seed, sample.ORDER, range(n_rows)))))
    order = np.lexsort((id_rank, dots))
    return inverse(order[::-1] if which_to_keep == "easy" else order)


def check_order(which_to_keep: str, *, has_values: bool) -> None:
    """Raise ValueError unless `which_to_keep` is known and metadata values are given exactly where
    they are used.
    """
    if which_to_keep not in ORDERS:
        raise ValueError(f"which_to_keep must be one of {', '.join(ORDERS)}, got {which_to_keep!r}")
    if has_values != (which_to_keep in ("asc", "desc")):
        raise ValueError(
            f"which_to_keep={which_to_keep!r} "
            + (
                "takes no rank values; use 'asc' or 'desc' with them"
                if has_values
                else "needs one rank value per row"
            )
        )


def inverse(order: NDArray[np.intp]) -> Index:
    """The inverse of a permutation: where each row stands in `order`."""
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order), dtype=np.int64)
    return rank


def _column(values: ArrayLike, n_rows: int, name: str) -> NDArray[Any]:
    column = np.asarray(values)
    if column.shape != (n_rows,):
        raise ValueError(
            f"{name} must have shape ({n_rows},), one for each row, got {column.shape}"
        )
    return column


def _argsort(values: NDArray[Any], name: str) -> NDArray[np.intp]:
    if values.dtype.names is not None:
        return np.lexsort(tuple(values[field] for field in reversed(values.dtype.names)))
    try:
        return np.argsort(values, kind="stable")
    except TypeError as error:
        raise TypeError(f"{name} must be of one kind that can be compared: {error}") from None


def _by_column(values: NDArray[Any], id_rank: Index, *, descending: bool) -> NDArray[np.intp]:
    if values.dtype.kind not in "biufUSOTmM":
        raise TypeError(f"rank must be numbers, dates or strings, got {values.dtype}")
    order = _argsort(values, "rank")
    ordered = values[order]
    # Equal values get one dense number, so that descending order can negate it whatever the type.
    dense = np.empty(len(values), dtype=np.int64)
    dense[order] = (
        np.cumsum(np.concatenate(([False], ordered[1:] != ordered[:-1]))) if len(values) else 0
    )
    missing = values != values
    key = np.where(missing, np.iinfo(np.int64).max, -dense if descending else dense)
    return np.lexsort((id_rank, key))
