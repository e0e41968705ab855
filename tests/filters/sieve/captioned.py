"""Pools of texts with captions that are given, and SIEVE as published, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.embed.small import BATCH, Projection
from tests.filters.sieve.test_phrases import published

from tamis.data.samples import SamplePool, open_samples
from tamis.filters.sieve.captioner import RowCaptions
from tamis.filters.sieve.phrases import PhraseMask
from tamis.filters.sieve.scorer import Sieve
from tamis.filters.sieve.scorer_captions import CaptionSource, CaptionStep
from tamis.kernels.canonical import canonical
from tamis.run.inputs import InputFile
from tamis.score.job import run_scorer

CAPTIONS = [
    "a photo of a cat",
    "a dog on a beach",
    "stock photo",
    "an image of the moon over the sea",
    "photo",
    "photographer with camera",
    "",
    "two  spaces",
    "rue de la paix, \u00e9t\u00e9",
    "\u5199\u771f of a kite",
]


@dataclass(frozen=True)
class Given:
    """The captions of each row, in a list."""

    lists: Sequence[Sequence[str]]
    reasons: Mapping[int, str]
    name: str = "given"

    def recipe(self) -> dict[str, Any]:
        return {"model": "given by a test"}

    def inputs(self) -> list[InputFile]:
        return []

    def read(self, pool: SamplePool, unit: Any) -> RowCaptions:
        rows = range(unit.first_row, unit.first_row + unit.n_rows)
        reasons = {row - unit.first_row: self.reasons[row] for row in rows if row in self.reasons}
        return RowCaptions([self.lists[row] for row in rows], reasons)


def text_pool(path: Path, texts: Sequence[str | None]) -> SamplePool:
    uids = [f"{row:032x}" for row in range(len(texts))]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"uid": uids, "text": pa.array(texts, pa.string())}), path)
    return open_samples(path)


def captions(n_rows: int, most: int = 5) -> list[list[str]]:
    """From none to `most` of the captions for each row, some of them more than once."""
    random = np.random.default_rng(0)
    return [
        [CAPTIONS[place] for place in random.integers(0, len(CAPTIONS), count)]
        for count in random.integers(0, most + 1, n_rows)
    ]


def source(
    pool: SamplePool,
    run: Path,
    lists: Sequence[Sequence[str]],
    reasons: Mapping[int, str] | None = None,
) -> CaptionSource:
    return CaptionStep(pool, run, Given(lists, reasons or {}))


def sieve(
    pool: SamplePool,
    run: Path,
    lists: Sequence[Sequence[str]],
    *,
    reasons: Mapping[int, str] | None = None,
    encoder: Any = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """The lines of the score table."""
    own = {name: options.pop(name) for name in ("mask", "name") if name in options}
    scorer = Sieve(
        pool,
        source(pool, run, lists, reasons),
        encoder or Projection(),
        batch_size=options.pop("batch_size", BATCH),
        **own,
    )
    run_scorer(scorer, run, pool=str(pool.path), **options)
    table = pq.read_table(run / "scores" / scorer.name / "scores.parquet")
    lines: list[dict[str, Any]] = table.to_pylist()
    return lines


def row_of(text: str) -> np.ndarray | None:
    """The canonical row of a text, encoded alone, in float64; None where it has no tokens."""
    encoder = Projection(batch_size=1)
    ((pieces),) = encoder.prepare_texts([text])
    if not pieces:
        return None
    bucket = next(length for length in encoder.buckets if length >= len(pieces[0]))
    tokens = np.zeros((1, bucket), np.int64)
    tokens[0, : len(pieces[0])] = pieces[0]
    (row,), _ = canonical(encoder.encode_texts(tokens, np.array([len(pieces[0])])))
    return row.astype(np.float64)


def cosine(text: str, caption: str) -> float | None:
    left, right = row_of(text), row_of(caption)
    if left is None or right is None:
        return None
    return float(left @ right / (np.sqrt(left @ left) * np.sqrt(right @ right)))


def expected(text: str, row_captions: Sequence[str], mask: Any = published) -> dict[str, Any]:
    """The scores of one row by the published rule, in loops."""
    cosines = [cosine(mask(text), mask(caption)) for caption in row_captions]
    real = [(value, -place) for place, value in enumerate(cosines) if value is not None]
    plain = [value for value in (cosine(text, one) for one in row_captions) if value is not None]
    if not real:
        return {"score": None, "caption": None}
    value, place = max(real)
    caption = row_captions[-place]
    return {
        "score": 0.0 if not mask(caption).strip() else value,
        "mean": sum(value for value, _ in real) / len(real),
        "caption": caption,
        "unmasked": max(plain),
    }


def mask_of(mode: str) -> PhraseMask:
    return PhraseMask(mode=mode)  # type: ignore[arg-type]
