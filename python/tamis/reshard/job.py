"""`reshard`: the samples of a subset as new webdataset shards, as a run that can be continued.

```
DIR/00000000.tar ...          members as they were, under the keys {uid}-{j}
DIR/00000000_stats.json ...   {"count": n, "successes": n}
DIR/sample_ids.npy            the subset, sorted; for ids that are no uids subset/sample_ids.parquet
DIR/meta.json                 output_shard_count, output_shard_format, ..., for DataComp's training
DIR/subset/missing.parquet    id, copies: what the subset has and the pool has not
DIR/quarantine.parquet        uid, file, row, reason: samples of the subset that are damaged
DIR/summary.json  manifest.json  config.toml  log.jsonl
```
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.data.ids import Ids
from tamis.data.ids_digest import ids_digest
from tamis.data.samples import open_samples
from tamis.data.samples.joined import JoinedSamples
from tamis.data.samples.pool import SamplePool
from tamis.data.samples.tar_file import TarShard
from tamis.data.subset import subset_content
from tamis.errors import PoolError
from tamis.reshard.copying import Copier
from tamis.reshard.plan import Plan
from tamis.run.accounting import check_accounting
from tamis.run.directory import Payload, RunDirectory
from tamis.run.pool_link import pool_of
from tamis.run.progress import Progress, Quiet
from tamis.run.quarantine import BadRow, quarantine_table
from tamis.select.id_list import as_kind, read_id_list

SHARD_FORMAT = "{:08d}.tar"
STATS_FORMAT = "{:08d}_stats.json"
MISSING = "subset/missing.parquet"
_STAGE = "reshard"
_RESULTS = "results"
_MOST_THREADS = 4


def reshard(
    source: Path | str,
    subset: Path | str | None,
    out: Path | str,
    *,
    shard_size: int = 10_000,
    first_shard: int = 0,
    ids: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the samples of a subset as webdataset shards; every member's bytes are unchanged.

    Each id of the subset is written as often as the subset has it. The order is the pool's. A run
    that was interrupted goes on with the same call, and ends with the same bytes.

    Args:
        source: a pool of tars (path or URL), or the run directory of one.
        subset: `.npy` (DataComp's), `.parquet` or `.txt`; None takes the run's `subset.npy` or
            `subset.parquet`.
        out: the folder of the new shards; new, empty, or an interrupted run of the same.
        shard_size: samples in a shard, copies counted.
        first_shard: number of the first new shard.
        ids: the metadata column that the subset's ids are from; see `open_samples`.
        threads: shards written at a time; by default one for each processor, at most 4. The result
            does not depend on it.
        progress: told about the work.

    Returns:
        What `summary.json` holds: subset_rows = written + missing + quarantined, all counted with
        copies; samples (different ones written), shards, bytes.

    Raises:
        PoolError: no pool of tars, no subset, or no id of the subset in the pool.
        AccountingError: the counts do not add up.
        RunError: see `RunDirectory.open`.
    """
    if shard_size < 1 or first_shard < 0:
        raise ValueError(
            f"expected shard_size >= 1 and first_shard >= 0, got {shard_size} and {first_shard}"
        )
    subset = _subset_file(source, subset)
    pool = open_samples(pool_of(source) or source, ids=ids)
    tars = _tars(pool)
    wanted = as_kind(read_id_list(subset), pool.ids())
    if not len(wanted):
        raise PoolError(f"{subset} holds no ids, so there is nothing to write")
    everything = Plan.of(pool.ids(), wanted, shard_size)
    if not len(everything.rows):
        raise PoolError(
            f"none of the {len(wanted):,} ids of {subset} is in the pool {pool.path}; is it the "
            "pool that they were selected from?"
        )
    bad_rows = _bad_rows(tars, everything)
    plan = everything.without(np.array([bad.row for bad in bad_rows], np.int64))
    recipe = {
        "step": _STAGE,
        "ids": ids,
        "subset": ids_digest(wanted.take(wanted.argsort())),
        "shard_size": shard_size,
        "first_shard": first_shard,
    }
    with RunDirectory.open(out, recipe, pool.inputs()) as run:
        _write_shards(run, tars, pool.ids(), plan, first_shard, threads, progress or Quiet())
        summary = _summary(run, plan, everything, len(wanted), first_shard)
        run.commit(_RESULTS, "all", _results(summary, plan, pool, wanted, bad_rows, first_shard))
        run.finish()
    return summary


