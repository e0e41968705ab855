"""The store of masks: where in each image of a pool there is text.

One line per row of the pool, in its order:

| column          | type                  | what                                                  |
|-----------------|-----------------------|-------------------------------------------------------|
| `uid` (or `id`) | string (or int64)     | DataComp's uid; `id` where a pool has other ids       |
| `width`         | int32                 | of the image, decoded and upright, in pixels          |
| `height`        | int32                 |                                                       |
| `polygons`      | list of list of float | x0, y0, x1, y1, ... of each region, in its pixels     |
| `scores`        | list of float         | the detector's confidence in each region              |
| `reason`        | string                | why there is no mask, null where there is one         |

An image without text has empty lists. Where there is a reason the other columns are null; the size
is given if it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.data.ids import Ids
from tamis.data.ids_digest import METADATA_KEY, ids_digest
from tamis.filters.tmars.polygons import Polygon, Regions
from tamis.run.unit_tables import UnitTables

FOLDER = "masks"
MASKS = "masks.parquet"
COLUMNS = pa.schema(
    [
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("polygons", pa.list_(pa.list_(pa.float32()))),
        ("scores", pa.list_(pa.float32())),
        ("reason", pa.string()),
    ]
)
UNITS = UnitTables(FOLDER, group_rows=1 << 14)  # what is read to get at one row


@dataclass(frozen=True)
class Mask:
    """The text of one image.

    Attributes:
        width, height: of the image in pixels; 0 where they are not known.
        polygons: of the regions, see :mod:`tamis.filters.tmars.polygons`.
        scores: float32 (n,).
        reason: why there is no mask; None where there is one, of no region perhaps.
        scales: whether it holds for the same image in another size too.
    """

    width: int
    height: int
    polygons: list[Polygon] = field(default_factory=list)
    scores: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    reason: str | None = None
    scales: bool = False

    @classmethod
    def of(cls, width: int, height: int, regions: Regions) -> Mask:
        """The mask of an image in which these regions were found."""
        return cls(width, height, regions.polygons, regions.scores)

    def on(self, size: tuple[int, int]) -> list[Polygon] | None:
        """The polygons in pixels of an image of this size; None where it is another image's.

        Example:
            >>> triangle = np.array([[0, 0], [8, 0], [8, 4]], np.float32)
            >>> Mask(8, 6, [triangle], scales=True).on((4, 3))[0].tolist()
            [[0.0, 0.0], [4.0, 0.0], [4.0, 2.0]]
        """
        width, height = size
        if (self.width, self.height) in (size, (0, 0)):
            return self.polygons
        # Whoever shrinks an image rounds both sides to pixels.
        skew = abs(width * self.height - height * self.width)
        if not self.scales or skew > max(self.width, self.height):
            return None
        scale = np.array([width / self.width, height / self.height])
        return [(polygon * scale).astype(np.float32) for polygon in self.polygons]


def masks_table(ids: Ids, masks: Sequence[Mask]) -> pa.Table:
    """The lines of some rows.

    Example:
        >>> square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], np.float32)
        >>> mask = Mask(8, 8, [square], np.ones(1, np.float32))
        >>> masks_table(Ids.rows(1), [mask])["polygons"].to_pylist()
        [[[0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0]]]
    """
    there = [mask.reason is None for mask in masks]
    known = [mask for mask in masks if mask.reason is None]
    polygons = [polygon for mask in known for polygon in mask.polygons]
    flat = [np.asarray(polygon, np.float32).reshape(-1) for polygon in polygons]
    values = np.concatenate([np.empty(0, np.float32), *flat])
    scores = np.concatenate([np.empty(0, np.float32), *(mask.scores for mask in known)])
    regions = [len(mask.polygons) if mask.reason is None else None for mask in masks]
    inner = pa.ListArray.from_arrays(_offsets([len(corners) for corners in flat]), pa.array(values))
    starts = _offsets(regions)
    columns = [
        pa.array([mask.width or None for mask in masks], pa.int32()),
        pa.array([mask.height or None for mask in masks], pa.int32()),
        pa.ListArray.from_arrays(starts, inner, mask=_absent(there)),
        pa.ListArray.from_arrays(starts, pa.array(scores, pa.float32()), mask=_absent(there)),
        pa.array([mask.reason for mask in masks], pa.string()),
    ]
    return pa.table([ids.to_arrow(), *columns], names=[ids.column_name, *COLUMNS.names])


def masks_schema(ids: Ids) -> pa.Schema:
    """The schema of the joined table; `ids` are those of all rows."""
    name = pa.field(ids.column_name, ids.slice(0, 0).to_arrow().type)
    return pa.schema([name, *COLUMNS], metadata={METADATA_KEY: ids_digest(ids).encode()})


def _offsets(lengths: Sequence[int | None]) -> Any:
    return pa.array(np.cumsum([0, *(length or 0 for length in lengths)]), pa.int32())


def _absent(there: Sequence[bool]) -> Any:
    return pa.array([not one for one in there], pa.bool_())
