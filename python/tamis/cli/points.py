"""The options that say what the points of a pool are, and how they are opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from tamis.filters.hype.adapter import Adapter
    from tamis.filters.hype.points import Points

POINTS = "Points"

PoolArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(help="The pool; where RUN knows its pool, that.", show_default=False),
]
Image: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Images in POOL: npz key, parquet column or folder.", rich_help_panel=POINTS),
]
Text: TypeAlias = Annotated[
    str | None, typer.Option(help="Texts in POOL, named in the same way.", rich_help_panel=POINTS)
]
Embeddings: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Or those that `tamis embed` made: NAME in RUN/embeddings/NAME.",
        rich_help_panel=POINTS,
    ),
]
TextEmbeddings: TypeAlias = Annotated[
    str | None,
    typer.Option(help="NAME for the texts, where they come from another.", rich_help_panel=POINTS),
]
AdapterFile: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Makes points of them where they are no points yet: a file of `tamis train-adapter`, "
        "or demo.",
        rich_help_panel=POINTS,
    ),
]
Curvature: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Or they are points already: c > 0 of the space of curvature -c.",
        rich_help_panel=POINTS,
    ),
]
PointKind: TypeAlias = Annotated[
    str,
    typer.Option(
        help="What a row is: tangent, space, lorentz or poincare.", rich_help_panel=POINTS
    ),
]
Model: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Name of the model that made them: rows of two models are not mixed.",
        rich_help_panel=POINTS,
    ),
]
IdColumn: TypeAlias = Annotated[
    str | None, typer.Option("--ids", help="Metadata column of the ids.", rich_help_panel="Files")
]


def open_sides(
    run: Path,
    *,
    only: str | None = None,
    pool: str | None = None,
    image: str | None = None,
    text: str | None = None,
    embeddings: str | None = None,
    text_embeddings: str | None = None,
    adapter: str | None = None,
    curvature: float | None = None,
    kind: str = "tangent",
    model: str | None = None,
    ids: str | None = None,
) -> tuple[Points | None, Points | None]:
    """Open the points of the images and of the texts, in one space, row-aligned.

    Args:
        run: the run directory.
        only: "image" or "text" leaves the other side alone.
        pool, image, text, embeddings, text_embeddings, adapter, curvature, kind, model, ids: as the
            options above.

    Returns:
        (images, texts); None for the side that was left alone.

    Raises:
        PoolError, RunError: one sentence.
        ValueError: options that contradict each other.
    """
    from tamis.filters.hype.points import PointPairs, open_points
    from tamis.kernels.lorentz_rows import KINDS

    if kind not in KINDS:
        raise typer.BadParameter(f"expected {', '.join(KINDS)}, got {kind}", param_hint="--kind")
    if only not in (None, "image", "text"):
        raise typer.BadParameter(f"expected image or text, got {only}", param_hint="--only")
    declared: dict[str, Any] = {
        "pool": pool,
        "ids": ids,
        "adapter": _adapter(adapter),
        "curvature": curvature,
        "kind": kind,
        "model": model,
    }
    images = texts = None
    if only != "text":
        images = open_points("image", run, embedding=image, step=embeddings, **declared)
    if only != "image":
        step = text_embeddings or embeddings
        texts = open_points("text", run, embedding=text, step=step, **declared)
    if images is not None and texts is not None:
        PointPairs(images, texts)  # refuses two that do not belong together
    return images, texts


def _adapter(path: str | None) -> Adapter | None:
    from tamis.filters.hype.adapter import Adapter

    return None if path is None else Adapter.load(path)
