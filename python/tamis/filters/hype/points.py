"""Rows of one side as points of a hyperbolic space, and both sides together.

They come from an embed step whose encoder is hyperbolic, from frozen embeddings and an adapter, or
from columns of a pool that are declared to be points.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.data.samples.source import Side
from tamis.filters.hype.frozen import encoder_of, frozen_of, model_of
from tamis.filters.hype.space import Space
from tamis.kernels.lorentz_rows import STATES, Kind, marked, radii
from tamis.run.quarantine import reasons_of
from tamis.score.pairs import Pairs, joined_inputs, joined_reasons, require_aligned
from tamis.score.rows import PoolRows
from tamis.score.sides import open_side

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.pool import Pool
    from tamis.data.unit import Unit
    from tamis.filters.hype.adapter import Adapter
    from tamis.run.inputs import InputFile

Rows = npt.NDArray[Any]
Index = npt.NDArray[np.int64]

_ZERO = STATES.index("zero")
_OUTSIDE = STATES.index("outside")
ORIGIN = "embedding is the origin"
OUTSIDE = "embedding is no point of its space"
NO_TANGENT = "tangent vector is zero"


class Points:
    """Rows of one side, by range or by number; the same bits however they are cut.

    Bad rows are zeros and have a reason: no embedding, zero, the origin, not finite, or no point of
    the space. Rows beyond the largest radius are points.

    Args:
        side: "image" or "text".
        rows: where they lie.
        space: what they are points of.
        adapter: what makes them of frozen embeddings.

    Attributes:
        side, space, adapter: as given.
        pool: where they lie.
        n_rows: rows of the pool.
    """

    def __init__(
        self, side: Side, rows: PoolRows, space: Space, adapter: Adapter | None = None
    ) -> None:
        self.side = side
        self.space = space
        self.adapter = adapter
        self.pool = rows.pool
        self.n_rows = rows.pool.n_rows
        self._rows = rows

    def ids(self) -> Ids:
        """The ids of all rows."""
        return self.pool.ids()

    def units(self, rows_per_unit: int) -> list[Unit]:
        """Cut the rows into units, none across two files."""
        return self.pool.units(rows_per_unit)

    def inputs(self) -> list[InputFile]:
        """The files that are read; an adapter is in the recipe, by its hash."""
        return self.pool.inputs()

    def recipe(self) -> dict[str, Any]:
        """What was read, and as what; no paths."""
        return {"embedding": self.pool.embedding, "space": self.space.recipe()}

    def read(self, start: int, stop: int) -> tuple[Rows, dict[int, str]]:
        """Return rows start .. stop - 1, (n, dim), and row - start -> what is wrong with it.

        Rows are float32 where an encoder or an adapter made them, else of the pool's dtype.
        """
        rows, reasons = self._rows.read(start, stop)
        return self._projected(rows, reasons)

    def take(self, rows: Index) -> tuple[Rows, dict[int, str]]:
        """Return the rows with these numbers, in this order, and position -> what is wrong."""
        return self._projected(*self._rows.take_told(rows))

    def _projected(self, rows: Rows, reasons: dict[int, str]) -> tuple[Rows, dict[int, str]]:
        if self.adapter is None:
            return rows, reasons
        tangents = self.adapter.project(rows, self.side)
        for row in np.flatnonzero(~tangents.any(axis=1)).tolist():
            reasons.setdefault(row, f"{self.side} {NO_TANGENT}")
        return tangents, dict(sorted(reasons.items()))


class PointPairs:
    """Two sides whose rows belong together, in one space.

    Args:
        images, texts: points of the same rows; cut into files in any way.

    Raises:
        PoolError: the two differ in rows, ids or space.
    """

    def __init__(self, images: Points, texts: Points) -> None:
        require_aligned(images.pool, texts.pool)
        images.space.require_same(texts.space, "the images", "the texts")
        self.images, self.texts = images, texts
        self.space = images.space
        self.n_rows = images.n_rows

    def ids(self) -> Ids:
        """The ids of all rows."""
        return self.images.ids()

    def units(self, rows_per_unit: int) -> list[Unit]:
        """The units of the image side."""
        return self.images.units(rows_per_unit)

    def inputs(self) -> list[InputFile]:
        """The files of both sides, each once."""
        return joined_inputs({"image": self.images.pool, "text": self.texts.pool})

    def recipe(self) -> dict[str, Any]:
        """What was read, and as what."""
        return {"image": self.images.recipe(), "text": self.texts.recipe()}

    def read(self, unit: Unit) -> Pairs:
        """Read one unit of both sides."""
        start, stop = unit.first_row, unit.first_row + unit.n_rows
        images, image_faults = self.images.read(start, stop)
        texts, text_faults = self.texts.read(start, stop)
        return Pairs(images, texts, joined_reasons(image_faults, text_faults))


class StoredPoints(PoolRows):
    """Points as they are stored, of any dtype; a row that is not one becomes zeros.

    Args:
        pool: what holds them.
        side: what they are of.
        curvature, kind: of their space.
    """

    def __init__(self, pool: Pool, side: Side, curvature: float, kind: Kind) -> None:
        super().__init__(pool, side)
        self.dtype = np.dtype(pool.dtype)
        self._space: dict[str, Any] = {"curvature": curvature, "kind": kind}

    def made(self, stored: Rows) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """See :class:`PoolRows`."""
        state = radii(stored, **self._space).state
        bad = marked(state) | (state == _ZERO)
        rows = np.array(stored, self.dtype)
        rows[bad] = 0
        return rows, bad

    def faults(
        self, stored: Rows, bad: npt.NDArray[np.bool_], known: Mapping[int, str]
    ) -> dict[int, str]:
        """See :class:`PoolRows`."""
        at = np.flatnonzero(bad & stored.any(axis=1))
        state = radii(stored[at], **self._space).state
        told = {_ZERO: ORIGIN, _OUTSIDE: OUTSIDE}
        own = {int(row): told[code] for row, code in zip(at, state, strict=True) if code in told}
        return reasons_of(stored, bad, own | dict(known))


def open_points(
    side: Side,
    run: Path,
    *,
    pool: str | None = None,
    embedding: str | None = None,
    step: str | None = None,
    ids: str | None = None,
    adapter: Adapter | None = None,
    kind: Kind = "tangent",
    curvature: float | None = None,
    model: str | None = None,
) -> Points:
    """Open the rows of one side as points.

    Args:
        side: "image" or "text".
        run: the run directory.
        pool, embedding, step, ids: which rows, see :func:`tamis.score.sides.open_side`.
        adapter: makes points of frozen embeddings.
        kind: what the rows of a pool that are points are, see :func:`tamis.lorentz.radii`.
        curvature: declares that the rows of a pool are points, and of which space.
        model: what made the rows that are declared; None where that is not known.

    Raises:
        ValueError: options that contradict each other, or none that says what the rows are.
        PoolError: rows that do not fit the adapter.
        PoolError, RunError: there are no such rows, or their step has not ended.

    Example:
        >>> np.save("rows.npy", np.array([[0.3, 0.4], [0.0, 0.0]], np.float32))
        >>> points = open_points("image", Path("run"), pool="rows.npy", curvature=0.1)
        >>> points.read(0, 2)[1]
        {1: 'image embedding is zero'}
        >>> points.take(np.array([0]))[0]
        array([[0.3, 0.4]], dtype=float32)
    """
    if adapter is not None and curvature is not None:
        raise ValueError("expected an adapter or a curvature, not both: an adapter has its own")
    if curvature is None and (kind != "tangent" or model is not None):
        raise ValueError(
            "expected a kind or a model of rows with a curvature only; an adapter, or the encoder "
            "of an embed step, has its own"
        )
    opened = open_side(side, run, pool=pool, embedding=embedding, step=step, ids=ids)
    encoder = encoder_of(opened)
    if adapter is not None:
        frozen = frozen_of(opened, side)
        adapter.require_origin(side, frozen.origin)
        return Points(side, frozen.rows, adapter.space, adapter)
    if curvature is not None:
        if encoder is not None:
            raise ValueError(
                f"expected no curvature for {opened.path}: an embed step says what its rows are"
            )
        space = Space(opened.dim, curvature, kind, model)
    elif encoder is not None and encoder.get("curvature") is not None:
        space = Space(opened.dim, encoder["curvature"], model=model_of(encoder))
    else:
        raise ValueError(
            f"expected an adapter (--adapter) or the curvature (--curvature) for the {side} rows "
            f"of {opened.path}: they are no embed step of a hyperbolic encoder"
        )
    return Points(side, StoredPoints(opened, side, space.curvature, space.kind), space)
