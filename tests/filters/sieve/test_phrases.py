"""Phrase masking against the published loop, written out with `re`."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tamis.filters.sieve.phrases import (
    MODES,
    PHRASES,
    PhraseMask,
    checked_phrases,
    mask_phrases,
    read_phrases,
)

PIECES = [
    *PHRASES,
    *(phrase.upper() for phrase in PHRASES),
    *("an", "image", "pho", "to", "stock ", " ", "\n", "\u00a0", "\u3000", "a"),
    *("\u017ftock photo", "\u0130mage", "\u0131mage", "stoc\u212a photo", "\u00e9", "\u5199\u771f"),
    *("\u0391\u03a3", "\u1e9e", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")),
    *("photo" * 2, "phphotooto", "graphy", ".", "\0"),
]
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
    st.text(max_size=40),
)
lists = st.lists(
    st.one_of(
        st.sampled_from(PHRASES),
        st.text(string.ascii_letters + " .*(\u017fk\u0130\u00df", min_size=1, max_size=4),
    ).filter(lambda phrase: phrase.strip() != ""),
    min_size=1,
    max_size=5,
)


def published(text: str, phrases: tuple[str, ...] | list[str] = PHRASES) -> str:
    """Every phrase in order, every occurrence, whatever its case, replaced by nothing."""
    for phrase in phrases:
        text = re.sub(re.escape(phrase), "", text, flags=re.IGNORECASE)
    return text


@given(texts)
@example("staphotock photo")
@example("\u0130mage \u0131MAGE stoc\u212a photo")
@example("A\u0130mage of")
def test_sieve_mode_is_the_published_loop(text: str) -> None:
    assert mask_phrases([text]) == [published(text)]


@given(texts, lists)
def test_sieve_mode_with_other_phrases(text: str, phrases: list[str]) -> None:
    assert mask_phrases([text], phrases) == [published(text, phrases)]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("photographer", "grapher"),
        ("imagery", "ry"),
        ("a photo of a cat", " a cat"),
        ("A PHOTO", ""),
        ("photo", ""),
        (" photo ", "  "),
        ("stock photo stock", " stock"),  # "stock photo" comes before "photo stock"
        ("photo stock photo", " "),
        ("imimageage", "image"),  # what a pass joins, it does not see again
        ("a phimageoto", "a "),
        ("phimageoto", ""),  # a later pass does
        ("stocimagek photo", "stock "),
        ("a\u00a0photo", "a\u00a0"),
        ("a  photo", "a  "),
        ("\u017ftock photo", ""),
        ("stoc\u212a PHOTO", ""),
        ("\u0130mage and \u0131mage", " and "),
        ("\uff50\uff48\uff4f\uff54\uff4f", "\uff50\uff48\uff4f\uff54\uff4f"),  # full width
        ("", ""),
    ],
)
def test_what_the_published_rule_leaves(text: str, left: str) -> None:
    assert mask_phrases([text]) == [left] == [published(text)]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("photographer", "photographer"),
        ("a photo of a cat", "a cat"),
        ("  A\tPHOTO\n of a  cat ", "a cat"),
        ("photo", ""),
        ("photos and images", "photos and images"),
        ("cat-photo.jpg", "cat- .jpg"),
        ("photo_1", "photo_1"),
        ("\u5199\u771fphoto", "\u5199\u771fphoto"),  # letters on both sides: one word
        ("stock image photo", "stock"),
        ("no phrase,  two spaces", "no phrase, two spaces"),
    ],
)
def test_word_mode(text: str, left: str) -> None:
    assert mask_phrases([text], mode="word") == [left]


@given(texts)
def test_word_mode_leaves_tidy_texts_without_whole_phrases(text: str) -> None:
    (left,) = mask_phrases([text], mode="word")
    assert left == " ".join(left.split())
    words = [word.casefold() for word in re.findall(r"\w+", left)]
    assert "photo" not in words and "image" not in words


@given(texts)
def test_no_mode_changes_nothing(text: str) -> None:
    assert mask_phrases([text], mode="none") == [text]


def test_long_texts_are_masked_whole() -> None:
    long = ("a photo of " * 5000 + "\u00e9 x" * 20000)[:100_000]
    assert mask_phrases([long]) == [published(long)]
    assert mask_phrases(["a " + "photo " * 20000], mode="word") == [""]


def test_what_is_no_phrase_list() -> None:
    for wrong in ([], ["  "], ["ok", ""], ["half \ud83d"], ["x"] * 10_001):
        with pytest.raises(ValueError, match="phrase"):
            checked_phrases(wrong)
    with pytest.raises(ValueError, match="sieve, word, none, got 'words'"):
        PhraseMask(mode="words")  # type: ignore[arg-type]


def test_the_recipe_says_what_changes_a_text() -> None:
    recipes = [PhraseMask(mode=mode).recipe() for mode in MODES]
    assert recipes[0] == {"mode": "sieve", "phrases": list(PHRASES)}
    assert recipes[2] == PhraseMask(["other"], "none").recipe() == {"mode": "none", "phrases": []}


def test_phrases_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "phrases.txt"
    file.write_bytes("\ufeffa photo of\r\n\r\n  Bild \u00fc \n".encode())
    assert read_phrases(file) == ("a photo of", "Bild \u00fc")
    for content, told in (
        (b"\n \n", "holds no phrase"),
        (b"\xff\xfe", "not valid UTF-8"),
        (b"x" * (1 << 21), "larger than"),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=told):
            read_phrases(file)
    with pytest.raises(ValueError, match="cannot read the phrases"):
        read_phrases(tmp_path / "absent")
