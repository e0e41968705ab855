"""`tamis score METHOD`: one command for each scorer."""

from __future__ import annotations

import typer

from tamis.cli.score import datacomp, embeddings, hype, sieve, tmars

app = typer.Typer(
    name="score",
    help="Score every row of a pool; each method writes one table, RUN/scores/NAME/scores.parquet."
    "\n\n[bold]Example[/bold]: tamis score clip pool/ --image l14_img --text l14_txt --out run/",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
embeddings.register(app)
datacomp.register(app)
hype.register(app)
sieve.register(app)
tmars.register(app)
