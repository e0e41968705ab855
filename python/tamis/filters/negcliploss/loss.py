"""The sums of exponentials of one batch, and the score they make, for rows in memory.

With s_ij the float64 cosine of image i and text j, T the temperature, and j over the batch of i::

    score_i = s_ii - (T / 2) (ln sum_j exp(s_ij / T) + ln sum_j exp(s_ji / T))

The products are exact: dots of canonical rows are, in float64, in any order, so it does not matter
how the matrix product is blocked or threaded. The exponentials are taken as exp((s - 1) / T), which
neither over- nor underflows for T >= 1/256, and summed in a fixed order: along a row within spans
of 1,024 columns, along a column within spans of 128 rows, the spans in ascending order. Bits
therefore do not depend on threads; exp is NumPy's, so between machines scores agree to 1e-12
(relative to 1) before they are rounded to float32.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from tamis._native import cpu
from tamis.kernels.canonical import canonical_rows
from tamis.kernels.exact import paired_cosine64

Rows = npt.NDArray[np.float16]
Float64 = npt.NDArray[np.float64]

LEAST_TEMPERATURE = 1 / 256
_SPAN_COLUMNS = 1024
_SPAN_ROWS = 128
_TILE_SPANS = 32  # spans of rows in a tile: 4,096 x 1,024 products, 32 MiB


def neg_clip_loss(
    images: npt.ArrayLike,
    texts: npt.ArrayLike,
    *,
    temperature: float = 0.01,
    batch_size: int = 32768,
    repetitions: int = 10,
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    """Score pairs of rows in memory by s-CLIPLoss.

    Args:
        images, texts: (n, dim) floating-point rows, made canonical first.
        temperature: T, 0.01 for OpenAI's CLIP, 0.07 for DFN; at least 1/256.
        batch_size: rows that are compared with one another.
        repetitions: random partitions into batches; the score is the mean over them.
        seed: of the partitions.

    Returns:
        float32 (n,), larger is better.

    Raises:
        ValueError: bad rows, shapes that differ, or a setting out of range.

    Example:
        >>> neg_clip_loss(np.eye(3), np.eye(3), temperature=0.5).round(4)
        array([-0.1198, -0.1198, -0.1198], dtype=float32)
    """
    from tamis.filters.negcliploss.batches import Batches

    check_settings(temperature, batch_size, repetitions)
    x, y = canonical_rows(images, "images"), canonical_rows(texts, "texts")
    if x.shape != y.shape:
        raise ValueError(f"expected images and texts of one shape, got {x.shape} and {y.shape}")
    everyone = np.arange(len(x))
    batches = Batches(everyone, len(x), batch_size, seed)
    total = np.zeros(len(x))
    for repetition in range(repetitions):
        for batch in range(batches.count):
            rows = batches.rows_of(repetition, batch)
            penalty = batch_penalty(x[rows], y[rows], temperature)
            total[batches.own_places(repetition, batch)] += penalty[batches.n_filling(batch) :]
    cosine = paired_cosine64(x, everyone, y, everyone)
    return (cosine - total / repetitions).astype(np.float32)


def check_settings(temperature: float, batch_size: int, repetitions: int) -> None:
    """Raise ValueError unless the settings are in range."""
    if not LEAST_TEMPERATURE <= temperature <= 100:
        raise ValueError(f"expected a temperature from 1/256 to 100, got {temperature:g}")
    if batch_size < 1 or repetitions < 1:
        raise ValueError(
            f"expected batch_size and repetitions of at least 1, got {batch_size} and {repetitions}"
        )


def batch_penalty(images: Rows, texts: Rows, temperature: float) -> Float64:
    """Return (T / 2) (ln sum_j exp(s_ij / T) + ln sum_j exp(s_ji / T)) for the rows of a batch.

    Memory beside the rows: 32 MiB for a tile and 40 KiB x dim, whatever the batch.

    Args:
        images, texts: float16 (n, dim), canonical, no bad rows.
        temperature: T.

    Returns:
        float64 (n,).
    """
    n_rows = len(images)
    over_images, over_texts = np.zeros(n_rows), np.zeros(n_rows)
    row_scale, column_scale = _inverse_norms(images) / temperature, _inverse_norms(texts)
    tile_rows = _SPAN_ROWS * _TILE_SPANS
    buffer = np.empty(min(tile_rows, n_rows) * min(_SPAN_COLUMNS, n_rows))
    with ThreadPoolExecutor(cpu.thread_count()) as threads:
        for top in range(0, n_rows, tile_rows):
            rows = slice(top, min(top + tile_rows, n_rows))
            left = images[rows].astype(np.float64)
            for first in range(0, n_rows, _SPAN_COLUMNS):
                columns = slice(first, min(first + _SPAN_COLUMNS, n_rows))
                right = texts[columns].astype(np.float64)
                dots = buffer[: len(left) * len(right)].reshape(len(left), len(right))
                np.matmul(left, right.T, out=dots)
                tile = _Tile(dots, row_scale[rows], column_scale[columns], 1 / temperature)
                spans = range(0, len(dots), _SPAN_ROWS)
                for start, (along, down) in zip(spans, threads.map(tile.sums, spans), strict=True):
                    over_texts[top + start : top + start + len(along)] += along
                    over_images[columns] += down
    # exp((s - 1) / T) was summed: each logarithm lacks 1 / T.
    return np.asarray(1 + temperature / 2 * (np.log(over_texts) + np.log(over_images)))


class _Tile:
    """Exact dots of some images (rows) and texts (columns), turned into exponentials in place."""

    def __init__(self, dots: Float64, rows: Float64, columns: Float64, shift: float) -> None:
        self.dots, self.rows, self.columns, self.shift = dots, rows[:, None], columns, shift

    def sums(self, start: int) -> tuple[Float64, Float64]:
        """The sums along the rows and down the columns of one span of rows."""
        part = slice(start, start + _SPAN_ROWS)
        span = self.dots[part]
        np.multiply(span, self.rows[part], out=span)
        np.multiply(span, self.columns, out=span)
        np.subtract(span, self.shift, out=span)
        np.exp(span, out=span)
        return span.sum(axis=1), span.sum(axis=0)


def _inverse_norms(rows: Rows) -> Float64:
    # Sums of squares of canonical rows are exact, and a span at a time is little memory.
    parts = [
        np.square(rows[start : start + _SPAN_ROWS], dtype=np.float64).sum(axis=1)
        for start in range(0, len(rows), _SPAN_ROWS)
    ]
    return np.asarray(1 / np.sqrt(np.concatenate([np.empty(0), *parts])))