def _write_shards(
    run: RunDirectory,
    tars: Sequence[TarShard],
    ids: Ids,
    plan: Plan,
    first_shard: int,
    threads: int | None,
    progress: Progress,
) -> None:
    copier = Copier(tars, ids, plan)

    def write(number: int) -> int:
        n_copies = plan.n_in_shard(number)
        files: dict[str, Payload] = {
            SHARD_FORMAT.format(first_shard + number): lambda file: copier.write(number, file),
            STATS_FORMAT.format(first_shard + number): {"count": n_copies, "successes": n_copies},
        }
        run.commit(_STAGE, f"{number:08d}", files)
        return n_copies

    todo = [number for number in range(plan.n_shards) if not run.done(_STAGE, f"{number:08d}")]
    n_threads = threads or min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    with progress.stage(_STAGE, plan.n_copies, "samples") as advance:
        advance(plan.n_copies - sum(map(plan.n_in_shard, todo)))
        with ThreadPoolExecutor(n_threads) as pool:
            try:
                for n_copies in pool.map(write, todo):
                    advance(n_copies)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


def _summary(
    run: RunDirectory, plan: Plan, everything: Plan, subset_rows: int, first_shard: int
) -> dict[str, Any]:
    names = [SHARD_FORMAT.format(first_shard + number) for number in range(plan.n_shards)]
    summary = {
        "subset_rows": subset_rows,
        "written": plan.n_copies,
        "samples": len(plan.rows),
        "missing": int(everything.absent_copies.sum()),
        "missing_ids": len(everything.absent),
        "quarantined": everything.n_copies - plan.n_copies,
        "quarantined_ids": len(everything.rows) - len(plan.rows),
        "shards": plan.n_shards,
        "bytes": sum((run.path / name).stat().st_size for name in names),
    }
    check_accounting(
        subset_rows,
        kept=summary["written"],
        removed=summary["missing"],
        quarantined=summary["quarantined"],
    )
    return summary


def _results(
    summary: dict[str, Any],
    plan: Plan,
    pool: SamplePool,
    wanted: Ids,
    bad_rows: Sequence[BadRow],
    first_shard: int,
) -> dict[str, Payload]:
    ids_name = "sample_ids.npy" if wanted.kind == "uid32" else "subset/sample_ids.parquet"
    missing = {"id": plan.absent.to_arrow(), "copies": plan.absent_copies}
    return {
        "summary.json": summary,
        "meta.json": {
            "first_shard": first_shard,
            "output_count": plan.n_copies,
            "output_shard_count": plan.n_shards,
            "output_shard_format": SHARD_FORMAT,
            "output_shard_stats_format": STATS_FORMAT,
            "processed_count": pool.n_rows,
            "shard_size": plan.shard_size,
        },
        ids_name: subset_content(wanted, ids_name),
        MISSING: pa.table(missing),
        "quarantine.parquet": quarantine_table(bad_rows, pool.ids()),
    }


def _subset_file(source: Path | str, subset: Path | str | None) -> Path:
    if subset is not None:
        return Path(subset)
    for name in ("subset.npy", "subset.parquet"):
        if pool_of(source) is not None and (Path(source) / name).is_file():
            return Path(source) / name
    raise PoolError(f"{source} holds no subset.npy and no subset.parquet; name a subset")


def _tars(pool: SamplePool) -> list[TarShard]:
    tars = []
    for file in pool.files:
        tar = file.samples if isinstance(file, JoinedSamples) else file
        if not isinstance(tar, TarShard):
            raise PoolError(f"expected a pool of tars, {pool.path} is one of kind {pool.kind}")
        tars.append(tar)
    return tars


def _bad_rows(tars: Sequence[TarShard], plan: Plan) -> list[BadRow]:
    bad_rows = []
    first_row = 0
    for tar in tars:
        for row, fault in sorted(tar.faults.items()):
            place = int(np.searchsorted(plan.rows, first_row + row))
            if place < len(plan.rows) and plan.rows[place] == first_row + row:
                bad_rows.append(BadRow(first_row + row, tar.name, row, fault))
        first_row += tar.n_rows
    return bad_rows
