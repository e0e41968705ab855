"""From stored cosines to a kept set, by one comparison or one order statistic.

Nothing is recomputed for another threshold. A row is removed iff float32(its largest cosine to an
earlier row) > float32(1 - eps). eps = 0 removes nothing; copies go from 6e-8 on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tamis.filters.semdedup.source import Doubles, Index, Mask, Singles

# The eps values of the paper's released table, then a grid that is fine where pools change fast.
PAPER_EPS = (0.00095, 0.03, 0.0395, 0.07, 0.083, 0.124, 0.165, 0.205, 0.26)
DEFAULT_EPS = np.unique(
    np.concatenate(
        [
            [0.0, 1e-7, 1e-6, 1e-5, 1e-4],
            np.arange(1, 20) / 2000,
            np.arange(2, 100) / 200,
            np.arange(10, 41) / 20,
            PAPER_EPS,
        ]
    )
)


@dataclass(frozen=True)
class Selection:
    """A kept set and the threshold that made it.

    Attributes:
        keep: bool (n,).
        eps: with `eps` the value that was given. With `keep` or `keep_rows`, 1 minus the largest
            kept cosine, so that float32(1 - eps) is that cosine and the kept set is that of `eps`
            less the ties that the id rule removed; at most 2.0, which is also the answer where no
            kept row has an earlier row. (Of a cosine within 2^-28 of 0 the grain of 1 - eps is
            coarser than float32: there float32(1 - eps) is the next such number above.)
        ties_at_cut: rows whose cosine equals the largest kept one, where the cut goes through them
            and ids decided; else 0.
        threshold: float32; every removed row that has an earlier row at all has a cosine >
            threshold to it.
    """

    keep: Mask
    eps: float
    ties_at_cut: int
    threshold: np.float32


def threshold_of(eps: float) -> np.float32:
    """float32(1 - eps).

    Raises:
        ValueError: eps is outside [0, 2].
    """
    if not 0.0 <= eps <= 2.0:
        raise ValueError(f"eps must be in [0, 2], got {eps}")
    return np.float32(1.0 - eps)


def check_choice(eps: float | None, keep: float | None, keep_rows: int | None) -> None:
    """Raise ValueError unless at most one of the three is given and it is in range.

    `select` checks `keep_rows` against the number of rows.
    """
    given = [
        name
        for name, value in (("eps", eps), ("keep", keep), ("keep_rows", keep_rows))
        if value is not None
    ]
    if len(given) > 1:
        raise ValueError(f"give at most one of eps, keep and keep_rows, got {' and '.join(given)}")
    if eps is not None:
        threshold_of(eps)
    if keep is not None and not 0.0 < keep <= 1.0:
        raise ValueError(f"keep must be in (0, 1], got {keep}")
    if keep_rows is not None and (not isinstance(keep_rows, (int, np.integer)) or keep_rows < 1):
        raise ValueError(f"keep_rows must be a whole number from 1, got {keep_rows}")


def select(
    cosine: Singles,
    id_rank: Index | None = None,
    *,
    eps: float | None = None,
    keep: float | None = None,
    keep_rows: int | None = None,
) -> Selection | None:
    """Choose the kept rows.

    Args:
        cosine: float32 (n,) of usable rows, -inf for a row without an earlier row.
        id_rank: int64 (n,) from `order.id_ranks`; decides between equal cosines at the cut. None
            means the row number.
        eps: remove what is closer than this, in [0, 2].
        keep: fraction of the rows to keep, in (0, 1]; floor(keep * n), where a product that misses
            a whole number by less than the rounding of `keep` counts as that number (0.29 of 100
            rows is 29).
        keep_rows: rows to keep, 1 to n. Rows are taken by (cosine, id), so exactly that many are
            kept.

    Returns:
        The selection, or None where none of the three is given.

    Raises:
        ValueError: more than one is given, or a value is out of range.

    Example:
        >>> cosine = np.array([-np.inf, 0.5, 0.9, 0.9], dtype=np.float32)
        >>> select(cosine, eps=0.2).keep.tolist()
        [True, True, False, False]
        >>> chosen = select(cosine, keep=0.75)
        >>> chosen.keep.tolist(), round(chosen.eps, 6), chosen.ties_at_cut
        ([True, True, True, False], 0.1, 2)
    """
    check_choice(eps, keep, keep_rows)
    if eps is not None:
        threshold = threshold_of(eps)
        return Selection(~(cosine > threshold), float(eps), 0, threshold)
    if keep is not None:
        keep_rows = min(len(cosine), math.floor(keep * len(cosine) * (1 + 2.0**-51)))
    if keep_rows is None:
        return None
    if keep_rows > len(cosine):
        raise ValueError(f"keep_rows={keep_rows} is more than the {len(cosine)} usable rows")
    return _smallest(cosine, id_rank, int(keep_rows))


def eps_curve(cosine: Singles, eps: Doubles = DEFAULT_EPS) -> dict[str, Doubles | Index]:
    """Rows kept at each eps under the semdedup rule.

    Returns:
        {"eps": float64 (m,), "kept": int64 (m,), "removed": int64 (m,)}.

    Example:
        >>> cosine = np.array([-np.inf, 0.5, 0.9], dtype=np.float32)
        >>> eps_curve(cosine, np.array([0.0, 0.3]))["kept"].tolist()
        [3, 2]
    """
    thresholds = (1.0 - eps).astype(np.float32)
    kept = np.searchsorted(np.sort(cosine), thresholds, side="right").astype(np.int64)
    return {"eps": np.array(eps, dtype=np.float64), "kept": kept, "removed": len(cosine) - kept}


def _smallest(cosine: Singles, id_rank: Index | None, count: int) -> Selection:
    if count == 0:
        return Selection(np.zeros(len(cosine), dtype=np.bool_), 2.0, 0, np.float32(-np.inf))
    cut = np.partition(cosine, count - 1)[count - 1]
    keep = cosine < cut
    ties = np.flatnonzero(cosine == cut)
    if id_rank is not None:
        ties = ties[np.argsort(id_rank[ties])]
    room = count - int(keep.sum())
    keep[ties[:room]] = True
    is_cut = room < len(ties)
    # A row that the id rule removed is only as close as the cut, so the threshold that explains it
    # lies just below.
    threshold = np.nextafter(cut, np.float32(-np.inf)) if is_cut else cut
    return Selection(keep, _eps_of(cut), len(ties) if is_cut else 0, np.float32(threshold))


def _eps_of(cut: np.float32) -> float:
    if cut <= -1.0:
        return 2.0
    eps = 1.0 - float(cut)
    while np.float32(1.0 - eps) < cut:
        eps = math.nextafter(eps, 0.0)
    return eps
