"""Small pools of canonical rows that make SemDeDup hard: copies, near-copies, parallel rows."""

from __future__ import annotations

import numpy as np

from tamis.kernels.canonical import canonical

# Four directions times the lengths that canonical rows may have. Rows of one direction are parallel
# and not identical, and rounding gives some of them a larger float64 cosine to one another than to
# themselves (`test_families` checks that).
PARALLEL = np.array(
    [
        *([m / 2048, m / 2048] for m in (1447, 1448, 1449)),
        *([-m / 2048, m / 2048] for m in (1447, 1448, 1449)),
        *([m / 2048, 0] for m in (2046, 2047, 2048)),
        *([m / 2048, 2.0**-24] for m in (2046, 2048)),
        *([-m / 2048, -0.0] for m in (2046, 2048)),
    ],
    dtype=np.float16,
)


def rows_of(values: np.ndarray) -> np.ndarray:
    rows, bad = canonical(np.asarray(values, dtype=np.float32))
    assert not bad.any()
    return rows


def clustered(
    n_rows: int, dim: int, seed: int, *, copies: float = 0.3, spread: float = 0.2
) -> np.ndarray:
    """Noisy points around a few centres; a share of the rows are bit-identical copies of others."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((6, dim))
    points = centres[rng.integers(6, size=n_rows)] + spread * rng.standard_normal((n_rows, dim))
    is_copy = rng.random(n_rows) < copies
    points[is_copy] = points[rng.integers(n_rows, size=int(is_copy.sum()))]
    return rows_of(points)


def parallel(n_rows: int, seed: int) -> np.ndarray:
    """Rows of `PARALLEL`, most of them several times."""
    rng = np.random.default_rng(seed)
    return PARALLEL[rng.integers(len(PARALLEL), size=n_rows)]
