"""`tamis score hype`: how specific images and texts are, and how well they agree."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tamis.cli.score.command import Out, command
from tamis.cli.sides import (
    AdapterFile,
    Curvature,
    Embeddings,
    IdColumn,
    Image,
    Model,
    PointKind,
    PoolArgument,
    Text,
    TextEmbeddings,
)

if TYPE_CHECKING:
    from tamis.data.score_file import ScoreFiles
    from tamis.score.scorer import Scorer

REFERENCE, TERMS, FILES = "Reference", "Terms", "Files"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("hype")(command(hype))


def hype(
    out: Out,
    pool: PoolArgument = None,
    image: Image = None,
    text: Text = None,
    embeddings: Embeddings = None,
    text_embeddings: TextEmbeddings = None,
    adapter: AdapterFile = None,
    curvature: Curvature = None,
    kind: PointKind = "tangent",
    model: Model = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="A file of tamis reference; default: RUN/reference.safetensors, built where it is "
            "missing.",
            rich_help_panel=REFERENCE,
        ),
    ] = None,
    reference_rows: Annotated[
        int | None,
        typer.Option(help="Rows of RUN's; 10,000 where it is built.", rich_help_panel=REFERENCE),
    ] = None,
    reference_seed: Annotated[
        int | None,
        typer.Option(help="Seed of RUN's; 0 where it is built.", rich_help_panel=REFERENCE),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Score image or text alone, without the other.", rich_help_panel=TERMS),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            help="Add this COLUMN of RUN's score tables, of the pool's metadata or of --scores.",
            rich_help_panel=TERMS,
        ),
    ] = None,
    imagenet: Annotated[
        str | None,
        typer.Option(
            help="Add this COLUMN too, such as image_based; true is 1.", rich_help_panel=TERMS
        ),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(help="Parquet file or folder with such columns.", rich_help_panel=TERMS),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weight",
            help="TERM=NUMBER, 1 by default: image_specificity, text_specificity, neg_distance, "
            "clip, imagenet.",
            rich_help_panel=TERMS,
        ),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(help="stable, or paper: the published formulas.", rich_help_panel=TERMS),
    ] = "stable",
    min_radius: Annotated[
        float, typer.Option(help="K of the half-aperture.", rich_help_panel=TERMS)
    ] = 0.1,
    clamp: Annotated[
        bool,
        typer.Option("--clamp", help="Take the mean of max(e, 0).", rich_help_panel=TERMS),
    ] = False,
    ids: IdColumn = None,
    name: Annotated[
        str, typer.Option(help="Of the table and its columns.", rich_help_panel=FILES)
    ] = "hype",
) -> Scorer:
    """HYPE: specificity of image and text, less their distance, in hyperbolic space.

    Rows are points by an embed step of a hyperbolic encoder, by --adapter, or by --curvature. Then
    tamis select RUN "top(hype, 0.3)", and tamis show hype RUN to judge by eye.

    [bold]Example[/bold]: tamis score hype pool/ --image img --text txt --adapter demo --out run/
    """
    from tamis.filters.hype.scorer_open import open_hype
    from tamis.filters.hype.sides import open_sides

    if only not in (None, "image", "text"):
        raise typer.BadParameter(f"expected image or text, got {only}", param_hint="--only")
    return open_hype(
        out,
        partial(
            open_sides,
            out,
            pool=pool,
            image=image,
            text=text,
            embeddings=embeddings,
            text_embeddings=text_embeddings,
            adapter=adapter,
            curvature=curvature,
            kind=kind,  # type: ignore[arg-type]
            model=model,
            ids=ids,
        ),
        pool=pool,
        only=only,  # type: ignore[arg-type]
        reference=reference,
        reference_rows=reference_rows,
        reference_seed=reference_seed,
        clip=clip,
        imagenet=imagenet,
        metadata=partial(_metadata, pool, out, ids),
        scores=scores or [],
        weights=_weights(weights or []),
        mode=mode,  # type: ignore[arg-type]
        min_radius=min_radius,
        clamp=clamp,
        name=name,
    )


def _metadata(pool: str | None, out: Path, ids: str | None) -> ScoreFiles | None:
    from tamis.curate.place import Place
    from tamis.score.sides import noted_pool

    return Place(noted_pool(pool, out), out, ids=ids).metadata(required=False)


def _weights(given: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in given:
        term, _, number = text.partition("=")
        if term in found:
            raise typer.BadParameter(f"got two weights of {term}", param_hint="--weight")
        try:
            found[term] = float(number)
        except ValueError:
            raise typer.BadParameter(
                f"expected TERM=NUMBER, such as clip=0.5, got {text}", param_hint="--weight"
            ) from None
    return found
