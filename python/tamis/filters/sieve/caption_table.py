"""The files of a caption step.

`RUN/captions/NAME/` is a run directory of its own::

    captions/UNIT.parquet   the lines of one unit
    captions.parquet        all lines, in the order of the pool's rows
    summary.json            rows in, captioned, with fewer captions than asked, without by reason

Columns: `uid` where the ids are DataComp's, else `id`; `captions`, a list of text; `reason`, null
where the row has a caption. The schema metadata holds the digest of the ids (`tamis.ids`).
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tamis.data.ids import Ids
from tamis.data.ids_digest import METADATA_KEY, ids_digest
from tamis.filters.sieve.captioner import NOTHING, RowCaptions
from tamis.run.step import folder_of_step
from tamis.run.unit_tables import UnitTables

FOLDER = "captions"
TABLE = "captions.parquet"
SUMMARY = "summary.json"
CAPTIONS, REASON = "captions", "reason"
LIST = pa.list_(pa.large_string())
"""Wide offsets: the captions of a row group may be more than 2 GiB."""
GROUP_ROWS = 1 << 14
UNITS = UnitTables(FOLDER, group_rows=GROUP_ROWS)


def step_folder(run: Path | str, name: str) -> Path:
    """Return RUN/captions/NAME. Raises ValueError for a name that leads elsewhere."""
    return folder_of_step(run, FOLDER, name)


def table_schema(ids: Ids) -> pa.Schema:
    """The schema of the joined table; `ids` are those of all rows."""
    id_type = ids.slice(0, 0).to_arrow().type
    fields = [
        pa.field(ids.column_name, id_type),
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
    return pa.table(columns, names=[ids.column_name, CAPTIONS, REASON])
