"""The options that say which rows the two sides of a pool are, and points of what space."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

_POINTS = "Points"

PoolArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(help="The pool; where RUN knows its pool, that.", show_default=False),
]
Image: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Image embeddings in POOL: npz key, parquet column or folder."),
]
Text: TypeAlias = Annotated[
    str | None, typer.Option(help="Text embeddings in POOL, named in the same way.")
]
Embeddings: TypeAlias = Annotated[
    str | None, typer.Option(help="Or those that `tamis embed` made: NAME in RUN/embeddings/NAME.")
]
TextEmbeddings: TypeAlias = Annotated[
    str | None, typer.Option(help="NAME for the texts, where they come from another.")
]
IdColumn: TypeAlias = Annotated[
    str | None, typer.Option("--ids", help="Metadata column of the ids.", rich_help_panel="Files")
]

AdapterFile: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Makes points of embeddings that are none: a file of `tamis train-adapter`, or demo.",
        rich_help_panel=_POINTS,
    ),
]
Curvature: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Or those in POOL are points: c > 0 of their space of curvature -c.",
        rich_help_panel=_POINTS,
    ),
]
PointKind: TypeAlias = Annotated[
    str,
    typer.Option(
        help="What a row of these is: tangent, space, lorentz or poincare.",
        rich_help_panel=_POINTS,
    ),
]
Model: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Name of the model that made these: rows of two models are not mixed.",
        rich_help_panel=_POINTS,
    ),
]
