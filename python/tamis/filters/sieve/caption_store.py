"""The captions of a pool, kept, so that encoders and phrase lists can change without captioning.

:mod:`tamis.filters.sieve.caption_table` says which files there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.data.column import ParquetColumn
from tamis.data.id_index import IdIndex
from tamis.data.ids import Ids
from tamis.data.ids_digest import ids_digest
from tamis.data.score_file import ScoreFiles
from tamis.errors import RunError
from tamis.filters.sieve.caption_table import (
    CAPTIONS,
    FOLDER,
    GROUP_ROWS,
    REASON,
    TABLE,
    step_folder,
)
from tamis.filters.sieve.captioner import NOT_GIVEN
from tamis.run.directory import RunDirectory
from tamis.run.inputs import InputFile

if TYPE_CHECKING:
    from tamis.data.unit import Unit


@dataclass(frozen=True)
class Captions:
    """The captions of n rows, laid end to end.

    Attributes:
        texts: large_string (m,), the captions.
        offsets: int64 (n + 1,); those of row i are offsets[i] .. offsets[i + 1] - 1.
        reasons: string (n,), why a row has none, else null.
    """

    texts: pa.LargeStringArray
    offsets: npt.NDArray[np.int64]
    reasons: pa.StringArray

    @classmethod
    def of(cls, lists: pa.ListArray, reasons: pa.StringArray) -> Captions:
        """Take the columns of a table.

        Example:
            >>> Captions.of(pa.array([["a", "b"], None]), pa.array([None, "gone"])).to_lists()
            [['a', 'b'], []]
        """
        lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
        offsets = np.zeros(len(lists) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(lists.flatten().cast(pa.large_string()), offsets, reasons)

    def __len__(self) -> int:
        return len(self.reasons)

    def to_lists(self) -> list[list[str]]:
        """Return the captions of each row."""
        texts = self.texts.to_pylist()
        bounds = self.offsets.tolist()
        return [texts[start:stop] for start, stop in zip(bounds, bounds[1:], strict=False)]


class CaptionStore:
    """The captions of a step that has ended. Open one with :meth:`open`; one thread at a time.

    Attributes:
        path: the step's folder.
        name: of the captions.
        recipe: of the step; `captioner` says what made them, `captions` how many were asked for.
    """

    def __init__(self, path: Path, recipe: dict[str, Any]) -> None:
        self.path = path
        self.name = path.name
        self.recipe = recipe
        self._files = ScoreFiles.open(path / TABLE, strict=False)
        self._lists = self._files.column(CAPTIONS)
        self._reasons = self._files.column(REASON)

    @classmethod
    def open(cls, run: Path | str, name: str | None = None) -> CaptionStore:
        """Open the captions of a run.

        Args:
            run: the run directory.
            name: of the captions; None where there is one step only.

        Raises:
            RunError: there are none, several of which none is named, or the step has not ended.
            PoolError: the table is damaged.
        """
        folder = step_folder(run, name or _only_name(Path(run)))
        return cls(folder, RunDirectory.read(folder).recipe)

    @property
    def n_rows(self) -> int:
        """Rows, those without captions included."""
        return self._files.n_rows

    def ids(self) -> Ids:
        """Return the ids of all rows."""
        return self._files.ids().read(0, self.n_rows)

    def inputs(self) -> list[InputFile]:
        """The table, as an input of a step that reads it."""
        status = (self.path / TABLE).stat()
        name = f"{FOLDER}/{self.name}/{TABLE}"
        return [InputFile(name, self.path / TABLE, status.st_size, status.st_mtime_ns)]

    def read(self, start: int, stop: int) -> Captions:
        """Return rows start .. stop - 1; reading on from there is cheap. Raises PoolError."""
        return Captions.of(
            self._lists.read_arrow(start, stop), self._reasons.read_arrow(start, stop)
        )

    def of(self, ids: Ids) -> AlignedCaptions:
        """Return the captions in the order of a pool's ids; rows not in the store have none."""
        if self._files.digest == ids_digest(ids):
            return AlignedCaptions(self, None)
        return AlignedCaptions(self, positions_of(IdIndex(self.ids()), ids))

    def shuffled(self) -> tuple[ShuffledColumn, ShuffledColumn]:
        """Return captions and reasons, read whole, for reading in any order."""
        return (
            ShuffledColumn(self._lists, self.n_rows),
            ShuffledColumn(self._reasons, self.n_rows),
        )


class AlignedCaptions:
    """Captions in the order of other ids.

    Args:
        store: the captions.
        positions: int64 (n,), where each row is in the store, -1 where it is not; None where the
            rows are the store's. With positions all captions are held in memory.
    """

    def __init__(self, store: CaptionStore, positions: npt.NDArray[np.int64] | None) -> None:
        self._store = store
        self._positions = positions
        if positions is not None:
            self._lists, self._reasons = store.shuffled()

    def read(self, unit: Unit) -> Captions:
        """Return the captions of a unit's rows.

        Rows that the store lacks have the reason "no captions for this row".
        """
        start, stop = unit.first_row, unit.first_row + unit.n_rows
        if self._positions is None:
            return self._store.read(start, stop)
        positions = self._positions[start:stop]
        reasons = self._reasons.take(positions)
        absent = pa.array(positions < 0)
        return Captions.of(
            self._lists.take(positions), pc.if_else(absent, pa.scalar(NOT_GIVEN), reasons)
        )


class ShuffledColumn:
    """A column read once, whose rows are then taken in any order.

    Args:
        column: of a parquet file.
        n_rows: its rows.
    """

    def __init__(self, column: ParquetColumn, n_rows: int) -> None:
        self._type = _without_views(column.arrow)
        # Many short arrays: one would need offsets of 64 bits.
        self._blocks = [
            column.read_arrow(start, min(start + GROUP_ROWS, n_rows)).cast(self._type)
            for start in range(0, n_rows, GROUP_ROWS)
        ]

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Array:
        """Return rows by number, null for -1."""
        order = np.argsort(positions, kind="stable")
        ordered = positions[order]
        numbers = ordered // GROUP_ROWS  # -1 for those that are absent
        parts = [pa.nulls(int((numbers < 0).sum()), self._type)]
        for number in np.unique(numbers[numbers >= 0]).tolist():
            inside = ordered[numbers == number] - number * GROUP_ROWS
            parts.append(self._blocks[number].take(pa.array(inside)))
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_arrays(parts).take(pa.array(back))


def _without_views(kind: pa.DataType) -> pa.DataType:
    """The type, of plain texts where it is of string views, which pyarrow cannot take."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _without_views(kind.value_type)
        return kind if inner == kind.value_type else pa.large_list(inner)
    return pa.large_string() if str(kind) == "string_view" else kind


def _only_name(run: Path) -> str:
    folder = run / FOLDER
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    names = [name for name in names if not name.startswith(".")]
    if len(names) != 1:
        has = f"there are {', '.join(names)}; name one" if names else "there are none"
        raise RunError(f"expected captions in {folder}, {has}")
    return names[0]


def positions_of(index: IdIndex, ids: Ids) -> npt.NDArray[np.int64]:
    """Return int64 (n,): the row of each id among those of an index, -1 where it is not there."""
    places = index.find(ids)
    if not len(index):
        return places
    return np.where(places >= 0, index.rows[places], -1)
