"""Frozen embeddings: the canonical rows that an adapter is trained on and applied to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.data.remote import RemotePath, place_of
from tamis.data.samples.source import Side
from tamis.errors import PoolError, RunError
from tamis.run.status import RunStatus
from tamis.score.rows import PoolRows
from tamis.score.sides import FOLDERS, open_side

if TYPE_CHECKING:
    from tamis.data.pool import Pool


@dataclass(frozen=True)
class Frozen:
    """The embeddings of one side.

    Attributes:
        rows: float16, canonical.
        origin: what they are, as JSON can hold it: "embedding" (npz key, column or folder, None
            for plain rows), "dim", and "encoder", the recipe of their embed step, or None.
    """

    rows: PoolRows
    origin: dict[str, Any]


def open_frozen(
    side: Side,
    run: Path,
    *,
    pool: str | None = None,
    embedding: str | None = None,
    step: str | None = None,
    ids: str | None = None,
) -> Frozen:
    """Open the frozen embeddings of one side; :func:`tamis.score.sides.open_side` has the options.

    Raises:
        ValueError: both `embedding` and `step`.
        PoolError, RunError: they are not there, their step has not ended, or they are tangent
            vectors already.

    Example:
        >>> import numpy as np
        >>> np.save("rows.npy", np.array([[3.0, 4.0]]))
        >>> frozen = open_frozen("image", Path("run"), pool="rows.npy")
        >>> frozen.rows.read(0, 1)[0], frozen.origin["dim"]
        (array([[0.6, 0.8]], dtype=float16), 2)
    """
    return frozen_of(open_side(side, run, pool=pool, embedding=embedding, step=step, ids=ids), side)


def frozen_of(opened: Pool, side: Side) -> Frozen:
    """Return the frozen embeddings that a pool was opened for. Raises PoolError as above."""
    encoder = encoder_of(opened)
    if encoder is not None and encoder.get("curvature") is not None:
        raise PoolError(
            f"{opened.path} holds tangent vectors of a hyperbolic encoder, which need no adapter; "
            "name embeddings of another encoder"
        )
    origin = {"embedding": opened.embedding, "dim": opened.dim, "encoder": encoder}
    return Frozen(PoolRows(opened, side), origin)


def encoder_of(pool: Pool) -> dict[str, Any] | None:
    """Return the recipe of the encoder where a pool is an embed step or a side of one."""
    place = place_of(pool.path)
    if isinstance(place, RemotePath):
        return None
    if place.name in FOLDERS.values():
        place = place.parent
    try:
        encoder = RunStatus.of(place).recipe.get("encoder")
    except RunError:
        return None  # somebody else's file of that name
    return dict(encoder) if isinstance(encoder, dict) else None


def model_of(encoder: Mapping[str, Any]) -> str | None:
    """Return what the rows of an embed step were made by: its weights, and how they were rounded.

    Half precision makes another model of a network than float32, whose weights stand alone.

    Example:
        >>> model_of({"weights": "ab12", "precision": "fp32"})
        'ab12'
        >>> model_of({"weights": "ab12", "precision": "fp16"})
        'ab12:fp16'
    """
    weights, precision = encoder.get("weights"), encoder.get("precision", "fp32")
    return weights if weights is None or precision == "fp32" else f"{weights}:{precision}"
