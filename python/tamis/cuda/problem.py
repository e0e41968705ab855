"""The problem of the self-check: small, and with what breaks approximate kernels.

Near-ties of 2^-48, copies, near-copies, more of each than a candidate list holds, walks of several
tiles, ragged segments, a dimension that fills no tile, a zero row, a NaN.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

DIMS = (67, 136)
"""Odd, and a whole number of 16-byte pieces: rows that are copied first, and rows as they are."""
N_ROWS = 240
N_CENTROIDS = 140  # more than one tile of 128
REPEATS = 60  # of all centroids: more than two tiles for each of 32 blocks that split them
SOME = 520  # of many centroids: some tiles, of any size
_SMALLEST = np.float16(2.0**-24)  # the smallest positive float16


class Problem(NamedTuple):
    """Host arrays that every kernel is given."""

    raw: npt.NDArray[np.float32]
    rows: npt.NDArray[np.float16]
    centroids: npt.NDArray[np.float16]
    many: npt.NDArray[np.float16]
    offsets: npt.NDArray[np.int64]


def make_problem(dim: int) -> Problem:
    """Rows and centroids of one dimension, the same in every process."""
    rng = np.random.default_rng(dim)
    raw = rng.standard_normal((N_ROWS, dim), dtype=np.float32)
    raw[40:60] = raw[40] + np.float32(0.03) * raw[40:60]  # near-copies
    raw[60:90] = raw[60]  # copies
    raw[150:190] = raw[150]
    raw[:, 0] = 0
    rows, centroids = _unit(raw), _unit(rng.standard_normal((N_CENTROIDS, dim)))
    centroids[:20] = rows[30:50]
    centroids[70:90] = centroids[:20]  # ties between tiles
    # Best and second best differ by 2^-48 for every seventh row.
    rows[::7, 0] = _SMALLEST
    rows[150:190, 0] = _multiples(40)  # no copies, and nearer than any sum in float32 can tell
    centroids[100:140] = np.repeat(rows[: 7 * 20 : 7], 2, axis=0)
    centroids[100:140:2, 0], centroids[101:140:2, 0] = 3 * _SMALLEST, 4 * _SMALLEST
    many = rng.permutation(np.tile(centroids, (REPEATS, 1)))
    many[:, 0] = rng.choice(_multiples(1000), len(many))
    many[200:240] = rows[112]
    many[200:240, 0] = _multiples(40)
    raw[3], raw[5, dim // 2], raw[7] = 0, np.nan, 2.0**-70
    sizes = [0, 1, 0, 2, 31, 1, 1, 170, 0, 5]
    offsets = np.cumsum([0, *sizes, N_ROWS - sum(sizes), 0], dtype=np.int64)
    return Problem(raw, rows, centroids, many, offsets)


def few_rows(problem: Problem) -> npt.NDArray[np.float16]:
    """Rows that are assigned to many centroids, and tell near-ties of 2^-48 apart."""
    return np.ascontiguousarray(problem.rows[:140:28])


def _multiples(n: int) -> npt.NDArray[np.float16]:
    """1 to n times the smallest positive float16."""
    return np.arange(1, n + 1, dtype=np.uint16).view(np.float16)


def of_two(problem: Problem) -> npt.NDArray[np.float16]:
    """The centroids of one problem, then those of another."""
    return np.concatenate([problem.centroids, problem.centroids[::-1]])


def labels() -> npt.NDArray[np.int32]:
    """One large cluster, small ones, and empty ones."""
    found = np.arange(N_ROWS, dtype=np.int32) % (N_CENTROIDS - 20)
    found[20:70] = 11
    return found


def reversed_offsets(offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(offsets[-1] - offsets[::-1])


def wide(problem: Problem) -> npt.NDArray[np.float64]:
    return problem.centroids.astype(np.float64) * (1 + 2.0**-30)


def repeated(offsets: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """The segments n times, one after another."""
    starts = np.arange(n, dtype=np.int64)[:, np.newaxis] * offsets[-1]
    return np.append((starts + offsets[:-1]).ravel(), n * offsets[-1])


def _unit(values: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    wide = values.astype(np.float64)
    norm = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    rows: npt.NDArray[np.float16] = (wide / norm).astype(np.float16)
    return rows
