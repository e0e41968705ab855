"""What a joined HYPE score says of its model and its reference: radii, errors, correlations.

All counts are exact. Sums run over groups of rows that do not follow the units, so the figures are
the same bits however the work was cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis import lorentz
from tamis.filters.hype.reference import AGAINST, SIDES
from tamis.score.spread import spread
from tamis.score.table import REASON

if TYPE_CHECKING:
    from tamis.filters.hype.reference import Reference
    from tamis.score.scorer import Tables

Float64 = npt.NDArray[np.float64]

MANY: Final = 0.5
"""The share of apexes at the aperture clamp above which a warning is due."""
_WIDTHS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_MOST_BINS: Final = 24
_SHOWN: Final = ("min", "max", "mean", "quantiles")


def diagnose(
    tables: Tables,
    name: str,
    sides: Iterable[str],
    terms: Iterable[str],
    reference: Reference,
    min_radius: float,
    *,
    named: bool = True,
) -> dict[str, Any]:
    """Return what `summary.json` says of a HYPE score.

    Args:
        tables: gives the named columns of all rows, see :meth:`tamis.score.scorer.Scorer.diagnose`.
        name: of the score.
        sides: the sides that were scored.
        terms: the terms of the score.
        reference: what was measured against.
        min_radius: K of the half-aperture.
        named: whether all rows say which model made them.

    Returns:
        apexes: of the texts scored and of the reference texts that are apexes, `rows` and
        `at_clamp`, those whose half-aperture is pi/2, out to `clamp_radius`. clamped_radii: rows of
        each side beyond the largest radius. radii: by side, and of the references, min, max, mean,
        quantiles and `counts` of bins of `width` from 0 on. standard_errors: of the specificities
        over the references, by side. correlations: Pearson's, of the terms over the `rows` that
        have them all; None where a term is constant. warnings: sentences.
    """
    sides, terms = list(sides), list(terms)
    against = {AGAINST[side]: reference.radii[AGAINST[side]].radius for side in sides}
    radii = {side: _spread(tables, f"{name}_{side}_radius") for side in sides}
    told = {tensor: f"reference_{SIDES[tensor]}" for tensor in against}
    radii |= {told[tensor]: _spread_of(values) for tensor, values in against.items()}
    width = _width([found["max"] for found in radii.values() if found["max"] is not None])
    edge = math.asinh(2 * min_radius)
    apexes: dict[str, Any] = {"clamp_radius": edge}
    beyond: dict[str, int] = {}
    for side in sides:
        radii[side]["counts"], at_edge, beyond[side] = _counts(
            tables, f"{name}_{side}_radius", width, edge
        )
        if side == "text":
            apexes["text"] = {"rows": sum(radii[side]["counts"]), "at_clamp": at_edge}
    for tensor, values in against.items():
        radii[told[tensor]]["counts"] = _bins(values, width).tolist()
        if tensor == "txt":
            apexes["reference_text"] = {"rows": len(values), "at_clamp": _within(values, edge)}
    return {
        "apexes": apexes,
        "clamped_radii": beyond,
        "radii": {"width": width, **radii},
        "standard_errors": {side: _spread(tables, f"{name}_{side}_error") for side in sides},
        "correlations": _correlations(tables, name, terms),
        "warnings": _warnings(apexes, beyond, radii, reference, named),
    }


def _spread(tables: Tables, column: str) -> dict[str, Any]:
    """Least, largest, mean and quantiles of one column, whether its rows have a score or not."""
    found = spread(lambda: tables([column, REASON]))
    return {key: found[key] for key in _SHOWN}


def _spread_of(values: Float64) -> dict[str, Any]:
    """The same of values in memory."""
    held = pa.table({"radius": values.astype(np.float32), REASON: pa.nulls(len(values))})
    return _spread(lambda columns: iter([held]), "radius")


def _width(largest: Sequence[float]) -> float:
    """The finest width with which all radii fit into so many bins."""
    most = max(largest, default=0.0)
    return next((width for width in _WIDTHS if most < width * _MOST_BINS), _WIDTHS[-1])


def _counts(tables: Tables, column: str, width: float, edge: float) -> tuple[list[int], int, int]:
    """Rows by bin, rows at the aperture clamp, and rows beyond the largest radius."""
    bins = np.zeros(0, np.int64)
    at_edge = beyond = 0
    for table in tables([column]):
        values = table.column(0).to_numpy()
        values = values[~np.isnan(values)]
        found = _bins(values, width)
        bins = np.pad(bins, (0, max(0, len(found) - len(bins))))
        bins[: len(found)] += found
        at_edge += _within(values, edge)
        beyond += int((values >= np.float32(lorentz.LARGEST_RADIUS)).sum())
    return bins.tolist(), at_edge, beyond


def _bins(radii: npt.NDArray[np.floating[Any]], width: float) -> npt.NDArray[np.int64]:
    place = np.floor(radii.astype(np.float32).astype(np.float64) / width).astype(np.int64)
    return np.bincount(place)


def _within(radii: npt.NDArray[np.floating[Any]], edge: float) -> int:
    return int((radii.astype(np.float32) <= np.float32(edge)).sum())


def _correlations(tables: Tables, name: str, terms: Sequence[str]) -> dict[str, Any]:
    """Pearson's correlation of each two terms, about their means, in two passes."""
    columns = [f"{name}_{term}" for term in terms]
    rows, sums = 0, np.zeros(len(terms))
    for values in _complete(tables, columns):
        rows += values.shape[1]
        sums += values.sum(axis=1)
    means = sums / max(rows, 1)
    products = np.zeros((len(terms), len(terms)))
    for values in _complete(tables, columns):
        centred = values - means[:, None]
        for place, column in enumerate(centred):
            products[place] += (centred * column).sum(axis=1)
    spreads = np.diag(products)
    matrix: list[list[float | None]] = []
    for one, row in enumerate(products):
        scales = np.sqrt(spreads[one]) * np.sqrt(spreads)
        matrix.append(
            [_quotient(product, scale) for product, scale in zip(row, scales, strict=True)]
        )
        matrix[one][one] = 1.0 if spreads[one] > 0 else None
    return {"terms": list(terms), "rows": rows, "matrix": matrix}


