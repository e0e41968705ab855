"""Float64 judges of every answer. Canonical rows make a float64 dot exact, whatever the order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.inputs import Offsets, Rows

Labels = npt.NDArray[np.integer]
Float64 = npt.NDArray[np.float64]

REAL_GAP = 1e-6  # a rival's choice is a mismatch only where it loses more than this
SAMPLE = 4096
_BLOCK = 4096


@dataclass(frozen=True)
class Verdict:
    """What a judge found. `wrong` stops a result from counting; a rival's mismatches are listed."""

    checked: int
    mismatches: int
    wrong: bool = False
    note: str = ""
    objective: float | None = None


def sample_rows(n: int, count: int = SAMPLE, seed: int = 0) -> npt.NDArray[np.int64]:
    """Row numbers to check: all, or a seeded random choice, ascending."""
    if n <= count:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, size=count, replace=False))


def judge_labels(
    rows: Rows, centroids: Rows, labels: Labels, *, scores: npt.ArrayLike | None, exact: bool
) -> Verdict:
    """Labels against the float64 argmax (ties to the lowest index) on a random sample of rows.

    exact: every label, and every score where given, must be that one bit for bit. Otherwise a label
    is a mismatch where its float64 score is more than REAL_GAP below the best.
    """
    if np.shape(labels) != (len(rows),):
        return Verdict(0, len(rows), wrong=True, note=f"labels of shape {np.shape(labels)}")
    sample = sample_rows(len(rows))
    given = np.asarray(labels)[sample].astype(np.int64)
    if given.min() < 0 or given.max() >= len(centroids):
        return Verdict(len(sample), len(sample), wrong=True, note="labels out of range")
    best, best_score, given_score = _best_centroids(rows[sample], centroids, given)
    if not exact:
        return Verdict(len(sample), int((best_score - given_score > REAL_GAP).sum()))
    differs = given != best
    if scores is not None:
        differs |= np.asarray(scores)[sample] != best_score.astype(np.float32)
    return _exact_verdict(sample, differs)


def judge_cosines(
    rows: Rows,
    offsets: Offsets,
    cosine: npt.ArrayLike,
    index: npt.ArrayLike | None,
    *,
    exact: bool,
) -> Verdict:
    """The largest cosine to an earlier row of the segment, on a random sample of rows.

    exact: float32 cosine and index must be those of float64, bit for bit. Otherwise a row is a
    mismatch where its cosine is off by more than REAL_GAP; negative cosines count as 0, since the
    published triu(...).max() sees the zeros below the diagonal.
    """
    given = np.asarray(cosine)
    if given.shape != (len(rows),):
        return Verdict(0, len(rows), wrong=True, note=f"cosines of shape {given.shape}")
    sample = sample_rows(len(rows), SAMPLE // 4)
    expected, which = _best_earlier(rows, offsets, sample)
    if exact:
        differs = given[sample] != expected.astype(np.float32)
        if index is not None:
            differs |= np.asarray(index)[sample] != which
        return _exact_verdict(sample, differs)
    error = np.abs(given[sample].astype(np.float64) - np.maximum(expected, 0))
    note = f"largest error {error.max():.1e}"
    return Verdict(len(sample), int((error > REAL_GAP).sum()), note=note)


def objective(rows: Rows, centroids: npt.ArrayLike) -> float:
    """Mean over all rows of |x - c|^2, c the best centroid made unit-norm; float64, one judge."""
    wide = np.asarray(centroids, dtype=np.float64)
    norms = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    wide = (wide / np.where(norms > 0, norms, 1)).T.copy()
    total = 0.0
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK].astype(np.float64)
        total += float(np.square(block).sum() + len(block) - 2 * (block @ wide).max(axis=1).sum())
    return total / len(rows)


def paired_dots(rows: Rows, centroids: Rows, labels: Labels) -> Float64:
    """The float64 dot of each row with its own centroid."""
    out = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        own = centroids[labels[block]].astype(np.float64)
        out[block] = (rows[block].astype(np.float64) * own).sum(axis=1)
    return out


def _best_centroids(
    rows: Rows, centroids: Rows, given: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Float64, Float64]:
    """The best centroid, its score, and the score of the given centroid, for each row."""
    wide = centroids.astype(np.float64).T.copy()
    parts = []
    for start in range(0, len(rows), _BLOCK):
        scores = rows[start : start + _BLOCK].astype(np.float64) @ wide
        each = np.arange(len(scores))
        best = scores.argmax(axis=1)
        parts.append((best, scores[each, best], scores[each, given[start : start + len(scores)]]))
    best, best_score, given_score = (np.concatenate(part) for part in zip(*parts, strict=True))
    return best, best_score, given_score


def _best_earlier(
    rows: Rows, offsets: Offsets, sample: npt.NDArray[np.int64]
) -> tuple[Float64, npt.NDArray[np.int64]]:
    """cosine = dot / (|x| |y|) of each sampled row with the earlier rows of its segment."""
    cosine = np.full(len(sample), -np.inf)
    index = np.full(len(sample), -1, dtype=np.int64)
    segment = np.searchsorted(offsets, sample, side="right") - 1
    for s in np.unique(segment):
        begin = int(offsets[s])
        chosen = np.flatnonzero(segment == s)
        wide = rows[begin : sample[chosen].max() + 1].astype(np.float64)
        norms = np.sqrt(np.square(wide).sum(axis=1))
        for place in chosen:
            row = int(sample[place]) - begin
            if row:
                all_cosines = (wide[:row] @ wide[row]) / (norms[row] * norms[:row])
                best = int(all_cosines.argmax())
                cosine[place], index[place] = all_cosines[best], begin + best
    return cosine, index


def _exact_verdict(sample: npt.NDArray[np.int64], differs: npt.NDArray[np.bool_]) -> Verdict:
    count = int(differs.sum())
    note = f"row {sample[differs.argmax()]} differs from float64" if count else ""
    return Verdict(len(sample), count, wrong=count > 0, note=note)
