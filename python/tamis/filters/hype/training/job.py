"""A training step: embeddings of a run in, an adapter out.

`RUN/adapters/NAME/` is a run directory of its own::

    families.npy               the family of every usable pair
    checkpoint.safetensors     where the training stands, while it does
    curves.json                one record per epoch
    curves.parquet             the same as columns
    adapter.safetensors        the adapter
    summary.json               pairs, families, the kept epoch
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tamis.data.ids_digest import ids_digest
from tamis.data.samples import open_samples
from tamis.errors import PoolError, require
from tamis.filters.hype.frozen import Frozen, open_frozen
from tamis.filters.hype.training.fitting import CHECKPOINT_SECONDS, Saved, train_pairs
from tamis.filters.hype.training.options import Options
from tamis.filters.hype.training.pairs import TrainingPairs, series_codes
from tamis.filters.hype.training.split import Index, families
from tamis.run import atomic
from tamis.run.directory import RunDirectory
from tamis.run.peak import frugal_arrow
from tamis.run.pool_link import remember_pool
from tamis.run.progress import Progress, Quiet
from tamis.run.step import folder_of_step
from tamis.score.pairs import joined_inputs, require_aligned
from tamis.score.sides import noted_pool

if TYPE_CHECKING:
    from tamis.run.inputs import InputFile

ROWS = 200_000
MEMORY_BYTES = 3_000_000_000
ADAPTER, CHECKPOINT, FAMILIES = "adapter.safetensors", "checkpoint.safetensors", "families.npy"
SUMMARY = "summary.json"
_STAGE = "train"
_RESULT = (_STAGE, "result")
_SPLIT = (_STAGE, "families")
_SERIES_ROWS = 1 << 16


def step_folder(run: Path | str, name: str) -> Path:
    """Return RUN/adapters/NAME. Raises ValueError for a name that leads elsewhere."""
    return folder_of_step(run, "adapters", name)


@frugal_arrow()
def run_training(
    run: Path | str,
    out: Path | str,
    options: Options,
    *,
    name: str | None = None,
    pool: str | None = None,
    image: str | None = None,
    text: str | None = None,
    image_step: str | None = None,
    text_step: str | None = None,
    ids: str | None = None,
    series: str | None = None,
    rows: int = ROWS,
    note: str = "",
    device: str = "auto",
    memory_bytes: int = MEMORY_BYTES,
    progress: Progress | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> dict[str, Any]:
    """Train an adapter on the embeddings of a pool; continue where an earlier call stopped.

    The files are the same bytes whenever the work was interrupted and for any number of threads, on
    one machine.

    Args:
        run: the run directory; created where it is missing.
        out: the adapter's file, written at the end.
        options: of the training.
        name: of the step; that of `out` without its ending by default.
        pool: the pool; None for the one that the run has noted.
        image, text: embeddings in the pool, see :func:`tamis.score.sides.open_side`.
        image_step, text_step: or those of an embed step.
        ids: the metadata column of the ids.
        series: a metadata column of the pool; pairs of one value never straddle the split.
        rows: most pairs, a sample of the pool's.
        note: for people, kept in the file.
        device: "auto", "cpu" or "cuda".
        memory_bytes: what the pairs may take.
        progress: shows the stages.
        checkpoint_seconds: work that an interruption may cost.

    Returns:
        The content of `summary.json`.

    Raises:
        ChangedError, LockedError, PoolError, RunError, ValueError: one sentence each.
        MissingExtraError: torch is not installed.
    """
    from tamis.embed.device import Device

    if rows < 1:
        raise ValueError(f"rows: expected at least 1, got {rows}")
    require("torch", extra="adapter")
    run, out = Path(run), Path(out)
    folder = step_folder(run, name or out.stem)
    atomic.make_folder(out.absolute().parent)
    if out.is_dir():
        raise ValueError(f"expected a file for the adapter, {out} is a folder")
    if pool is not None:
        remember_pool(run, pool)
    sides = [
        open_frozen("image", run, pool=pool, embedding=image, step=image_step, ids=ids),
        open_frozen("text", run, pool=pool, embedding=text, step=text_step, ids=ids),
    ]
    require_aligned(sides[0].rows.pool, sides[1].rows.pool)
    recipe = {
        "step": "train-adapter",
        "ids": ids_digest(sides[0].rows.pool.ids()),
        "image": sides[0].origin,
        "text": sides[1].origin,
        "series": series,
        "rows": rows,
        "note": note,
        "options": options.recipe(),
        "processor": Device.choose(device, "fp32").recipe(),
    }
    place = None if series is None else noted_pool(pool, run)
    with RunDirectory.open(
        folder, recipe, _inputs(sides, place), settings={"memory_bytes": memory_bytes}
    ) as step:
        if not step.done(*_RESULT):
            codes = None if place is None or series is None else _series(place, series, ids, sides)
            pairs = TrainingPairs.of_pool(
                sides[0].rows,
                sides[1].rows,
                rows=rows,
                seed=options.seed,
                memory_bytes=memory_bytes,
                series=codes,
            )
            _train(step, pairs, options, sides, note, device, progress, checkpoint_seconds)
        (folder / CHECKPOINT).unlink(missing_ok=True)
        step.finish()
        atomic.write_bytes(out, (folder / ADAPTER).read_bytes())
        summary: dict[str, Any] = json.loads((folder / SUMMARY).read_bytes())
    return summary


def _train(
    step: RunDirectory,
    pairs: TrainingPairs,
    options: Options,
    sides: Sequence[Frozen],
    note: str,
    device: str,
    progress: Progress | None,
    seconds: float,
) -> None:
    checkpoint = step.path / CHECKPOINT
    trained = train_pairs(
        pairs,
        _families(step, pairs, options, progress),
        options,
        origins={"image": sides[0].origin, "text": sides[1].origin},
        note=note,
        device=device,
        progress=progress,
        saved=Saved(
            str(checkpoint),
            checkpoint.read_bytes() if checkpoint.exists() else None,
            lambda content: _write(checkpoint, content),
            seconds,
        ),
    )
    files = {
        ADAPTER: trained.adapter.to_bytes(),
        "curves.json": {"curves": trained.curves},
        "curves.parquet": pa.Table.from_pylist([_flat(record) for record in trained.curves[1:]]),
        SUMMARY: trained.summary,
    }
    step.commit(*_RESULT, files)


def _families(
    step: RunDirectory, pairs: TrainingPairs, options: Options, progress: Progress | None
) -> Index:
    """Found once: comparing all images takes a while."""
    with (progress or Quiet()).stage("copies", len(pairs.rows), "pairs") as advance:
        if not step.done(*_SPLIT):
            found = families(pairs.images, pairs.texts, near=options.near, series=pairs.series)
            step.commit(*_SPLIT, {FAMILIES: found})
        advance(len(pairs.rows))
    stored: Index = np.load(step.path / FAMILIES, allow_pickle=False)
    return stored


def _series(place: str, column: str, ids: str | None, sides: Sequence[Frozen]) -> Index:
    """A number for the series of every row of the pool."""
    samples = open_samples(place, ids=ids)
    pool = sides[0].rows.pool
    if samples.n_rows != pool.n_rows or ids_digest(samples.ids()) != ids_digest(pool.ids()):
        raise PoolError(
            f"{place} and the embeddings of {pool.path} have other rows, so the column {column!r} "
            "cannot be read; name the pool that was embedded"
        )
    values: list[Any] = []
    for unit in samples.units(_SERIES_ROWS):
        found = samples.read_columns([column], unit).column(0)
        if pa.types.is_nested(found.type):
            raise PoolError(f"{place}: column {column!r} holds {found.type}; expected plain values")
        values += found.to_pylist()
    return series_codes(values)


def _inputs(sides: Sequence[Frozen], place: str | None) -> list[InputFile]:
    files = joined_inputs({"image": sides[0].rows.pool, "text": sides[1].rows.pool})
    if place is None:
        return files
    known = {str(file.location) for file in files}
    more = [file for file in open_samples(place).inputs() if str(file.location) not in known]
    return files + [replace(file, path=f"series/{file.path}") for file in more]


def _write(path: Path, content: bytes) -> None:
    atomic.write_bytes(path, content)


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """A record whose spreads are columns (image_radius_mean, image_radius_0.5 ...), by name."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{key}": number for key, number in value.items()}
        else:
            flat[name] = value
    # Not in the order of the record: one that was in a checkpoint has another.
    return {"epoch": flat.pop("epoch"), **dict(sorted(flat.items()))}
