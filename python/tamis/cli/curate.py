"""`tamis curate`: a whole recipe."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tamis.cli.progress import Bars
from tamis.run.progress import Quiet

if TYPE_CHECKING:
    from tamis.curate.steps import Outlook

EXAMPLE = """
Run a recipe: embed, score, deduplicate and select, as one TOML file says.

RECIPE is a TOML file, or the name of a recipe that comes with tamis; another word lists them. Paths
in a recipe are relative to its folder, in one of tamis' own to the current folder.

What an earlier call has done is not done again; --dry-run shows what is left.

[bold]Example[/bold]: tamis curate semdedup-then-clip --pool metadata/ --out run/
"""


def curate(
    recipe: Annotated[
        str,
        typer.Argument(help="A recipe file, or the name of one of tamis' own.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The run directory.", show_default=False)],
    pool: Annotated[
        str | None, typer.Option(help="The pool, where the recipe names none or another.")
    ] = None,
    memory: Annotated[
        float, typer.Option(help="Budget in GB (10^9 bytes).", rich_help_panel="Machine")
    ] = 3.0,
    device: Annotated[
        str, typer.Option(help="Of the encoders: auto, cpu or cuda.", rich_help_panel="Machine")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Processes that decode images.", rich_help_panel="Machine")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the plan; write nothing.", rich_help_panel="Output"),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print as JSON.", rich_help_panel="Output")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No bars, no summary.", rich_help_panel="Output")
    ] = False,
) -> None:
    from tamis.curate.job import curate as run_steps
    from tamis.curate.job import outlooks, plan_steps
    from tamis.curate.recipe import CurateRecipe
    from tamis.curate.shipped import find_recipe

    if not 0 < memory < 1e6:
        raise typer.BadParameter("expected gigabytes above 0", param_hint="--memory")
    path, folder = find_recipe(recipe)
    content = CurateRecipe.read(path)
    steps = plan_steps(
        content,
        out,
        pool=pool,
        folder=folder,
        memory_bytes=int(memory * 1e9),
        device=device,
        workers=workers,
    )
    if dry_run:
        _print_plan(content.title or path.stem, outlooks(steps), as_json=as_json)
        return
    started = time.perf_counter()
    ends: dict[str, float] = {}
    with nullcontext(Quiet()) if quiet or as_json else Bars() as progress:
        summaries = run_steps(
            steps,
            progress=progress,
            ended=lambda step, _: ends.update({step.name: time.perf_counter()}),
        )
    if as_json:
        print(json.dumps(summaries, indent=2, sort_keys=True))
    elif not quiet:
        _print_summaries(summaries, out, started, ends)


def _print_plan(title: str, plan: list[Outlook], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([vars(outlook) for outlook in plan], indent=2, sort_keys=True))
        return
    table = Table(title=f"{title} (nothing was written)", title_justify="left", box=None)
    for column in ("step", "what", "rows", "units", "done", "memory"):
        table.add_column(column, justify="right" if column in ("rows", "units") else "left")
    for outlook in plan:
        table.add_row(
            outlook.step,
            outlook.what,
            _number(outlook.rows),
            _number(outlook.units),
            "all" if outlook.complete else _number(outlook.done),
            "" if outlook.memory_bytes is None else f"{outlook.memory_bytes / 1e9:.1f} GB",
        )
    Console().print(table)


def _print_summaries(
    summaries: dict[str, dict[str, Any]], out: Path, started: float, ends: dict[str, float]
) -> None:
    from tamis.cli.score.summary import print_scores
    from tamis.cli.select import print_report
    from tamis.cli.summary import print_summary

    console = Console()
    begun = started
    for step, summary in summaries.items():
        kind, _, name = step.partition(" ")
        seconds, begun = ends[step] - begun, ends[step]
        if "skipped" in summary:
            console.print(f"[bold]left out[/bold] {step}: {summary['skipped']}", highlight=False)
        elif kind == "embed":
            sides = ", ".join(
                f"{counts['embedded']:,} {side} rows" for side, counts in summary["sides"].items()
            )
            console.print(f"[bold]embedded[/bold] {name}: {sides}", highlight=False)
        elif kind == "score":
            print_scores(summary, out / "scores" / name, seconds)
        elif kind == "dedup":
            print_summary(summary, out, seconds)
        else:
            print_report(summary, summary["subset_file"])
    console.print(f"{begun - started:.1f} s, all in {out}", soft_wrap=True, highlight=False)


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


curate.__doc__ = EXAMPLE
