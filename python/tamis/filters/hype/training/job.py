"""A training step: embeddings of a run in, an adapter out.

`RUN/adapters/NAME/` is a run directory of its own::

    checkpoint.safetensors     where the training stands, while it does
    curves.json                one record per epoch
    curves.parquet             the same as columns, from epoch 1 on
    train_rows.npy             int64, the pool's rows that were learned from
    validation_rows.npy        and those that were measured
    adapter.safetensors        the adapter
    summary.json               pairs, families, the kept epoch
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tamis.data.ids_digest import ids_digest
from tamis.data.samples import open_samples
from tamis.errors import PoolError, require
from tamis.filters.hype.frozen import open_frozen
from tamis.filters.hype.training.fitting import (
    CHECKPOINT_SECONDS,
    PreparedPairs,
    Saved,
    Trained,
    prepare,
    train_pairs,
)
from tamis.filters.hype.training.options import Options
from tamis.filters.hype.training.pairs import TrainingPairs, series_codes
from tamis.filters.hype.training.split import Index
from tamis.run import atomic
from tamis.run.directory import RunDirectory
from tamis.run.peak import frugal_arrow
from tamis.run.pool_link import remember_pool
from tamis.run.progress import Progress
from tamis.run.status import RunStatus, require_recipe
from tamis.run.step import folder_of_step
from tamis.score.pairs import joined_inputs, require_aligned
from tamis.score.sides import noted_pool

if TYPE_CHECKING:
    from tamis.data.pool import Pool
    from tamis.data.samples import Side
    from tamis.run.directory import Payload
    from tamis.run.inputs import InputFile

ROWS = 200_000
MEMORY_BYTES = 3_000_000_000
ADAPTER, CHECKPOINT = "adapter.safetensors", "checkpoint.safetensors"
SUMMARY = "summary.json"
_RESULT = ("train", "result")
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
    images = open_frozen("image", run, pool=pool, embedding=image, step=image_step, ids=ids)
    texts = open_frozen("text", run, pool=pool, embedding=text, step=text_step, ids=ids)
    _require_two(images.rows.pool, texts.rows.pool)
    recipe = {
        "step": "train-adapter",
        "ids": ids_digest(images.rows.pool.ids()),
        "image": images.origin,
        "text": texts.origin,
        "series": series,
        "rows": rows,
        "note": note,
        "options": options.recipe(),
        "processor": Device.choose(device, "fp32").recipe(),
    }
    require_recipe(folder, recipe)
    place = None if series is None else noted_pool(pool, run)

    def prepared() -> PreparedPairs:
        codes = None
        if place is not None and series is not None:
            codes = _series(place, series, ids, images.rows.pool)
        pairs = TrainingPairs.of_pool(
            images.rows,
            texts.rows,
            rows=rows,
            seed=options.seed,
            memory_bytes=memory_bytes,
            series=codes,
        )
        return prepare(pairs, options, progress)

    # Before the step begins: one that could not be trained would only stand in the way.
    ready = None if RunStatus.of(folder).complete else prepared()
    inputs = _inputs(images.rows.pool, texts.rows.pool, place)
    with RunDirectory.open(folder, recipe, inputs, settings={"memory_bytes": memory_bytes}) as step:
        if not step.done(*_RESULT):
            origins: dict[Side, dict[str, Any]] = {"image": images.origin, "text": texts.origin}
            saved = _saved(folder / CHECKPOINT, checkpoint_seconds)
            trained = train_pairs(
                ready or prepared(),
                options,
                origins=origins,
                note=note,
                device=device,
                progress=progress,
                saved=saved,
            )
            step.commit(*_RESULT, _files(trained))
        (folder / CHECKPOINT).unlink(missing_ok=True)
        step.finish()
        atomic.write_bytes(out, (folder / ADAPTER).read_bytes())
        summary: dict[str, Any] = json.loads((folder / SUMMARY).read_bytes())
    return summary


def _require_two(images: Pool, texts: Pool) -> None:
    """Refuse one column as both sides, and sides that are not row-aligned."""
    if (images.path, images.embedding) == (texts.path, texts.embedding):
        raise ValueError(
            f"expected image and text embeddings, got the same rows of {images.path} as both; "
            "name the two"
        )
    require_aligned(images, texts)


def _saved(checkpoint: Path, seconds: float) -> Saved:
    content = checkpoint.read_bytes() if checkpoint.exists() else None

    def write(content: bytes) -> None:
        atomic.write_bytes(checkpoint, content)

    return Saved(str(checkpoint), content, write, seconds)


def _files(trained: Trained) -> dict[str, Payload]:
    return {
        ADAPTER: trained.adapter.to_bytes(),
        "curves.json": {"curves": trained.curves},
        "curves.parquet": pa.Table.from_pylist([_flat(record) for record in trained.curves[1:]]),
        "train_rows.npy": trained.train,
        "validation_rows.npy": trained.validation,
        SUMMARY: trained.summary,
    }


def _series(place: str, column: str, ids: str | None, pool: Pool) -> Index:
    """A number for the series of every row of the pool."""
    samples = open_samples(place, ids=ids)
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


def _inputs(images: Pool, texts: Pool, place: str | None) -> list[InputFile]:
    files = joined_inputs({"image": images, "text": texts})
    if place is None:
        return files
    known = {str(file.location) for file in files}
    more = [file for file in open_samples(place).inputs() if str(file.location) not in known]
    return files + [replace(file, path=f"series/{file.path}") for file in more]


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
