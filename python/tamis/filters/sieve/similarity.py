"""Sentence similarity: texts to canonical rows, and the caption that is closest to an alt-text.

All that decides is float64 on canonical rows, see :mod:`tamis.kernels.canonical`; ties go to the
caption that comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tamis.embed.encoder import Encoder
from tamis.embed.rows import TextRows
from tamis.kernels.canonical import canonical
from tamis.kernels.exact import paired_cosine64

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Rows = npt.NDArray[np.float16]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

DEFAULT_MODEL = "sentence:all-MiniLM-L6-v2"
DEFAULT_BATCH = 256
TEXTS_AT_ONCE = 1 << 14
ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Closest:
    """The captions that are closest to n alt-texts.

    Attributes:
        cosine: float64 (n,), the largest; NaN where there is nothing to compare.
        index: int64 (n,), the row of `captions` that it is the cosine of, -1 there.
        mean: float64 (n,), over the alt-text's captions; NaN there.
    """

    cosine: Float64
    index: Int64
    mean: Float64


def encode_sentences(
    encoder: Encoder, texts: Sequence[str], *, batch_size: int = DEFAULT_BATCH
) -> tuple[Rows, Mask]:
    """Encode texts, sorted by length, to canonical rows.

    Texts are taken in buckets of about the same number of tokens, so little padding is computed,
    and the row of a text depends on no other text. Give each different text once.

    Args:
        encoder: of texts.
        texts: valid Unicode; empty ones too.
        batch_size: texts encoded at a time, see :func:`tamis.embed.padding.texts_per_batch`.

    Returns:
        rows: (n, dim) float16, canonical; zeros where a text has no row.
        bad: (n,) bool, True there: the text has no tokens, or its row is zero, NaN or infinite.
    """
    rows = np.zeros((len(texts), encoder.dims["text"]), np.float16)
    bad = np.ones(len(texts), np.bool_)
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        part = slice(start, start + TEXTS_AT_ONCE)
        pieces = encoder.prepare_texts(texts[part])
        encoded = TextRows(encoder, len(pieces), batch_size)
        encoded.add(0, pieces)
        rows[part], bad[part] = canonical(encoded.finish())
    return rows, bad


def paired_max(
    alts: Rows,
    captions: Rows,
    offsets: ArrayLike,
    *,
    alt_index: Int64 | None = None,
    caption_index: Int64 | None = None,
    bad_alts: Mask | None = None,
    bad_captions: Mask | None = None,
) -> Closest:
    """Return the closest caption of each alt-text; `captions[offsets[i]:offsets[i + 1]]` are its.

    Args:
        alts: (n, dim) float16, canonical.
        captions: (m, dim) float16, canonical.
        offsets: int64 (n + 1,), ascending from 0 to m.
        alt_index: int64 (n,), where alt-text i is the row `alts[alt_index[i]]` instead.
        caption_index: int64 (m,), likewise.
        bad_alts, bad_captions: bool, True where a row of `alts` or `captions` is none; what cannot
            be compared takes no part.

    Raises:
        ValueError: offsets that do not fit.

    Example:
        >>> captions = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float16)
        >>> closest = paired_max(np.array([[0, 1], [1, 0]], np.float16), captions, [0, 3, 3])
        >>> closest.cosine.tolist(), closest.index.tolist(), closest.mean.round(2).tolist()
        ([1.0, nan], [2, -1], [0.6, nan])
    """
    bounds = np.ascontiguousarray(offsets, np.int64)
    alt_index = np.arange(len(alts)) if alt_index is None else alt_index
    caption_index = np.arange(len(captions)) if caption_index is None else caption_index
    if (
        len(bounds) != len(alt_index) + 1
        or bounds[0] != 0
        or bounds[-1] != len(caption_index)
        or (np.diff(bounds) < 0).any()
    ):
        raise ValueError(
            f"expected {len(alt_index) + 1} offsets ascending from 0 to {len(caption_index)}"
        )
    of_caption = np.repeat(alt_index, np.diff(bounds))
    cosines = np.full(len(caption_index), np.nan)
    usable = np.ones(len(caption_index), np.bool_)
    if bad_alts is not None:
        usable &= ~bad_alts[of_caption]
    if bad_captions is not None:
        usable &= ~bad_captions[caption_index]
    cosines[usable] = paired_cosine64(alts, of_caption[usable], captions, caption_index[usable])
    return _closest(cosines, bounds)


def _closest(cosines: Float64, bounds: Int64) -> Closest:
    """Reduce each segment; NaN takes no part. Sums run in the order of the captions."""
    n_rows = len(bounds) - 1
    best = np.full(n_rows, np.nan)
    index = np.full(n_rows, -1, np.int64)
    total, count = np.zeros(n_rows), np.zeros(n_rows, np.int64)
    rows = np.flatnonzero(np.diff(bounds))
    place = 0
    while len(rows):
        at = bounds[rows] + place
        values = cosines[at]
        real = ~np.isnan(values)
        total[rows[real]] += values[real]
        count[rows[real]] += 1
        better = real & ~(values <= best[rows])
        best[rows[better]] = values[better]
        index[rows[better]] = at[better]
        place += 1
        rows = rows[bounds[rows + 1] - bounds[rows] > place]
    with np.errstate(invalid="ignore"):
        return Closest(best, index, np.where(count > 0, total / count, np.nan))


class StoredRows(Protocol):
    """Rows by their numbers: :class:`tamis.score.rows.PoolRows` is one."""

    def read(self, start: int, stop: int) -> tuple[Rows, dict[int, str]]:
        """Return canonical rows start .. stop - 1, and row - start -> what is wrong with it."""


def closest_stored(
    alts: StoredRows | npt.NDArray[Any],
    captions: StoredRows | npt.NDArray[Any],
    offsets: ArrayLike,
    *,
    rows_at_once: int = ROWS_AT_ONCE,
) -> Closest:
    """Return the closest caption of each alt-text from embeddings that are stored.

    For a pool that has its captions, a new sentence encoder is two embed steps (alt-texts, captions
    laid end to end) and this: no image is looked at again. Memory: the result, and `rows_at_once`
    alt-texts with their captions.

    Args:
        alts: n rows: an array, memory-mapped or not, of any floating dtype, or the rows of a pool.
        captions: m rows likewise; those of alt-text i are offsets[i] .. offsets[i + 1] - 1.
        offsets: int64 (n + 1,), ascending from 0 to m.
        rows_at_once: alt-texts taken at a time; the result does not depend on it.

    Returns:
        As :func:`paired_max`; rows that are zero, NaN or infinite take no part.

    Raises:
        ValueError: offsets that do not fit.

    Example:
        >>> alts, captions = np.eye(2, 3), np.array([[3.0, 4, 0], [0, 0, 0], [0, 0, 2]])
        >>> closest_stored(alts, captions, [0, 2, 3]).cosine.round(2).tolist()
        [0.6, 0.0]
    """
    bounds = np.ascontiguousarray(offsets, np.int64)
    if not len(bounds) or bounds[0] != 0:
        raise ValueError("expected offsets that begin at 0")
    sizes = [len(rows) for rows in (alts, captions) if isinstance(rows, np.ndarray)]
    if isinstance(alts, np.ndarray) and len(bounds) != len(alts) + 1:
        raise ValueError(f"expected {len(alts) + 1} offsets, got {len(bounds)}")
    if isinstance(captions, np.ndarray) and bounds[-1] != sizes[-1]:
        raise ValueError(f"expected offsets that end at {sizes[-1]}, the number of captions")
    n_rows = len(bounds) - 1
    found = Closest(np.empty(n_rows), np.empty(n_rows, np.int64), np.empty(n_rows))
    for start, stop in _blocks(n_rows, rows_at_once):
        first, last = int(bounds[start]), int(bounds[stop])
        left, bad_left = _read(alts, start, stop)
        right, bad_right = left[:0], bad_left[:0]
        if first < last:  # nothing can be read of a file where nothing is asked for
            right, bad_right = _read(captions, first, last)
        block = paired_max(
            left,
            right,
            bounds[start : stop + 1] - first,
            bad_alts=bad_left,
            bad_captions=bad_right,
        )
        found.cosine[start:stop] = block.cosine
        found.index[start:stop] = np.where(block.index >= 0, block.index + first, -1)
        found.mean[start:stop] = block.mean
    return found


def _blocks(n_rows: int, at_once: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n_rows, at_once):
        yield start, min(start + at_once, n_rows)


def _read(source: StoredRows | npt.NDArray[Any], start: int, stop: int) -> tuple[Rows, Mask]:
    if isinstance(source, np.ndarray):
        return canonical(source[start:stop])
    rows, reasons = source.read(start, stop)
    bad = np.zeros(len(rows), np.bool_)
    bad[list(reasons)] = True
    return rows, bad
