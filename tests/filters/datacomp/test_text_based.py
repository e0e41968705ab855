"""The text-based rule keeps what its transcription keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.filters.datacomp import stock
from tests.filters.datacomp.metadata import edge_cases, kept
from tests.filters.datacomp.wordnet_files import parsed_exceptions, parsed_index, write_wordnet

from tamis.data.language import open_language
from tamis.filters.datacomp.rule import Metadata
from tamis.filters.datacomp.text_based import TextBased

COLUMN = open_language("column:lang")
WNIDS = ["n02084071", "n03438257", "n13888783"]


@pytest.fixture(scope="module")
def rule(tmp_path_factory: pytest.TempPathFactory) -> TextBased:
    folder = tmp_path_factory.mktemp("assets")
    (folder / "wnids.txt").write_text("\n".join(WNIDS))
    return TextBased(COLUMN, write_wordnet(folder / "wordnet"), folder / "wnids.txt")


def first_synset(word: str) -> int | None:
    found = stock.synsets(word, parsed_index(), parsed_exceptions())
    return found[0] if found else None


def test_same_uids(rule: TextBased) -> None:
    table = edge_cases()
    table["text"] = [text[:2000] for text in table["text"]]  # the transcription is slow
    languages = iter(table["lang"])
    expected = stock.text_based(table, lambda _: next(languages), first_synset, WNIDS)
    found = kept(table, rule.judge(Metadata.of(table)).columns["text_based"])
    assert found == expected
    assert 0 < len(found) < len(table["uid"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("two dogs", "dogs"),
        ("two dogs, barking", None),  # punctuation stays on the token
        ("a glass and a dog", "glass"),
        ("he has none", "has"),  # the noun ha
        ("a twin", "twin"),  # a verb whose offset equals a listed noun's
        ("dog\u3000house", "dog"),
        ("dog\0house", None),  # NUL is no white space to str.split()
        ("cat", None),
        ("", None),
    ],
)
def test_the_word_that_names_a_class(rule: TextBased, text: str, word: str | None) -> None:
    scores = rule.judge(Metadata.of({"text": [text], "lang": ["en"]}))
    assert scores.columns["text_based_word"].to_pylist() == [word]
    assert scores.columns["text_based"].to_pylist() == [word is not None]


def test_a_null_caption_is_a_reason(rule: TextBased) -> None:
    scores = rule.judge(Metadata.of({"text": [None, "dog"], "lang": ["en", "en"]}))
    assert scores.reasons == {0: "text is null"}
    assert scores.columns["text_based"].to_pylist() == [None, True]


def test_the_assets_are_inputs_of_the_run(rule: TextBased, tmp_path: Path) -> None:
    paths = [file.path for file in rule.inputs()]
    assert "wnids/wnids.txt" in paths and "wordnet/noun.exc" in paths
    assert len(paths) == len(set(paths)) == 9
