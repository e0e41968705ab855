"""`tamis show sieve`: alt-texts beside the captions that they were compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_COLUMNS, _SHEET = "Columns", "Sheet"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sieve")(sieve)


def sieve(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The sheet, .png or .jpg.", show_default=False)],
    sample: Annotated[
        int | None, typer.Option(help="How many rows; default 24.", min=1, show_default=False)
    ] = None,
    order: Annotated[
        str, typer.Option(help="Which ones: random, lowest or highest (scores).")
    ] = "random",
    seed: Annotated[int, typer.Option(help="Of random rows.")] = 0,
    uid: Annotated[
        list[str] | None,
        typer.Option(help="The row with this id instead; may be given several times."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the scores.")] = "sieve",
    pool: Annotated[
        str | None, typer.Option(help="The pool; default: the one that RUN has noted.")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Column of images or paths.", rich_help_panel=_COLUMNS)
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Column of texts.", rich_help_panel=_COLUMNS)
    ] = None,
    ids: Annotated[
        str | None, typer.Option(help="Metadata column of the ids.", rich_help_panel=_COLUMNS)
    ] = None,
    side: Annotated[
        int, typer.Option(help="Pixels of a picture.", min=1, rich_help_panel=_SHEET)
    ] = 192,
    font: Annotated[
        Path | None,
        typer.Option(help="A TrueType font for other scripts.", rich_help_panel=_SHEET),
    ] = None,
) -> None:
    """Image, alt-text, closest caption and scores of some rows, on a contact sheet.

    [bold]Example[/bold]: tamis show sieve run/ --sample 24 --out sheet.png
    """
    from tamis.data.samples import open_samples
    from tamis.filters.sieve.scorer_sheet import SieveRows
    from tamis.report.choice import ORDERS
    from tamis.score.sides import noted_pool

    chosen = next((known for known in ORDERS if known == order), None)
    if chosen is None:
        raise typer.BadParameter(f"expected {', '.join(ORDERS)}, got {order}", param_hint="--order")
    if uid and sample is not None:
        raise typer.BadParameter("not beside --uid", param_hint="--sample")
    samples = open_samples(noted_pool(pool, run), image=image, text=text, ids=ids)
    found = SieveRows(run, samples, name)
    rows = found.named(uid) if uid else found.choose(sample or 24, order=chosen, seed=seed)
    found.sheet(rows, side=side, font=font).save(out)
    made = {what: found.recipe[what].get("model") for what in ("captioner", "encoder")}
    print(f"{len(rows)} rows of {samples.n_rows:,}: {out}")
    print(f"captions by {made['captioner']}; compared by {made['encoder']}")
