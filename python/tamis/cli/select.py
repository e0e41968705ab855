"""`tamis select`: a new threshold for a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tamis.cli.summary import print_selection


def select(
    run: Annotated[Path, typer.Argument(help="A finished run directory.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The subset: .npy (uids) or .parquet.")] = None,
    eps: Annotated[
        float | None, typer.Option(help="Remove rows with an earlier row at cosine > 1 - eps.")
    ] = None,
    keep: Annotated[float | None, typer.Option(help="Or keep this fraction of the rows.")] = None,
    keep_rows: Annotated[int | None, typer.Option(help="Or keep this many rows.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Select again from the scores of a finished run; nothing is computed anew.

    [bold]Example[/bold]: tamis select run/ --eps 0.05 --out subset.npy
    """
    from tamis.filters.semdedup.job.reselect import reselect

    summary = reselect(run, out, eps=eps, keep=keep, keep_rows=keep_rows)
    if as_json:
        print(json.dumps(summary, indent=2, sort_keys=True))
    else:
        print_selection(summary)
