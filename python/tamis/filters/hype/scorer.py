"""HYPE's score: how specific the image and the text of a row are, and how well they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tamis import lorentz
from tamis.errors import PoolError
from tamis.filters.hype.diagnostics import diagnose
from tamis.filters.hype.points import PointPairs, Points
from tamis.filters.hype.reference import AGAINST, SIDES
from tamis.filters.hype.terms import Float64, Measure, check_weights, terms_of, weighted_sum
from tamis.score.pairs import joined_reasons
from tamis.score.scorer import Scorer, Scores, Tables

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.unit import Unit
    from tamis.filters.hype.reference import Reference
    from tamis.filters.hype.terms_given import GivenColumn
    from tamis.run.inputs import InputFile


class Hype(Scorer):
    """The weighted sum of HYPE's terms (arXiv 2404.17507), unit weights by default.

    image_specificity + text_specificity + neg_distance [+ clip] [+ imagenet]; the published score
    has all five, and the first three stand for themselves. With one side there is the specificity
    of that side alone, for pools of images or of texts. Computed in float64, rounded once.

    Columns beside the main one, each NAME_something and float32: every term; of each side the
    standard error of its specificity over the references (`image_error`), the share of references
    that entail it or that it entails (`image_entailed`), and its radius (`image_radius`, at most
    11.09, in units of the curvature).

    A row lacks the score where a side is no point or a given term has no value; its other columns
    stay. Scores of two reference sets or models do not compare: the table says which they depend
    on, and `tamis select` mixes no two.

    Differences from the published code: its mode="paper" forms lose digits, so the stable ones are
    the default; coincident points have the distance 0 instead of NaN; zero rows are no points.

    Memory: one unit of both sides, the reference as float32; 40 bytes a row for each given term
    that is joined by id. Cost: 4 x dim operations for each row, side and reference.

    Args:
        images: points of the images; None to score texts alone.
        texts: points of the texts; None to score images alone.
        reference: what they are measured against; it may hold rows of the same pool.
        mode: "stable", or "paper" for the published formulas in the precision of the rows, whose
            last bits follow the number of threads of NumPy's BLAS (OPENBLAS_NUM_THREADS).
        min_radius: K of the half-aperture.
        clamp: take the mean of max(e, 0) instead of the energies e as they are.
        weights: of the terms, by name; 1 where none is given.
        given: the terms that other methods made, "clip" and "imagenet".
        name: of the score and its columns.

    Raises:
        PoolError: the sides, or the reference, do not belong together.
        ValueError: a setting out of range.

    Example:
        >>> from pathlib import Path
        >>> from tamis.filters.hype.points import open_points
        >>> from tamis.filters.hype.reference import Reference
        >>> from tamis.score.job import run_scorer
        >>> np.save("images.npy", np.array([[0.5, 0.1], [0.2, 0.6]]))
        >>> np.save("texts.npy", np.array([[0.3, 0.0], [0.0, 0.4]]))
        >>> images = open_points("image", Path("run"), pool="images.npy", curvature=1.0)
        >>> texts = open_points("text", Path("run"), pool="texts.npy", curvature=1.0)
        >>> rows = np.load("texts.npy")
        >>> known = Reference(texts.space, rows, rows, np.arange(2), np.arange(2), None, None, {})
        >>> round(run_scorer(Hype(images, texts, known), "run")["mean"], 4)
        1.0278
    """

    def __init__(
        self,
        images: Points | None,
        texts: Points | None,
        reference: Reference,
        *,
        mode: lorentz.Mode = "stable",
        min_radius: float = 0.1,
        clamp: bool = False,
        weights: Mapping[str, float] | None = None,
        given: Mapping[str, GivenColumn] | None = None,
        name: str = "hype",
    ) -> None:
        self.measure = Measure(reference, mode, min_radius, clamp)
        self.sides = {
            side: points
            for side, points in (("image", images), ("text", texts))
            if points is not None
        }
        self.rows = _together(images, texts)
        self.reference = reference
        _require_fit(self.sides, reference)
        self.given = dict(given or {})
        self.weights = check_weights(weights, terms_of(self.sides, self.given))
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def schema(self) -> pa.Schema:
        told = ("error", "entailed", "radius")
        parts = [*self.weights, *(f"{side}_{what}" for what in told for side in self.sides)]
        names = [self._name, *(f"{self._name}_{part}" for part in parts)]
        return pa.schema([(name, pa.float32()) for name in names])

    def recipe(self) -> dict[str, Any]:
        return {
            "method": "hype",
            **{side: points.recipe() for side, points in self.sides.items()},
            "reference": self.reference.recipe(),
            "mode": self.measure.mode,
            "min_radius": self.measure.min_radius,
            "clamp": self.measure.clamp,
            "weights": self.weights,
            **{term: column.recipe() for term, column in self.given.items()},
        }

    def inputs(self) -> list[InputFile]:
        given = [file for term, column in self.given.items() for file in column.inputs(term)]
        return [*self.rows.inputs(), *given]

    def ids(self) -> Ids:
        return self.rows.ids()

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        return self.rows.units(rows_per_unit)

    def score(self, unit: Unit) -> Scores:
        start, stop = unit.first_row, unit.first_row + unit.n_rows
        read = {side: points.read(start, stop) for side, points in self.sides.items()}
        rows = {side: found[0] for side, found in read.items()}
        values = self.measure.of(rows.get("image"), rows.get("text"), start)
        reasons: dict[int, str] = {}
        for side, (_, faults) in read.items():
            for column in values:
                if column.startswith(side) or column == "neg_distance":
                    values[column][list(faults)] = np.nan
            reasons = joined_reasons(reasons, faults)
        for term, given in self.given.items():
            values[term] = given.read(start, stop)
            missing = np.flatnonzero(np.isnan(values[term])).tolist()
            reasons = joined_reasons(reasons, dict.fromkeys(missing, f"no value of {given.name}"))
        values = {f"{self._name}_{part}": column for part, column in values.items()}
        values[self._name] = self._sum(values)
        return Scores({column: _rounded(values[column]) for column in self.schema.names}, reasons)

    def depends(self) -> dict[str, Any]:
        models = [points.space.model for points in self.sides.values()]
        known = [model for model in (*models, self.reference.space.model) if model is not None]
        return {"reference": self.reference.digest, "model": known[0] if known else None}

    def diagnose(self, tables: Tables) -> dict[str, Any]:
        return diagnose(
            tables,
            self._name,
            self.sides,
            self.weights,
            self.reference,
            self.measure.min_radius,
            named=all(points.space.model is not None for points in self.sides.values()),
        )

    def _sum(self, values: Mapping[str, Float64]) -> Float64:
        terms = {term: values[f"{self._name}_{term}"] for term in self.weights}
        with np.errstate(invalid="ignore", over="ignore"):  # of given values
            return weighted_sum(terms, self.weights)


def _together(images: Points | None, texts: Points | None) -> PointPairs | Points:
    if images is not None and texts is not None:
        return PointPairs(images, texts)
    one = images or texts
    if one is None:
        raise ValueError("expected points of images, of texts or of both, got neither")
    return one


def _require_fit(sides: Mapping[str, Points], reference: Reference) -> None:
    for side, points in sides.items():
        reference.space.require_same(points.space, "the reference", f"the {side}s")
        tensor, other = AGAINST[side], SIDES[AGAINST[side]]
        if tensor not in reference.count:
            raise PoolError(
                f"expected a reference with {other}s ({tensor}), which {side}s are measured "
                f"against; it has none: take another, or score {other}s alone (--only {other})"
            )


def _rounded(values: Float64) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
