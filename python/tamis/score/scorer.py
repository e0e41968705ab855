"""What a scorer is: rows of a pool in, one or more named columns out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.data.ids import Ids
    from tamis.data.unit import Unit
    from tamis.run.directory import RunDirectory
    from tamis.run.inputs import InputFile
    from tamis.run.parts import Part
    from tamis.run.progress import Progress

Tables: TypeAlias = "Callable[[Sequence[str]], Iterator[pa.Table]]"
"""Gives the named columns of all rows, in tables of so many rows whatever the units were."""


@dataclass(frozen=True)
class Scores:
    """The scores of one unit.

    Attributes:
        columns: name -> (n_rows,) array of the type that the scorer's schema states; where a row
            has no value, NaN, or null in a pyarrow array.
        reasons: row within the unit -> why it has no score, in a few words. What stands in the main
            column of such a row does not matter.
    """

    columns: Mapping[str, np.ndarray | pa.Array]
    reasons: Mapping[int, str] = field(default_factory=dict)


class Scorer(Protocol):
    """Scores the rows of one pool, unit by unit, each unit by itself.

    A class that scores names this one as its base and has all members but `prepare`, `depends` and
    `diagnose`, which most leave as they are. :func:`tamis.score.job.run_scorer` does the rest:
    resuming, parts, joining.
    """

    @property
    def name(self) -> str:
        """Of the step and of the main column: a letter, then letters, digits and underscores."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The columns, main column first (float32 or bool), without uid and reason.

        Others are called NAME_something and may also be int32 or string.
        """
        ...

    def recipe(self) -> dict[str, Any]:
        """All that can change the scores, as JSON can hold it; the name need not be in it."""
        ...

    def inputs(self) -> list[InputFile]:
        """Every file that is read."""
        ...

    def ids(self) -> Ids:
        """The ids of all rows."""
        ...

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        """The units, in row order."""
        ...

    def prepare(self, run: RunDirectory, part: Part | None, progress: Progress) -> bool:
        """Do what must be known of all rows before one is scored; return whether it all is.

        It may commit files to the run, and finds them there after an interruption. A part does its
        share; where the shares of others are needed too it returns False, and the rows are scored
        by the process without a part.
        """
        return True

    def score(self, unit: Unit) -> Scores:
        """Score one unit; the result depends on the recipe and the inputs alone."""
        ...

    def depends(self) -> dict[str, Any]:
        """What makes scores incomparable where it differs, as JSON can hold it.

        The table carries it; tables of one column that differ in it are not mixed.
        """
        return {}

    def diagnose(self, tables: Tables) -> dict[str, Any]:
        """What `summary.json` says of the joined scores beyond their spread, as JSON can hold it.

        Args:
            tables: called once for each pass over the scores.
        """
        return {}
