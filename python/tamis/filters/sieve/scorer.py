"""SIEVE: how close an alt-text is to captions that a model generates for the image.

A. Mahmoud et al., "SIEVE: Multimodal Dataset Pruning Using Image Captioning Models", CVPR 2024
(arXiv 2310.02110). A captioner trained on clean pairs says what is in the image; the alt-text is
compared with what it says, not with the image.

What happens to rows that are not plain:

| row | score |
|---|---|
| alt-text missing, blank, with NUL, not valid Unicode, over the size limit | none, with a reason |
| alt-text that is masked phrases and nothing else | the cosine of the empty text, as published |
| alt-text of 100 kB | of its first tokens, as many as the encoder takes |
| alt-text in a script that the encoder does not know | of its unknown tokens, as published |
| no captions, or no image to caption | none, with the caption step's reason |
| fewer captions than asked | the maximum over those there are |
| a caption that is masked phrases and nothing else | a candidate like others, but 0 if it wins |

Differences from the published code: one pass instead of two, of which only the second masked
phrases, so both scores are stored; captions are made once and kept; of captions that are equally
close the first wins; cosines are exact on canonical float16 rows instead of float32 products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.errors import PoolError
from tamis.filters.sieve.phrases import PhraseMask
from tamis.filters.sieve.scorer_captions import CaptionSource
from tamis.filters.sieve.similarity import (
    DEFAULT_BATCH,
    Closest,
    Rows,
    encode_sentences,
    paired_max,
)
from tamis.score.scorer import Scorer, Scores

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.samples import SamplePool
    from tamis.data.samples.source import Sample
    from tamis.data.unit import Unit
    from tamis.embed.encoder import Encoder
    from tamis.filters.sieve.caption_store import AlignedCaptions, Captions
    from tamis.run.directory import RunDirectory
    from tamis.run.inputs import InputFile
    from tamis.run.parts import Part
    from tamis.run.progress import Progress

MOST_ROWS = 8192
"""Of a unit: with 8 captions each, masked and not, up to 147,000 different texts are held."""

TEXT_MISSING, TEXT_BLANK = "text is missing", "text is blank"
NO_CAPTIONS = "no captions"
NO_TEXT_ROW = "text has nothing that the encoder takes"
NO_CAPTION_ROW = "captions have nothing that the encoder takes"

Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Sieve(Scorer):
    """The largest cosine of an alt-text and the captions of its image, phrases masked.

    sieve = max_c cos(E(mask(alt-text)), E(mask(c))), 0 where nothing is left of the caption that
    wins; `sieve_mean` is the mean over the captions, `sieve_caption` the caption that wins, as it
    was made, and `sieve_unmasked` the largest cosine without masking.

    Args:
        pool: samples with texts.
        captions: where the captions come from, see :mod:`tamis.filters.sieve.scorer_captions`.
        encoder: of texts, from :func:`tamis.embed.models.open_encoder`.
        mask: takes phrases out; None for the published ones, in mode "sieve".
        batch_size: texts that are encoded at a time.
        name: of the score and, in front, of its columns.

    Raises:
        PoolError: the pool has no texts.
        ValueError: the encoder encodes no texts, or a batch size below 1.

    Example:
        >>> from pathlib import Path
        >>> from tamis.data.samples import open_samples
        >>> from tamis.embed.models import open_encoder
        >>> from tamis.filters.sieve.captioners import open_captioner
        >>> from tamis.filters.sieve.scorer_captions import CaptionStep
        >>> from tamis.score.job import run_scorer
        >>> _ = Path("pool.jsonl").write_text('{"text": "photo of a kitten", "said": ["a cat"]}')
        >>> pool = open_samples("pool.jsonl")
        >>> captions = CaptionStep(pool, Path("run"), open_captioner("column:said"))
        >>> scorer = Sieve(pool, captions, open_encoder("sentence:all-MiniLM-L6-v2"))
        >>> run_scorer(scorer, "run", pool="pool.jsonl")["scored"]
        1
    """

    def __init__(
        self,
        pool: SamplePool,
        captions: CaptionSource,
        encoder: Encoder,
        *,
        mask: PhraseMask | None = None,
        batch_size: int = DEFAULT_BATCH,
        name: str = "sieve",
    ) -> None:
        if "text" not in pool.sides:
            raise PoolError(f"{pool.path} has no texts; SIEVE compares them with captions")
        if "text" not in encoder.dims:
            raise ValueError(f"{encoder.name} encodes no texts; name an encoder of sentences")
        if batch_size < 1:
            raise ValueError(f"expected a batch size of 1 or more, got {batch_size}")
        self.pool = pool
        self.captions = captions
        self.encoder = encoder
        self.mask = mask or PhraseMask()
        self.batch_size = batch_size
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def schema(self) -> pa.Schema:
        kinds = {"": pa.float32(), "_mean": pa.float32(), "_caption": pa.string()}
        kinds["_unmasked"] = pa.float32()
        return pa.schema([(self._name + ending, kind) for ending, kind in kinds.items()])

    def recipe(self) -> dict[str, Any]:
        return {
            "method": "sieve",
            **self.captions.recipe(),
            "encoder": self.encoder.recipe(),
            "batch_size": self.batch_size,
            **self.mask.recipe(),
        }

    def inputs(self) -> list[InputFile]:
        return [*self.pool.inputs(), *self.captions.inputs()]

    def ids(self) -> Ids:
        return self.pool.ids()

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        return self.pool.units(min(rows_per_unit, MOST_ROWS))

    def prepare(self, run: RunDirectory, part: Part | None, progress: Progress) -> bool:
        """Make the captions that are missing."""
        return self.captions.complete(part, progress)

    def score(self, unit: Unit) -> Scores:
        alts, reasons = _alt_texts(self.pool.read(unit, {"text"}))
        captions = self._captions.read(unit)
        for row in np.flatnonzero(np.diff(captions.offsets) == 0).tolist():
            told = captions.reasons[row].as_py() or NO_CAPTIONS
            reasons[row] = f"{reasons[row]}; {told}" if row in reasons else told
        texts = _Texts.of(alts, captions, reasons)
        masked_texts = [*map(self.mask, texts.different)]
        different, index = _different(pa.array(texts.different + masked_texts, pa.large_string()))
        rows, bad = encode_sentences(self.encoder, different, batch_size=self.batch_size)
        plain, masked = np.split(index, 2)  # of each of texts.different, its row
        unmasked = texts.closest(rows, bad, plain)
        best = texts.closest(rows, bad, masked)
        for row in np.flatnonzero(np.isnan(best.cosine)).tolist():
            no_text = bad[masked[texts.alt_index[row]]]
            reasons.setdefault(row, NO_TEXT_ROW if no_text else NO_CAPTION_ROW)
        blank = np.fromiter((not text.strip() for text in masked_texts), np.bool_)
        score = np.where(texts.won(best, blank), 0.0, best.cosine)
        values = [
            score.astype(np.float32),
            best.mean.astype(np.float32),
            texts.captions.take(pa.array(best.index, mask=best.index < 0)).cast(pa.string()),
            unmasked.cosine.astype(np.float32),
        ]
        return Scores(dict(zip(self.schema.names, values, strict=True)), reasons)

    @cached_property
    def _captions(self) -> AlignedCaptions:
        return self.captions.store().of(self.ids())


@dataclass(frozen=True)
class _Texts:
    """The alt-texts of a unit and the captions that they are compared with.

    Attributes:
        different: every text that occurs, once.
        alt_index: int64 (n,), which of them a row's alt-text is.
        caption_index: int64 (m,), which of them a caption is.
        captions: large_string (m,).
        offsets: int64 (n + 1,), which captions are a row's; a row with a reason has none.
    """

    different: list[str]
    alt_index: Int64
    caption_index: Int64
    captions: pa.LargeStringArray
    offsets: Int64

    @classmethod
    def of(cls, alts: Sequence[str], captions: Captions, reasons: Mapping[int, str]) -> _Texts:
        counts = np.diff(captions.offsets)
        judged = np.ones(len(alts), np.bool_)
        judged[list(reasons)] = False
        rows = np.repeat(np.arange(len(alts)), counts)
        given = captions.texts.is_valid().to_numpy(zero_copy_only=False)
        kept = np.flatnonzero(judged[rows] & given)
        candidates = captions.texts.take(pa.array(kept))
        offsets = np.zeros(len(alts) + 1, np.int64)
        np.cumsum(np.bincount(rows[kept], minlength=len(alts)), out=offsets[1:])
        texts = [pa.array(alts, pa.large_string()), candidates]
        different, index = _different(pa.concat_arrays(texts))
        return cls(different, index[: len(alts)], index[len(alts) :], candidates, offsets)

    def closest(self, rows: Rows, bad: Mask, row_of: Int64) -> Closest:
        """Compare; `row_of` says which row stands for which of the different texts."""
        return paired_max(
            rows,
            rows,
            self.offsets,
            alt_index=row_of[self.alt_index],
            caption_index=row_of[self.caption_index],
            bad_alts=bad,
            bad_captions=bad,
        )

    def won(self, best: Closest, marked: Mask) -> Mask:
        """Where the caption that wins is one of the different texts that are marked."""
        found = best.index >= 0
        found[found] = marked[self.caption_index[best.index[found]]]
        return found


def _alt_texts(samples: Sequence[Sample]) -> tuple[list[str], dict[int, str]]:
    """The texts, empty where there is none to judge, and why."""
    texts: list[str] = []
    reasons: dict[int, str] = {}
    for row, sample in enumerate(samples):
        text = sample.text or ""
        if sample.text is None:
            reasons[row] = sample.faults.get("text", TEXT_MISSING)
        elif not text.strip():
            reasons[row] = TEXT_BLANK
        texts.append(text)
    return texts, reasons


def _different(texts: pa.Array) -> tuple[list[str], Int64]:
    """Every different text, in the order of first appearance, and which of them each text is."""
    encoded = texts.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
