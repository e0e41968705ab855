"""`tamis reshard`: the samples of a subset as new webdataset shards."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tamis.cli.progress import Bars
from tamis.run.progress import Quiet


def reshard(
    source: Annotated[
        str, typer.Argument(help="A pool of tars (path or URL), or its run.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The folder of the new shards.", show_default=False)],
    subset: Annotated[
        Path | None,
        typer.Option(help="Ids: .npy, .parquet or .txt. Default: the run's subset.npy."),
    ] = None,
    shard_size: Annotated[int, typer.Option(help="Samples in a shard.")] = 10_000,
    first_shard: Annotated[int, typer.Option(help="Number of the first new shard.")] = 0,
    ids: Annotated[
        str | None, typer.Option(help="Column of the ids. Default: uid, else the key.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Shards written at a time. Default: one per processor, at most 4.",
            rich_help_panel="Machine",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel="Output")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No bars, no summary.", rich_help_panel="Output")
    ] = False,
) -> None:
    """Copy the samples of a subset into new webdataset shards, every byte of theirs unchanged.

    A sample that the subset has n times is written n times, under the keys UID-0 .. UID-(n-1). The
    same command goes on with what was interrupted.

    [bold]Example[/bold]: tamis reshard run/ --subset subset.npy --out shards/
    """
    from tamis.reshard import reshard as write_shards

    if shard_size < 1:
        raise typer.BadParameter("expected at least 1", param_hint="--shard-size")
    if first_shard < 0:
        raise typer.BadParameter("expected 0 or more", param_hint="--first-shard")
    if threads is not None and threads < 1:
        raise typer.BadParameter("expected at least 1", param_hint="--threads")
    started = time.perf_counter()
    with nullcontext(Quiet()) if quiet or as_json else Bars() as progress:
        summary = write_shards(
            source,
            subset,
            out,
            shard_size=shard_size,
            first_shard=first_shard,
            ids=ids,
            threads=threads,
            progress=progress,
        )
    if as_json:
        print(json.dumps(summary, indent=2, sort_keys=True))
    elif not quiet:
        _print_summary(summary, out, time.perf_counter() - started)


def _print_summary(summary: dict[str, Any], out: Path, seconds: float) -> None:
    table = Table(title="reshard", title_justify="left", show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("subset", f"{summary['subset_rows']:,} rows")
    table.add_row("written", f"{summary['written']:,} ({summary['samples']:,} different samples)")
    if summary["missing"]:
        where = out / "subset" / "missing.parquet"
        table.add_row("not in the pool", f"{summary['missing']:,}, listed in {where}")
    if summary["quarantined"]:
        where = out / "quarantine.parquet"
        table.add_row("quarantined", f"{summary['quarantined']:,}, listed in {where}")
    table.add_row("shards", f"{summary['shards']:,} in {out}, {summary['bytes'] / 1e9:.3g} GB")
    table.add_row("time", f"{seconds:.1f} s")
    Console().print(table)
