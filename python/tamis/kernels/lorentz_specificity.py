"""The mean entailment of rows against a reference set, without a rows x references matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tamis._array import blocks, cuda_of
from tamis._native import cpu
from tamis.kernels import lorentz_paper as paper
from tamis.kernels.lorentz_rows import (
    Float64,
    Kind,
    Matrix,
    Mode,
    as_crossing,
    check_mode,
    check_radius,
    common_dtype,
    crossing,
    marked,
    points,
    radii,
    same_columns,
    state_counts,
)
from tamis.kernels.place import on_host

_PAPER_PAIRS = 1 << 21  # pairs at a time where the published formulas are used


@dataclass(frozen=True)
class Specificity:
    """Statistics over the references, for each scored row; NaN for marked rows.

    Attributes:
        mean: float64 (n,), the mean of e = exterior angle - half-aperture, in radians.
        standard_error: float64 (n,), of that mean; NaN where there is one reference.
        entailed: float64 (n,), the share of references with e <= 0.
        clamped_mean: float64 (n,), the mean of max(e, 0).
        state: uint8 (n,), of each scored row: an index into `STATES`.
        reference_state: uint8 (m,), of each reference.
        redone: pairs that were computed in float64.
    """

    mean: Float64
    standard_error: Float64
    entailed: Float64
    clamped_mean: Float64
    state: npt.NDArray[np.uint8]
    reference_state: npt.NDArray[np.uint8]
    redone: int

    @property
    def n_references(self) -> int:
        """References that count: all but the marked ones."""
        return int((~marked(on_host(self.reference_state))).sum())

    @property
    def counts(self) -> dict[str, int]:
        """Scored rows of each state that occurs."""
        return state_counts(on_host(self.state))

    @property
    def reference_counts(self) -> dict[str, int]:
        """References of each state that occurs."""
        return state_counts(on_host(self.reference_state))


def specificity(
    rows: Any,
    references: Any,
    *,
    apex: Literal["references", "rows"] = "references",
    curvature: float = 1.0,
    kind: Kind = "tangent",
    min_radius: float = 0.1,
    mode: Mode = "stable",
) -> Specificity:
    """The mean energy e = exterior_angle - half_aperture of each row with all references.

    HYPE (arXiv 2404.17507): the specificity of an image is the mean over reference texts with the
    texts as apexes (apex="references"); that of a text the mean over reference images with the text
    as the apex (apex="rows"). Signed, not clamped, in radians; higher is more specific.

    Products are float32, angles float32 with ill-conditioned pairs redone in float64 (all pairs,
    where there are fewer than 48 references), sums float64 over the references in their order: the
    same bits for any number of threads and any split of the rows. Means are within 1e-6 rad (the
    derivation is in cpp/include/tamis/lorentz.h). float16 rows are multiplied as they are. Memory:
    the references as float32, and 192 rows a thread.

    Args:
        rows: (n, d) the rows to score, see `radii`; read in blocks.
        references: (m, d) rows, of any float dtype. Marked rows (see `radii`) are left out and
            counted. Where they are on a GPU, the rows are on the same one, both C-contiguous; the
            statistics are then arrays of the library of rows.
        apex: which side the cones belong to.
        curvature: c > 0, of both.
        kind: what a row is, in both.
        min_radius: K of the half-aperture.
        mode: "stable", or "paper" for the published formulas in the rows' precision (not on a GPU).

    Raises:
        TypeError: rows or references do not hold floating-point numbers.
        ValueError: shapes or arguments do not fit, or there is no reference that counts.

    Example:
        >>> score = specificity([[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.0], [0.4, 0.1]])
        >>> score.mean.round(4), score.entailed, score.n_references
        (array([-0.2155,  1.5752]), array([1., 0.]), 2)
    """
    check_mode(mode)
    check_radius(min_radius)
    if apex not in ("references", "rows"):
        raise ValueError(f'apex must be "references" or "rows", got {apex!r}')
    ordinal = cuda_of(None, rows=rows, references=references)
    if ordinal is not None:
        if mode == "paper":
            raise ValueError(f'mode="paper" takes arrays in host memory, rows is on cuda:{ordinal}')
        from tamis.cuda.lorentz import specificity as specificity_there

        return specificity_there(
            ordinal, rows, references, apex == "rows", curvature, kind, min_radius
        )
    scored, code = points(rows, "rows", curvature, kind)
    other, _ = points(references, "references", curvature, kind)
    same_columns(scored.shape, other.shape, ("rows", "references"))
    reference_state = radii(other, curvature=curvature, kind=kind).state
    state = radii(scored, curvature=curvature, kind=kind).state
    count = usable(reference_state)
    sums = np.empty((4, len(scored)))
    redone = 0
    if mode == "paper":
        kept = other[~marked(reference_state)]
        _paper_sums(scored, kept, apex == "rows", curvature, kind, min_radius, sums)
        sums[:, marked(state)] = np.nan
    else:
        dtype = common_dtype(scored, other)
        packed = as_crossing(other, dtype)
        for part, block in blocks(scored):
            own = crossing(block.astype(dtype, copy=False))
            *found, n_redone = cpu.lorentz_specificity(
                own, packed, code, curvature, apex == "rows", min_radius
            )
            sums[:, part] = found
            redone += n_redone
    return statistics(sums, count, state, reference_state, redone)


def usable(reference_state: npt.NDArray[np.uint8]) -> int:
    """How many references count.

    Raises:
        ValueError: none does.
    """
    count = int((~marked(reference_state)).sum())
    if count == 0:
        raise ValueError(
            f"references: expected at least one usable row, got {len(reference_state)} rows: "
            f"{state_counts(reference_state)}"
        )
    return count


def statistics(
    sums: Float64,
    count: int,
    state: npt.NDArray[np.uint8],
    reference_state: npt.NDArray[np.uint8],
    redone: int,
) -> Specificity:
    """Of sums (4, n) over so many references: of e, e^2, max(e, 0), and of e <= 0."""
    mean = sums[0] / count
    if count > 1:
        variance = np.maximum(sums[1] / count - np.square(mean), 0) * (count / (count - 1))
        error = np.sqrt(variance / count)
    else:
        error = np.full(len(mean), np.nan)
    entailed = np.where(marked(state), np.nan, sums[3] / count)
    return Specificity(mean, error, entailed, sums[2] / count, state, reference_state, redone)


def _paper_sums(
    rows: Matrix,
    references: Matrix,
    rows_are_apexes: bool,
    curvature: float,
    kind: Kind,
    min_radius: float,
    sums: Float64,
) -> None:
    """Fill sums (4, n): of e, e^2, max(e, 0), and of e <= 0."""
    other = paper.space_part(references, kind, curvature)
    step = max(1, _PAPER_PAIRS // len(other))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        own = paper.space_part(rows[part], kind, curvature)
        apexes, seen = (own, other) if rows_are_apexes else (other, own)
        with np.errstate(invalid="ignore", over="ignore"):  # marked rows
            energy = paper.exterior_angle(apexes, seen, curvature, True)
            energy = energy - paper.half_aperture(apexes, curvature, min_radius)[:, None]
        energy = (energy if rows_are_apexes else energy.T).astype(np.float64)
        sums[0, part] = energy.sum(axis=1)
        sums[1, part] = np.square(energy).sum(axis=1)
        sums[2, part] = np.maximum(energy, 0).sum(axis=1)
        sums[3, part] = (energy <= 0).sum(axis=1)
