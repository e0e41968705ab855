"""A new threshold for a finished run: its scores are read, nothing is computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tamis.data.ids import Ids
from tamis.data.subset import write_subset
from tamis.errors import RunError
from tamis.filters.semdedup.job.results import SCORES_FILE, share
from tamis.filters.semdedup.job.stages import load_recall
from tamis.filters.semdedup.select import select
from tamis.run.accounting import check_accounting
from tamis.run.directory import RunDirectory
from tamis.run.manifest import MANIFEST
from tamis.run.pool_link import pool_of


def reselect(
    run: Path | str,
    out: Path | str | None = None,
    *,
    eps: float | None = None,
    keep: float | None = None,
    keep_rows: int | None = None,
) -> dict[str, Any]:
    """Select from the scores of a finished run, by the rule semdedup.

    Args:
        run: the run directory.
        out: the subset to write, .npy (DataComp's format, uids only) or .parquet; None writes none.
        eps, keep, keep_rows: exactly one, as for `tamis.SemDeDup`.

    Returns:
        rows_in, kept, removed, quarantined, eps, ties_at_cut, and recall at this eps.

    Raises:
        RunError: no finished run with scores is there.
        ValueError: none or more than one of the three, or one out of range.
    """
    if not (Path(run) / MANIFEST).exists() and pool_of(run) is not None:
        raise RunError(
            f"{run} holds no scores of SemDeDup; run tamis dedup first, or select by an expression"
        )
    directory = RunDirectory.read(run)
    path = directory.path / SCORES_FILE
    if not path.exists():
        raise RunError(f"the run {directory.path} holds no {SCORES_FILE}")
    table = pq.read_table(path, columns=["uid", "semdedup"])
    cosine = table.column("semdedup").to_numpy()
    usable = np.flatnonzero(~np.isnan(cosine))
    ids = Ids.of(table.column("uid")).take(usable)
    cosine = np.ascontiguousarray(cosine[usable])
    selection = select(cosine, ids.rank(), eps=eps, keep=keep, keep_rows=keep_rows)
    if selection is None:
        raise ValueError("give one of eps, keep and keep_rows")
    n_kept = int(selection.keep.sum())
    summary: dict[str, Any] = {
        "rows_in": table.num_rows,
        "kept": n_kept,
        "removed": len(usable) - n_kept,
        "quarantined": table.num_rows - len(usable),
        "eps": selection.eps,
        "ties_at_cut": selection.ties_at_cut,
    }
    check_accounting(
        table.num_rows,
        kept=n_kept,
        removed=summary["removed"],
        quarantined=summary["quarantined"],
    )
    sample = load_recall(directory)
    if sample is not None:
        summary["recall"] = share(sample.at(selection.eps))
    if out is not None:
        write_subset(out, ids.take(np.flatnonzero(selection.keep)))
        summary["subset"] = str(out)
    return summary
