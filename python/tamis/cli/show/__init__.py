"""`tamis show METHOD`: what a method saw, on a contact sheet."""

from __future__ import annotations

import typer

from tamis.cli.show import hype, sieve, tmars

app = typer.Typer(
    name="show",
    help="Draw what a method saw in some samples on a contact sheet, for a person to judge."
    "\n\n[bold]Example[/bold]: tamis show tmars run/ --sample 24 --out sheet.png",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
tmars.register(app)
sieve.register(app)
hype.register(app)
