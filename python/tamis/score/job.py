"""A score step: every unit scored once, then all joined into one table.

`RUN/scores/NAME/` is a run directory of its own::

    units/UNIT.parquet   the lines of one unit
    scores.parquet       all lines, in the order of the pool's rows
    summary.json         rows in, scored, unscored by reason, how the scores are spread, and what
                         the scorer found to say of them
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.errors import BadRowsError
from tamis.run.directory import RunDirectory
from tamis.run.parts import Part, part_of
from tamis.run.peak import frugal_arrow
from tamis.run.pool_link import remember_pool
from tamis.run.progress import Progress, Quiet
from tamis.run.step import folder_of_step

if TYPE_CHECKING:
    from tamis.data.unit import Unit
    from tamis.score.scorer import Scorer

STAGE = "score"
RESULT = ("result", "files")
SCORES = "scores.parquet"
SUMMARY = "summary.json"
ROWS_PER_UNIT = 1 << 16


def step_folder(run: Path | str, name: str) -> Path:
    """Where the score step `name` of a run lies."""
    return folder_of_step(run, "scores", name)


def recipe_of(scorer: Scorer) -> dict[str, Any]:
    """What a step is started with, and must be continued with."""
    from tamis.data.ids_digest import ids_digest

    return {"score": scorer.name, "ids": ids_digest(scorer.ids()), **scorer.recipe()}


@frugal_arrow()
def run_scorer(
    scorer: Scorer,
    run: Path | str,
    *,
    pool: Path | str | None = None,
    part: Part | None = None,
    rows_per_unit: int = ROWS_PER_UNIT,
    max_bad_fraction: float = 1.0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a pool into `run`/scores/NAME; continue where an earlier call stopped.

    Args:
        scorer: what scores.
        run: the run directory; created where it is missing.
        pool: the pool's path or URL, which the run remembers; None where it knows it.
        part: (i, n): only every n-th unit from the i-th on, and no table; several parts may work at
            the same time. The call without a part does what is missing and joins.
        rows_per_unit: rows scored at a time; a step that continues keeps its own. The table does
            not depend on it.
        max_bad_fraction: the most rows without a score, as a share of all, that a table may have.
        progress: shows the stages.

    Returns:
        The content of `summary.json`: see :func:`tamis.score.spread.spread` and the scorer's
        `diagnose`; for a part the spread of its rows, with the part.

    Raises:
        BadRowsError: too many rows have no score; the table was not written.
        PoolError, RunError: one sentence each.
        ValueError: the scorer's name, its columns, or a part that is none.
    """
    from tamis.score.table import check_columns

    check_columns(scorer.name, scorer.schema)
    progress = progress or Quiet()
    if pool is not None:
        remember_pool(run, pool)
    with RunDirectory.open(
        step_folder(run, scorer.name),
        recipe_of(scorer),
        scorer.inputs(),
        plan={"rows_per_unit": rows_per_unit},
        part=part,
    ) as step:
        # A step that continues keeps the units that it was started with.
        units = scorer.units(step.plan["rows_per_unit"])
        mine = part_of(units, part)
        if not _all_done(step, mine):
            if not scorer.prepare(step, part, progress):
                mine = []
            _score(scorer, step, mine, progress)
        if part is None:
            summary = _join(scorer, step, units, max_bad_fraction)
        else:
            summary = {**_spread(scorer, step, mine), "part": list(part)}
        step.finish()
    return summary


def _all_done(step: RunDirectory, units: Sequence[Unit]) -> bool:
    return bool(units) and all(step.done(STAGE, unit.name) for unit in units)


def _score(scorer: Scorer, step: RunDirectory, units: Sequence[Unit], progress: Progress) -> None:
    from tamis.score.table import UNITS, unit_table

    ids = scorer.ids()
    with progress.stage("scoring", sum(unit.n_rows for unit in units), "rows") as advance:
        for unit in units:
            if not step.done(STAGE, unit.name):
                its_ids = ids.slice(unit.first_row, unit.first_row + unit.n_rows)
                table = unit_table(its_ids, scorer.schema, scorer.score(unit))
                step.commit(STAGE, unit.name, {UNITS.file(unit): table})
            advance(unit.n_rows)


def _spread(scorer: Scorer, step: RunDirectory, units: Sequence[Unit]) -> dict[str, Any]:
    from tamis.score.spread import spread
    from tamis.score.table import REASON, UNITS

    return spread(lambda: UNITS.grouped(step.path, units, [scorer.name, REASON]))


def _join(
    scorer: Scorer, step: RunDirectory, units: Sequence[Unit], max_bad_fraction: float
) -> dict[str, Any]:
    from tamis.score.table import UNITS, table_schema

    summary = {
        "score": scorer.name,
        "recipe": scorer.recipe(),
        **_spread(scorer, step, units),
    }
    _refuse(summary, max_bad_fraction, step.path)
    found = scorer.diagnose(lambda columns: UNITS.grouped(step.path, units, list(columns)))
    if found:
        summary["diagnostics"] = found
    if not step.done(*RESULT):
        schema = table_schema(scorer.schema, scorer.ids(), scorer.depends())
        files = {SCORES: UNITS.joined(step.path, units, schema), SUMMARY: summary}
        step.commit(*RESULT, files)
    return summary


def _refuse(summary: dict[str, Any], max_bad_fraction: float, folder: Path) -> None:
    if summary["unscored"] <= max_bad_fraction * summary["rows_in"]:
        return
    reasons = ", ".join(f"{reason}: {rows:,}" for reason, rows in summary["reasons"].items())
    raise BadRowsError(
        f"{summary['unscored']:,} of {summary['rows_in']:,} rows have no score ({reasons}), more "
        f"than --max-bad-fraction {max_bad_fraction:g}; the column reason of {folder / 'units'} "
        "names them"
    )
