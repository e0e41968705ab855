"""The pairs that an adapter learns from: frozen embeddings of both sides, held in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.errors import RunError
from tamis.kernels import sample
from tamis.kernels.canonical import canonical

if TYPE_CHECKING:
    from tamis.score.rows import PoolRows

Index = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float16]
_ROWS_AT_ONCE = 1 << 14
_COPIES = 2  # the rows, and what selects and compares them


@dataclass(frozen=True)
class TrainingPairs:
    """Usable pairs.

    Attributes:
        images, texts: float16 (n, d), canonical, of any two dimensions.
        rows: int64 (n,), their rows in the pool, ascending.
        series: int64 (n,), -1 where a pair is of none; None where no series were named.
        skipped: reason -> pairs that cannot be used.
    """

    images: Rows
    texts: Rows
    rows: Index
    series: Index | None
    skipped: dict[str, int]

    @classmethod
    def of_arrays(
        cls, images: Any, texts: Any, series: Sequence[Any] | None = None
    ) -> TrainingPairs:
        """Take rows of any float dtype, made canonical here.

        Raises:
            TypeError, ValueError: no matrices of floats, or other numbers of rows.
        """
        if len(images) != len(texts) or (series is not None and len(series) != len(images)):
            counts = f"{len(images):,} and {len(texts):,}"
            beside = "" if series is None else f", and {len(series):,} series"
            raise ValueError(f"expected as many image as text rows, got {counts}{beside}")
        sides = canonical(images), canonical(texts)
        bad = [bad for _, bad in sides]
        reasons = {
            row: " and ".join(
                f"{side} row is zero or not finite"
                for side, there in zip(("image", "text"), at, strict=True)
                if there
            )
            for row, at in enumerate(zip(*bad, strict=True))
            if any(at)
        }
        rows = np.arange(len(images), dtype=np.int64)
        codes = None if series is None else series_codes(series)
        return _usable(sides[0][0], sides[1][0], rows, codes, reasons)

    @classmethod
    def of_pool(
        cls,
        images: PoolRows,
        texts: PoolRows,
        *,
        rows: int,
        seed: int,
        memory_bytes: int,
        series: Index | None = None,
    ) -> TrainingPairs:
        """Read a sample of a pool's rows, each once.

        Args:
            images, texts: row-aligned.
            rows: most pairs; those with the smallest keys of the seed.
            seed: of the sample.
            memory_bytes: what they may take.
            series: int64, of all rows of the pool.

        Raises:
            RunError: more memory is needed.
            PoolError: the pool cannot be read.
        """
        n_rows = images.pool.n_rows
        count = min(rows, n_rows)
        per_row = 2 * _COPIES * (images.pool.dim + texts.pool.dim)
        if count * per_row > memory_bytes:
            raise RunError(
                f"{count:,} pairs of {images.pool.dim} + {texts.pool.dim} dimensions need "
                f"{count * per_row / 1e9:.3g} GB, more than the {memory_bytes / 1e9:.3g} GB "
                f"allowed; raise --memory, or sample --rows {memory_bytes // per_row} or fewer"
            )
        chosen = np.sort(sample.smallest(n_rows, count, seed, sample.TRAIN))
        read = [_taken(side, chosen) for side in (images, texts)]
        reasons: dict[int, str] = {}
        for _, found in read:
            for place, reason in found.items():
                reasons[place] = f"{reasons[place]}; {reason}" if place in reasons else reason
        codes = None if series is None else series[chosen]
        return _usable(read[0][0], read[1][0], chosen, codes, reasons)


def series_codes(values: Sequence[Any]) -> Index:
    """Return a number for every value, -1 for None.

    Example:
        >>> series_codes(["a", None, "b", "a"]).tolist()
        [0, -1, 1, 0]
    """
    numbers: dict[Any, int] = {}
    found = [-1 if value is None else numbers.setdefault(value, len(numbers)) for value in values]
    return np.array(found, np.int64)


def _taken(side: PoolRows, chosen: Index) -> tuple[Rows, dict[int, str]]:
    rows = np.empty((len(chosen), side.pool.dim), np.float16)
    reasons: dict[int, str] = {}
    for start in range(0, len(chosen), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        rows[part], told = side.take_told(chosen[part])
        reasons |= {start + at: reason for at, reason in told.items()}
    return rows, reasons


def _usable(
    images: Rows, texts: Rows, rows: Index, series: Index | None, reasons: dict[int, str]
) -> TrainingPairs:
    skipped = dict(sorted(Counter(reasons.values()).items()))
    if not reasons:
        return TrainingPairs(images, texts, rows, series, skipped)
    good = np.ones(len(rows), np.bool_)
    good[list(reasons)] = False
    kept = None if series is None else series[good]
    return TrainingPairs(images[good], texts[good], rows[good], kept, skipped)
