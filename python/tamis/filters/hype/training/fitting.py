"""Training an adapter on arrays."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tamis.data.samples.source import Side
from tamis.errors import require
from tamis.filters.hype.adapter import Adapter
from tamis.filters.hype.training.curves import ValidationPairs
from tamis.filters.hype.training.options import Options
from tamis.filters.hype.training.pairs import TrainingPairs
from tamis.filters.hype.training.split import Index, Split, families, split
from tamis.run.progress import Progress, Quiet

CHECKPOINT_SECONDS = 10.0


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        adapter: that of the kept epoch.
        curves: one record per epoch, from 0, before training; see
            :func:`tamis.filters.hype.training.curves.measure`, and the losses of training.
        summary: counts of pairs and families, which epoch was kept and why, its record.
        train, validation: int64, the rows of the pairs that were learned from and measured.
    """

    adapter: Adapter
    curves: list[dict[str, Any]]
    summary: dict[str, Any]
    train: Index
    validation: Index


@dataclass(frozen=True)
class PreparedPairs:
    """Pairs that can be trained on.

    Attributes:
        pairs: all that are usable.
        families: int64, see :func:`tamis.filters.hype.training.split.families`.
        sides: which are learned from, and which measured.
    """

    pairs: TrainingPairs
    families: Index
    sides: Split

    def measured(self, seed: int) -> ValidationPairs:
        """The pairs of the validation."""
        at, pairs = self.sides.validation, self.pairs
        rows = pairs.images[at], pairs.texts[at], self.families[at], pairs.rows[at]
        return ValidationPairs.of(*rows, seed)

    def counts(self) -> dict[str, Any]:
        """How many there are of what, for a summary."""
        sizes = np.bincount(self.families)
        return {
            "pairs": len(self.families),
            "skipped": self.pairs.skipped,
            "families": int(np.count_nonzero(sizes)),
            "largest_family": int(sizes.max()),
            "train_pairs": len(self.sides.train),
            "validation_pairs": len(self.sides.validation),
            "validation_families": len(np.unique(self.families[self.sides.validation])),
        }


@dataclass(frozen=True)
class Saved:
    """Where a training is kept between processes.

    Attributes:
        place: what it is called, for errors.
        content: of an earlier process; None to begin.
        write: takes the content, which must be stored whole or not at all.
        seconds: between two of them, at least.
    """

    place: str
    content: bytes | None
    write: Callable[[bytes], None]
    seconds: float = CHECKPOINT_SECONDS


def train(
    image_rows: Any,
    text_rows: Any,
    options: Options = Options(),  # noqa: B008 - frozen
    *,
    series: Sequence[Any] | None = None,
    origins: Mapping[Side, Mapping[str, Any]] | None = None,
    note: str = "",
    device: str = "cpu",
    progress: Progress | None = None,
) -> Trained:
    """Train an adapter on pairs of frozen embeddings.

    The same arrays and options give the same bits on one machine, for any number of threads; other
    machines and versions of torch may differ in last bits.

    Args:
        image_rows: (n, d_image) of any float dtype; made canonical, so only directions count.
        text_rows: (n, d_text), row-aligned.
        options: of the training.
        series: n values; pairs of one value are never on both sides of the split; None for a pair
            of no series.
        origins: side -> what the rows are, see :class:`tamis.filters.hype.adapter.Adapter`; by
            default their dimensions alone.
        note: for people, kept in the file.
        device: "auto", "cpu" or "cuda".
        progress: shows the steps.

    Returns:
        The adapter, its curves, and which rows it was trained on.

    Raises:
        ValueError: the rows do not fit each other, are too few, or the batch is larger than they.
        RunError: the training diverged.
        MissingExtraError: torch is not installed.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rows = rng.normal(size=(64, 8)).astype(np.float32)
        >>> options = Options(dim=4, epochs=2, batch_size=16, lr=0.01)
        >>> trained = train(rows, rows[:, :6], options)
        >>> trained.adapter.space.dim, len(trained.validation)
        (4, 6)
    """
    ready = prepare(TrainingPairs.of_arrays(image_rows, text_rows, series), options, progress)
    return train_pairs(ready, options, origins=origins, note=note, device=device, progress=progress)


def prepare(
    pairs: TrainingPairs, options: Options, progress: Progress | None = None
) -> PreparedPairs:
    """Find families and the split.

    Raises:
        ValueError: too few pairs or families, or a batch that is larger than the training pairs.
    """
    with (progress or Quiet()).stage("copies", len(pairs.rows), "pairs") as advance:
        found = families(pairs.images, pairs.texts, near=options.near, series=pairs.series)
        advance(len(pairs.rows))
    sides = split(found, pairs.rows, share=options.validation, seed=options.seed)
    batch = options.batch_for(len(sides.train))
    if batch > len(sides.train):
        raise ValueError(
            f"expected a batch of at most the {len(sides.train):,} training pairs, got "
            f"{batch:,}; lower the batch size"
        )
    return PreparedPairs(pairs, found, sides)


def train_pairs(
    ready: PreparedPairs,
    options: Options,
    *,
    origins: Mapping[Side, Mapping[str, Any]] | None = None,
    note: str = "",
    device: str = "cpu",
    progress: Progress | None = None,
    saved: Saved | None = None,
) -> Trained:
    """Train on prepared pairs, as `train` does; `saved` lets another process go on."""
    require("torch", extra="adapter")
    from tamis.embed.device import Device
    from tamis.filters.hype.training.loop import Loop

    chosen = Device.choose(device, "fp32")
    pairs, sides = ready.pairs, ready.sides
    loop = Loop(
        pairs.images, pairs.texts, sides.train, ready.measured(options.seed), options, chosen.kind
    )
    if saved is not None and saved.content is not None:
        loop.restore(saved.content, saved.place)
    with (progress or Quiet()).stage("training", loop.steps, "steps") as advance:
        advance(loop.steps_done)
        loop.run(advance, _saving(loop, saved))
    if loop.best is None:
        raise RuntimeError("a training of at least one epoch has a best one")
    epoch, adapter = loop.best
    summary = {
        **ready.counts(),
        "epoch": epoch,
        "kept": "the lowest validation loss" if options.keep == "best" else "the last epoch",
        "measured": loop.curves[epoch],
    }
    dims: dict[Side, int] = {"image": pairs.images.shape[1], "text": pairs.texts.shape[1]}
    adapter = replace(
        adapter,
        origins=origins
        or {side: {"embedding": None, "dim": dim, "encoder": None} for side, dim in dims.items()},
        training={
            "objective": "MERU (arXiv 2304.09172): contrastive and entailment loss",
            "options": {**options.recipe(), "batch_size": options.batch_for(len(sides.train))},
            "processor": chosen.recipe(),
            **summary,
        },
        note=note,
    )
    train_rows, measured_rows = (pairs.rows[side] for side in sides)
    return Trained(adapter, loop.curves, summary, train_rows, measured_rows)


def _saving(loop: Any, saved: Saved | None) -> Callable[[], None]:
    if saved is None:
        return lambda: None
    written = time.monotonic()

    def after_step() -> None:
        nonlocal written
        if time.monotonic() - written >= saved.seconds:
            saved.write(loop.checkpoint().to_bytes())
            written = time.monotonic()

    return after_step
