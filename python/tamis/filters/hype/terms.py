"""The terms of HYPE's score: what a row's points have to say beside a reference set."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tamis import lorentz
from tamis.kernels.lorentz_rows import check_mode, check_radius

if TYPE_CHECKING:
    from tamis.filters.hype.reference import Reference

Float64 = npt.NDArray[np.float64]
Rows = npt.NDArray[Any]

TERMS: Final = ("image_specificity", "text_specificity", "neg_distance", "clip", "imagenet")
"""The terms of the published sum, in the order in which they are added."""
_WINDOW: Final = 256  # rows that the published formulas, whose products follow shapes, see at once


@dataclass(frozen=True)
class Measure:
    """How points are measured.

    The specificity of an image is the mean of e = exterior angle - half-aperture over the reference
    texts as apexes, that of a text the mean over the reference images with the text as the apex
    (HYPE, arXiv 2404.17507; higher is more specific). Standard errors are those of this mean over
    the references; with `clamp`, whose energies are spread no further, they are upper bounds.

    Attributes:
        reference: the points measured against.
        mode: "stable", or "paper" for the published formulas in the precision of the rows; their
            products are NumPy's, whose last bits follow the number of threads of its BLAS.
        min_radius: K of the half-aperture.
        clamp: take the mean of max(e, 0) instead of e.

    Raises:
        ValueError: a setting out of range.
    """

    reference: Reference
    mode: lorentz.Mode = "stable"
    min_radius: float = 0.1
    clamp: bool = False

    def __post_init__(self) -> None:
        check_mode(self.mode)
        check_radius(self.min_radius)

    def of(self, images: Rows | None, texts: Rows | None, first_row: int = 0) -> dict[str, Float64]:
        """Return name -> float64 (n,), what can be told of the sides that are given.

        Args:
            images, texts: (n, dim) points of the reference's space; one may be None.
            first_row: the number of the first row. mode="paper" needs it to see every row in the
                same place of the same window, so that its bits do not follow how rows are cut.

        Returns:
            For each side SIDE_specificity in radians, SIDE_error, SIDE_entailed (the share of
            references with e <= 0) and SIDE_radius; of pairs neg_distance, -d of the two points.

        Raises:
            ValueError: the reference lacks what a side is measured against.
        """
        if self.mode == "paper":
            with np.errstate(over="ignore", invalid="ignore"):  # float32 norms of huge rows
                return _in_windows(self._measured, images, texts, first_row)
        return self._measured(images, texts)

    def _measured(self, images: Rows | None, texts: Rows | None) -> dict[str, Float64]:
        found: dict[str, Float64] = {}
        if images is not None:
            found |= self._side("image", images)
        if texts is not None:
            found |= self._side("text", texts)
        if images is not None and texts is not None:
            space = self.reference.space
            found["neg_distance"] = -lorentz.distance(
                images, texts, curvature=space.curvature, kind=space.kind, mode=self.mode
            )
        return found

    def _side(self, side: str, rows: Rows) -> dict[str, Float64]:
        space = self.reference.space
        is_image = side == "image"
        against = self.reference.txt if is_image else self.reference.img
        if against is None:
            raise ValueError(f"expected a reference that {side}s can be measured against")
        found = lorentz.specificity(
            rows,
            against,
            apex="references" if is_image else "rows",
            curvature=space.curvature,
            kind=space.kind,
            min_radius=self.min_radius,
            mode=self.mode,
        )
        radii = lorentz.radii(rows, curvature=space.curvature, kind=space.kind)
        return {
            f"{side}_specificity": found.clamped_mean if self.clamp else found.mean,
            f"{side}_error": found.standard_error,
            f"{side}_entailed": found.entailed,
            f"{side}_radius": radii.radius,
        }


def terms_of(sides: Collection[str], given: Collection[str]) -> list[str]:
    """Return the terms of a score, in the order of TERMS.

    Raises:
        ValueError: a given term that other methods do not make.

    Example:
        >>> terms_of(["text"], ["clip"])
        ['text_specificity', 'clip']
    """
    unknown = sorted(set(given) - {"clip", "imagenet"})
    if unknown:
        raise ValueError(f"expected the given terms clip and imagenet, got {', '.join(unknown)}")
    present = {f"{side}_specificity" for side in sides} | set(given)
    present |= {"neg_distance"} if len(sides) == 2 else set()
    return [term for term in TERMS if term in present]


def check_weights(weights: Mapping[str, float] | None, present: Sequence[str]) -> dict[str, float]:
    """Return the weight of every term that is there, 1 where none is given.

    Raises:
        ValueError: a weight that is not finite, or of a term that is not there.

    Example:
        >>> check_weights({"clip": 0.5}, ["neg_distance", "clip"])
        {'neg_distance': 1.0, 'clip': 0.5}
    """
    given = dict(weights or {})
    for term, weight in given.items():
        if term not in present:
            what = "has no such term" if term in TERMS else "is no term"
            raise ValueError(
                f"weight of {term!r}: this score {what}; its terms are {', '.join(present)}"
            )
        if not math.isfinite(weight):
            raise ValueError(f"weight of {term!r}: expected a finite number, got {weight!r}")
    return {term: float(given.get(term, 1.0)) for term in present}


def weighted_sum(terms: Mapping[str, Float64], weights: Mapping[str, float]) -> Float64:
    """Return the sum of weight x term, added in the order of TERMS.

    Example:
        >>> weighted_sum({"clip": np.array([0.25]), "neg_distance": np.array([-2.0])},
        ...              {"clip": 2.0, "neg_distance": 1.0})
        array([-1.5])
    """
    present = [term for term in TERMS if term in weights]
    total = weights[present[0]] * terms[present[0]]
    for term in present[1:]:
        total = total + weights[term] * terms[term]
    return total


def _in_windows(
    measure: Callable[[Rows | None, Rows | None], dict[str, Float64]],
    images: Rows | None,
    texts: Rows | None,
    first_row: int,
) -> dict[str, Float64]:
    """Measure windows of _WINDOW rows, the n-th row of the pool always in place n mod _WINDOW."""
    n_rows = next(len(rows) for rows in (images, texts) if rows is not None)
    parts: list[dict[str, Float64]] = []
    start = 0
    while start < n_rows:
        place = (first_row + start) % _WINDOW
        stop = min(n_rows, start + _WINDOW - place)
        found = measure(_padded(images, start, stop, place), _padded(texts, start, stop, place))
        inside = slice(place, place + stop - start)
        parts.append({name: values[inside] for name, values in found.items()})
        start = stop
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _padded(rows: Rows | None, start: int, stop: int, place: int) -> Rows | None:
    if rows is None:
        return None
    window = np.zeros((_WINDOW, rows.shape[1]), rows.dtype)
    window[place : place + stop - start] = rows[start:stop]
    return window
