"""What does not fit the columns is refused before a row is read, at its place."""

from __future__ import annotations

import pytest

from tamis.select import ExpressionError, ScoreTables, col, select, semdedup

TABLES = ScoreTables.of(
    ["a", "b"],
    {
        "clip": [0.1, 0.2],
        "count": [1, 2],
        "basic": [True, False],
        "lang": ["en", None],
        "odd name": [1.0, 2.0],
    },
)


@pytest.mark.parametrize(
    ("text", "told", "at"),
    [
        (
            "clip",
            "a selection is a set of rows, got column 'clip', which holds numbers; compare it, "
            "as in clip > 0.5",
            "clip",
        ),
        ("lang", "a selection is a set of rows, got column 'lang', which holds texts", "lang"),
        ("0.5", "a selection is a set of rows, got numbers", "0.5"),
        ("clip + 1", "a selection is a set of rows, got numbers; compare it", "clip + 1"),
        (
            "clipp > 1",
            "no column is called 'clipp'; did you mean clip? (the columns are `odd name`, "
            "basic, clip, count, lang)",
            "clipp",
        ),
        ("odd > 1", "no column is called 'odd'", "odd"),
        ("t.clip > 1", "table 't' has no column 'clip'", "t.clip"),
        ("tip(clip, 0.3)", "no function is called 'tip'; did you mean top?", "tip(clip, 0.3)"),
        ("top(basic, 0.3)", "top takes numbers, got column 'basic', which holds bools", "basic"),
        (
            "top(clip)",
            "top takes 2 arguments before its keywords, got 1 (example: top(clip, 0.3))",
            "top(clip)",
        ),
        ("top(clip, count)", "top takes a fraction such as 0.3 or a number of rows", "count"),
        ("top(clip, 0)", "top takes a number of rows from 1, got 0", "0"),
        ("top(clip, -5)", "top takes a number of rows from 1, got -5", "-5"),
        ("bottom(clip, 0.0)", "bottom takes a fraction in (0, 1], got 0.0", "0.0"),
        ("top(clip, 1000.0)", "a fraction in (0, 1], got 1000.0; rows are written 1000", "1000.0"),
        ("top(clip, 0.3, ties=3)", 'ties is "exact" or "datacomp"', "3"),
        ('top(clip, 0.3, ties="stock")', 'ties is "exact" or "datacomp"', '"stock"'),
        ("top(clip, 0.3, tie=1)", "top has no tie=; its keywords: ties", "1"),
        ("semdedup(eps=0.1)", "no column is called 'semdedup'", "semdedup(eps=0.1)"),
        ("semdedup()", "semdedup needs eps, as in semdedup(eps=0.03)", "semdedup()"),
        ("semdedup(0.1)", "semdedup takes 0 arguments before its keywords, got 1", "semdedup(0.1)"),
        ("semdedup(eps=3)", "eps is a number in [0, 2], got 3", "3"),
        ("uids(clip)", "uids takes the path of a file in quotes", "clip"),
        (
            "clip & basic",
            "& takes a set of rows, got column 'clip', which holds numbers; compare it",
            "clip",
        ),
        ("basic within clip", "within takes a set of rows", "clip"),
        ("~clip > 0.5", "~ takes a set of rows, got column 'clip', which holds numbers", "clip"),
        (
            "-basic",
            "- takes numbers, got column 'basic', which holds bools, a set of rows",
            "basic",
        ),
        ("clip - basic > 1", "got numbers and then column 'basic'", "basic"),
        ("clip * lang > 1", "* takes numbers, got column 'lang', which holds texts", "lang"),
        ("clip > 0.5 - basic", "got numbers and then column 'basic'", "basic"),
        (
            "top(clip > 0.5, 0.3)",
            "top takes numbers, got a set of rows; put parentheses",
            "clip > 0.5",
        ),
        ("basic > 1", "> compares numbers, got column 'basic'", "basic"),
        ("lang >= 'en'", ">= compares numbers, got column 'lang'", "lang"),
        (
            "lang == 3",
            "== compares two numbers, two texts or a set with true or false, got texts and numbers",
            "lang == 3",
        ),
        ("basic == 1", "got a set of rows and numbers", "basic == 1"),
        ('lang == "\\ud800"', "no column holds half a surrogate pair", '"\\ud800"'),
        ('"a" == "a"', "compare a column with a text, not two texts", '"a" == "a"'),
        ("true", "a selection is a set of rows, got true or false", "true"),
        (
            "fuse(clip, count, weights=[1]) > 1",
            "expected 2 weights, one for each argument, got 1",
            "[1]",
        ),
        ("fuse(clip, weights=1) > 1", "weights is a list of numbers", "1"),
        ("fuse(clip, weights=[count]) > 1", "expected a number in weights", "count"),
        ("fuse() > 1", "fuse takes 1 argument before its keywords, got 0", "fuse()"),
        ("minmax(lang) > 1", "minmax takes numbers, got column 'lang'", "lang"),
        ("scored(basic & basic)", "scored takes a column or numbers", "basic & basic"),
        ("top(clip, [1])", "expected a column, a function or a number, got '['", "["),
        ("f(x=[1])", "no function is called 'f'", "f(x=[1])"),
    ],
)
def test_typed_errors(text: str, told: str, at: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        select(TABLES, text)
    assert told in caught.value.problem
    start, stop = caught.value.span
    assert text[start:stop] == at


def test_errors_of_python_trees_point_into_their_text() -> None:
    with pytest.raises(ExpressionError) as caught:
        select(TABLES, col("basic") & (col("nothing") > 1))
    assert str(caught.value).split("\n")[1:] == ["  basic & nothing > 1", "          ^^^^^^^"]
    with pytest.raises(ExpressionError, match="semdedup"):
        select(TABLES, semdedup(eps=0.1))


@pytest.mark.parametrize("length", [200, 5000])
def test_deep_trees_of_python_are_refused(length: int) -> None:
    tree = col("basic")
    for _ in range(length):
        tree = tree & col("basic")
    with pytest.raises(ExpressionError, match="at most 150 levels of nesting"):
        select(TABLES, tree)


def test_a_long_expression_is_shown_in_part() -> None:
    text = " & ".join(["basic"] * 60 + ["nothing"] + ["basic"] * 60)
    with pytest.raises(ExpressionError) as caught:
        select(TABLES, text)
    _, line, marks = str(caught.value).split("\n")
    assert len(line) < 90
    assert line[marks.index("^") : marks.rindex("^") + 1] == "nothing"
