"""Seeded inputs shared by the tests and the benchmarks.

Every generator in FAMILIES takes (n, d, seed) and returns float16 rows that are canonical already:
their norm lies in [1 - 2^-10, 1 + 2^-10], so every kernel takes them as they are. They are the
inputs that break approximate kernels; `misleading_bfloat16` and `misleading_int8` attack one pass
each, with candidates whose norm is only near 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float16]
Values = npt.NDArray[Any]

# Around the edges of vector registers and tiles, widths of real encoders, the largest promised.
DIMS = (
    *(1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65),
    *(100, 257, 384, 512, 768, 1000, 4096),
)
SMALLEST = 2.0**-24  # the smallest positive float16


def unit_rows(n: int, d: int, seed: int = 0) -> Rows:
    """Directions drawn evenly from the sphere."""
    return canonical16(np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32))


def mixture(n: int, d: int, seed: int = 0, *, centres: int = 10, spread: float = 0.5) -> Rows:
    """A mixture of `centres` Gaussians, the shape of real embeddings."""
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal((centres, d), dtype=np.float32)
    noise = rng.standard_normal((n, d), dtype=np.float32)
    return canonical16(centre[rng.integers(centres, size=n)] + np.float32(spread) * noise)


def near_copies(
    n: int, d: int, seed: int = 0, *, cosines: tuple[float, float] = (0.9988, 0.9993)
) -> Rows:
    """One family of near-copies: pairwise cosines spread about `cosines` (for d of 64 or more)."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal(d)
    root /= np.linalg.norm(root)
    noise = rng.standard_normal((n, d)) / np.sqrt(d)
    # Two rows root + s * noise have a cosine of about 1 / (1 + s^2).
    strength = np.sqrt(1 / rng.uniform(*cosines, size=(n, 1)) - 1)
    return canonical16(root + strength * noise)


