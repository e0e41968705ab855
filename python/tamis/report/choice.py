"""Which rows of a run a person is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from tamis.data.id_index import IdIndex
from tamis.data.ids import Ids
from tamis.errors import PoolError
from tamis.kernels.sample import SHOWN, keys

if TYPE_CHECKING:
    from tamis.data.samples import SamplePool
    from tamis.data.samples.source import Sample

Order: TypeAlias = Literal["random", "lowest", "highest"]
ORDERS: tuple[Order, ...] = get_args(Order)
_WHOLE_FILE = 1 << 62


def choose_rows(
    scores: npt.NDArray[np.floating],
    n_rows: int,
    *,
    order: Order = "random",
    seed: int = 0,
    preferred: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.int64]:
    """Choose rows to be shown.

    Args:
        scores: (n,), NaN where a row has none.
        n_rows: how many, or all where there are fewer.
        order: "random", the rows with the smallest keys of the seed, in the order of the pool; or
            those with the "lowest" or "highest" scores, that one first, ties in the order of the
            pool, rows without a score left out.
        seed: of "random".
        preferred: bool (n,), rows that "random" takes before any other.

    Raises:
        ValueError: an unknown order, or fewer than 1 row.

    Example:
        >>> choose_rows(np.array([0.2, 0.1, np.nan, 0.3]), 2, order="lowest").tolist()
        [1, 0]
    """
    if order not in ORDERS:
        raise ValueError(f"expected an order of {', '.join(ORDERS)}, got {order}")
    if n_rows < 1:
        raise ValueError(f"expected 1 row or more, got {n_rows}")
    if order == "random":
        first = np.ones(len(scores), np.bool_) if preferred is None else preferred
        ranked = np.lexsort((keys(seed, SHOWN, range(len(scores))), ~first))
        return np.sort(ranked[:n_rows])
    values = scores if order == "lowest" else -scores
    ranked = np.argsort(values, kind="stable")  # NaN comes last
    return ranked[: min(n_rows, int((~np.isnan(scores)).sum()))]


def named_rows(ids: Ids, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return int64 (n,): the rows whose ids are given as text.

    Raises:
        PoolError: no row has such an id.

    Example:
        >>> named_rows(Ids.of([7, 8, 9]), ["9", "7"]).tolist()
        [2, 0]
    """
    index = IdIndex(ids)
    numbers: list[int | None] = []
    if ids.kind in ("uid32", "string"):
        asked = Ids.of(list(names), kind="string")
    else:
        numbers = [_number(name) for name in names]
        asked = Ids.of([0 if number is None else number for number in numbers])
    found = index.find(asked)
    for place, name in enumerate(names):
        if found[place] < 0 or (numbers and numbers[place] is None):
            raise PoolError(f"no row has the id {name!r}; the first row's is {ids[0]!r}")
    rows: npt.NDArray[np.int64] = index.rows[found]
    return rows


def _number(name: str) -> int | None:
    """The int64 that a text states, None where it states none."""
    try:
        number = int(name)
    except ValueError:
        return None
    return number if -(1 << 63) <= number < 1 << 63 else None


def read_row(pool: SamplePool, row: int) -> Sample:
    """Read one sample of a pool by the number of its row."""
    file = next(
        file
        for file in pool.units(_WHOLE_FILE)
        if file.first_row <= row < file.first_row + file.n_rows
    )
    start = file.start + row - file.first_row
    return pool.read(replace(file, start=start, stop=start + 1, first_row=row))[0]
