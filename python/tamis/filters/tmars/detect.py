"""The detect step: the text in every image of a pool, found once.

`RUN/masks/NAME/` is a run directory of its own::

    masks/UNIT.parquet   the lines of one unit
    masks.parquet        all lines, in the order of the pool's rows; see tamis.filters.tmars.masks
    summary.json         rows in, rows with text, regions, rows without a mask by reason
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from tamis.embed.ahead import ahead
from tamis.embed.batches import MISSING
from tamis.embed.workers import IMAGES_PER_TASK, ImageWorkers, Preparation, gathered
from tamis.errors import BadRowsError, PoolError
from tamis.filters.tmars.detector import Detector, found_in
from tamis.filters.tmars.masks import (
    FOLDER,
    MASKS,
    UNITS,
    Mask,
    masks_schema,
    masks_table,
)
from tamis.filters.tmars.polygons import PolygonFault, Regions, clean
from tamis.run.directory import RunDirectory
from tamis.run.parts import Part, part_of
from tamis.run.peak import frugal_arrow
from tamis.run.pool_link import remember_pool
from tamis.run.progress import Advance, Progress, Quiet
from tamis.run.step import folder_of_step

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tamis.data.ids import Ids
    from tamis.data.samples import SamplePool
    from tamis.data.unit import Unit
    from tamis.embed.workers import Prepared

STAGE = "detect"
RESULT = ("result", "files")
SUMMARY = "summary.json"
DEFAULT_NAME = "text"
ROWS_PER_UNIT = 2000
"""A minute or two of work on a CPU: what a kill costs at most."""
_ROWS_PER_BLOCK = 64
_BYTES_PER_BLOCK = 1 << 28
"""Of frames; several blocks are in memory at a time, and a frame of 4,096 pixels has 50 MB."""
_BLOCKS_AHEAD = 2


def step_folder(run: Path | str, name: str = DEFAULT_NAME) -> Path:
    """Return RUN/masks/NAME. Raises ValueError for a name that leads elsewhere."""
    return folder_of_step(run, FOLDER, name)


@frugal_arrow()
def run_detect(
    pool: SamplePool,
    run: Path | str,
    detector: Detector,
    *,
    name: str = DEFAULT_NAME,
    columns: Mapping[str, str | None] | None = None,
    rows_per_unit: int = ROWS_PER_UNIT,
    workers: int = 0,
    part: Part | None = None,
    progress: Progress | None = None,
    max_bad_fraction: float = 0.01,
) -> dict[str, Any]:
    """Find the text in a pool's images; continue where an earlier call stopped.

    The files are the same bytes for any number of workers, threads and parts, and whenever the work
    was interrupted. Another kind of processor may change the last bits of a coordinate, and so may
    other versions of the libraries, which the recipe names. Images are decoded while the network
    runs.

    Args:
        pool: from `tamis.data.samples.open_samples`.
        run: the run directory; the masks go to `run/masks/NAME`.
        detector: from `tamis.filters.tmars.detectors.open_detector`, or any of your own.
        name: of the masks.
        columns: the columns that `open_samples` was told (image, ids); a part of the recipe.
        rows_per_unit: rows that are written, and redone after an interruption, at a time. A step
            that continues keeps its own. The joined table does not depend on it.
        workers: processes that decode images; 0 decodes in this one.
        part: (i, n) takes every n-th unit, beside the other parts; a call without it joins them.
        progress: shows the rows.
        max_bad_fraction: most rows that may lack a mask, as a share of all.

    Returns:
        The content of `summary.json`; for a part, the counts of its own rows.

    Raises:
        BadRowsError: more rows than allowed lack a mask; what was done is kept.
        PoolError, RunError, ValueError: one sentence each.
    """
    if "image" not in pool.sides:
        raise PoolError(f"{pool.path} has no images to find text in")
    if rows_per_unit < 1:
        raise ValueError(f"expected rows per unit of 1 or more, got {rows_per_unit}")
    if not 0 <= max_bad_fraction <= 1:
        raise ValueError(f"expected max_bad_fraction from 0 to 1, got {max_bad_fraction}")
    folder = step_folder(run, name)
    told = {key: column for key, column in (columns or {}).items() if column is not None}
    recipe = {"step": STAGE, "detector": detector.recipe(), "columns": told}
    remember_pool(run, str(pool.path))
    with RunDirectory.open(
        folder,
        recipe,
        pool.inputs(),
        plan={"rows_per_unit": rows_per_unit},
        settings={"workers": workers, "part": part},
        part=part,
    ) as step:
        # A step that continues keeps the units that it was started with.
        units = pool.units(int(step.plan["rows_per_unit"]))
        mine = part_of(units, part)
        _detect_missing(step, pool, detector, mine, workers, progress or Quiet())
        summary = {"name": name, "detector": step.recipe["detector"], **_counts(step.path, mine)}
        if part is None:
            _refuse(summary, max_bad_fraction, folder)
            _join(step, pool, units, summary)
        step.finish()
    return summary if part is None else {**summary, "part": list(part)}


def _detect_missing(
    step: RunDirectory,
    pool: SamplePool,
    detector: Detector,
    units: Sequence[Unit],
    workers: int,
    progress: Progress,
) -> None:
    missing = [unit for unit in units if not step.done(STAGE, unit.name)]
    total = sum(unit.n_rows for unit in units)
    with progress.stage("detecting text", total, "rows") as advance:
        advance(total - sum(unit.n_rows for unit in missing))
        if missing:
            preparation = Preparation(detector.prepare_image)
            frame_bytes = preparation.blank.nbytes
            with ImageWorkers(preparation, workers) as images:
                blocks = _blocks(pool, missing, images, frame_bytes)
                _detect(step, pool.ids(), detector, blocks, advance)


def _detect(
    step: RunDirectory,
    ids: Ids,
    detector: Detector,
    coming: Generator[_Block, None, None],
    advance: Advance,
) -> None:
    masks: list[Mask] = []
    with ahead(coming, _BLOCKS_AHEAD) as blocks:
        for block in blocks:
            masks += _masks(detector, block)
            unit = block.unit
            if len(masks) == unit.n_rows:
                its_ids = ids.slice(unit.first_row, unit.first_row + unit.n_rows)
                step.commit(STAGE, unit.name, {UNITS.file(unit): masks_table(its_ids, masks)})
                masks = []
            advance(len(block.prepared.arrays))


@dataclass(frozen=True)
class _Block:
    """Some rows of a unit, decoded; `faults`: row within the block -> why it has no image."""

    unit: Unit
    faults: dict[int, str]
    prepared: Prepared


def _blocks(
    pool: SamplePool, units: Sequence[Unit], images: ImageWorkers, frame_bytes: int
) -> Generator[_Block, None, None]:
    """Read and decode units, block by block; images are decoded well ahead."""
    size = min(max(_BYTES_PER_BLOCK // frame_bytes, 1), _ROWS_PER_BLOCK)
    depth = 1 + -(-images.workers * IMAGES_PER_TASK // size)
    waiting: deque[tuple[Unit, dict[int, str], list[Future[Prepared]], int]] = deque()

    def completed() -> _Block:
        unit, faults, results, n_rows = waiting.popleft()
        return _Block(unit, faults, gathered(results, n_rows))

    for unit in units:
        for start in range(unit.start, unit.stop, size):
            stop = min(start + size, unit.stop)
            first = unit.first_row + start - unit.start
            rows = replace(unit, start=start, stop=stop, first_row=first)
            samples = pool.read(rows, {"image"})
            faults = {
                row: sample.faults.get("image", MISSING["image"])
                for row, sample in enumerate(samples)
                if sample.image is None
            }
            results = images.submit([sample.image for sample in samples])
            waiting.append((unit, faults, results, len(samples)))
            if len(waiting) > depth:
                yield completed()
    while waiting:
        yield completed()


def _masks(detector: Detector, block: _Block) -> list[Mask]:
    frames = block.prepared.arrays
    reasons = block.faults | block.prepared.reasons
    usable = np.array([row for row in range(len(frames)) if row not in reasons], np.intp)
    found = found_in(detector, frames[usable]) if len(usable) else []
    by_row = dict(zip(usable.tolist(), found, strict=True))
    return [
        _mask(by_row[row], *frames[row]["size"].tolist())
        if row in by_row
        else Mask(0, 0, reason=reasons[row])
        for row in range(len(frames))
    ]


def _mask(found: Regions, width: int, height: int) -> Mask:
    if found.reason is not None:
        return Mask(width, height, reason=found.reason)
    try:
        return Mask.of(width, height, clean(found.polygons, found.scores, width, height))
    except PolygonFault as fault:
        return Mask(width, height, reason=fault.reason)


def _counts(step: Path, units: Sequence[Unit]) -> dict[str, Any]:
    rows, with_text, regions = 0, 0, 0
    reasons: Counter[str] = Counter()
    for table in UNITS.read(step, units, ["scores", "reason"]):
        found = pc.list_value_length(table["scores"]).fill_null(0)
        rows += len(table)
        with_text += int(pc.sum(pc.greater(found, 0)).as_py() or 0)
        regions += int(pc.sum(found).as_py() or 0)
        reasons.update(reason for reason in table["reason"].to_pylist() if reason is not None)
    return {
        "rows_in": rows,
        "rows_masked": rows - reasons.total(),
        "rows_with_text": with_text,
        "regions": regions,
        "rows_without_mask": reasons.total(),
        "reasons": dict(sorted(reasons.items())),
    }


def _refuse(summary: Mapping[str, Any], max_bad_fraction: float, folder: Path) -> None:
    bad = summary["rows_without_mask"]
    if bad <= max_bad_fraction * summary["rows_in"]:
        return
    reasons = ", ".join(f"{reason}: {rows:,}" for reason, rows in summary["reasons"].items())
    raise BadRowsError(
        f"{bad:,} of {summary['rows_in']:,} rows have no mask ({reasons}), more than "
        f"--max-bad-fraction {max_bad_fraction:g}; the column reason of {folder / FOLDER} names "
        "them"
    )


def _join(
    step: RunDirectory, pool: SamplePool, units: Sequence[Unit], summary: Mapping[str, Any]
) -> None:
    if not step.done(*RESULT):
        table = UNITS.joined(step.path, units, masks_schema(pool.ids()))
        step.commit(*RESULT, {MASKS: table, SUMMARY: dict(summary)})