def families(n: int, d: int, seed: int = 0, *, size: int = 8) -> Rows:
    """Families of near-copies of about `size` rows each, in random order."""
    rng = np.random.default_rng(seed)
    count = max(1, n // size)
    rows = [near_copies(-(-n // count), d, seed * 1000 + f) for f in range(count)]
    return rng.permutation(np.concatenate(rows)[:n])


def copies(n: int, d: int, seed: int = 0, *, distinct: int = 5) -> Rows:
    """Bit-identical copies of `distinct` rows, in random order."""
    rng = np.random.default_rng(seed)
    return unit_rows(distinct, d, seed)[rng.integers(distinct, size=n)]


def one_hot(n: int, d: int, seed: int = 0) -> Rows:
    """Rows with one element of 1 or -1: nearly every comparison is a tie."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, d), dtype=np.float16)
    rows[np.arange(n), rng.integers(d, size=n)] = rng.choice([-1, 1], size=n)
    return rows


def subnormal_heavy(n: int, d: int, seed: int = 0) -> Rows:
    """Rows with one element of 1 and subnormal float16 numbers (below 2^-14) everywhere else."""
    rng = np.random.default_rng(seed)
    rows = (rng.integers(-1023, 1024, size=(n, d)) * SMALLEST).astype(np.float16)
    rows[np.arange(n), rng.integers(min(d, 3), size=n)] = 1
    return rows


def outlier_dimension(n: int, d: int, seed: int = 0) -> Rows:
    """Rows that share one huge dimension, as text encoders have: 8-bit scales see little else."""
    values = np.random.default_rng(seed).standard_normal((n, d))
    values[:, d // 2] = 8 * np.sqrt(d)
    return canonical16(values)


def wide_range(n: int, d: int, seed: int = 0) -> Rows:
    """Rows with elements spread evenly over the exponents of float16."""
    rng = np.random.default_rng(seed)
    sign = rng.choice([-1.0, 1.0], size=(n, d))
    return canonical16(sign * np.exp2(rng.uniform(-24, 0, size=(n, d))))


def last_bits(n: int, d: int, seed: int = 0) -> Rows:
    """Rows equal but for one last bit of one element, the smallest element half of the time."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(wide_range(1, d, seed), n, axis=0)
    smallest = int(np.abs(rows[0]).argmin())
    element = np.where(rng.random(n) < 0.5, smallest, rng.integers(d, size=n))
    bits = rows.view(np.uint16)
    inside = (np.abs(rows[0]) < 1)[element]  # one more bit would leave the unit norm when d = 1
    bits[np.arange(n), element] += np.where(inside, rng.integers(0, 2, size=n), 0).astype(np.uint16)
    return rows


def small_integers(n: int, d: int, seed: int = 0) -> Rows:
    """Directions of small integer vectors: many exact ties between rows that are not copies."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-2, 3, size=(n, d))
    values[np.arange(n), rng.integers(d, size=n)] = rng.choice([-2, -1, 1, 2], size=n)
    return canonical16(values)


def edge_norms(n: int, d: int, seed: int = 0) -> Rows:
    """A few directions with every norm that canonical rows may have.

    Along one direction the dot products differ by 2^-9 while the cosines tie or nearly so.
    """
    rng = np.random.default_rng(seed)
    directions = np.concatenate([unit_rows(3, d, seed), one_hot(3, d, seed)])
    chosen = directions[rng.integers(6, size=n)]
    factor = rng.choice([1 - 2.0**-10, 1 - 2.0**-11, 1.0, 1 + 2.0**-10], size=(n, 1))
    rows = (chosen * factor).astype(np.float16)
    allowed = np.abs(_norms(rows) - 1) <= 2.0**-10
    return np.where(allowed, rows, chosen)


FAMILIES: dict[str, Callable[[int, int, int], Rows]] = {
    "unit_rows": unit_rows,
    "mixture": mixture,
    "near_copies": near_copies,
    "families": families,
    "copies": copies,
    "one_hot": one_hot,
    "subnormal_heavy": subnormal_heavy,
    "outlier_dimension": outlier_dimension,
    "wide_range": wide_range,
    "last_bits": last_bits,
    "small_integers": small_integers,
    "edge_norms": edge_norms,
}


def equidistant(n: int, d: int, seed: int = 0) -> tuple[Rows, Rows]:
    """Rows and centroids in pairs whose dot products with every row differ by 0 or 2^-48.

    The centroids of a pair differ by 2^-24 in element 0, and element 0 of a row is 0 or +-2^-24.
    """
    rng = np.random.default_rng(seed)
    rows, centroids = (
        unit_rows(n, d, seed),
        np.repeat(unit_rows(max(2, n // 4), d, seed + 1), 2, axis=0),
    )
    if d > 1:
        rows[:, 0] = rng.choice([-SMALLEST, 0.0, SMALLEST], size=n)
        centroids[:, 0] = SMALLEST * np.tile([3, 4], len(centroids) // 2)
        rows, centroids = canonical16(rows, pinned=0), canonical16(centroids, pinned=0)
        centroids[1::2, 1:] = centroids[::2, 1:]
    return rows, centroids


def misleading_bfloat16(n: int, d: int, seed: int = 0) -> tuple[Rows, Rows]:
    """Rows and pairs of candidates whose order flips when the elements are rounded to bfloat16.

    Row r is a pattern of signs, exact in bfloat16. Candidates 2r and 2r + 1 have the row's signs
    and nearly equal elements. bfloat16 drops the last 3 bits of a float16: in candidate 2r these
    are 101, rounded up, in candidate 2r + 1 they are 011, rounded down. Yet candidate 2r + 1 is the
    closer one.
    """
    rng = np.random.default_rng(seed)
    bits = canonical16(rng.uniform(0.75, 1.2, size=(n, d))).view(np.uint16)
    closer = (bits & 0xFFF8) + np.uint16(3)
    raised, lowered = closer + np.uint16(2), closer - np.uint16(6)
    return _misleading(*(part.view(np.float16) for part in (closer, raised, lowered)), rng)


def misleading_int8(n: int, d: int, seed: int = 0) -> tuple[Rows, Rows]:
    """Rows and pairs of candidates whose order flips when a row is rounded to max|row| / 127.

    As `misleading_bfloat16`; the elements lie just above (2r) and just below (2r + 1) half a step.
    """
    rng = np.random.default_rng(seed)
    steps = rng.integers(60, 126, size=(n, d)) + 0.45
    steps[:, 0] = 127
    scale = 1 / np.sqrt(np.square(steps).sum(axis=1, keepdims=True))
    raised, lowered = steps + 0.1, steps - 0.9
    raised[:, 0] = lowered[:, 0] = 127
    return _misleading(
        *((part * scale).astype(np.float16) for part in (steps, raised, lowered)), rng
    )


def _misleading(
    closer: Rows, raised: Rows, lowered: Rows, rng: np.random.Generator
) -> tuple[Rows, Rows]:
    """Pair each closer row with a farther one: `raised`, as many elements lowered as it takes."""
    n, d = closer.shape
    farther = raised.copy()
    dot = closer.astype(np.float64).sum(axis=1)
    cosine = dot / _norms(closer)[:, 0]
    for r, order in enumerate(rng.permuted(np.tile(np.arange(d), (n, 1)), axis=1)):
        for element in order:
            row = farther[r].astype(np.float64)
            if row.sum() < dot[r] and row.sum() / np.sqrt(np.square(row).sum()) < cosine[r]:
                break
            farther[r, element] = lowered[r, element]
    signs = rng.choice(np.array([-1, 1], dtype=np.float16), size=(n, d))
    candidates = np.stack([farther * signs, closer * signs], axis=1).reshape(2 * n, d)
    return canonical16(signs), candidates


def _norms(values: Values) -> npt.NDArray[np.float64]:
    return np.sqrt(np.square(values.astype(np.float64)).sum(axis=1, keepdims=True))


def ragged(n: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Offsets of one giant segment (half of the rows), singletons, empty and small segments."""
    rng = np.random.default_rng(seed)
    sizes = [0, n // 2, 0, 0]
    while sum(sizes) < n:
        sizes.append(min(int(rng.choice([0, 1, 1, 2, 3, 5, 8, 17, 33])), n - sum(sizes)))
    return np.concatenate([[0], np.cumsum([*rng.permutation(sizes), 0])])


def zipf(n: int, segments: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Offsets of `segments` segments whose sizes fall as 1/rank, in random order."""
    weights = 1 / np.arange(1, segments + 1)
    cuts = np.cumsum(np.random.default_rng(seed).permutation(weights / weights.sum()))
    return np.concatenate([[0], np.round(cuts * n)]).astype(np.int64)


def canonical16(values: Values, *, pinned: int | None = None) -> Rows:
    """Normalise in float64 and round to float16, a block at a time.

    Element `pinned` stays as it is; it must be too small to matter to the norm.
    """
    rows = np.empty(values.shape, dtype=np.float16)
    for start in range(0, len(values), 1 << 14):
        block = values[start : start + (1 << 14)]
        rows[start : start + len(block)] = block / _norms(block)
    if pinned is not None:
        rows[:, pinned] = values[:, pinned]
    return rows