def _quotient(product: float, scale: float) -> float | None:
    return min(1.0, max(-1.0, float(product / scale))) if scale > 0 else None


def _complete(tables: Tables, columns: list[str]) -> Iterator[Float64]:
    """float64 (columns, n): the rows in which all columns are finite."""
    for table in tables(columns):
        values = np.array([table.column(name).to_numpy() for name in columns], np.float64)
        yield np.ascontiguousarray(values[:, np.isfinite(values).all(axis=0)])


def _warnings(
    apexes: Mapping[str, Any],
    beyond: Mapping[str, int],
    radii: Mapping[str, Any],
    reference: Reference,
    named: bool,
) -> list[str]:
    found = []
    for what, told in (("text", "texts"), ("reference_text", "reference texts")):
        counts = apexes.get(what)
        if counts is not None and counts["at_clamp"] > MANY * counts["rows"]:
            found.append(
                f"{counts['at_clamp'] / counts['rows']:.0%} of the {told} are at the aperture "
                f"clamp, a radius of at most {apexes['clamp_radius']:.3f}, where the half-aperture "
                "is pi/2 whatever the radius: the model does not tell them apart by their cones"
            )
    for side, n_rows in beyond.items():
        rows = sum(radii[side]["counts"])
        if n_rows > MANY * rows:
            found.append(
                f"{n_rows / rows:.0%} of the {side}s lie at the largest radius, "
                f"{lorentz.LARGEST_RADIUS:.2f}, or beyond: they are compared as if at that radius"
            )
    if reference.space.model is None:
        found.append(
            "the reference does not say which model made it, so nothing shows that it is the model "
            "of the rows"
        )
    elif not named:
        found.append(
            "the rows do not say which model made them, so nothing shows that it is the model of "
            "the reference"
        )
    return found
