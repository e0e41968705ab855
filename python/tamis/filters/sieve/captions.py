"""The caption step: a pool of images in, `RUN/captions/NAME/` out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import pyarrow.compute as pc

from tamis.data.limits import Limits
from tamis.data.samples.texts import checked_text
from tamis.embed.ahead import ahead
from tamis.embed.batches import blocks
from tamis.embed.job import check_sizes
from tamis.embed.workers import ImageWorkers, Preparation
from tamis.errors import BadRowsError, PoolError, RunError
from tamis.filters.sieve.caption_table import (
    CAPTIONS,
    REASON,
    SUMMARY,
    TABLE,
    UNITS,
    step_folder,
    table_schema,
    unit_table,
)
from tamis.filters.sieve.captioner import Captioner, GivenCaptions, RowCaptions, row_keys
from tamis.run.directory import RunDirectory
from tamis.run.parts import Part, part_of
from tamis.run.peak import frugal_arrow
from tamis.run.pool_link import remember_pool
from tamis.run.progress import Advance, Progress, Quiet

if TYPE_CHECKING:
    from tamis.data.samples import SamplePool
    from tamis.data.unit import Unit
    from tamis.embed.batches import Block

__all__ = ["captions_done", "is_given", "run_captions", "step_folder"]

STAGE = "caption"
RESULT = ("result", "files")
DEFAULT_CAPTIONS = 8
DEFAULT_BATCH = 64
DEFAULT_ROWS_PER_UNIT = 1000
_BLOCKS_AHEAD = 2
_SHOWN_REASONS = 5


@frugal_arrow()
def run_captions(
    pool: SamplePool,
    out_run: Path | str,
    captioner: Captioner | GivenCaptions,
    *,
    name: str | None = None,
    captions: int = DEFAULT_CAPTIONS,
    columns: Mapping[str, str | None] | None = None,
    batch_size: int = DEFAULT_BATCH,
    rows_per_unit: int = DEFAULT_ROWS_PER_UNIT,
    workers: int = 0,
    part: Part | None = None,
    progress: Progress | None = None,
    max_bad_fraction: float = 0.01,
) -> dict[str, Any]:
    """Caption the images of a pool; continue where an earlier call stopped.

    The files are those of :mod:`tamis.filters.sieve.caption_table`. They are the same bytes for any
    batch size, any number of workers, threads and parts, and whenever the work was interrupted.

    Args:
        pool: from `tamis.data.samples.open_samples`.
        out_run: the run directory; the captions go to `out_run/captions/NAME`.
        captioner: from `tamis.filters.sieve.captioners.open_captioner`, or any of your own.
        name: of the captions; the captioner's own by default.
        captions: how many are asked for, for each image. Fewer are kept and counted as short, and
            one that is no usable text (a NUL, a lone surrogate) is left out; of captions made
            elsewhere the first ones are taken.
        columns: the columns that `open_samples` was told (image, text, ids); a part of the recipe.
        batch_size: images given to the captioner at a time.
        rows_per_unit: rows that are written, and redone after an interruption, at a time. A run
            that continues keeps its own.
        workers: processes that decode images; 0 decodes in this one.
        part: (i, n) takes every n-th unit, beside the other parts; a call without it joins them.
        progress: shows the rows.
        max_bad_fraction: most rows that may lack captions, as a share of all.

    Returns:
        The content of `summary.json`; for a part, the counts of its own rows.

    Raises:
        BadRowsError: more rows than allowed are without captions; what was done is kept.
        PoolError, RunError, ValueError: one sentence each.
    """
    check_sizes(batch_size, rows_per_unit, max_bad_fraction)
    if captions < 1:
        raise ValueError(f"expected 1 caption or more, got {captions}")
    if not is_given(captioner) and "image" not in pool.sides:
        raise PoolError(f"{pool.path} has no images to caption")
    folder = step_folder(out_run, name or captioner.name)
    recipe = {
        "step": "captions",
        "captioner": captioner.recipe(),
        "captions": captions,
        "columns": {key: name for key, name in (columns or {}).items() if name is not None},
    }
    remember_pool(out_run, str(pool.path))
    given = captioner.inputs() if is_given(captioner) else []
    with RunDirectory.open(
        folder,
        recipe,
        [*pool.inputs(), *given],
        plan={"rows_per_unit": rows_per_unit},
        settings={"workers": workers, "batch_size": batch_size, "part": part},
        part=part,
    ) as run:
        # A run that continues keeps the units that it was started with.
        units = pool.units(int(run.plan["rows_per_unit"]))
        mine = part_of(units, part)
        _Job(run, pool, captioner, captions).caption(mine, batch_size, workers, progress or Quiet())
        summary = {"name": folder.name, **recipe, **_counts(run, mine, captions)}
        _refuse(summary, max_bad_fraction, run.path)
        if part is None and not run.done(*RESULT):
            schema = table_schema(pool.ids())
            run.commit(*RESULT, {TABLE: UNITS.joined(run.path, units, schema), SUMMARY: summary})
        run.finish()
    return summary if part is None else {**summary, "part": list(part)}


def is_given(captioner: Captioner | GivenCaptions) -> TypeGuard[GivenCaptions]:
    """Return whether these are captions made elsewhere."""
    return not hasattr(captioner, "caption")


def captions_done(run: Path | str, name: str) -> bool:
    """Return whether a caption step has ended."""
    try:
        return RunDirectory.read(step_folder(run, name)).complete
    except RunError:
        return False


class _Job:
    def __init__(
        self,
        run: RunDirectory,
        pool: SamplePool,
        captioner: Captioner | GivenCaptions,
        count: int,
    ) -> None:
        self._run = run
        self._pool = pool
        self._captioner: Any = captioner
        self._count = count
        self._ids = pool.ids()

    def caption(
        self, units: Sequence[Unit], batch_size: int, workers: int, progress: Progress
    ) -> None:
        """Caption the units that are not done yet."""
        missing = [unit for unit in units if not self._run.done(STAGE, unit.name)]
        total = sum(unit.n_rows for unit in units)
        with progress.stage("caption", total, "rows") as advance:
            advance(total - sum(unit.n_rows for unit in missing))
            if missing and is_given(self._captioner):
                for unit in missing:
                    self._commit(unit, self._given(unit))
                    advance(unit.n_rows)
            elif missing:
                self._generate(missing, batch_size, workers, advance)

    def _given(self, unit: Unit) -> RowCaptions:
        found: RowCaptions = self._captioner.read(self._pool, unit)
        return RowCaptions([row[: self._count] for row in found.lists], found.reasons)

    def _generate(self, units: list[Unit], batch_size: int, workers: int, advance: Advance) -> None:
        with ExitStack() as stack:
            preparation = Preparation(self._captioner.prepare_image)
            images = stack.enter_context(ImageWorkers(preparation, workers))
            # No text is read, so no encoder is asked for tokens.
            coming = blocks(
                self._pool,
                units,
                None,
                frozenset({"image"}),
                batch_size,
                images,
            )
            lists: list[list[str]] = []
            reasons: dict[int, str] = {}
            for block in stack.enter_context(ahead(coming, _BLOCKS_AHEAD)):
                lists += self._describe(block)
                reasons |= block.reasons["image"]
                if block.ends_unit:
                    self._commit(block.unit, RowCaptions(lists, reasons))
                    lists, reasons = [], {}
                advance(len(block.keys))

    def _describe(self, block: Block) -> list[list[str]]:
        """The captions of a block, none where an image cannot be used."""
        images = block.images
        assert images is not None
        first = block.unit.first_row + block.start
        keys = row_keys(self._ids.slice(first, first + len(block.keys)))
        filled = np.full(len(images), keys[0])
        filled[: len(keys)] = keys
        found = self._captioner.caption(images, filled, self._count)[: len(keys)]
        for captions in found:
            if len(captions) > self._count:
                raise ValueError(
                    f"{self._captioner.name} returned {len(captions)} captions for an image, "
                    f"expected at most {self._count}"
                )
        bad = block.reasons["image"]
        return [
            [] if block.start + place in bad else [text for text in captions if _is_usable(text)]
            for place, captions in enumerate(found)
        ]

    def _commit(self, unit: Unit, captions: RowCaptions) -> None:
        ids = self._ids.slice(unit.first_row, unit.first_row + unit.n_rows)
        self._run.commit(STAGE, unit.name, {UNITS.file(unit): unit_table(ids, captions)})


def _is_usable(text: str) -> bool:
    return checked_text(text, Limits())[1] is None


def _counts(run: RunDirectory, units: Sequence[Unit], asked: int) -> dict[str, Any]:
    by_length: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    for table in UNITS.read(run.path, units):
        by_length.update(pc.list_value_length(table.column(CAPTIONS)).to_pylist())
        reasons.update(table.column(REASON).drop_null().to_pylist())
    return {
        "rows_in": by_length.total(),
        "captioned": by_length.total() - by_length[0],
        "short": sum(rows for length, rows in by_length.items() if 0 < length < asked),
        "uncaptioned": by_length[0],
        "reasons": dict(sorted(reasons.items())),
        "units": len(units),
    }


def _refuse(summary: Mapping[str, Any], max_bad_fraction: float, folder: Path) -> None:
    if summary["uncaptioned"] <= max_bad_fraction * summary["rows_in"]:
        return
    told = Counter(summary["reasons"]).most_common(_SHOWN_REASONS)
    reasons = ", ".join(f"{reason} ({rows:,})" for reason, rows in told)
    raise BadRowsError(
        f"{summary['uncaptioned']:,} of {summary['rows_in']:,} rows have no captions ({reasons}), "
        f"more than --max-bad-fraction {max_bad_fraction:g}; the column reason in "
        f"{folder / CAPTIONS} names them"
    )
