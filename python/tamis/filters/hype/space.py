"""Which hyperbolic space rows are points of; scores of different spaces do not compare."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tamis.errors import PoolError
from tamis.kernels.lorentz_rows import KINDS, Kind

_NAMES = {"dim": "dimensions", "curvature": "curvature", "kind": "kind of rows", "model": "model"}


@dataclass(frozen=True)
class Space:
    """The space that the rows of a model are points of.

    Attributes:
        dim: columns of a row; one more than the space has dimensions for "lorentz".
        curvature: c > 0; the space has the curvature -c.
        kind: what a row is, see :func:`tamis.lorentz.radii`.
        model: what made the rows, such as the hash of its weights; None where that is not known.

    Raises:
        ValueError: an attribute is not as above.

    Example:
        >>> Space(512, 0.1)
        Space(dim=512, curvature=0.1, kind='tangent', model=None)
        >>> Space(512, 0)
        Traceback (most recent call last):
        ValueError: expected a curvature that is a finite number above 0, got 0
    """

    dim: int
    curvature: float
    kind: Kind = "tangent"
    model: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"expected a kind of rows: {', '.join(KINDS)}, got {self.kind!r}")
        least = 2 if self.kind == "lorentz" else 1
        if type(self.dim) is not int or self.dim < least:
            raise ValueError(
                f"expected {self.kind} rows of at least {least} columns, got {self.dim!r}"
            )
        check_curvature(self.curvature)
        object.__setattr__(self, "curvature", float(self.curvature))
        if not (self.model is None or isinstance(self.model, str)):
            raise ValueError(f"expected the name of a model, or none, got {self.model!r}")

    @classmethod
    def of(cls, recipe: object) -> Space:
        """Return the space that :meth:`recipe` describes.

        Raises:
            ValueError: not such a description, or one of no space.
        """
        if not isinstance(recipe, Mapping) or set(recipe) != set(_NAMES):
            raise ValueError(f"expected a space with {', '.join(_NAMES)}, got {recipe!r:.200}")
        return cls(**recipe)

    def recipe(self) -> dict[str, Any]:
        """Return the attributes as JSON can hold them."""
        return asdict(self)

    def require_same(self, other: Space, ours: str, theirs: str) -> None:
        """Check that rows can meet. A model that is not known is taken for the same.

        Args:
            other: the other rows' space.
            ours, theirs: how the sentence calls this space's rows and the others.

        Raises:
            PoolError: the spaces differ; names the first difference.

        Example:
            >>> Space(8, 1.0).require_same(Space(8, 0.5), "the images", "the reference")
            Traceback (most recent call last):
            tamis.errors.PoolError: the images and the reference belong to different spaces: \
curvature 1.0 and 0.5; take both from one model
        """
        for key, name in _NAMES.items():
            mine, yours = getattr(self, key), getattr(other, key)
            if mine != yours and not (key == "model" and None in (mine, yours)):
                raise PoolError(
                    f"{ours} and {theirs} belong to different spaces: {name} {mine} and {yours}; "
                    "take both from one model"
                )


def check_curvature(curvature: object) -> None:
    """Raise ValueError unless `curvature` is a finite number above 0."""
    number = isinstance(curvature, int | float) and not isinstance(curvature, bool)
    if not (number and 0 < curvature < 1e300 and math.isfinite(curvature)):  # type: ignore
        raise ValueError(f"expected a curvature that is a finite number above 0, got {curvature!r}")
