"""From a pool to its T-MARS scorer: text is detected first, where that has not been done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.filters.tmars.detect import DEFAULT_NAME, run_detect, step_folder
from tamis.filters.tmars.detectors import DEFAULT_DETECTOR, open_detector
from tamis.filters.tmars.masks_reader import open_masks
from tamis.filters.tmars.rescore import Filling
from tamis.filters.tmars.rescore_masks import DetectedMasks, MaskSource
from tamis.filters.tmars.scorer import BATCH, ROWS_PER_UNIT, Tmars
from tamis.run.manifest import load_manifest, new_manifest, require_unchanged

if TYPE_CHECKING:
    from tamis.data.samples import SamplePool
    from tamis.embed.encoder import Encoder
    from tamis.filters.tmars.made import Coordinates
    from tamis.run.parts import Part
    from tamis.run.progress import Progress


def open_tmars(
    pool: SamplePool,
    run: Path | str,
    encoder: Encoder,
    *,
    detector: str | None = None,
    detector_options: Mapping[str, Any] | None = None,
    device: str = "auto",
    masks: str = DEFAULT_NAME,
    coordinates: Coordinates = "pixels",
    filling: Filling = Filling(),  # noqa: B008 - frozen
    columns: Mapping[str, str | None] | None = None,
    batch_size: int = BATCH,
    rows_per_unit: int = ROWS_PER_UNIT,
    workers: int = 0,
    part: Part | None = None,
    progress: Progress | None = None,
    max_bad_fraction: float = 1.0,
    name: str = "tmars",
) -> Tmars:
    """Find the text of a pool, or read where it is, and return the scorer.

    Args:
        pool: images and captions.
        run: the run directory.
        encoder: from :func:`tamis.embed.models.open_encoder`.
        detector: see :mod:`tamis.filters.tmars.detectors`; None takes the masks that the run has,
            whatever made them, and where there are none, the default.
        detector_options: of :func:`tamis.filters.tmars.detectors.open_detector`, such as side;
            where there are any, the masks that the run has must have been made with them.
        device: of the detector: "auto", "cpu" or "cuda".
        masks: a name, of the detect step RUN/masks/NAME; or a path, which has a slash or ends in
            .parquet, of masks made elsewhere.
        coordinates: of masks made elsewhere.
        filling: how text is filled.
        columns: the columns that `open_samples` was told.
        batch_size, workers, name: see :class:`tamis.filters.tmars.scorer.Tmars`.
        rows_per_unit, part, progress, max_bad_fraction: of the detect step, see
            :func:`tamis.filters.tmars.detect.run_detect`.

    Raises:
        BadRowsError: too many images in which no text could be looked for.
        PoolError, RunError, ValueError: one sentence each.
    """
    options: dict[str, Any] = {
        "filling": filling,
        "columns": columns,
        "batch_size": batch_size,
        "workers": workers,
        "name": name,
    }
    source: MaskSource
    if is_path(masks):
        source = open_masks(masks, pool.ids(), coordinates=coordinates)
        return Tmars(pool, source, encoder, **options)
    step = step_folder(run, masks)
    seen = {key: column for key, column in (columns or {}).items() if column and key != "text"}
    if detector is None and not detector_options and _is_complete(step, pool, seen):
        return Tmars(pool, DetectedMasks(step, pool), encoder, **options)
    run_detect(
        pool,
        run,
        open_detector(detector or DEFAULT_DETECTOR, device=device, **(detector_options or {})),
        name=masks,
        columns=seen,
        rows_per_unit=rows_per_unit,
        workers=workers,
        part=part,
        progress=progress,
        max_bad_fraction=max_bad_fraction,
    )
    return Tmars(pool, DetectedMasks(step, pool), encoder, **options)


def is_path(masks: str) -> bool:
    """Whether masks are named by a path, and not by the name of a detect step.

    Example:
        >>> is_path("text"), is_path("boxes.parquet"), is_path("other/run")
        (False, True, True)
    """
    return "/" in masks or masks.endswith(".parquet")


def _is_complete(step: Path, pool: SamplePool, columns: Mapping[str, str]) -> bool:
    """Whether the masks are all there. Raises ChangedError where they are of other images."""
    manifest = load_manifest(step)
    if manifest is None or manifest["status"] != "complete":
        return False
    recipe = {**manifest["recipe"], "columns": dict(columns)}
    require_unchanged(step, manifest, new_manifest(recipe, pool.inputs(), None))
    return True
