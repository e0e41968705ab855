"""A reference set: the points that specificity is measured against.

HYPE (arXiv 2404.17507) scores an image against reference texts and a text against reference images,
so a score means something beside others of the same reference only.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from tamis import lorentz
from tamis.filters.hype.space import Space

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = "reference.safetensors"
"""Of a run: what `tamis score hype` measures against where nothing else is named."""
ROWS: Final = 10_000
MIN_RADIUS: Final = 0.1
FORMAT: Final = 1
WHAT: Final = "hyperbolic reference"
DTYPES: Final = tuple(map(np.dtype, (np.float16, np.float32, np.float64)))

Matrix = npt.NDArray[Any]
Index = npt.NDArray[np.int64]
Tensor = Literal["img", "txt"]
TENSORS: Final[tuple[Tensor, ...]] = ("img", "txt")
SIDES: Final[dict[Tensor, str]] = {"img": "image", "txt": "text"}
AGAINST: Final[dict[str, Tensor]] = {"image": "txt", "text": "img"}
"""What the rows of a side are measured against."""

_DECIMALS = 9  # of an angle in the manifest; beyond them processors may differ
_EDGE = 1e-9  # a radius at the aperture clamp to within rounding is at it


@dataclass(frozen=True, eq=False)
class Reference:
    """Points of images, texts or both, in one space.

    Attributes:
        space: of the points.
        img: (M_I, D) float16, float32 or float64: what texts are measured against; or None.
        txt: (M_T, D): the apexes that images are measured against; or None.
        img_rows, txt_rows: int64 (M,), which rows of the source they are.
        rows: how many rows were asked for; None where the points were imported.
        seed: of the choice; None where the points were imported.
        source: where the points come from, as JSON can hold it.
        min_radius: K of the aperture figures. Scores may use another K.

    Raises:
        ValueError: one sentence; the points are no finite rows of the space off its origin.

    Example:
        >>> texts = np.array([[0.1, 0.0], [0.0, 1.0]], np.float32)
        >>> made = Reference(Space(2, 1.0), None, texts, None, np.arange(2), 2, 0, {})
        >>> made.count, made.texts_at_clamp, round(made.mean_half_aperture, 4)
        ({'txt': 2}, 1, 0.8709)
    """

    space: Space
    img: Matrix | None
    txt: Matrix | None
    img_rows: Index | None
    txt_rows: Index | None
    rows: int | None
    seed: int | None
    source: Mapping[str, Any]
    min_radius: float = MIN_RADIUS

    def __post_init__(self) -> None:
        if not self.points:
            raise ValueError("expected reference images or reference texts, got neither")
        if not (math.isfinite(self.min_radius) and self.min_radius > 0):
            raise ValueError(f"expected a finite min_radius above 0, got {self.min_radius!r}")
        if self.rows is not None and self.rows < max(self.count.values()):
            raise ValueError(f"expected at most {self.rows} points a side, got {self.count}")
        for name, points in self.points.items():
            _check_points(name, points, self.row_numbers[name], self.space)
        for name, radii in self.radii.items():
            _check_states(name, radii.state)

    @cached_property
    def points(self) -> dict[Tensor, Matrix]:
        """The tensors that are there, by name."""
        found: dict[Tensor, Matrix | None] = {"img": self.img, "txt": self.txt}
        return {name: points for name, points in found.items() if points is not None}

    @cached_property
    def row_numbers(self) -> dict[Tensor, Index | None]:
        """Their rows of the source, by name."""
        found: dict[Tensor, Index | None] = {"img": self.img_rows, "txt": self.txt_rows}
        return {name: found[name] for name in self.points}

    @cached_property
    def radii(self) -> dict[Tensor, lorentz.Radii]:
        """Radius and state of every point, by the tensor's name."""
        curvature, kind = self.space.curvature, self.space.kind
        return {
            name: lorentz.radii(points, curvature=curvature, kind=kind)
            for name, points in self.points.items()
        }

    @property
    def count(self) -> dict[Tensor, int]:
        """Points of each tensor that is there."""
        return {name: len(points) for name, points in self.points.items()}

    @property
    def beyond_limit(self) -> dict[Tensor, int]:
        """Points whose radius was set to `lorentz.LARGEST_RADIUS`."""
        return {name: radii.counts.get("clamped", 0) for name, radii in self.radii.items()}

    @property
    def texts_at_clamp(self) -> int | None:
        """Texts with sinh r <= 2 K: their half-aperture is pi/2. None where there are no texts."""
        if self.txt is None:
            return None
        return int((self.radii["txt"].radius <= math.asinh(2 * self.min_radius) + _EDGE).sum())

    @cached_property
    def mean_half_aperture(self) -> float | None:
        """A_T: the mean half-aperture of the texts in radians, to 9 decimals.

        An image's specificity is its mean exterior angle less this constant, so it moves all images
        alike. None where there are no texts.
        """
        if self.txt is None:
            return None
        angles = lorentz.half_aperture(
            self.txt,
            curvature=self.space.curvature,
            kind=self.space.kind,
            min_radius=self.min_radius,
        )
        return round(float(angles.mean()), _DECIMALS)

    @cached_property
    def digest(self) -> str:
        """The sha256 (64 hex digits) of the points and their space: of all that scores depend on.

        How the points were chosen is not in it: an import of the same points has the same digest.
        """
        space = sorted(self.space.recipe().items())
        digest = hashlib.sha256(f"{WHAT} {FORMAT} {space!r}\n".encode())
        for name, points in self.points.items():
            digest.update(f"{name} {points.dtype.str} {points.shape}\n".encode())
            digest.update(np.ascontiguousarray(points).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def recipe(self) -> dict[str, Any]:
        """What the recipe of a score holds of it."""
        return {"digest": self.digest, "count": self.count}

    def manifest(self) -> dict[str, Any]:
        """What its file says of it, as JSON can hold it."""
        return {
            "format": FORMAT,
            "what": WHAT,
            "space": self.space.recipe(),
            "rows": self.rows,
            "seed": self.seed,
            "count": self.count,
            "beyond_limit": self.beyond_limit,
            "min_radius": self.min_radius,
            "mean_half_aperture": self.mean_half_aperture,
            "texts_at_clamp": self.texts_at_clamp,
            "source": dict(self.source),
        }


def _check_points(name: Tensor, points: Matrix, rows: Index | None, space: Space) -> None:
    if points.ndim != 2 or points.shape[0] < 1 or points.shape[1] != space.dim:
        raise ValueError(f"{name}: expected rows of {space.dim} numbers, got shape {points.shape}")
    if points.dtype not in DTYPES:
        raise ValueError(f"{name}: expected float16, float32 or float64, got {points.dtype}")
    if rows is None or rows.shape != (len(points),) or rows.dtype != np.int64:
        got = "none" if rows is None else f"{rows.dtype} {rows.shape}"
        raise ValueError(f"{name}_rows: expected {len(points)} row numbers, int64, got {got}")
    if rows.min() < 0 or len(np.unique(rows)) < len(rows):
        raise ValueError(f"{name}_rows: expected distinct row numbers of at least 0")


def _check_states(name: Tensor, state: npt.NDArray[np.uint8]) -> None:
    bad = np.flatnonzero(unusable(state))
    if len(bad):
        what = lorentz.STATES[state[bad[0]]].replace("_", " ")
        raise ValueError(
            f"{name}: row {bad[0]} is {what}, as are {len(bad) - 1} more; a reference holds finite "
            "points off the origin"
        )


def unusable(state: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """True for rows that no reference can hold: at the origin, not finite, or no point at all."""
    good = [lorentz.STATES.index(name) for name in ("ok", "clamped")]
    return ~np.isin(state, good)
