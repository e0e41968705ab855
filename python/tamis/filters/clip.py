"""The CLIP score: the cosine of a row's image and text embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.kernels.exact import paired_cosine64
from tamis.score.pairs import PairedPool, Pairs
from tamis.score.scorer import Scorer, Scores

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.pool import Pool
    from tamis.data.unit import Unit
    from tamis.run.inputs import InputFile


class Clip(Scorer):
    """Cosine of the paired canonical rows, in float64, rounded to float32 once.

    One product of the two norms and one division (no fused operation), so the score is the same on
    every machine. Image embeddings of flipped images make it the flipped CLIP score, a cheap
    mitigation of text in images: give it a name of its own.

    Args:
        images: image embeddings, (n, dim).
        texts: text embeddings of the same rows, (n, dim).
        name: of the score and of its column.

    Raises:
        PoolError: the two sides do not belong together.

    Example:
        >>> from pathlib import Path
        >>> from tamis.data.pool import open_pool
        >>> from tamis.score.job import run_scorer
        >>> for side in ("images", "texts"):
        ...     np.save(f"{side}.npy", np.eye(3, 8, k=side == "texts") + np.eye(3, 8))
        >>> run_scorer(Clip(open_pool("images.npy"), open_pool("texts.npy")), "run")["mean"]
        0.7071067690849304
    """

    def __init__(self, images: Pool, texts: Pool, name: str = "clip") -> None:
        self.pairs = PairedPool(images, texts)
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(self._name, pa.float32())])

    def recipe(self) -> dict[str, Any]:
        return {"method": "clip", **self.pairs.embeddings()}

    def inputs(self) -> list[InputFile]:
        return self.pairs.inputs()

    def ids(self) -> Ids:
        return self.pairs.ids()

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        return self.pairs.units(rows_per_unit)

    def score(self, unit: Unit) -> Scores:
        pairs = self.pairs.read(unit)
        return Scores({self._name: cosines(pairs).astype(np.float32)}, pairs.reasons)


def cosines(pairs: Pairs) -> npt.NDArray[np.float64]:
    """The cosine of every row, float64 (n,), NaN where the row is bad."""
    usable = pairs.usable
    found = np.full(len(pairs.images), np.nan)
    found[usable] = paired_cosine64(pairs.images, usable, pairs.texts, usable)
    return found
