"""HYPE's score as it is written down, row by row and reference by reference, in one precision.

The published code adds 1e-8 in some denominators and clamps there; `eps` = 0 leaves that out, for
what the formulas say. Tangent vectors in; float64 to know the values, float32 to repeat the code's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Rows = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Formulas:
    """Attributes: c of the curvature -c, K of the half-aperture, the guard, and the precision."""

    c: float
    k: float = 0.1
    eps: float = 0.0
    dtype: type[np.floating[Any]] = np.float64

    def lift(self, v: Rows) -> Rows:
        """x = sinh(clamp(sqrt(c) |v|, eps, asinh 2^15)) v / max(sqrt(c) |v|, eps)."""
        v = v.astype(self.dtype)
        t = self._(np.sqrt(self.c)) * np.sqrt((v * v).sum())
        clamped = min(max(t, self._(self.eps)), self._(np.arcsinh(2.0**15)))
        return np.asarray(np.sinh(clamped) * v / max(t, self._(self.eps)))

    def time(self, x: Rows) -> Any:
        """x0 = sqrt(1/c + |x|^2)."""
        return np.sqrt(self._(1 / self.c) + (x * x).sum())

    def inner(self, x: Rows, y: Rows) -> Any:
        """<x, y> = x.y - x0 y0."""
        return (x * y).sum() - self.time(x) * self.time(y)

    def distance(self, x: Rows, y: Rows) -> Any:
        """acosh(-c <x, y>) / sqrt(c)."""
        cosh = max(-self._(self.c) * self.inner(x, y), self._(1 + self.eps))
        return np.arccosh(cosh) / self._(np.sqrt(self.c))

    def aper(self, x: Rows) -> Any:
        """asin(min(1, 2K / (sqrt(c) |x| + eps)))."""
        size = self._(np.sqrt(self.c)) * np.sqrt((x * x).sum()) + self._(self.eps)
        return np.arcsin(min(self._(1 - self.eps), self._(2 * self.k) / size))

    def ext(self, x: Rows, y: Rows) -> Any:
        """acos((y0 + x0 q) / (|x| sqrt(max(q^2 - 1, eps)) + eps)) with q = c <x, y>; x the apex."""
        q = self._(self.c) * self.inner(x, y)
        root = np.sqrt(max(q * q - self._(1), self._(self.eps)))
        size = np.sqrt((x * x).sum()) * root + self._(self.eps)
        cosine = (self.time(y) + self.time(x) * q) / size
        edge = self._(1 - self.eps)
        return np.arccos(min(edge, max(-edge, cosine)))

    def energies(self, apexes: Rows, points: Rows) -> Rows:
        """float64 (apexes, points): e = ext - aper."""
        lifted = [self.lift(v) for v in apexes], [self.lift(v) for v in points]
        rows = [[self.ext(x, y) - self.aper(x) for y in lifted[1]] for x in lifted[0]]
        return np.array(rows, np.float64).reshape(len(apexes), len(points))

    def _(self, number: float) -> Any:
        return self.dtype(number)


def image_energies(formulas: Formulas, images: Rows, texts: Rows) -> Rows:
    """(images, reference texts): the texts are the apexes."""
    return formulas.energies(texts, images).T


def text_energies(formulas: Formulas, texts: Rows, images: Rows) -> Rows:
    """(texts, reference images): the text is the apex."""
    return formulas.energies(texts, images)


def columns(
    formulas: Formulas, images: Rows, texts: Rows, img: Rows, txt: Rows, *, clamp: bool = False
) -> dict[str, Rows]:
    """Every column of the score by its name without the prefix; the main one is ""."""
    found: dict[str, Rows] = {}
    seen = {
        "image": (images, image_energies(formulas, images, txt)),
        "text": (texts, text_energies(formulas, texts, img)),
    }
    for side, (rows, energies) in seen.items():
        energies = energies.astype(np.float64)
        taken = np.maximum(energies, 0) if clamp else energies
        found[f"{side}_specificity"] = taken.mean(axis=1)
        found[f"{side}_error"] = energies.std(axis=1, ddof=1) / np.sqrt(energies.shape[1])
        found[f"{side}_entailed"] = (energies <= 0).mean(axis=1)
        radius = np.sqrt(formulas.c) * np.linalg.norm(rows.astype(np.float64), axis=1)
        found[f"{side}_radius"] = np.minimum(radius, np.arcsinh(2.0**15))
    pairs = [(formulas.lift(i), formulas.lift(t)) for i, t in zip(images, texts, strict=True)]
    found["neg_distance"] = -np.array([formulas.distance(x, y) for x, y in pairs], np.float64)
    found[""] = found["image_specificity"] + found["text_specificity"] + found["neg_distance"]
    return found
