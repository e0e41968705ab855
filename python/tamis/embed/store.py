"""The files of an embed step, laid out as clip-retrieval lays out its own.

```
img_emb/img_emb_00000.npy         float16 canonical rows of the first unit, all its rows in order; a
                                  row without an embedding is all zero; float32 tangent vectors, as
                                  they are, where the encoder has a curvature
text_emb/text_emb_00000.npy       the same for texts
metadata/metadata_00000.parquet   ids, key, and a reason per side, null where there is a row
```

`tamis.data.pool.open_pool` reads it, and takes zero rows for what they are. The ids are in the
column `uid` where they are DataComp's, in `id` where they are other text or integers; a pool that
has row numbers only has neither, nor keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.data.samples.source import Side
from tamis.kernels.canonical import canonical
from tamis.run.quarantine import BadRow, reasons_of

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.samples import SamplePool
    from tamis.data.unit import Unit
    from tamis.run.directory import Payload

FOLDERS: dict[Side, str] = {"image": "img_emb", "text": "text_emb"}


def metadata_name(position: int) -> str:
    """Return the path of a unit's metadata; `position` counts units in pool order."""
    return f"metadata/metadata_{position:05d}.parquet"


def unit_files(
    position: int,
    ids: Ids,
    keys: Sequence[str],
    rows: Mapping[Side, npt.NDArray[np.floating[Any]]],
    reasons: Mapping[Side, Mapping[int, str]],
    *,
    tangent: bool = False,
) -> dict[str, Payload]:
    """Return path -> content of a unit's files.

    Args:
        position: of the unit in pool order.
        ids, keys: of its rows.
        rows: side -> (n, dim) as the encoder gave them; what stands in rows that have a reason does
            not matter.
        reasons: side -> row within the unit -> why it has no embedding.
        tangent: the rows are tangent vectors, whose length has a meaning.
    """
    files: dict[str, Payload] = {}
    columns = _id_columns(ids, keys)
    for side in sorted(rows):
        known = dict(reasons.get(side, {}))
        raw = np.array(rows[side])
        raw[list(known)] = 0
        if tangent:
            with np.errstate(over="ignore"):
                raw = raw.astype(np.float32)
            kept, bad = raw.copy(), ~np.isfinite(raw).all(1) | ~raw.any(1)
        else:
            kept, bad = canonical(raw)
        found = reasons_of(raw, bad, known)
        kept[bad] = 0
        folder = FOLDERS[side]
        files[f"{folder}/{folder}_{position:05d}.npy"] = kept
        texts = [found.get(row) for row in range(len(kept))]
        columns[f"{side}_reason"] = pa.array(texts, pa.string())
    files[metadata_name(position)] = pa.table(columns)
    return files


def read_reasons(path: Path, sides: frozenset[Side]) -> dict[Side, dict[int, str]]:
    """Return side -> row within the unit -> reason, from a unit's metadata."""
    names = [f"{side}_reason" for side in sorted(sides)]
    with pq.ParquetFile(path, pre_buffer=False) as file:
        table = file.read(columns=names, use_threads=False)
    return {
        side: {
            row: reason
            for row, reason in enumerate(table.column(f"{side}_reason").to_pylist())
            if reason is not None
        }
        for side in sorted(sides)
    }


def bad_rows(
    pool: SamplePool, unit: Unit, reasons: Mapping[Side, Mapping[int, str]]
) -> list[BadRow]:
    """Return one line per row and side without an embedding; the reason begins with the side."""
    file = pool.file_name(unit)
    return [
        BadRow(
            unit.first_row + row,
            file,
            unit.start + row,
            reason if reason.startswith(side) else f"{side} {reason}",
        )
        for side in sorted(reasons)
        for row, reason in reasons[side].items()
    ]


def _id_columns(ids: Ids, keys: Sequence[str]) -> dict[str, pa.Array]:
    if ids.kind == "row":
        return {}
    return {ids.column_name: ids.to_arrow(), "key": pa.array(keys, pa.string())}
