"""What a scorer is: rows of a pool in, one or more named columns out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.data.ids import Ids
    from tamis.data.unit import Unit
    from tamis.run.directory import RunDirectory
    from tamis.run.inputs import InputFile
    from tamis.run.progress import Progress


@dataclass(frozen=True)
class Scores:
    """The scores of one unit.

    Attributes:
        columns: name -> (n_rows,) array of the type that the scorer's schema states; NaN (float) or
            a masked pyarrow value where a row has none.
        reasons: row within the unit -> why it has no score, in a few words.
    """

    columns: Mapping[str, np.ndarray | pa.Array]
    reasons: Mapping[int, str] = field(default_factory=dict)


class Scorer(Protocol):
    """Scores the rows of one pool, unit by unit, each unit by itself."""

    @property
    def name(self) -> str:
        """Of the score table; the main column has the same name."""

    @property
    def schema(self) -> pa.Schema:
        """The columns, main column first, without uid and reason."""

    def recipe(self) -> dict[str, Any]:
        """All that can change the scores, as JSON can hold it."""

    def inputs(self) -> list[InputFile]:
        """Every file that is read."""

    def ids(self) -> Ids:
        """The ids of all rows."""

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        """The units, in row order."""

    def prepare(self, run: RunDirectory, progress: Progress) -> None:
        """What must be known of all rows before one is scored; most scorers do nothing here.

        It may commit files to the run, and finds them there after an interruption.
        """

    def score(self, unit: Unit) -> Scores:
        """Score one unit; the result depends on the recipe and the inputs alone."""
