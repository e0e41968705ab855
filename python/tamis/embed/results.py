"""The end of an embed step: what has no embedding, counted and listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tamis.data.samples.source import Side
from tamis.embed.store import bad_rows, metadata_name, read_reasons
from tamis.errors import BadRowsError, RunError
from tamis.run.quarantine import BadRow, quarantine_table

if TYPE_CHECKING:
    from tamis.data.samples import SamplePool
    from tamis.data.unit import Unit
    from tamis.run.directory import RunDirectory

STAGE = "result"
QUARANTINE = "quarantine.parquet"
SUMMARY = "summary.json"
_SHOWN_REASONS = 5


class Tally:
    """Counts of the rows that have no embedding.

    Args:
        run: the step.
        pool: what was embedded.
        units: position in pool order -> unit, of those to count; all of them are done.
        sides: what was embedded.

    Raises:
        RunError: the metadata of a unit cannot be read.
    """

    def __init__(
        self,
        run: RunDirectory,
        pool: SamplePool,
        units: Mapping[int, Unit],
        sides: frozenset[Side],
    ) -> None:
        self._run = run
        self._pool = pool
        self.rows_in = sum(unit.n_rows for unit in units.values())
        self.n_units = len(units)
        self.n_bad = 0
        self.by_side: dict[Side, Counter[str]] = {side: Counter() for side in sorted(sides)}
        self.bad: list[BadRow] = []
        for position, unit in units.items():
            reasons = self._reasons(position, sides)
            for side, found in reasons.items():
                self.by_side[side].update(found.values())
            self.n_bad += len(set().union(*reasons.values()))
            self.bad += bad_rows(pool, unit, reasons)

    def write_quarantine(self) -> None:
        """Commit `quarantine.parquet` unless it is there already."""
        if not self._run.done(STAGE, "quarantine"):
            table = quarantine_table(self.bad, self._pool.ids())
            self._run.commit(STAGE, "quarantine", {QUARANTINE: table})

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Commit `summary.json` unless it is there already."""
        if not self._run.done(STAGE, "summary"):
            self._run.commit(STAGE, "summary", {SUMMARY: summary})

    def summary(self, name: str, dims: Mapping[Side, int]) -> dict[str, Any]:
        """Return the content of `summary.json`."""
        return {
            "name": name,
            "encoder": self._run.recipe["encoder"],
            "rows_in": self.rows_in,
            "rows_quarantined": self.n_bad,
            "units": self.n_units,
            "sides": {
                side: {
                    "dim": dims[side],
                    "embedded": self.rows_in - counts.total(),
                    "quarantined": counts.total(),
                    "reasons": dict(sorted(counts.items())),
                }
                for side, counts in self.by_side.items()
            },
        }

    def check(self, max_bad_fraction: float, listed_in: str) -> None:
        """Raise BadRowsError where more rows than that lack an embedding on any side."""
        if self.n_bad <= max_bad_fraction * self.rows_in:
            return
        told: Counter[str] = sum(self.by_side.values(), Counter())
        shown = told.most_common(_SHOWN_REASONS)
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in shown)
        raise BadRowsError(
            f"{self.n_bad:,} of {self.rows_in:,} rows lack an embedding ({reasons}), more than "
            f"--max-bad-fraction {max_bad_fraction:g}; they are listed in "
            f"{self._run.path / listed_in}"
        )

    def _reasons(self, position: int, sides: frozenset[Side]) -> dict[Side, dict[int, str]]:
        path = self._run.path / metadata_name(position)
        try:
            return read_reasons(path, sides)
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"cannot read {path}: {error}; choose another --out") from error


def positions(units: Sequence[Unit]) -> dict[str, int]:
    """Return unit name -> position in pool order.

    Example:
        >>> from tamis.data.unit import cut_units
        >>> positions(cut_units([3, 2], 2))
        {'00000-00000': 0, '00000-00001': 1, '00001-00000': 2}
    """
    return {unit.name: position for position, unit in enumerate(units)}
