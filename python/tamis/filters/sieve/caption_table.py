"""The files of a caption step.

`RUN/captions/NAME/` is a run directory of its own::

    captions/UNIT.parquet   the lines of one unit
    captions.parquet        all lines, in the order of the pool's rows
    summary.json            rows in, captioned, with fewer captions than asked, without by reason

Columns: `uid` where the ids are DataComp's, else `id`; `captions`, a list of text; `reason`, null
where the row has a caption. The schema metadata holds the digest of the ids (`tamis.ids`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.data.ids import Ids
from tamis.data.ids_digest import METADATA_KEY, ids_digest
from tamis.errors import RunError
from tamis.filters.sieve.captioner import NOTHING, RowCaptions
from tamis.run import atomic
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
