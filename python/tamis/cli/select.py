"""`tamis select`: an expression over scores gives a subset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tamis.cli.summary import print_selection

MOST_SHOWN = 8  # terms of which the overlap is printed; the report has all


def select(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run directory, or a parquet file or folder of them, such as DataComp's "
            "metadata.",
            show_default=False,
        ),
    ],
    expression: Annotated[
        str | None,
        typer.Argument(
            help="What to keep: columns, top, bottom, semdedup, uids, & | - ~ and within.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The subset: .npy (uids) or .parquet.")] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(help="More scores: a parquet file or folder with a column uid, id or key."),
    ] = None,
    export_metadata: Annotated[
        Path | None,
        typer.Option(help="A folder for the kept rows of the metadata, for img2dataset."),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(help="The metadata to export from, if not that of RUN's pool."),
    ] = None,
    eps: Annotated[
        float | None, typer.Option(help="Remove rows with an earlier row at cosine > 1 - eps.")
    ] = None,
    keep: Annotated[float | None, typer.Option(help="Or keep this fraction of the rows.")] = None,
    keep_rows: Annotated[int | None, typer.Option(help="Or keep this many rows.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Select from scores; nothing is computed anew.

    --eps, --keep and --keep-rows choose by SemDeDup's score alone; all else is an expression.

    [bold]Example[/bold]: tamis select run/ 'top(clip, 0.3) & semdedup(eps=0.03)' --out subset.npy
    """
    if expression is not None:
        if not (eps is None and keep is None and keep_rows is None):
            raise typer.BadParameter("give an expression or one of --eps, --keep and --keep-rows")
        _select(run, expression, out, scores or [], export_metadata, metadata, as_json)
        return
    if scores or export_metadata or metadata:
        raise typer.BadParameter("--scores and --export-metadata need an expression")
    if eps is keep is keep_rows is None:
        raise typer.BadParameter("give an expression, --eps, --keep or --keep-rows")
    from tamis.filters.semdedup.job.reselect import reselect

    summary = reselect(run, out, eps=eps, keep=keep, keep_rows=keep_rows)
    if as_json:
        print(json.dumps(summary, indent=2, sort_keys=True))
    else:
        print_selection(summary)


def _select(
    source: Path,
    expression: str,
    out: Path | None,
    scores: list[Path],
    export_metadata: Path | None,
    metadata: Path | None,
    as_json: bool,
) -> None:
    from tamis.select import selection

    selected = selection.select(
        source,
        expression,
        scores=scores,
        out=out,
        export_metadata=export_metadata,
        metadata=metadata,
    )
    report = selected.report
    if as_json:
        print(json.dumps(report, indent=2, sort_keys=True))
        return
    print_report(report, None if out is None else str(out))


def print_report(report: dict[str, Any], out: str | None) -> None:
    """The result of an expression."""
    console = Console()
    table = Table(title="selection", title_justify="left", box=None, pad_edge=False)
    table.add_column("term", overflow="fold", style="bold")
    for name in ("rows", "kept", "no score"):
        table.add_column(name, justify="right")
    table.add_column("", overflow="fold")
    for term in report["terms"]:
        within = f" within {term['within']}" if term["within"] else ""
        table.add_row(
            Text(term["term"] + within),
            f"{term['rows']:,}",
            f"{term['kept']:,}",
            f"{term['without_score']:,}",
            _remark(term),
        )
    share = report["kept_rows"] / report["rows"]
    table.add_row(
        "all together",
        f"{report['rows']:,}",
        f"{report['kept_rows']:,}",
        f"{report['without_score']:,}",
        f"{share:.1%} kept",
    )
    console.print(table)
    if 1 < len(report["terms"]) <= MOST_SHOWN:
        console.print(_overlap(report["overlap"]))
    if report["kept"] != report["kept_rows"]:
        console.print(f"{report['kept']:,} with repeats")
    for source in report["inputs"]:
        joined = source.get("joined", {})
        first = report["inputs"][0]["path"]
        for rows, what, path in (
            (joined.get("unmatched"), "rows are not in", source["path"]),
            (joined.get("unused"), "of its rows are not in", first),
        ):
            if rows:
                told = f"{source['table']}: {rows:,} {what} {path}"
                console.print(Text(told), soft_wrap=True)
    if out is not None:
        shared = report["kept_rows"] - report["subset"]["different_ids"]
        if shared:
            console.print(f"{shared:,} kept rows have the id of another kept row")
        console.print(Text(f"subset: {out}, report: {out}.json"), soft_wrap=True)
    if "metadata" in report:
        exported = report["metadata"]
        told = f"metadata: {exported['rows']:,} rows in {exported['path']}"
        console.print(Text(told), soft_wrap=True)


def _overlap(overlap: list[list[int]]) -> Table:
    table = Table(title="rows in both", title_justify="left", box=None, pad_edge=False)
    table.add_column("term", style="bold")
    for number in range(len(overlap)):
        table.add_column(str(number + 1), justify="right")
    for number, row in enumerate(overlap):
        table.add_row(str(number + 1), *(f"{both:,}" for both in row[: number + 1]))
    return table


def _remark(term: dict[str, Any]) -> str:
    remarks = []
    threshold = term.get("threshold")
    if threshold is not None:
        shown = threshold if isinstance(threshold, str) else f"{threshold:.6g}"
        remarks.append(f"threshold {shown}")
    if term.get("kept_at_threshold", 0) != term.get("at_threshold", 0):
        remarks.append(f"{term['kept_at_threshold']:,} of {term['at_threshold']:,} ties by id")
    if "asked" in term and term["rows"] < term["asked"]:
        remarks.append(f"{term['asked']:,} asked, no more have a score")
    if term.get("absent"):
        remarks.append(f"{term['absent']:,} listed ids are not in the pool")
    return ", ".join(remarks)
