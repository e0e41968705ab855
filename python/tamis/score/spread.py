"""How scores are spread: counts, mean and exact quantiles, in two passes and bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.score.table import REASON, has_score

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
SHOWN_REASONS = 100
OTHER_REASONS = "(other reasons)"
_SIGN = np.uint32(1 << 31)
_HALF = 1 << 16


def spread(tables: Callable[[], Iterator[pa.Table]]) -> dict[str, Any]:
    """Return what `summary.json` says of a score.

    Args:
        tables: gives the tables of all units, the main column first and `reason` last; called once
            for each of two passes.

    Returns:
        rows_in, scored, unscored; true: how many are, of a column of bools, else None; reasons:
        reason -> rows, the 100 commonest; infinite: rows with an infinite score; min, max, mean (of
        a correctly rounded sum) and quantiles of the finite scores, None where there are none. The
        q-quantile is the score of rank floor(q * (n - 1)), counted from 0.

    Example:
        >>> table = pa.table({"a": np.float32([2, 1, np.nan]), "reason": [None, None, "bad"]})
        >>> found = spread(lambda: iter([table]))
        >>> found["mean"], found["reasons"], found["quantiles"]["0.5"]
        (1.5, {'bad': 1}, 1.0)
    """
    rows = scored = true = 0
    flags = False
    reasons: Counter[str] = Counter()
    high = np.zeros(_HALF, np.int64)
    sums, least, most = [], math.inf, -math.inf
    for table in tables():
        rows += len(table)
        scored += int(has_score(table.column(0)).sum())
        for entry in table.column(REASON).drop_null().value_counts().to_pylist():
            reasons[entry["values"]] += entry["counts"]
        values = _finite(table)
        if pa.types.is_boolean(table.column(0).type):
            flags = True
            true += int(values.sum())
        if len(values):
            sums.append(math.fsum(values.tolist()))
            least, most = min(least, float(values.min())), max(most, float(values.max()))
            high += np.bincount(_key(values) >> np.uint32(16), minlength=_HALF)
    finite = int(high.sum())
    return {
        "rows_in": rows,
        "scored": scored,
        "unscored": rows - scored,
        "true": true if flags else None,
        "reasons": _most_common(reasons),
        "infinite": scored - finite,
        "min": least if finite else None,
        "max": most if finite else None,
        "mean": math.fsum(sums) / finite if finite else None,
        "quantiles": _quantiles(tables, high, finite),
    }


def _most_common(reasons: Counter[str]) -> dict[str, int]:
    ordered = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))
    found = dict(sorted(ordered[:SHOWN_REASONS]))
    rest = sum(rows for _, rows in ordered[SHOWN_REASONS:])
    return found | ({OTHER_REASONS: rest} if rest else {})


def _quantiles(
    tables: Callable[[], Iterator[pa.Table]], high: np.ndarray, finite: int
) -> dict[str, float | None]:
    if not finite:
        return {f"{q:g}": None for q in QUANTILES}
    ranks = {q: math.floor(q * (finite - 1)) for q in QUANTILES}
    ends = np.cumsum(high)
    bucket = {q: int(np.searchsorted(ends, rank, side="right")) for q, rank in ranks.items()}
    low = {number: np.zeros(_HALF, np.int64) for number in bucket.values()}
    for table in tables():
        key = _key(_finite(table))
        for number, counts in low.items():
            inside = key[(key >> np.uint32(16)) == number] & np.uint32(_HALF - 1)
            counts += np.bincount(inside, minlength=_HALF)
    found: dict[str, float | None] = {}
    for q, rank in ranks.items():
        number = bucket[q]
        rest = rank - int(ends[number] - high[number])
        place = int(np.searchsorted(np.cumsum(low[number]), rest, side="right"))
        found[f"{q:g}"] = _value(number << 16 | place)
    return found


def _finite(table: pa.Table) -> np.ndarray:
    values = table.column(0).cast(pa.float32()).to_numpy()
    return np.asarray(values[np.isfinite(values)], np.float32)


def _key(values: np.ndarray) -> np.ndarray:
    """uint32 whose order is that of the float32 values."""
    word = values.view(np.uint32)
    return np.where(word & _SIGN, ~word, word | _SIGN)


def _value(key: int) -> float:
    word = key ^ (1 << 31) if key >> 31 else key ^ 0xFFFFFFFF
    return float(np.array(word, np.uint32).view(np.float32))
