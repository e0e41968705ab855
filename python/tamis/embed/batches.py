"""Batches of fixed shape, formed in row order inside a unit.

A batch of images is `batch_size` consecutive rows, the last one of a unit filled up to that number.
Texts wait in their bucket until it holds as many as are encoded at a time; at the end of a unit
what waits is filled up likewise. So every network runs with a handful of shapes, and what a batch
holds depends on the pool, the batch size and the units alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tamis.data.samples.source import Sample, Side
from tamis.data.unit import Unit
from tamis.embed.encoder import Encoder, Tokens
from tamis.embed.workers import IMAGES_PER_TASK, ImageWorkers, gathered

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tamis.data.samples import SamplePool
    from tamis.embed.workers import Prepared

NO_TOKENS = "text has no tokens"
NOT_UNICODE = "text is not valid Unicode"
MISSING = {"image": "image missing", "text": "text missing"}


@dataclass
class Block:
    """At most `batch_size` rows of a unit, ready to be encoded.

    Attributes:
        unit: where the rows are from.
        start: the first of them, counted within the unit.
        keys: their keys.
        images: (batch_size, ...), or None where images are not asked for.
        pieces: the token pieces of each row, or None where texts are not asked for.
        reasons: side -> row within the unit -> why it cannot be encoded.
    """

    unit: Unit
    start: int
    keys: list[str]
    images: npt.NDArray[Any] | None = None
    pieces: list[list[Tokens]] | None = None
    reasons: dict[Side, dict[int, str]] = field(default_factory=dict)

    @property
    def ends_unit(self) -> bool:
        """Whether these are the unit's last rows."""
        return self.start + len(self.keys) == self.unit.n_rows


def blocks(
    pool: SamplePool,
    units: Sequence[Unit],
    encoder: Encoder | None,
    sides: frozenset[Side],
    batch_size: int,
    workers: ImageWorkers | None,
) -> Generator[Block, None, None]:
    """Read, decode and tokenise units, block by block; images are decoded well ahead.

    Texts are tokenised by the encoder; without one they are left alone.
    """
    outstanding = workers.workers * IMAGES_PER_TASK if workers is not None else 0
    depth = 1 + -(-outstanding // batch_size)
    waiting: deque[tuple[Block, list[Future[Prepared]]]] = deque()
    for unit in units:
        for start in range(0, unit.n_rows, batch_size):
            waiting.append(_begin(pool, unit, start, encoder, sides, batch_size, workers))
            if len(waiting) > depth:
                yield _complete(*waiting.popleft(), batch_size)
    while waiting:
        yield _complete(*waiting.popleft(), batch_size)


def _begin(
    pool: SamplePool,
    unit: Unit,
    start: int,
    encoder: Encoder | None,
    sides: frozenset[Side],
    batch_size: int,
    workers: ImageWorkers | None,
) -> tuple[Block, list[Future[Prepared]]]:
    stop = min(start + batch_size, unit.n_rows)
    rows = replace(
        unit,
        start=unit.start + start,
        stop=unit.start + stop,
        first_row=unit.first_row + start,
    )
    samples = pool.read(rows, sides)
    block = Block(unit, start, [sample.key for sample in samples])
    results: list[Future[Prepared]] = []
    for side in sides:
        block.reasons[side] = {
            start + index: sample.faults.get(side, MISSING[side])
            for index, sample in enumerate(samples)
            if getattr(sample, side) is None
        }
    if workers is not None and "image" in sides:
        results = workers.submit([sample.image for sample in samples])
    if "text" in sides and encoder is not None:
        block.pieces = _pieces(encoder, samples, start, block.reasons["text"])
    return block, results


def _complete(block: Block, results: list[Future[Prepared]], batch_size: int) -> Block:
    if results:
        prepared = gathered(results, batch_size)
        block.images = prepared.arrays
        found = {block.start + index: reason for index, reason in prepared.reasons.items()}
        block.reasons["image"] |= found
    return block


def _pieces(
    encoder: Encoder, samples: Sequence[Sample], start: int, reasons: dict[int, str]
) -> list[list[Tokens]]:
    """Tokenise the texts of samples; note why a text has no tokens."""
    texts = {}
    for index, sample in enumerate(samples):
        if sample.text is None:
            continue
        try:
            sample.text.encode()
        except UnicodeEncodeError:
            reasons[start + index] = NOT_UNICODE
            continue
        texts[index] = sample.text
    pieces: list[list[Tokens]] = [[] for _ in samples]
    for index, found in zip(texts, encoder.prepare_texts(list(texts.values())), strict=True):
        pieces[index] = found
        if not found:
            reasons[start + index] = NO_TOKENS
    return pieces
