"""The files at the end of a run, all from arrays that the stages left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.data.ids import Ids
from tamis.data.ids_digest import METADATA_KEY, ids_digest
from tamis.data.pool import Pool, Unit
from tamis.data.subset import subset_content, subset_name
from tamis.filters.semdedup.explain import Groups
from tamis.filters.semdedup.recall import RecallReport, Share
from tamis.filters.semdedup.rules import RuleComparison
from tamis.filters.semdedup.select import Selection, eps_curve
from tamis.filters.semdedup.source import Index, Labels, Singles
from tamis.run import atomic
from tamis.run.quarantine import BadRow, quarantine_table

SCORES_FILE = "scores/semdedup.parquet"
ROWS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Found:
    """What the stages found, by the numbers of the stored rows.

    Attributes:
        input_rows: int64 (n,), the pool's row number of every stored row.
        bad: row of the pool -> why it is in quarantine.
        cosine, nearest, labels: the score, of which row, and the cluster.
    """

    input_rows: Index
    bad: dict[int, str]
    cosine: Singles
    nearest: Index
    labels: Labels


@dataclass(frozen=True)
class Decision:
    """What a run decided, by the numbers of the stored rows; None for what was not asked.

    Attributes:
        found: what was found before any threshold.
        plan: the clusters, and how k-means went.
        selection, groups: what is kept, and why the rest is not.
        recall: what the clusters missed.
        rules: what other rules would keep.
    """

    found: Found
    plan: dict[str, Any]
    selection: Selection | None
    groups: Groups | None
    recall: RecallReport | None
    rules: RuleComparison | None


def scores_writer(found: Found, ids: Ids) -> Callable[[atomic.AtomicFile], None]:
    """Writes one line for every row of the pool, in its order, a block at a time.

    Columns: uid; semdedup (float32, the largest cosine to an earlier row, -inf where there is none,
    NaN for a quarantined row); nearest (the uid of that row); cluster; reason (of quarantine).
    """
    id_type = ids.take(np.empty(0, np.int64)).to_arrow().type
    schema = pa.schema(
        [
            ("uid", id_type),
            ("semdedup", pa.float32()),
            ("nearest", id_type),
            ("cluster", pa.int32()),
            ("reason", pa.string()),
        ],
        metadata={METADATA_KEY: ids_digest(ids).encode()},
    )

    def write(file: atomic.AtomicFile) -> None:
        with atomic.parquet_writer(file, schema) as writer:
            for table in _score_tables(found, ids, schema):
                writer.write_table(table)

    return write


def _score_tables(found: Found, ids: Ids, schema: pa.Schema) -> Iterator[pa.Table]:
    n_rows = len(ids)
    for start in range(0, n_rows, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, n_rows)
        first, last = np.searchsorted(found.input_rows, (start, stop))
        place = found.input_rows[first:last] - start
        cosine = np.full(stop - start, np.nan, dtype=np.float32)
        cosine[place] = found.cosine[first:last]
        cluster = np.full(stop - start, -1, dtype=np.int32)
        cluster[place] = found.labels[first:last]
        nearest = np.full(stop - start, -1, dtype=np.int64)
        known = found.nearest[first:last]
        nearest[place] = np.where(known >= 0, found.input_rows[known], -1)
        reasons = [found.bad.get(row) for row in range(start, stop)] if found.bad else None
        yield pa.table(
            [
                ids.slice(start, stop).to_arrow(),
                pa.array(cosine),
                optional_ids(ids, nearest),
                pa.array(cluster, mask=cluster < 0),
                pa.array(reasons, pa.string()) if reasons else pa.nulls(stop - start, pa.string()),
            ],
            schema=schema,
        )


def optional_ids(ids: Ids, rows: Index) -> pa.Array:
    """The ids of rows, null where the row is -1."""
    present = pa.array(np.arange(len(rows)), mask=rows < 0)
    return ids.take(np.maximum(rows, 0)).to_arrow().take(present)


def groups_writer(
    groups: Groups, input_rows: Index, ids: Ids
) -> Callable[[atomic.AtomicFile], None]:
    """Writes one line for every removed row and every row that stands for some, in blocks."""
    numbers = np.append(input_rows, -1)  # row -1 stays -1

    def table(part: slice) -> pa.Table:
        group, cosine = groups.group[part], groups.cosine[part]
        return pa.table(
            {
                "group": pa.array(group, mask=group < 0),
                "uid": ids.take(numbers[groups.row[part]]).to_arrow(),
                "role": pa.array(np.where(groups.removed[part], "removed", "kept")),
                "representative": optional_ids(ids, numbers[groups.representative[part]]),
                "nearest": optional_ids(ids, numbers[groups.nearest[part]]),
                "cosine": pa.array(cosine, mask=np.isnan(cosine)),
                "cluster": pa.array(groups.cluster[part]),
                "rank": pa.array(groups.rank[part]),
                "orphan": pa.array(groups.orphan[part]),
            }
        )

    def write(file: atomic.AtomicFile) -> None:
        n_rows = len(groups.row)
        with atomic.parquet_writer(file, table(slice(0, 0)).schema) as writer:
            for start in range(0, n_rows, ROWS_AT_ONCE):
                writer.write_table(table(slice(start, min(start + ROWS_AT_ONCE, n_rows))))

    return write


def quarantine(pool: Pool, units: list[Unit], bad: dict[int, str], ids: Ids) -> pa.Table:
    """`quarantine.parquet`: uid, file, row in the file, reason."""
    starts = np.array([unit.first_row for unit in units], dtype=np.int64)
    rows = []
    for row, reason in bad.items():
        unit = units[int(np.searchsorted(starts, row, side="right")) - 1]
        in_file = unit.start + row - unit.first_row
        rows.append(BadRow(row, pool.file_name(unit), in_file, reason))
    return quarantine_table(rows, ids)


def curve_table(cosine: Singles) -> pa.Table:
    """`eps_curve.parquet`: eps, kept, removed."""
    return pa.table(dict(eps_curve(cosine)))


def subset_file(ids: Ids, rows: Index) -> dict[str, Any]:
    """The subset under its usual name: DataComp's .npy for uids, else .parquet."""
    name = subset_name(ids.kind)
    return {name: subset_content(ids.take(rows), name)}


def summary(decision: Decision, n_rows: int) -> dict[str, Any]:
    """`summary.json`. Nothing in it depends on the machine or the time."""
    found, selection = decision.found, decision.selection
    kept = None if selection is None else int(selection.keep.sum())
    content: dict[str, Any] = {
        "rows_in": n_rows,
        "quarantined": len(found.bad),
        "kept": kept,
        "removed": None if kept is None else len(found.cosine) - kept,
        "clusters": decision.plan,
    }
    if selection is not None:
        content["eps"] = selection.eps
        content["ties_at_cut"] = selection.ties_at_cut
    if decision.groups is not None:
        content["orphans"] = decision.groups.n_orphans
    if decision.recall is not None:
        content["recall"] = share(decision.recall.found)
        content["residual"] = share(decision.recall.residual)
    if decision.rules is not None:
        differences = decision.rules.differences
        content["rules"] = {
            rule: {
                "kept": kept,
                "removed_by": {b: count for (a, b), count in differences.items() if a == rule},
            }
            for rule, kept in decision.rules.kept.items()
        }
    return content


def share(value: Share | None) -> dict[str, Any] | None:
    """A share with its interval, or None."""
    if value is None:
        return None
    return {
        "count": value.count,
        "of": value.of,
        "share": value.value,
        "interval95": [value.low, value.high],
    }
