"""What is counted in a caption, and captions that are none."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.filters.datacomp.metadata import CAPTIONS
from tests.filters.datacomp.stock import fasttext_tokenize

from tamis.data.samples.source import Sample
from tamis.errors import PoolError
from tamis.filters.datacomp.captions import Captions, tokens, words

WHITE = " \n\r\t\v\f\0\x1c\x85\xa0\u2003\u3000\u200b"


@pytest.mark.parametrize("text", CAPTIONS, ids=lambda text: repr(text[:20]))
def test_tokens_are_fasttext_s(text: str) -> None:
    assert tokens(text) == len(fasttext_tokenize(text))


@given(st.text(st.sampled_from("ab\xe9" + WHITE), max_size=30))
def test_tokens_of_any_white_space(text: str) -> None:
    assert tokens(text) == len(fasttext_tokenize(text))


@pytest.mark.parametrize(
    ("text", "n_words", "n_tokens"),
    [
        ("a b c", 3, 3),
        ("a\nb", 2, 3),
        ("a\n", 1, 2),
        ("\n\n", 0, 2),
        ("a\xa0b", 2, 1),
        ("a\0b", 1, 2),
        ("a\x1cb", 2, 1),
        ("", 0, 0),
    ],
)
def test_words_are_not_tokens(text: str, n_words: int, n_tokens: int) -> None:
    assert (words(text), tokens(text)) == (n_words, n_tokens)


def test_null_captions_have_a_reason() -> None:
    captions = Captions.of(pa.chunked_array([["a"], [None, "b"]]), "caption")
    assert captions.texts == ["a", "", "b"]
    assert captions.reasons == {1: "caption is null"}


def test_a_caption_that_is_no_utf8_leaves_its_neighbours_alone() -> None:
    raw = pa.array([b"a kite", b"half \xed\xa0\x80", b"\xff", None, b"fin"], pa.binary())
    column = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers(), raw.null_count)
    captions = Captions.of(column)
    assert captions.texts == ["a kite", "", "", "", "fin"]
    assert captions.reasons == {
        1: "text is not valid UTF-8",
        2: "text is not valid UTF-8",
        3: "text is null",
    }


def test_a_column_that_is_not_text_is_refused() -> None:
    assert Captions.of(pa.array(["a", "b", "a"]).dictionary_encode()).texts == ["a", "b", "a"]
    assert Captions.of(pa.nulls(2)).reasons == {0: "text is null", 1: "text is null"}
    with pytest.raises(PoolError, match="expected column 'lang' to hold text, got int64"):
        Captions.of(pa.array([1, 2]), "lang")


def test_samples_keep_the_reason_that_came_with_them() -> None:
    samples = [Sample("0", text="a"), Sample("1", faults={"text": "text is torn"}), Sample("2")]
    captions = Captions.of_samples(samples)
    assert captions.texts == ["a", "", ""]
    assert captions.reasons == {1: "text is torn", 2: "text is missing"}
