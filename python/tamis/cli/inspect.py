"""`tamis inspect`: how a pool is understood, or what a run holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tamis.cli.facts import facts_table, plain

if TYPE_CHECKING:
    from tamis.data.inspection import Inspection
    from tamis.data.run_inspection import RunInspection


def inspect(
    pool: Annotated[
        str, typer.Argument(help="A pool: file, folder or URL; or a run.", show_default=False)
    ],
    image: Annotated[
        str | None, typer.Option(help="The column of images, or of their paths.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="The column of texts.")] = None,
    ids: Annotated[str | None, typer.Option(help="The column of ids, or row for numbers.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show what a pool holds: layout, rows, columns, embeddings, ids, and problems.

    [bold]Example[/bold]: tamis inspect pool/
    """
    from tamis.data.inspection import inspect_pool
    from tamis.data.remote import RemotePath, place_of
    from tamis.data.run_inspection import inspect_run, is_run

    place = place_of(pool)
    if not isinstance(place, RemotePath) and is_run(place):
        run = inspect_run(place)
        if as_json:
            print(json.dumps(run.as_dict(), indent=2))
        else:
            _print_run(run)
        return
    found = inspect_pool(place, image=image, text=text, ids=ids)
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        _print_pool(found)


def _print_pool(found: Inspection) -> None:
    console = Console()
    facts = facts_table(found.path)
    samples = found.samples
    if samples is None:
        facts.add_row("samples", "none: embeddings only")
    else:
        facts.add_row("samples", plain(samples.summary))
        facts.add_row("rows", f"{samples.rows:,}")
        facts.add_row("shards", f"{samples.shards:,}")
        facts.add_row("sides", " and ".join(samples.sides) or "none: columns only")
    if found.ids is None:
        facts.add_row("ids", "cannot be read, see the problems")
    else:
        facts.add_row("ids", plain(f"{found.ids.kind}, such as {found.ids.example}"))
    console.print(facts)
    if samples is not None and samples.columns:
        console.print(_listing("columns", ["name", "type"], list(samples.columns.items())))
    if found.embeddings:
        rows = [
            (each.name or "(rows)", f"{each.rows:,}", str(each.dim), each.dtype)
            for each in found.embeddings
        ]
        console.print(_listing("embeddings", ["name", "rows", "dim", "dtype"], rows))
    else:
        console.print("no embeddings: `tamis embed` makes them", style="dim")
    _print_problems(console, found.problems)


def _print_run(run: RunInspection) -> None:
    console = Console()
    facts = facts_table(run.path)
    facts.add_row("pool", plain(run.pool or "not noted"))
    for line in run.embeddings:
        facts.add_row("embeddings", plain(line))
    console.print(facts)
    if run.steps:
        rows = []
        for step in run.steps:
            done = ", ".join(f"{stage} {count:,}" for stage, count in step.units.items())
            state = "complete" if step.complete else "not finished"
            rows.append((step.path, state, done or "none"))
        console.print(_listing("steps", ["step", "state", "units done"], rows))
    if run.tables:
        rows = [
            (table.path, f"{table.rows:,}", ", ".join(f"{n} {t}" for n, t in table.columns.items()))
            for table in run.tables
        ]
        console.print(_listing("tables", ["table", "rows", "columns"], rows))
    _print_problems(console, run.problems)


def _listing(title: str, columns: list[str], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def _print_problems(console: Console, problems: list[str]) -> None:
    if not problems:
        console.print("problems: none found")
        return
    console.print(Text(f"problems: {len(problems)}", style="bold red"))
    for problem in problems:
        console.print(Text("- ").append_text(plain(problem)), soft_wrap=True)
