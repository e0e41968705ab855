"""Reading masks for the rows of a pool, wherever and by whomever they were made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tamis.data.asset import asset
from tamis.data.id_index import IdIndex
from tamis.data.ids import Ids
from tamis.data.ids_digest import ids_digest
from tamis.data.parquet_file import open_parquet, parquet_errors
from tamis.data.remote import Place
from tamis.data.score_file import ScoreFiles, is_run
from tamis.errors import PoolError, RunError
from tamis.filters.tmars.detect import DEFAULT_NAME, STAGE, step_folder
from tamis.filters.tmars.made import Coordinates, MaskColumns
from tamis.filters.tmars.masks import MASKS, Mask
from tamis.run.directory import RunDirectory
from tamis.run.status import RunStatus

if TYPE_CHECKING:
    from tamis.run.inputs import InputFile

MISSING = "mask missing"
MOST_GROUP_BYTES = 1 << 32
_ROWS_AT_A_TIME = 1 << 18
_GROUPS_KEPT = 2


class Masks:
    """The masks of a pool's rows; made by :func:`open_masks`.

    Attributes:
        n_rows: rows of the pool.
        n_missing: of them, those that the table of masks lacks.
    """

    def __init__(
        self, table: ScoreFiles, ids: Ids, columns: MaskColumns, recipe: dict[str, Any]
    ) -> None:
        self._table = table
        self._columns = columns
        self._recipe = recipe
        self._places = _places(table, ids)
        self.n_rows = len(ids)
        self.n_missing = int((self._places < 0).sum())
        self._groups = _groups(table.paths)
        self._starts = np.cumsum([0, *(rows for _, _, rows in self._groups)])
        self._kept: dict[int, pa.Table] = {}

    def read(self, start: int, stop: int) -> list[Mask]:
        """Return the masks of rows start .. stop - 1 of the pool; one by one, a reason where none.

        Reading in the order of the table is cheap; other orders decode whole row groups for a row.

        Raises:
            PoolError: a file is damaged.
        """
        places = self._places[start:stop]
        masks = [Mask(0, 0, reason=MISSING)] * len(places)
        of_group = np.searchsorted(self._starts, places, side="right") - 1
        for group in np.unique(of_group[places >= 0]).tolist():
            rows = np.flatnonzero((of_group == group) & (places >= 0))
            table = self._group(group).take(pa.array(places[rows] - self._starts[group]))
            for row, mask in zip(rows.tolist(), self._columns.masks(table), strict=True):
                masks[row] = mask
        return masks

    def recipe(self) -> dict[str, Any]:
        """What made the masks, as JSON can hold it."""
        return self._recipe

    def inputs(self) -> list[InputFile]:
        """The files that hold the masks."""
        return [
            asset(Path(str(path)), f"masks/{number:05d}", expected="a table of masks")
            for number, path in enumerate(self._table.paths)
        ]

    def _group(self, number: int) -> pa.Table:
        if number not in self._kept:
            while len(self._kept) >= _GROUPS_KEPT:
                self._kept.pop(next(iter(self._kept)))
            path, group, _ = self._groups[number]
            file = open_parquet(path)
            size = file.metadata.row_group(group).total_byte_size
            if size > MOST_GROUP_BYTES:
                raise PoolError(
                    f"{path}: row group {group} holds {size:,} bytes, expected "
                    f"{MOST_GROUP_BYTES:,} at most; write it with smaller row groups"
                )
            with parquet_errors(path):
                self._kept[number] = file.read_row_group(
                    group, columns=self._columns.names, use_threads=False
                )
        return self._kept[number]


def open_masks(
    path: Path | str,
    ids: Ids,
    *,
    name: str = DEFAULT_NAME,
    coordinates: Coordinates = "pixels",
) -> Masks:
    """Open the masks of the rows that have these ids.

    Args:
        path: a run directory with the detect step `name`, that step's own folder, or a parquet file
            or folder of parquet files made elsewhere; see :mod:`tamis.filters.tmars.made`.
        ids: of all rows of the pool, `SamplePool.ids()`.
        name: of the detect step in a run.
        coordinates: of masks made elsewhere.

    Raises:
        PoolError: no such table, ids that are there twice, or none of the ids that are asked for.
        RunError: the detect step has not ended.

    Example:
        >>> import pyarrow.parquet as pq
        >>> table = pa.table({"id": [7, 8], "polygons": [[[0.0, 0, 9, 0, 9, 9]], []]})
        >>> pq.write_table(table, "made.parquet")
        >>> masks = open_masks("made.parquet", Ids.of([8, 7, 9]))
        >>> [(len(mask.polygons), mask.reason) for mask in masks.read(0, 3)]
        [(0, None), (1, None), (0, 'mask missing')]
    """
    path = Path(path)
    step = next((place for place in (path, step_folder(path, name)) if _is_step(place)), None)
    recipe: dict[str, Any] = {"masks": "made elsewhere", "coordinates": coordinates}
    if step is not None:
        recipe = {"masks": RunDirectory.read(step).recipe}
    elif is_run(path):
        raise RunError(f"{path} holds no masks {name!r}; run tamis score tmars with --out {path}")
    table = ScoreFiles.open(path if step is None else step / MASKS, strict=False)
    columns = MaskColumns.of(table, coordinates, trusted=step is not None)
    return Masks(table, ids, columns, recipe)


def _is_step(folder: Path) -> bool:
    return RunStatus.of(folder).recipe.get("step") == STAGE


def _groups(paths: Sequence[Place]) -> list[tuple[Place, int, int]]:
    """File, number in the file, and rows of every row group."""
    groups = []
    for path in paths:
        footer = open_parquet(path).metadata
        groups += [
            (path, number, footer.row_group(number).num_rows)
            for number in range(footer.num_row_groups)
        ]
    return groups


def _places(table: ScoreFiles, ids: Ids) -> np.ndarray:
    """int64 (n,): where in the table each id stands, -1 where it does not."""
    if table.digest is not None and table.digest == ids_digest(ids):
        return np.arange(len(ids), dtype=np.int64)
    reader = table.ids()
    parts = [
        reader.read(start, min(start + _ROWS_AT_A_TIME, table.n_rows))
        for start in range(0, table.n_rows, _ROWS_AT_A_TIME)
    ]
    index = IdIndex(Ids.concat(parts))
    if len(index) < table.n_rows:
        repeated = int(index.counts.argmax())
        raise PoolError(
            f"{table.path}: id {index.ids[repeated]!r} is there {index.counts[repeated]} times; "
            "expected one mask for each id, remove the repeats"
        )
    found = index.find(ids)
    if len(ids) and not (found >= 0).any():
        raise PoolError(
            f"{table.path}: none of the pool's {len(ids):,} ids, such as {ids[0]!r}, is in its "
            f"column {table.id_column}"
        )
    return np.where(found >= 0, index.rows[found], -1)
