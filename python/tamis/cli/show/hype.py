"""`tamis show hype`: the most and the least specific images and texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tamis.report.hype import Group

_COLUMNS, _SHEET = "Columns", "Sheet"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("hype")(hype)


def hype(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The sheet, .png or .jpg.", show_default=False)],
    sample: Annotated[
        int | None, typer.Option(help="How many rows; default 24.", min=1, show_default=False)
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Rows by the score itself instead: random, lowest or highest.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random rows.")] = 0,
    uid: Annotated[
        list[str] | None,
        typer.Option(help="The row with this id instead; may be given several times."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the scores.")] = "hype",
    pool: Annotated[
        str | None,
        typer.Option(help="Where the images and texts are; default: the pool that RUN has noted."),
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
        int, typer.Option(help="Pixels of a picture.", min=16, max=2048, rich_help_panel=_SHEET)
    ] = 192,
    across: Annotated[
        int, typer.Option(help="Rows beside one another.", min=1, max=16, rich_help_panel=_SHEET)
    ] = 1,
    font: Annotated[
        Path | None,
        typer.Option(help="A TrueType font for other scripts.", rich_help_panel=_SHEET),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """The most and the least specific images and texts with their scores, on a contact sheet.

    Each of the four groups gets a quarter of the rows; of rows with the same specificity, such as
    copies, one is drawn.

    [bold]Example[/bold]: tamis show hype run/ --sample 24 --out sheet.png
    """
    from tamis.data.samples import open_samples
    from tamis.report.choice import ORDERS
    from tamis.report.hype import HypeRun
    from tamis.score.sides import noted_pool

    chosen = next((known for known in ORDERS if known == order), None)
    if order is not None and chosen is None:
        raise typer.BadParameter(f"expected {', '.join(ORDERS)}, got {order}", param_hint="--order")
    if uid and (sample is not None or order is not None):
        given = "--order" if sample is None else "--sample"
        raise typer.BadParameter("not beside --uid", param_hint=given)
    samples = open_samples(noted_pool(pool, run), image=image, text=text, ids=ids)
    shown = HypeRun(run, samples, name)
    groups: list[Group] = []
    if uid:
        rows = shown.named(uid).tolist()
    elif chosen is not None:
        rows = shown.choose(sample or 24, order=chosen, seed=seed).tolist()
    else:
        groups = shown.groups(sample or 24)
        rows = sorted({row for group in groups for row in group.rows.tolist()})
    options: dict[str, Any] = {"side": side, "across": across, "font": font}
    drawn = shown.sheet_of_groups(groups, **options) if groups else shown.sheet(rows, **options)
    drawn.save(out)
    if not quiet:
        print(f"{len(rows):,} row{'s' * (len(rows) != 1)} of {shown.n_rows:,}: {out}")
        for group in groups:
            print(_line(group))
        print(f"measured against {shown.reference}")


def _line(group: Group) -> str:
    """One end of a specificity in figures."""
    if not len(group.rows):
        return f"{group.title}: none has a score"
    first, last = group.scores[0], group.scores[-1]
    return f"{group.title}: {first:.4f} to {last:.4f} rad"
