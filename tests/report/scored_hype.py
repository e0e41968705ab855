"""A HYPE score of made-up numbers: what people look at does not depend on how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.data.ids import Ids
from tamis.data.unit import Unit, cut_units
from tamis.run.inputs import InputFile
from tamis.score.job import run_scorer
from tamis.score.scorer import Scorer, Scores


class GivenHype(Scorer):
    """Columns as they are given; NaN in the main one gets a reason."""

    name = "hype"

    def __init__(self, ids: Sequence[Any], columns: Mapping[str, Sequence[float]]) -> None:
        self._ids = Ids.of(ids)
        self._columns = {name: np.array(values, np.float32) for name, values in columns.items()}

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(name, pa.float32()) for name in self._columns])

    def recipe(self) -> dict[str, Any]:
        count = {"img": 7, "txt": 1234}
        return {"method": "hype", "reference": {"digest": "0123456789abcdef" * 4, "count": count}}

    def inputs(self) -> list[InputFile]:
        return []

    def ids(self) -> Ids:
        return self._ids

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        return cut_units([len(self._ids)], rows_per_unit)

    def score(self, unit: Unit) -> Scores:
        rows = slice(unit.first_row, unit.first_row + unit.n_rows)
        columns = {name: values[rows] for name, values in self._columns.items()}
        bad = np.flatnonzero(np.isnan(columns["hype"])).tolist()
        return Scores(columns, dict.fromkeys(bad, "text is blank"))


def write_scores(
    run: Path, ids: Sequence[Any], pool: Path | None = None, **columns: Sequence[float]
) -> Path:
    """A run with one score step; columns are called hype, and hype_KEY for every other key."""
    named = {
        "hype" if name == "hype" else f"hype_{name}": values for name, values in columns.items()
    }
    run_scorer(GivenHype(ids, named), run, pool=pool)
    return run
