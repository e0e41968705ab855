"""Masks made elsewhere: what a parquet table of polygons may look like.

| column                        | what                                                             |
|-------------------------------|------------------------------------------------------------------|
| `uid`, `id` or `key`          | the id of the row                                                |
| `polygons` or `text-boxes`    | of each region x0, y0, x1, y1, ... or [x0, y0], [x1, y1], ...    |
| `scores`                      | one for each region; without the column, 1                       |
| `width`, `height`             | of the image in pixels; or `original_width`, `original_height`   |
| `reason`                      | why there is no mask, null where there is one                    |

Only the first two are needed. Coordinates are pixels of the decoded, upright image ("pixels"), or
those of the white square of 512 pixels in which T-MARS's published code leaves them ("square512"),
which needs the sizes; the pool may hold the images in another size, as img2dataset shrinks them, if
their shape is the same. Every polygon is checked and made sound as those of a detector are; a row
with something that is no polygon has a reason and no mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.data.score_file import ScoreFiles
from tamis.errors import PoolError
from tamis.filters.tmars.masks import Mask
from tamis.filters.tmars.polygons import NO_POLYGON, PolygonFault, Regions, clean
from tamis.filters.tmars.square import from_square

Coordinates: TypeAlias = Literal["pixels", "square512"]
COORDINATES: tuple[Coordinates, ...] = ("pixels", "square512")
NO_MASK = "mask is null"
NO_SIZE = "mask has no image size"
_SQUARE = 512
_UNKNOWN_SIZE = 1 << 24

_NAMES = {
    "polygons": ("polygons", "text-boxes", "text_boxes"),
    "scores": ("scores",),
    "width": ("width", "original_width"),
    "height": ("height", "original_height"),
    "reason": ("reason",),
}


@dataclass(frozen=True)
class MaskColumns:
    """Which columns of a table hold what.

    Attributes:
        found: of `polygons`, `scores`, `width`, `height`, `reason` those there are -> their names.
        coordinates: what the numbers mean.
        trusted: whether tamis wrote the table, so that polygons need no check.
    """

    found: dict[str, str]
    coordinates: Coordinates = "pixels"
    trusted: bool = False

    @classmethod
    def of(
        cls, table: ScoreFiles, coordinates: Coordinates = "pixels", *, trusted: bool = False
    ) -> MaskColumns:
        """Find the columns.

        Raises:
            PoolError: the table has no polygons, or no sizes where they are needed.
            ValueError: coordinates that are not known.
        """
        if coordinates not in COORDINATES:
            raise ValueError(f"expected coordinates {' or '.join(COORDINATES)}, got {coordinates}")
        found = {}
        for what, names in _NAMES.items():
            name = next((name for name in names if name in table.columns), None)
            if name is not None:
                found[what] = name
        needed = ["polygons"] if coordinates == "pixels" else ["polygons", "width", "height"]
        for what in needed:
            if what not in found:
                raise PoolError(
                    f"{table.path}: expected a column {' or '.join(_NAMES[what])}, it has "
                    f"{', '.join(table.columns)}"
                )
        kind = table.schema.field(found["polygons"]).type
        if not (
            _is_list(kind) and (_is_list(kind.value_type) or pa.types.is_null(kind.value_type))
        ):
            raise PoolError(
                f"{table.path}: expected column {found['polygons']} to hold lists of polygons, got "
                f"{kind}"
            )
        return cls(found, coordinates, trusted)

    @property
    def names(self) -> list[str]:
        """The columns to read."""
        return list(self.found.values())

    def masks(self, table: pa.Table) -> Iterator[Mask]:
        """Yield the mask of each line."""
        columns = {what: table[name].to_pylist() for what, name in self.found.items()}
        for row in range(len(table)):
            yield self._mask({what: values[row] for what, values in columns.items()})

    def _mask(self, line: dict[str, Any]) -> Mask:
        width, height = (_size(line.get(side)) for side in ("width", "height"))
        if line.get("reason") is not None:
            return Mask(width, height, reason=str(line["reason"]))
        if line["polygons"] is None:
            return Mask(width, height, reason=NO_MASK)
        scores = line.get("scores")
        if scores is None:
            scores = [1.0] * len(line["polygons"])
        try:
            polygons = [_points(polygon) for polygon in line["polygons"]]
            if self.trusted:
                kept = [polygon.astype(np.float32) for polygon in polygons]
                regions = Regions(kept, np.array(scores, np.float32))
            else:
                regions = self._checked(polygons, scores, width, height)
        except PolygonFault as fault:
            return Mask(width, height, reason=fault.reason)
        return replace(Mask.of(width, height, regions), scales=self.coordinates == "square512")

    def _checked(
        self, polygons: list[npt.NDArray[np.float64]], scores: Any, width: int, height: int
    ) -> Regions:
        if self.coordinates == "square512":
            if not (width and height):
                raise PolygonFault(NO_SIZE)
            polygons = [from_square(polygon, _SQUARE, width, height) for polygon in polygons]
        scores = [np.nan if score is None else score for score in scores]
        return clean(polygons, scores, width or _UNKNOWN_SIZE, height or _UNKNOWN_SIZE)


def _points(polygon: Any) -> npt.NDArray[np.float64]:
    """(k, 2) of flat or paired coordinates. Raises PolygonFault."""
    try:
        points = np.array(polygon, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise PolygonFault(NO_POLYGON) from error
    if points.ndim == 1 and len(points) % 2 == 0:
        points = points.reshape(-1, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise PolygonFault(NO_POLYGON)
    return points


def _size(value: Any) -> int:
    known = isinstance(value, int | float) and 0 < value < _UNKNOWN_SIZE
    return int(value) if known else 0


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
