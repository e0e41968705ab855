"""`tamis show tmars`: text, masks and filled images, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tmars")(tmars)


def tmars(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", help="The sheet, .png or .jpg.", show_default=False)
    ],
    uid: Annotated[
        list[str] | None, typer.Option("--uid", help="Show this row; can be repeated.")
    ] = None,
    sample: Annotated[int, typer.Option(help="Or show as many rows.", min=1)] = 24,
    order: Annotated[
        str,
        typer.Option(
            help="Which: random (rows with text before others), lowest or highest scores."
        ),
    ] = "random",
    seed: Annotated[int, typer.Option(help="Of random rows.")] = 0,
    name: Annotated[str, typer.Option(help="Of the score.")] = "tmars",
    masks: Annotated[
        str, typer.Option(help="NAME in RUN/masks/NAME, or the PATH of masks made elsewhere.")
    ] = "text",
    side: Annotated[int, typer.Option(help="Pixels of a picture.", min=16, max=2048)] = 192,
    across: Annotated[int, typer.Option(help="Rows beside one another.", min=1, max=16)] = 1,
    font: Annotated[
        Path | None,
        typer.Option(help="A TrueType font, for captions beyond ASCII.", show_default=False),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Draw images, the outlines of their text, the filled images and both scores on a sheet.

    [bold]Example[/bold]: tamis show tmars run/ --sample 24 --out sheet.png
    """
    from tamis.report.choice import choose_rows, named_rows
    from tamis.report.tmars import TmarsRun

    shown = TmarsRun(run, name, masks)
    if uid:
        rows = named_rows(shown.pool.ids(), uid)
    else:
        rows = choose_rows(
            shown.scores,
            sample,
            order=order,  # type: ignore[arg-type]
            seed=seed,
            preferred=shown.has_text,
        )
    shown.sheet(rows.tolist(), side=side, across=across, font=font).save(out)
    if not quiet:
        with_text = int(shown.has_text.sum())
        Console(soft_wrap=True).print(
            f"{len(rows):,} rows, {int(shown.has_text[rows].sum()):,} of them with text, drawn on "
            f"{out}; {with_text:,} of the pool's {len(shown.scores):,} rows have text"
        )
