"""The command `tamis`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from tamis.cli.curate import curate
from tamis.cli.dedup import dedup
from tamis.cli.embed import embed
from tamis.cli.failure import INTERRUPTED, explained
from tamis.cli.info import show_info
from tamis.cli.inspect import inspect
from tamis.cli.reference import app as reference
from tamis.cli.reshard import reshard
from tamis.cli.score import app as score
from tamis.cli.select import select
from tamis.cli.show import app as show
from tamis.cli.train_adapter import train_adapter

app = typer.Typer(
    name="tamis",
    help="Turn a noisy pool of image-text pairs, texts or embeddings into the subset worth "
    "training on.\n\n[bold]Example[/bold]: tamis dedup pool/ --keep 0.5 --out run/",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("inspect")(inspect)
app.command("embed")(embed)
app.add_typer(score, name="score")
app.add_typer(reference, name="reference")
app.command("train-adapter")(train_adapter)
app.command("dedup")(dedup)
app.command("select")(select)
app.command("curate")(curate)
app.command("reshard")(reshard)
app.add_typer(show, name="show")
app.command("info")(show_info)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"tamis {version('tamis')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="And exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; the process ends with the exit codes of `tamis.errors`."""
    with explained():
        # Not standalone: the parser's errors and interrupts are told as all others are.
        code = app(prog_name="tamis", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    sys.exit(code or 0)
