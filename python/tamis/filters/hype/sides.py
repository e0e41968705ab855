"""Both sides of a pool as points, or one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from tamis.filters.hype.adapter import Adapter
from tamis.filters.hype.points import PointPairs, Points, open_points
from tamis.kernels.lorentz_rows import Kind

Only: TypeAlias = Literal["image", "text"]
Sides: TypeAlias = tuple[Points | None, Points | None]


def open_sides(
    run: Path,
    *,
    only: Only | None = None,
    pool: str | None = None,
    image: str | None = None,
    text: str | None = None,
    embeddings: str | None = None,
    text_embeddings: str | None = None,
    adapter: Path | str | None = None,
    curvature: float | None = None,
    kind: Kind = "tangent",
    model: str | None = None,
    ids: str | None = None,
) -> Sides:
    """Open the points of the images and of the texts, in one space, row-aligned.

    Args:
        run: the run directory.
        only: leaves the other side alone.
        pool, ids: as for :func:`tamis.filters.hype.points.open_points`.
        image, text: npz key, parquet column or folder in the pool.
        embeddings: the embed step RUN/embeddings/NAME instead.
        text_embeddings: that of the texts, where it is another.
        adapter: a file, or "demo".
        curvature, kind, model: as for :func:`tamis.filters.hype.points.open_points`.

    Returns:
        (images, texts); None for the side that was left alone.

    Raises:
        PoolError, RunError: one sentence.
        ValueError: options that contradict each other.

    Example:
        >>> import numpy as np
        >>> np.save("rows.npy", np.eye(2))
        >>> _, texts = open_sides(Path("run"), only="text", pool="rows.npy", curvature=1.0)
        >>> texts.side, texts.n_rows
        ('text', 2)
    """
    if only not in (None, "image", "text"):
        raise ValueError(f"expected image or text, got {only}")
    declared: dict[str, Any] = {
        "pool": pool,
        "ids": ids,
        "adapter": None if adapter is None else Adapter.load(adapter),
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
        _require_two(images, texts)
    return images, texts


def _require_two(images: Points, texts: Points) -> None:
    """Refuse one column as both sides: what a pool with one column gives where none is named."""
    one, other = images.pool, texts.pool
    if (one.path, one.embedding) == (other.path, other.embedding):
        raise ValueError(
            f"expected images and texts, got the same rows of {one.path} as both: name the two "
            "columns; one side of a pool that has no other is scored with --only and --reference"
        )
    PointPairs(images, texts)  # refuses two that do not belong together
