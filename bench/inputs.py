"""What is measured on: seeded float16 rows of unit norm, and how they fall into segments."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import cases  # tests/cases.py, which run.py puts on the path

Rows = npt.NDArray[np.float16]
Offsets = npt.NDArray[np.int64]


def random_rows(n: int, d: int, seed: int = 0) -> Rows:
    """Directions drawn evenly from the sphere: the smallest gaps, so the hardest to shortlist."""
    return usable(cases.unit_rows(n, d, seed))


def mixture_rows(n: int, d: int, components: int, seed: int = 0) -> Rows:
    """Gaussians around `components` centres; two rows of one have a cosine of about 0.5."""
    return usable(cases.mixture(n, d, seed, centres=components, spread=1.0))


def near_copies(n: int, d: int, seed: int = 0) -> Rows:
    """One family of near-copies, pairwise cosines 0.9988 to 0.9993."""
    return usable(cases.near_copies(n, d, seed))


def clustered_rows(offsets: Offsets, d: int, seed: int = 0) -> Rows:
    """Each segment a Gaussian around a centre of its own, as clusters are; cosines of about 0.5."""
    rng = np.random.default_rng(seed)
    rows = np.empty((int(offsets[-1]), d), dtype=np.float16)
    for begin, end in zip(offsets[:-1], offsets[1:], strict=True):
        centre = rng.standard_normal(d, dtype=np.float32)
        rows[begin:end] = cases.canonical16(
            centre + rng.standard_normal((end - begin, d), dtype=np.float32)
        )
    return usable(rows)


def pool_rows(n: int, d: int, components: int, seed: int = 0) -> Rows:
    """A mixture in which a quarter of the rows are near-copies of others, cosines 0.93 to 1."""
    rng = np.random.default_rng(seed)
    rows = mixture_rows(n, d, components, seed)
    copied = rng.permutation(n)[: n // 4]
    noise = rng.standard_normal((len(copied), d), dtype=np.float32) / np.float32(np.sqrt(d))
    strength = rng.uniform(0, 0.4, size=(len(copied), 1)).astype(np.float32)
    rows[copied] = cases.canonical16(rows[rng.integers(n, size=len(copied))] + strength * noise)
    return usable(rows)


def equal_segments(n: int, segments: int) -> Offsets:
    """Offsets of segments of n / segments rows, rounded."""
    return np.round(np.linspace(0, n, segments + 1)).astype(np.int64)


def zipf_segments(n: int, segments: int) -> Offsets:
    """Offsets of segments whose sizes fall as 1/rank, in random order."""
    return cases.zipf(n, segments)


def usable(rows: Rows) -> Rows:
    """Refuse rows that would flatter a kernel: zeros, or the same row throughout."""
    norms = np.sqrt(np.square(rows, dtype=np.float32).sum(axis=1))
    if not len(rows) or np.abs(norms - 1).max() > 0.01:
        raise ValueError("a benchmark needs rows of unit norm")
    if len(rows) > 1 and np.array_equal(rows[0], rows[-1]):
        raise ValueError("a benchmark needs rows that differ")
    return rows
