"""The captions of a pool, kept, so that encoders and phrase lists can change without captioning.

`RUN/captions/NAME/` is a run directory of its own::

    captions/UNIT.parquet   the lines of one unit
    captions.parquet        all lines, in the order of the pool's rows
    summary.json            rows in, captioned, with fewer captions than asked, without by reason

Columns: `uid` where the ids are DataComp's, else `id`; `captions`, a list of text; `reason`, null
where the row has a caption. The schema metadata holds the digest of the ids (`tamis.ids`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.data.id_index import IdIndex
from tamis.data.ids import Ids
from tamis.data.ids_digest import METADATA_KEY, ids_digest
from tamis.data.score_file import ScoreFiles
from tamis.errors import RunError
from tamis.filters.sieve.captioner import NOT_GIVEN, NOTHING, RowCaptions
from tamis.run import atomic
from tamis.run.directory import RunDirectory
from tamis.run.inputs import InputFile
from tamis.score.table import regrouped

if TYPE_CHECKING:
    from tamis.data.unit import Unit

FOLDER = "captions"
TABLE = "captions.parquet"
SUMMARY = "summary.json"
CAPTIONS, REASON = "captions", "reason"
LIST = pa.list_(pa.string())
GROUP_ROWS = 1 << 14
"""Rows of a row group of the joined table, whatever the units were."""


def step_folder(run: Path | str, name: str) -> Path:
    """Return RUN/captions/NAME. Raises ValueError for a name that leads elsewhere."""
    if name.startswith(".") or not name or set(name) & set("/\\\0"):
        raise ValueError(f"expected a plain name for the captions, got {name!r}")
    return Path(run) / FOLDER / name


@dataclass(frozen=True)
class Captions:
    """The captions of n rows, laid end to end.

    Attributes:
        texts: string (m,), the captions.
        offsets: int64 (n + 1,); those of row i are offsets[i] .. offsets[i + 1] - 1.
        reasons: string (n,), why a row has none, else null.
    """

    texts: pa.StringArray
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
        return cls(lists.flatten(), offsets, reasons)

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
        """Return the captions in the order of a pool's ids; rows not among them have none."""
        same = self._files.digest == ids_digest(ids)
        return AlignedCaptions(self, None if same else _positions(self.ids(), ids))


class AlignedCaptions:
    """Captions in the order of other ids.

    Args:
        store: the captions.
        positions: int64 (n,), where each row is in the store, -1 where it is not; None where the
            rows are the store's.
    """

    def __init__(self, store: CaptionStore, positions: npt.NDArray[np.int64] | None) -> None:
        self._store = store
        self._positions = positions

    def read(self, unit: Unit) -> Captions:
        """Return the captions of a unit's rows.

        Rows that the store lacks have the reason "no captions for this row". Where the order
        differs, the store is read from the first to the last of the rows.
        """
        start, stop = unit.first_row, unit.first_row + unit.n_rows
        if self._positions is None:
            return self._store.read(start, stop)
        positions = self._positions[start:stop]
        found = positions >= 0
        first = int(positions[found].min()) if found.any() else 0
        last = int(positions[found].max()) + 1 if found.any() else 0
        read = self._store.read(first, last)
        places = pa.array(positions - first, pa.int64(), mask=~found)
        lists = pa.ListArray.from_arrays(pa.array(read.offsets, pa.int32()), read.texts)
        reasons = read.reasons.take(places).to_pylist()
        told = [
            reason if present else NOT_GIVEN
            for reason, present in zip(reasons, found.tolist(), strict=True)
        ]
        return Captions.of(lists.take(places), pa.array(told, pa.string()))


def read_captions(run: Path | str, name: str | None, ids: Ids, unit: Unit) -> Captions:
    """Return the captions of one unit of a pool; see :meth:`CaptionStore.of` for many.

    Args:
        run: the run directory.
        name: of the captions; None where there is one step only.
        ids: of all rows of the pool.
        unit: of the pool.
    """
    return CaptionStore.open(run, name).of(ids).read(unit)


def table_schema(ids: Ids) -> pa.Schema:
    """The schema of the joined table; `ids` are those of all rows."""
    id_type = ids.slice(0, 0).to_arrow().type
    fields = [
        pa.field("uid" if ids.kind == "uid32" else "id", id_type),
        pa.field(CAPTIONS, LIST),
        pa.field(REASON, pa.string()),
    ]
    return pa.schema(fields, metadata={METADATA_KEY: ids_digest(ids).encode()})


def unit_table(ids: Ids, captions: RowCaptions) -> pa.Table:
    """The lines of one unit; a row without captions gets a reason, one with them loses it."""
    lists = [list(row) for row in captions.lists]
    reasons = [
        None if row else captions.reasons.get(place, NOTHING) for place, row in enumerate(lists)
    ]
    columns = [ids.to_arrow(), pa.array(lists, LIST), pa.array(reasons, pa.string())]
    return pa.table(columns, names=["uid" if ids.kind == "uid32" else "id", CAPTIONS, REASON])


def unit_file(unit: Unit) -> str:
    """The unit's file, relative to the step."""
    return f"{FOLDER}/{unit.name}.parquet"


def read_units(step: Path, units: Sequence[Unit]) -> Iterator[pa.Table]:
    """Yield the table of one unit after the other.

    Raises:
        RunError: a file is missing or damaged.
    """
    for unit in units:
        path = step / unit_file(unit)
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                table = file.read(use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise RunError(f"cannot read {path}: {error}; remove it and run again") from error
        if len(table) != unit.n_rows:
            raise RunError(f"{path}: expected {unit.n_rows} rows, it has {len(table)}; remove it")
        yield table


def joined(
    step: Path, units: Sequence[Unit], schema: pa.Schema
) -> Callable[[atomic.AtomicFile], None]:
    """Writes the lines of all units as one table; holds a row group and a unit at a time."""

    def write(file: atomic.AtomicFile) -> None:
        with atomic.parquet_writer(file, schema) as writer:
            for table in regrouped(read_units(step, units), GROUP_ROWS):
                writer.write_table(table.cast(schema), row_group_size=GROUP_ROWS)

    return write


def _only_name(run: Path) -> str:
    folder = run / FOLDER
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    names = [name for name in names if not name.startswith(".")]
    if len(names) != 1:
        has = f"there are {', '.join(names)}; name one" if names else "there are none"
        raise RunError(f"expected captions in {folder}, {has}")
    return names[0]


def _positions(stored: Ids, ids: Ids) -> npt.NDArray[np.int64]:
    index = IdIndex(stored)
    places = index.find(ids)
    return np.where(places >= 0, index.rows[places], -1)
