"""The language: what is read, what is refused and where, and that printing and reading agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.select import (
    Expression,
    ExpressionError,
    bottom,
    col,
    everything,
    fuse,
    minmax,
    parse,
    quantile,
    rank,
    scored,
    semdedup,
    top,
    uids,
    zscore,
)
from tamis.select import tree as nodes


@pytest.mark.parametrize(
    ("text", "built"),
    [
        ("clip_l14 >= 0.28", col("clip_l14") >= 0.28),
        ("0.28 <= clip_l14", nodes.binary("<=", 0.28, col("clip_l14"))),
        ('language == "en"', col("language") == "en"),
        ("language != 'e\"\\'n'", col("language") != "e\"'n"),
        ("basic", col("basic")),
        ("basic == True", col("basic") == True),  # noqa: E712
        ("top(clip_l14,.3)", top(col("clip_l14"), 0.3)),
        ("top(clip, 1_000, ties='datacomp')", col("clip").top(1000, ties="datacomp")),
        ("bottom(-x, 1.)", bottom(-col("x"), 1.0)),
        ("semdedup(eps=0.03)", semdedup(eps=0.03)),
        ('uids("a b.npy")', uids("a b.npy")),
        (
            "fuse(minmax(a), zscore(b), weights=[0.5, -.5])",
            fuse(minmax(col("a")), zscore(col("b")), weights=[0.5, -0.5]),
        ),
        ("rank(x) + quantile(x) > 1e-3", rank(col("x")) + quantile(col("x")) > 1e-3),
        ("all() - ~scored(x)", everything() - ~scored(col("x"))),
        ("a & b | c & d", (col("a") & col("b")) | (col("c") & col("d"))),
        ("a | b & c - d", col("a") | (col("b") & (col("c") - col("d")))),
        ("a - b - c", (col("a") - col("b")) - col("c")),
        ("~a - b", (~col("a")) - col("b")),
        ("x > 1 & y <= 2 * 3 + 1", (col("x") > 1) & (col("y") <= nodes.binary("*", 2, 3) + 1)),
        ("a & b within c | d", (col("a") & col("b")).within(col("c") | col("d"))),
        ("a within b within c", col("a").within(col("b")).within(col("c"))),
        ("a\n  within\tb", col("a").within(col("b"))),
        ("`odd name` > clip.`a``b`", col("odd name") > col("a`b", "clip")),
        ("withins & trueish & orange", col("withins") & col("trueish") & col("orange")),
        ("été == 1", col("été") == 1),
        ("x == -3", col("x") == -3),
        ("x == --3", col("x") == 3),
        ("((((a))))", col("a")),
    ],
)
def test_text_and_python_build_the_same_tree(text: str, built: Expression) -> None:
    parsed = parse(text)
    assert parsed.same_as(built)
    assert parse(str(parsed)).same_as(parsed)
    assert parse(text.replace(" ", "  ").replace("a  b", "a b").replace("d  n", "d n")) is not None


def trees() -> st.SearchStrategy[Expression]:
    names = st.one_of(
        st.sampled_from(["a", "within", "and", "AND", "true", "x y", "`", "1a"]),
        st.text(min_size=1, max_size=4),
    )
    number = st.one_of(
        st.integers(-(10**18), 10**18),
        st.floats(allow_nan=False, allow_infinity=False),
    )
    leaves = st.one_of(
        st.builds(nodes.Column, names, st.none() | names),
        number.map(nodes.Number),
        st.text(max_size=5).map(nodes.Text),
        st.booleans().map(nodes.Flag),
    )

    def larger(part: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        lists = st.lists(number, min_size=1, max_size=3)
        keywords = st.dictionaries(
            st.sampled_from(["eps", "weights", "ties"]),
            st.one_of(number, st.text(max_size=3), lists, part),
            max_size=2,
        )
        return st.one_of(
            st.builds(nodes.binary, st.sampled_from(sorted(nodes.STRENGTH)), part, part),
            st.builds(nodes.unary, st.sampled_from(["~", "-"]), part),
            st.builds(
                lambda name, arguments, named: nodes.call(name, *arguments, **named),
                st.sampled_from(["top", "f", "été", "_1"]),
                st.lists(part, max_size=3),
                keywords,
            ),
        )

    return st.recursive(leaves, larger, max_leaves=12)


@given(trees())
def test_a_printed_tree_reads_as_itself(tree: Expression) -> None:
    assert parse(str(tree)).same_as(tree)


def test_trees_that_differ_are_told_apart() -> None:
    for one, other in (
        ("a - b - c", "a - (b - c)"),
        ("top(x, 1)", "top(x, 1.0)"),
        ("x > 0.0", "x > -0.0"),
        ("a", "t.a"),
        ("f(x)", "f(x, x)"),
        ("a & b", "a | b"),
        ("a", '"a"'),
    ):
        assert not parse(one).same_as(parse(other))


@pytest.mark.parametrize(
    ("text", "told", "carets"),
    [
        ("", "expected an expression such as top(clip_l14, 0.3), got nothing", (0, 1)),
        (" \n ", "got nothing", (0, 1)),
        ("a &", "expected a column, a function or a number, the expression ends", (3, 1)),
        ("& a", "expected a column, a function or a number, got '&'", (0, 1)),
        ("a b", "expected an operator or the end, got 'b'", (2, 1)),
        ("(a", 'expected ")", the expression ends', (2, 1)),
        ("a)", "expected an operator or the end, got ')'", (1, 1)),
        ("top(x,)", "expected a column, a function or a number, got ')'", (6, 1)),
        ("a $ b", "expected an expression, got '$'", (2, 1)),
        ("a == 'en", "expected a closing '", (5, 3)),
        ("a == `en", "expected a closing `", (5, 3)),
        ("a = 3", "write == to compare", (2, 1)),
        ("0.2 <= x < 0.3", "comparisons do not chain: write 0.2 <= x & x < 0.3", (9, 1)),
        ("a > 1 == b", "comparisons do not chain", (6, 2)),
        ("a and b", "write & for and", (2, 3)),
        ("a OR b", "write | for OR", (2, 2)),
        ("not a", "write ~ for not", (0, 3)),
        ("a & !b", "write ~ for not, != for unequal", (4, 1)),
        ("[1]", "expected a column, a function or a number, got '['", (0, 1)),
        ("f(x=1, 2)", "expected arguments with names behind those without", (7, 1)),
        ("f(x=1, x=2)", "x is given twice", (9, 1)),
        ("1e999 < a", "expected a number that float64 can hold", (0, 5)),
        ("a == '\\q'", "expected the escapes of JSON in a text", (5, 4)),
        ("a &\n b &&\n c", "got '&'", (4, 1)),
    ],
)
def test_errors_point_at_the_character(text: str, told: str, carets: tuple[int, int]) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    problem, line, marks = str(caught.value).split("\n")
    assert told in problem and f"(character {caught.value.span[0] + 1})" in problem
    assert line.startswith("  ") and marks.startswith("  ")
    assert (len(marks) - 2 - marks.count("^"), marks.count("^")) == carets
    assert line[2:] == text.split("\n")[text.count("\n", 0, caught.value.span[0])].rstrip("\n")


def test_hostile_texts_are_refused_quickly() -> None:
    for text, told in {
        "(" * 50_000: "the expression ends",
        "~" * 50_000 + "a": "levels of nesting",
        "-" * 50_000 + "a": "levels of nesting",
        "f(" * 500 + "a" + ")" * 500: "levels of nesting",
        " | ".join(["a"] * 500): "levels of nesting",
        "a" * 200_000: "at most 100,000 characters",
        '"' + "\\" * 50_001: "closing",
        "`" * 50_001: "closing",
        "x > " + "9" * 90_000: "float64",
        "x > " + "\u0661" * 10 + "e999": "float64",
    }.items():
        with pytest.raises(ExpressionError, match=told) as caught:
            parse(text)
        assert len(str(caught.value)) < 600
    assert str(parse("(" * 100 + "a" + ")" * 100)) == "a"
    assert parse(" | ".join(["a"] * 140)).same_as(parse(" | ".join(["a"] * 140)))


def test_code_is_a_name_and_nothing_else() -> None:
    for text in (
        "__import__('os')",
        "a.b.c",
        "a[0]",
        "lambda: 1",
        "x if y else z",
        'f"{a}"',
        "a; b",
        "a := 1",
        "a ** 2",
        "top(x, 0.3).rows",
        "a, b",
    ):
        try:
            tree = parse(text)
        except ExpressionError:
            continue
        assert text == "__import__('os')" and isinstance(tree, nodes.Call)


def test_python_values_that_are_no_expressions() -> None:
    for value in (None, [1], object(), b"x"):
        with pytest.raises(TypeError, match="expected an expression, a number, a text or a bool"):
            _ = col("a") > value
    for value in (float("nan"), np.float32("inf")):
        with pytest.raises(ValueError, match="expected a finite number"):
            _ = col("a") > value
    with pytest.raises(TypeError, match=r"use & \| ~ for and, or, not"):
        bool(col("a"))
    with pytest.raises(TypeError, match="no truth value"):
        _ = 0 < col("a") < 1


@pytest.mark.parametrize("value", [np.float32(0.3), np.float64(0.3), 0.3])
def test_numpy_numbers_are_meant_as_they_print(value: Any) -> None:
    assert str(col("a") >= value) == "a >= 0.3"
    assert str(top(col("a"), np.int64(7))) == "top(a, 7)"
    assert str(col("a") == np.bool_(True)) == "a == true"
