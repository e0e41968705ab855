"""`tamis embed`: a pool of samples in, `RUN/embeddings/NAME/` out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.data.samples.source import Side
from tamis.embed.ahead import ahead
from tamis.embed.batches import blocks
from tamis.embed.encoder import Encoder
from tamis.embed.results import QUARANTINE, Tally, positions
from tamis.embed.rows import UnitRows
from tamis.embed.store import unit_files
from tamis.embed.workers import ImageWorkers, Preparation
from tamis.run.directory import RunDirectory
from tamis.run.parts import Part, part_of
from tamis.run.peak import frugal_arrow
from tamis.run.pool_link import remember_pool
from tamis.run.progress import Advance, Progress, Quiet
from tamis.run.step import folder_of_step

if TYPE_CHECKING:
    from tamis.data.samples import SamplePool
    from tamis.data.unit import Unit

STAGE = "embed"
FOLDER = "embeddings"
DEFAULT_BATCH = 256
DEFAULT_ROWS_PER_UNIT = 10_000
"""A shard of img2dataset, mostly; a kill costs no more than these."""
_BLOCKS_AHEAD = 2


@frugal_arrow()
def run_embed(
    pool: SamplePool,
    out_run: Path | str,
    encoder: Encoder,
    *,
    name: str | None = None,
    sides: Iterable[Side] | None = None,
    columns: Mapping[str, str | None] | None = None,
    batch_size: int = DEFAULT_BATCH,
    rows_per_unit: int = DEFAULT_ROWS_PER_UNIT,
    workers: int = 0,
    flip: bool = False,
    part: Part | None = None,
    progress: Progress | None = None,
    max_bad_fraction: float = 0.01,
) -> dict[str, Any]:
    """Embed a pool; continue where an earlier call stopped.

    The files are those of :mod:`tamis.embed.store`, with `quarantine.parquet` (one line per row and
    side without an embedding) and `summary.json`. They are the same bytes for any number of
    workers, threads and parts, and whenever the work was interrupted. Another kind of processor may
    change last bits, and so may other versions of the libraries, which the recipe names.

    Args:
        pool: from `tamis.data.samples.open_samples`.
        out_run: the run directory; the embeddings go to `out_run/embeddings/NAME`.
        encoder: from `tamis.embed.models.open_encoder`, or any of your own.
        name: of the embeddings; the encoder's own by default.
        sides: "image", "text" or both; by default all that encoder and pool have in common.
        columns: the columns that `open_samples` was told (image, text, ids); a part of the recipe.
        batch_size: rows that a network sees at a time; another one may change last bits.
        rows_per_unit: rows that are written, and redone after an interruption, at a time. A run
            that continues keeps its own.
        workers: processes that decode images; 0 decodes in this one.
        flip: mirror images left to right.
        part: (i, n) takes every n-th unit, beside the other parts; a call without it joins them.
        progress: shows the rows.
        max_bad_fraction: most rows that may lack an embedding, as a share of all.

    Returns:
        The content of `summary.json`; for a part, the counts of its own rows.

    Raises:
        BadRowsError: more rows than allowed are without an embedding; what was done is kept.
        PoolError, RunError, ValueError: one sentence each.
    """
    chosen = chosen_sides(pool.sides, frozenset(encoder.dims), sides)
    check_sizes(batch_size, rows_per_unit, max_bad_fraction)
    name = name or default_name(encoder.name, flip=flip)
    folder = step_folder(out_run, name)
    recipe = {
        "step": "embed",
        "encoder": _recipe_of(encoder),
        "sides": sorted(chosen),
        "columns": {key: name for key, name in (columns or {}).items() if name is not None},
        "batch_size": batch_size,
        "flip": flip,
    }
    remember_pool(out_run, str(pool.path))
    with RunDirectory.open(
        folder,
        recipe,
        pool.inputs(),
        plan={"rows_per_unit": rows_per_unit},
        settings={"workers": workers, "part": part},
        part=part,
    ) as run:
        # A run that continues keeps the units that it was started with.
        units = pool.units(int(run.plan["rows_per_unit"]))
        job = _Job(run, pool, encoder, chosen, units)
        mine = part_of(units, part)
        job.embed(mine, workers, progress or Quiet())
        tally = Tally(run, pool, {job.position[unit.name]: unit for unit in mine}, chosen)
        summary = tally.summary(name, encoder.dims)
        if part is None:
            tally.write_quarantine()
        tally.check(max_bad_fraction, QUARANTINE if part is None else "metadata")
        if part is None:
            tally.write_summary(summary)
        run.finish()
    return summary


def chosen_sides(
    pool: frozenset[Side], encoder: frozenset[Side], asked: Iterable[Side] | None
) -> frozenset[Side]:
    """Return the sides to embed: those asked for, or all that pool and encoder share.

    Raises:
        ValueError: there is none, or one that was asked for is missing.

    Example:
        >>> sorted(chosen_sides(frozenset({"image", "text"}), frozenset({"text"}), None))
        ['text']
    """
    shared = pool & encoder
    wanted = frozenset(asked) if asked is not None else shared
    if not wanted or wanted - shared:
        told = f", asked for: {_listed(wanted)}" if asked is not None else ""
        raise ValueError(
            f"expected a side that both have; the pool has {_listed(pool)}, the encoder "
            f"{_listed(encoder)}{told}"
        )
    return wanted


def check_sizes(batch_size: int, rows_per_unit: int, max_bad_fraction: float) -> None:
    """Raise ValueError for a size below 1, or a share outside 0 to 1."""
    for what, value in (("batch size", batch_size), ("rows per unit", rows_per_unit)):
        if value < 1:
            raise ValueError(f"expected a {what} of 1 or more, got {value}")
    if not 0 <= max_bad_fraction <= 1:
        raise ValueError(f"expected max_bad_fraction from 0 to 1, got {max_bad_fraction}")


def default_name(encoder: str, *, flip: bool = False) -> str:
    """Return what the embeddings of an encoder are called where no name is given."""
    return f"{encoder}-flip" if flip else encoder


def step_folder(run: Path | str, name: str) -> Path:
    """Return RUN/embeddings/NAME. Raises ValueError for a name that leads elsewhere."""
    return folder_of_step(run, FOLDER, name)


def _recipe_of(encoder: Encoder) -> dict[str, Any]:
    recipe = encoder.recipe()
    if recipe.get("curvature") != encoder.curvature:
        raise ValueError(
            f"the encoder {encoder.name} has curvature {encoder.curvature}, its recipe "
            f"{recipe.get('curvature')}; a later step takes the rows for what the recipe says"
        )
    return recipe


class _Job:
    def __init__(
        self,
        run: RunDirectory,
        pool: SamplePool,
        encoder: Encoder,
        sides: frozenset[Side],
        units: list[Unit],
    ) -> None:
        self.position = positions(units)
        self._run = run
        self._pool = pool
        self._encoder = encoder
        self._sides = sides
        self._batch_size = int(run.recipe["batch_size"])
        self._ids = pool.ids()

    def embed(self, units: list[Unit], workers: int, progress: Progress) -> None:
        """Embed the units that are not done yet."""
        missing = [unit for unit in units if not self._run.done(STAGE, unit.name)]
        total = sum(unit.n_rows for unit in units)
        with progress.stage("embed", total, "rows") as advance:
            advance(total - sum(unit.n_rows for unit in missing))
            if missing:
                self._embed(missing, workers, advance)

    def _embed(self, units: list[Unit], workers: int, advance: Advance) -> None:
        laps = _Laps()
        with ExitStack() as stack:
            images = self._workers(stack, workers)
            coming = blocks(self._pool, units, self._encoder, self._sides, self._batch_size, images)
            rows: UnitRows | None = None
            for block in stack.enter_context(ahead(coming, _BLOCKS_AHEAD)):
                laps.end("waiting")
                rows = rows or UnitRows(block.unit, self._encoder, self._sides, self._batch_size)
                rows.add(block)
                laps.end("encoding")
                if block.ends_unit:
                    self._commit(rows)
                    rows = None
                    laps.end("finishing units")
                advance(len(block.keys))
        n_rows = sum(unit.n_rows for unit in units)
        seconds = {what: round(spent, 3) for what, spent in laps.seconds.items()}
        self._run.log("embedded", rows=n_rows, seconds=seconds)

    def _workers(self, stack: ExitStack, workers: int) -> ImageWorkers | None:
        if "image" not in self._sides:
            return None
        prepare = self._encoder.prepare_image
        if prepare is None:
            raise ValueError(f"the encoder {self._encoder.name} cannot prepare images")
        preparation = Preparation(prepare, flip=bool(self._run.recipe["flip"]))
        return stack.enter_context(ImageWorkers(preparation, workers))

    def _commit(self, rows: UnitRows) -> None:
        unit = rows.unit
        ids = self._ids.slice(unit.first_row, unit.first_row + unit.n_rows)
        position = self.position[unit.name]
        tangent = self._encoder.curvature is not None
        files = unit_files(position, ids, rows.keys, rows.finish(), rows.reasons, tangent=tangent)
        self._run.commit(STAGE, unit.name, files)


class _Laps:
    """Seconds by what they were spent on: they tell what limits the speed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._mark = time.perf_counter()

    def end(self, what: str) -> None:
        now = time.perf_counter()
        self.seconds[what] = self.seconds.get(what, 0.0) + now - self._mark
        self._mark = now


def _listed(sides: Iterable[Side]) -> str:
    return " and ".join(sorted(sides)) or "none"
