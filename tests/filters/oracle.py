"""SemDeDup once more in plain Python: integers for dot products, loops for everything else.

It shares no code with the package except the canonical rows, the centroids and the random keys that
it is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

UNIT = 2.0**24  # every float16 is a multiple of 2^-24


def integers(rows: np.ndarray) -> list[list[int]]:
    return [[int(value * UNIT) for value in row] for row in rows.astype(np.float64).tolist()]


def dot(a: list[int], b: list[int]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / UNIT / UNIT


def cosine(a: list[int], b: list[int]) -> float:
    return dot(a, b) / (math.sqrt(dot(a, a)) * math.sqrt(dot(b, b)))


@dataclass
class Oracle:
    """What every row of a pool of usable rows should get."""

    rows: np.ndarray
    labels: list[int]
    order: list[int]
    probed: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.n = len(self.rows)
        self.probed = self.probed or [[] for _ in range(self.n)]
        self.rank = {row: position for position, row in enumerate(self.order)}
        units = integers(self.rows)
        self.cosines = [[cosine(a, b) for b in units] for a in units]

    def compared(self, a: int, b: int) -> bool:
        return a != b and (
            self.labels[a] == self.labels[b]
            or self.labels[a] in self.probed[b]
            or self.labels[b] in self.probed[a]
        )

    def scores(self) -> tuple[list[float], list[int]]:
        """Largest cosine to an earlier row, and which; ties to the lowest rank."""
        best, nearest = [-math.inf] * self.n, [-1] * self.n
        for position, row in enumerate(self.order):
            for other in self.order[:position]:
                if self.compared(row, other) and self.cosines[row][other] > best[row]:
                    best[row], nearest[row] = self.cosines[row][other], other
        return best, nearest

    def joined(self, a: int, b: int, eps: float) -> bool:
        return bool(np.float32(self.cosines[a][b]) > np.float32(1.0 - eps))

    def semdedup(self, eps: float) -> list[bool]:
        threshold = np.float32(1.0 - eps)
        return [not np.float32(value) > threshold for value in self.scores()[0]]

    def greedy(self, eps: float) -> list[bool]:
        keep = [False] * self.n
        for position, row in enumerate(self.order):
            keep[row] = not any(
                keep[other] and self.compared(row, other) and self.joined(row, other, eps)
                for other in self.order[:position]
            )
        return keep

    def components(self, eps: float) -> list[bool]:
        keep, seen = [False] * self.n, set()
        for row in self.order:
            if row in seen:
                continue
            keep[row] = True
            frontier = [row]
            seen.add(row)
            while frontier:
                a = frontier.pop()
                for b in range(self.n):
                    if b not in seen and self.compared(a, b) and self.joined(a, b, eps):
                        seen.add(b)
                        frontier.append(b)
        return keep

    def representative(self, row: int, keep: list[bool], nearest: list[int]) -> int:
        while row >= 0 and not keep[row]:
            row = nearest[row]
        return row

    def is_orphan(self, row: int, keep: list[bool], threshold: np.float32) -> bool:
        return not keep[row] and not any(
            keep[other]
            and self.labels[other] == self.labels[row]
            and np.float32(self.cosines[row][other]) > threshold
            for other in range(self.n)
        )

    def recall(self, row: int) -> tuple[float, float]:
        """Largest cosine to any other row, and to any other row that it is compared with."""
        others = [b for b in range(self.n) if b != row]
        best = max((self.cosines[row][b] for b in others), default=-math.inf)
        compared = (self.cosines[row][b] for b in others if self.compared(row, b))
        return best, max(compared, default=-math.inf)


def clustering(
    rows: np.ndarray, centroids: np.ndarray, probes: int
) -> tuple[list[int], list[float], list[list[int]]]:
    """Labels, dots with the own centroid, and probed clusters; ties to the lowest cluster."""
    labels, dots, probed = [], [], []
    centres = integers(centroids)
    for row in integers(rows):
        products = [dot(row, centre) for centre in centres]
        best = sorted(range(len(centres)), key=lambda c: (-products[c], c))
        labels.append(best[0])
        dots.append(products[best[0]])
        probed.append(best[1 : 1 + probes])
    return labels, dots, probed


def order_of(
    which: str,
    dots: list[float],
    ids: list[Any],
    *,
    keys: list[int] | None = None,
    values: list[Any] | None = None,
) -> list[int]:
    """The global order, first row first; missing values are None."""
    rows = range(len(dots))
    if which in ("hard", "easy"):
        order = sorted(rows, key=lambda row: (dots[row], ids[row], row))
        return order[::-1] if which == "easy" else order
    if which == "random":
        assert keys is not None
        return sorted(rows, key=lambda row: (keys[row], ids[row], row))
    assert values is not None
    by_id = sorted(rows, key=lambda row: (ids[row], row))
    present = [row for row in by_id if values[row] is not None]
    # sorted is stable, also with reverse=True, so ids stay ascending inside a value.
    present = sorted(present, key=lambda row: values[row], reverse=which == "desc")
    return present + [row for row in by_id if values[row] is None]
