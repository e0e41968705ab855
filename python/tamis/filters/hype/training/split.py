"""Which pairs an adapter is trained on and which it is measured on: families never straddle.

A family is a connected component of pairs that share something: nearly the same image (the cosine
of their canonical rows is above a threshold), the same text (equal rows), or a series that the
pool's metadata names. Measured on copies of what it learned, any model looks good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.kernels import exact, sample

Index = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float16]

FEWEST_FAMILIES = 8
"""Below this nothing can be told from a validation."""


class Split(NamedTuple):
    """Positions of pairs, int64, ascending."""

    train: Index
    validation: Index


def families(images: Rows, texts: Rows, *, near: float, series: Index | None = None) -> Index:
    """Return the family of every pair: the lowest position in it, int64 (n,).

    Args:
        images, texts: float16 (n, d), canonical.
        near: images with float32(cosine) above float32(near) are of one family.
        series: int64 (n,); equal numbers are of one family, -1 of none.

    Example:
        >>> images = np.eye(4, dtype=np.float16)[[0, 1, 1, 2]]
        >>> texts = np.eye(4, dtype=np.float16)[[0, 1, 2, 0]]
        >>> families(images, texts, near=0.9).tolist()
        [0, 1, 1, 0]
    """
    whole = np.array([0, len(images)], np.int64)
    groupings = [exact.components(images, whole, near), _equal(texts)]
    if series is not None:
        own = np.arange(len(series)) + series.max(initial=-1) + 1
        groupings.append(np.unique(np.where(series < 0, own, series), return_inverse=True)[1])
    return joined(groupings)


def joined(groupings: Sequence[npt.NDArray[Any]]) -> Index:
    """Return the components of rows that are in one group of any grouping, by their lowest row.

    Args:
        groupings: each int (n,), the number of every row's group, 0 to n - 1.

    Example:
        >>> joined([np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])]).tolist()
        [0, 0, 0, 3]
    """
    lowest = np.arange(len(groupings[0]), dtype=np.int64)
    while True:
        before = lowest
        for groups in groupings:
            of_group = np.full(len(lowest), len(lowest), np.int64)
            np.minimum.at(of_group, groups, lowest)
            lowest = of_group[groups]
        lowest = lowest[lowest]  # the lowest of the lowest: chains shorten by half
        if (lowest == before).all():
            return lowest


def split(of_family: Index, rows: Index, *, share: float, seed: int) -> Split:
    """Choose the pairs to measure on: whole families, in the order of their keys, while they fit.

    Args:
        of_family: see :func:`families`.
        rows: int64 (n,), the pairs' rows in the pool, which the keys are of.
        share: of the pairs, at most.
        seed: of the choice.

    Raises:
        ValueError: there are too few families, or none of those that fit is left for one side.

    Example:
        >>> of_family = np.array([0, 0, 2, 3, 4, 5, 6, 7, 8, 9])
        >>> split(of_family, np.arange(10), share=0.2, seed=0).validation.tolist()
        [6, 9]
    """
    first, inverse, sizes = np.unique(of_family, return_inverse=True, return_counts=True)
    told = f"{len(of_family):,} usable pairs are {len(first):,} families"
    if len(first) < FEWEST_FAMILIES:
        raise ValueError(
            f"expected {FEWEST_FAMILIES} families or more, but the {told}; give more rows, or a "
            "higher near, if images that differ count as copies"
        )
    room = share * len(of_family)
    chosen = np.zeros(len(first), np.bool_)
    order = np.argsort(sample.keys(seed, sample.VALIDATION, rows[first]), kind="stable")
    for family in order.tolist():
        if sizes[family] <= room:
            chosen[family] = True
            room -= sizes[family]
    if chosen.sum() < 2:
        raise ValueError(
            f"the validation would be empty: the {told}, and fewer than two of them fit into "
            f"{share:g} of the pairs; give more rows, a larger validation, or a higher near"
        )
    measured = chosen[inverse]
    return Split(np.flatnonzero(~measured), np.flatnonzero(measured))


def partners(of_family: Index) -> Index:
    """Return for every pair another of another family, whose text makes a mismatched pair.

    It is the next one of another family, around the end; put the pairs in a random order first.

    Raises:
        ValueError: all are of one family.

    Example:
        >>> partners(np.array([0, 0, 2, 3])).tolist()
        [2, 2, 3, 0]
    """
    n = len(of_family)
    position = np.arange(n)
    if n == 0 or (of_family == of_family[0]).all():
        raise ValueError("expected pairs of two families or more")
    # The next start of a run of equal families, around the end; runs that end meet the first one.
    starts = np.flatnonzero(of_family != np.roll(of_family, 1))
    after = np.searchsorted(starts, position, side="right") % len(starts)
    return starts[after]


def _equal(rows: Rows) -> Index:
    """Numbers of groups of equal rows."""
    whole = np.ascontiguousarray(rows)
    keys = whole.view(np.dtype((np.void, whole.dtype.itemsize * whole.shape[1]))).reshape(-1)
    inverse: Index = np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return inverse
