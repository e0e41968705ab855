"""Image and text embeddings of the same rows, read by unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.data.ids_digest import ids_digest
from tamis.errors import PoolError
from tamis.score.rows import PoolRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tamis.data.ids import Ids
    from tamis.data.pool import Pool
    from tamis.data.unit import Unit
    from tamis.run.inputs import InputFile


@dataclass(frozen=True)
class Pairs:
    """The rows of one unit.

    Attributes:
        images, texts: (n, dim), as they are scored; zeros where the row is bad.
        reasons: row within the unit -> what is wrong with its image, its text, or both.
    """

    images: npt.NDArray[Any]
    texts: npt.NDArray[Any]
    reasons: dict[int, str]

    @property
    def usable(self) -> npt.NDArray[np.int64]:
        """The rows of which both sides are good, int64, ascending."""
        good = np.ones(len(self.images), np.bool_)
        good[list(self.reasons)] = False
        return np.flatnonzero(good)


class PairedPool:
    """Two openings of a pool, one for each side, whose rows belong together.

    Args:
        images: the image embeddings.
        texts: the text embeddings, of the same rows and dimension; cut into files in any way.

    Raises:
        PoolError: the two differ in rows, dimension or ids.
    """

    def __init__(self, images: Pool, texts: Pool) -> None:
        require_aligned(images, texts)
        _require_equal("dimensions", images, images.dim, texts, texts.dim)
        self.images, self.texts = PoolRows(images, "image"), PoolRows(texts, "text")
        self.n_rows, self.dim = images.n_rows, images.dim

    def ids(self) -> Ids:
        """The ids of all rows."""
        return self.images.pool.ids()

    def units(self, rows_per_unit: int) -> list[Unit]:
        """The units of the image side."""
        return self.images.pool.units(rows_per_unit)

    def inputs(self) -> list[InputFile]:
        """The files of both sides, each once."""
        return joined_inputs({"image": self.images.pool, "text": self.texts.pool})

    def embeddings(self) -> dict[str, str | None]:
        """What was read, for a recipe."""
        return {"image": self.images.pool.embedding, "text": self.texts.pool.embedding}

    def read(self, unit: Unit) -> Pairs:
        """Read one unit of both sides."""
        start, stop = unit.first_row, unit.first_row + unit.n_rows
        images, reasons = self.images.read(start, stop)
        texts, text_faults = self.texts.read(start, stop)
        return Pairs(images, texts, joined_reasons(reasons, text_faults))


def require_aligned(images: Pool, texts: Pool) -> None:
    """Raise PoolError unless two openings have the same rows: as many, with the same ids."""
    _require_equal("rows", images, images.n_rows, texts, texts.n_rows)
    same_place = images.path == texts.path and images.id_column == texts.id_column
    if not same_place and ids_digest(images.ids()) != ids_digest(texts.ids()):
        raise PoolError(
            f"{_named(images)} and {_named(texts)} have other ids or another order; they must "
            "be row-aligned"
        )


def joined_reasons(images: Mapping[int, str], texts: Mapping[int, str]) -> dict[int, str]:
    """Return row -> what is wrong with its image, its text, or both; rows ascend."""
    found = dict(images)
    for row, fault in texts.items():
        found[row] = f"{found[row]}; {fault}" if row in found else fault
    return dict(sorted(found.items()))


def joined_inputs(pools: dict[str, Pool]) -> list[InputFile]:
    """The files of several pools, each once; NAME/ before those that only share a path."""
    found: dict[str, InputFile] = {}
    for name, pool in pools.items():
        for file in pool.inputs():
            known = found.get(file.path)
            if known is None:
                found[file.path] = file
            elif str(known.location) != str(file.location):
                found[f"{name}/{file.path}"] = replace(file, path=f"{name}/{file.path}")
    return list(found.values())


def _require_equal(what: str, images: Pool, ours: int, texts: Pool, theirs: int) -> None:
    if ours != theirs:
        raise PoolError(
            f"the image embeddings of {_named(images)} have {ours:,} {what}, the text "
            f"embeddings of {_named(texts)} {theirs:,}; name two that belong together"
        )


def _named(pool: Pool) -> str:
    return f"{pool.path}" + (f" ({pool.embedding})" if pool.embedding is not None else "")
