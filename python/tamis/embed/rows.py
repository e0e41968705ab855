"""The rows of a unit as they are encoded, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.data.samples.source import Side
from tamis.embed.device import ROWS_PER_PIECE
from tamis.embed.encoder import Encoder, Tokens
from tamis.embed.padding import bucket_of, texts_per_batch

if TYPE_CHECKING:
    from tamis.data.unit import Unit
    from tamis.embed.batches import Block

Rows = npt.NDArray[np.floating[Any]]


class UnitRows:
    """The rows of one unit.

    Args:
        unit: the unit.
        encoder: what encodes.
        sides: what is encoded.
        batch_size: rows that are encoded at a time.

    Attributes:
        keys: of the rows that were added.
        reasons: side -> row within the unit -> why it cannot be encoded.
    """

    def __init__(
        self, unit: Unit, encoder: Encoder, sides: frozenset[Side], batch_size: int
    ) -> None:
        self.unit = unit
        self.keys: list[str] = []
        self.reasons: dict[Side, dict[int, str]] = {side: {} for side in sides}
        self._encoder = encoder
        self._images: list[Rows] = []
        self._texts = TextRows(encoder, unit.n_rows, batch_size) if "text" in sides else None

    def add(self, block: Block) -> None:
        """Encode a block; blocks come in row order."""
        self.keys += block.keys
        for side, found in block.reasons.items():
            self.reasons[side] |= found
        if block.images is not None:
            self._images.append(self._encoder.encode_images(block.images)[: len(block.keys)])
        if self._texts is not None and block.pieces is not None:
            self._texts.add(block.start, block.pieces)

    def finish(self) -> dict[Side, Rows]:
        """Return side -> (n, dim); what stands in rows that have a reason does not matter."""
        found: dict[Side, Rows] = {}
        if self._images:
            found["image"] = np.concatenate(self._images)
        if self._texts is not None:
            found["text"] = self._texts.finish()
        return found


class TextRows:
    """Encodes texts as their buckets fill.

    Args:
        encoder: what encodes.
        n_rows: how many there will be.
        batch_size: texts encoded at a time, see :func:`tamis.embed.padding.texts_per_batch`.
    """

    def __init__(self, encoder: Encoder, n_rows: int, batch_size: int) -> None:
        self._encoder = encoder
        self._batch_size = batch_size
        self._waiting: dict[int, list[tuple[int, Tokens]]] = {}
        self._sums = np.zeros((n_rows, encoder.dims["text"]), np.float64)
        self._counts = np.zeros(n_rows, np.int64)

    def add(self, first: int, texts: Sequence[Sequence[Tokens]]) -> None:
        """Take the token pieces of texts, the first of which is row `first`."""
        for index, pieces in enumerate(texts):
            for tokens in pieces:
                bucket = bucket_of(len(tokens), self._encoder.buckets)
                waiting = self._waiting.setdefault(bucket, [])
                waiting.append((first + index, tokens))
                if len(waiting) == texts_per_batch(bucket, self._batch_size):
                    self._encode(bucket, self._waiting.pop(bucket))

    def finish(self) -> npt.NDArray[np.float64]:
        """Encode what waits; return the rows, zeros where a text has none."""
        for bucket in sorted(self._waiting):
            self._encode(bucket, self._waiting.pop(bucket))
        return self._sums / np.maximum(self._counts, 1)[:, None]

    def _encode(self, bucket: int, texts: list[tuple[int, Tokens]]) -> None:
        n_rows = texts_per_batch(bucket, self._batch_size)
        tokens = np.zeros((n_rows, bucket), np.int64)
        lengths = np.empty(n_rows, np.int64)
        for place in range(n_rows):
            # What fills the batch up repeats its first piece, which a CPU computes only once.
            which = place if place < len(texts) else place % ROWS_PER_PIECE
            text = texts[which if which < len(texts) else 0][1]
            tokens[place, : len(text)] = text
            lengths[place] = len(text)
        rows = self._encoder.encode_texts(tokens, lengths)[: len(texts)]
        where = [row for row, _ in texts]
        np.add.at(self._sums, where, rows)
        np.add.at(self._counts, where, 1)
