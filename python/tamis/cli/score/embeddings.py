"""The scores that need nothing but embeddings: clip, negcliploss, normsim."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from tamis.cli.score.command import Out, command
from tamis.cli.sides import Embeddings, IdColumn, Image, PoolArgument, Text, TextEmbeddings

if TYPE_CHECKING:
    from tamis.data.pool import Pool
    from tamis.score.scorer import Scorer

Name: TypeAlias = Annotated[
    str, typer.Option(help="Of the table and its column.", rich_help_panel="Files")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("clip")(command(clip))
    app.command("negcliploss")(command(negcliploss))
    app.command("normsim")(command(normsim))


def clip(
    out: Out,
    pool: PoolArgument = None,
    image: Image = None,
    text: Text = None,
    embeddings: Embeddings = None,
    text_embeddings: TextEmbeddings = None,
    ids: IdColumn = None,
    name: Name = "clip",
) -> Scorer:
    """Cosine of each row's image and text embeddings.

    With the embeddings of flipped images, name it clip_flipped: it mitigates text in images.

    [bold]Example[/bold]: tamis score clip pool/ --image l14_img --text l14_txt --out run/
    """
    from tamis.filters.clip import Clip

    images, texts = _sides(pool, out, image, text, embeddings, text_embeddings, ids)
    return Clip(images, texts, name)


def negcliploss(
    out: Out,
    pool: PoolArgument = None,
    image: Image = None,
    text: Text = None,
    embeddings: Embeddings = None,
    text_embeddings: TextEmbeddings = None,
    ids: IdColumn = None,
    name: Name = "negcliploss",
    temperature: Annotated[
        float, typer.Option(help="0.01 for OpenAI's CLIP, 0.07 for DFN.")
    ] = 0.01,
    batch_size: Annotated[int, typer.Option(help="Rows compared with one another.")] = 32768,
    repetitions: Annotated[int, typer.Option(help="Random partitions averaged.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the partitions.")] = 0,
) -> Scorer:
    """s-CLIPLoss: the CLIP score less what a pair has in common with random others.

    [bold]Example[/bold]: tamis score negcliploss pool/ --image l14_img --text l14_txt --out run/
    """
    from tamis.filters.negcliploss import NegClipLoss

    images, texts = _sides(pool, out, image, text, embeddings, text_embeddings, ids)
    return NegClipLoss(
        images,
        texts,
        temperature=temperature,
        batch_size=batch_size,
        repetitions=repetitions,
        seed=seed,
        name=name,
    )


def normsim(
    out: Out,
    target: Annotated[
        str,
        typer.Option(
            help="Embeddings of the target set, by the same model: a .npy file or a pool.",
            show_default=False,
        ),
    ],
    pool: PoolArgument = None,
    image: Image = None,
    target_embedding: Annotated[
        str | None, typer.Option(help="npz key, parquet column or folder in the target.")
    ] = None,
    embeddings: Embeddings = None,
    ids: IdColumn = None,
    p: Annotated[str, typer.Option("--p", help="2, or inf: the most similar target row.")] = "inf",
    name: Annotated[
        str | None,
        typer.Option(
            help="Of the table and its column; normsim_2 or normsim_inf.", rich_help_panel="Files"
        ),
    ] = None,
) -> Scorer:
    """Similarity to a target set, such as a downstream task's training images.

    [bold]Example[/bold]: tamis score normsim pool/ --image l14_img --target in1k.npy --out run/
    """
    from tamis.data.pool import open_pool
    from tamis.filters.normsim import NormSim
    from tamis.score.sides import open_side

    if p not in ("2", "inf"):
        raise typer.BadParameter(f"expected 2 or inf, got {p}", param_hint="--p")
    rows = open_side("image", out, pool=pool, embedding=image, step=embeddings, ids=ids)
    return NormSim(rows, open_pool(target, embedding=target_embedding), p, name)  # type: ignore[arg-type]


def _sides(
    pool: str | None,
    out: Path,
    image: str | None,
    text: str | None,
    embeddings: str | None,
    text_embeddings: str | None,
    ids: str | None,
) -> tuple[Pool, Pool]:
    from tamis.score.sides import open_side

    step = text_embeddings or embeddings
    return (
        open_side("image", out, pool=pool, embedding=image, step=embeddings, ids=ids),
        open_side("text", out, pool=pool, embedding=text, step=step, ids=ids),
    )
