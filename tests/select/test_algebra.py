"""Sets, unknown rows and repeats: the laws, and what a row without a score can never do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.select.tables import chosen, hard_scores, kept

from tamis.data.ids import Ids
from tamis.data.score_table import ScoreTables
from tamis.data.subset import write_subset
from tamis.select import Expression, ExpressionError, col, everything, scored, semdedup, uids

N = 60
TABLES = ScoreTables.of(
    Ids.rows(N),
    {
        "x": hard_scores(N, 1),
        "y": hard_scores(N, 2, np.float64),
        "n": [None if row % 7 == 0 else row - 30 for row in range(N)],
        "p": [None if row % 5 == 0 else row % 3 == 0 for row in range(N)],
        "q": [row % 4 == 0 for row in range(N)],
        "lang": [None if row % 11 == 0 else "en" if row % 2 else "de" for row in range(N)],
        "semdedup": hard_scores(N, 3),
    },
)
LEAVES = [
    "x > 0.125", "x <= 0", "y == 0.25", "n != 3", "n >= -2", "p", "q", 'lang == "en"',
    'lang != "en"', "top(x, 0.3)", "bottom(y, 9)", "semdedup(eps=0.75)", "x > y", "scored(x)",
    "p == false", 'top(x, 0.2, ties="datacomp")', "rank(y) < 20", "all()",
]  # fmt: skip


def sets() -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from([f"({leaf})" for leaf in LEAVES]),
        lambda part: st.one_of(
            st.builds("({} {} {})".format, part, st.sampled_from(["&", "|", "-", "within"]), part),
            st.builds("~({})".format, part),
        ),
        max_leaves=4,
    )


def rows(expression: str) -> frozenset[int]:
    return frozenset(kept(TABLES, expression))


@settings(max_examples=20)
@given(sets(), sets(), sets())
def test_the_laws_of_three_valued_sets(a: str, b: str, c: str) -> None:
    for one, other in (
        (f"{a} & {b}", f"{b} & {a}"),
        (f"{a} | {b}", f"{b} | {a}"),
        (f"{a} & ({b} & {c})", f"({a} & {b}) & {c}"),
        (f"{a} | ({b} | {c})", f"({a} | {b}) | {c}"),
        (f"{a} & ({b} | {c})", f"({a} & {b}) | ({a} & {c})"),
        (f"{a} | ({b} & {c})", f"({a} | {b}) & ({a} | {c})"),
        (f"~({a} & {b})", f"~({a}) | ~({b})"),
        (f"~({a} | {b})", f"~({a}) & ~({b})"),
        (f"~~({a})", a),
        (f"{a} & {a}", a),
        (f"{a} | {a}", a),
        (f"{a} & ({a} | {b})", a),
        (f"{a} - {b}", f"{a} & ~({b})"),
        (f"{a} within all()", a),
    ):
        assert rows(one) == rows(other), (one, other)
    assert rows(f"{a} & {b}") == rows(a) & rows(b)
    assert rows(f"{a} | {b}") == rows(a) | rows(b)
    assert not rows(f"{a} & ~({a})")
    assert rows(f"{a} within {b}") <= rows(b)


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_row_without_a_score_never_passes(leaf: str) -> None:
    selected, complement = chosen(TABLES, leaf), chosen(TABLES, f"~({leaf})")
    inside, outside = set(selected.rows), set(complement.rows)
    unknown = set(range(N)) - inside - outside
    assert not inside & outside
    assert len(unknown) == selected.report["without_score"]
    missing = {
        "x": np.isnan(hard_scores(N, 1)),
        "y": np.isnan(hard_scores(N, 2)),
        "n": np.arange(N) % 7 == 0,
        "p": np.arange(N) % 5 == 0,
        "lang": np.arange(N) % 11 == 0,
        "semdedup": np.isnan(hard_scores(N, 3)),
        "q": np.zeros(N, bool),
    }
    used = [name for name in missing if name in leaf.replace("all()", "").replace("eps", "")]
    if "scored" in leaf or "all" in leaf:
        assert not unknown
    elif leaf == "x > y":
        assert unknown == set(np.flatnonzero(missing["x"] | missing["y"]))
    else:
        name = next(name for name in ("semdedup", "lang", *used) if name in leaf)
        if name == "p" and leaf.startswith("top"):
            name = "x"
        assert unknown == set(np.flatnonzero(missing[name]))


def test_unknown_rows_can_be_asked_for() -> None:
    assert rows("x > 0.125 | ~scored(x)") == rows("x > 0.125") | rows("~scored(x)")
    assert len(rows("~scored(x)")) == np.isnan(hard_scores(N, 1)).sum()
    assert rows("~scored(lang)") == set(range(0, N, 11))


def test_literals_are_compared_in_the_type_of_the_column() -> None:
    values = np.array([0.28, np.nextafter(np.float32(0.28), np.float32(0)), 1e39], np.float64)
    with np.errstate(over="ignore"):
        tables = ScoreTables.of(
            Ids.rows(3), {"single": values.astype(np.float32), "double": values}
        )
    assert kept(tables, "single >= 0.28") == [0, 2]
    assert kept(tables, "0.28 <= single") == [0, 2]
    assert kept(tables, "single == 0.28") == [0]
    assert kept(tables, "double >= 0.28") == [0, 2]
    assert kept(tables, "single >= 1e39") == [2]  # float32 has no such number but infinity
    assert kept(tables, "double > 1e39") == []
    large = ScoreTables.of(Ids.rows(2), {"n": np.array([2**62, 2**62 + 1])})
    assert kept(large, f"n > {2**62}") == [1]
    assert kept(large, f"n == {2**62 + 1}") == [1]
    unsigned = ScoreTables.of(Ids.rows(2), {"n": np.array([0, 2**64 - 1], np.uint64)})
    assert kept(unsigned, "n > 9223372036854775807") == [1]
    assert kept(unsigned, "n > -1") == [0, 1]


def test_semdedups_rule_is_a_comparison_in_float32() -> None:
    threshold = np.float32(1 - 0.03)
    cosine = np.array(
        [-np.inf, threshold, np.nextafter(threshold, np.float32(2)), 1.0, np.nan], np.float32
    )
    tables = ScoreTables.of(Ids.rows(5), {"semdedup": cosine})
    assert kept(tables, semdedup(eps=0.03)) == [0, 1]
    assert kept(tables, ~semdedup(eps=0.03)) == [2, 3]
    assert chosen(tables, semdedup(eps=0.03)).report["terms"][0]["threshold"] == float(threshold)


def write_bag(path: Path, rows_and_times: dict[int, int]) -> str:
    listed = [row for row, times in rows_and_times.items() for _ in range(times)]
    write_subset(path, [f"{row:032x}" for row in listed])
    return f'uids("{path}")'


@pytest.fixture
def bags(tmp_path: Path) -> tuple[ScoreTables, str, str]:
    tables = ScoreTables.of(
        [f"{row:032x}" for row in range(8)],
        {"q": [row < 4 for row in range(8)], "x": np.arange(8, dtype=np.float32)},
    )
    one = write_bag(tmp_path / "one.npy", {0: 1, 1: 2, 2: 3, 5: 2, 99: 4})
    other = write_bag(tmp_path / "other.npy", {1: 1, 2: 5, 6: 1})
    return tables, one, other


def test_repeats(bags: tuple[ScoreTables, str, str]) -> None:
    tables, a, b = bags
    for expression, expected in {
        a: [0, 1, 1, 2, 2, 2, 5, 5],
        f"{a} & {b}": [1, 2, 2, 2],
        f"{a} | {b}": [0, 1, 1, 2, 2, 2, 2, 2, 5, 5, 6],
        f"{a} & q": [0, 1, 1, 2, 2, 2],
        f"q & {a}": [0, 1, 1, 2, 2, 2],
        f"{a} | q": [0, 1, 1, 2, 2, 2, 3, 5, 5],
        f"{a} - {b}": [0, 5, 5],
        f"q - {b}": [0, 3],
        f"~{b}": [0, 3, 4, 5, 7],
        f"~~{a}": [0, 1, 2, 5],
        f"top(x, 0.5) within {a}": [2, 2, 2, 5, 5],
        f"{a} within q": [0, 1, 1, 2, 2, 2],
    }.items():
        assert kept(tables, expression) == expected, expression
    report = chosen(tables, f"top(x, 0.5) within {a}").report
    assert (report["kept"], report["kept_rows"]) == (5, 2)
    listed = report["terms"][1]
    assert (listed["rows"], listed["listed"], listed["different"], listed["absent"]) == (
        4,
        12,
        5,
        1,
    )
    assert report["terms"][0]["of_rows"] == 4


@given(st.data())
def test_the_laws_of_bags(data: st.DataObject) -> None:
    from tamis.select.logic import Verdict

    def bag() -> Verdict:
        times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6)), np.uint32)
        return Verdict(times > 0, times == 0, times)

    def same(one: Verdict, other: Verdict) -> bool:
        return bool((one.how_often() == other.how_often()).all() and (one.no == other.no).all())

    a, b, c = bag(), bag(), bag()
    assert same(a & b, b & a) and same(a | b, b | a)
    assert same(a & (b & c), (a & b) & c) and same(a | (b | c), (a | b) | c)
    assert same(a & (b | c), (a & b) | (a & c)) and same(a | (b & c), (a | b) & (a | c))
    assert same(a & a, a) and same(a | a, a) and same(a & (a | b), a)
    every = Verdict.of(np.ones(6, bool))
    assert same(a & every, a) and same(every & a, a)


@pytest.mark.parametrize("ending", ["npy", "txt", "parquet"])
def test_lists_of_ids(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"list.{ending}"
    ids = [f"{row:032x}" for row in (3, 1, 1, 77)]
    if ending == "txt":
        path.write_text("\ufeff" + "\r\n".join([ids[0], "", f"  {ids[1]}  ", *ids[2:]]) + "\n")
    else:
        write_subset(path, ids)
    tables = ScoreTables.of([f"{row:032x}" for row in range(5)], {"x": range(5)})
    assert kept(tables, uids(path)) == [1, 1, 3]
    assert kept(tables, (col("x") > 1) & uids(path), block_rows=1024) == [3]


def test_lists_of_numbers_and_texts(tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("3\n1\n")
    (tmp_path / "texts.txt").write_text("b\nz\nb\n")
    (tmp_path / "nothing.txt").write_text("\n")
    numbers = ScoreTables.of(Ids.rows(4), {"x": range(4)})
    texts = ScoreTables.of(list("abc"), {"x": range(3)})
    assert kept(numbers, uids(tmp_path / "numbers.txt")) == [1, 3]
    assert kept(numbers, uids(tmp_path / "texts.txt")) == []
    assert kept(texts, uids(tmp_path / "texts.txt")) == [1, 1]
    assert kept(texts, uids(tmp_path / "numbers.txt")) == []
    for tables in (numbers, texts):
        assert kept(tables, uids(tmp_path / "nothing.txt")) == []
        assert len(kept(tables, ~uids(tmp_path / "nothing.txt"))) == tables.n_rows


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("absent.npy", None, "expected a file with ids, but there is none"),
        ("list.csv", b"x", "expected a list of ids that ends in .npy, .txt or .parquet"),
        ("bad.txt", b"\xff\xfe", "expected UTF-8 text, byte 0 is not"),
        ("bad.npy", b"no array", "bad.npy"),
        ("bad.parquet", b"no table", "not a readable parquet file"),
    ],
)
def test_lists_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ExpressionError, match=told) as caught:
        chosen(TABLES, everything() & uids(tmp_path / name))
    text = f'all() & uids("{tmp_path / name}")'
    start, stop = caught.value.span
    assert text[start:stop] == f'"{tmp_path / name}"'


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ExpressionError, match=r"evil\.npy"):
        chosen(TABLES, uids(tmp_path / "evil.npy"))


def test_blocks_do_not_matter() -> None:
    n_rows = 5000
    tables = ScoreTables.of(
        Ids.rows(n_rows),
        {"x": hard_scores(n_rows, 4), "y": hard_scores(n_rows, 5), "q": hard_scores(n_rows) > 0},
    )
    expression: Expression = (
        (col("x").top(0.4) & scored(col("y"))).within(col("q")) | col("y").bottom(333)
    )  # fmt: skip
    whole = chosen(tables, expression)
    for block_rows in (1024, 2048, 4096):
        part = chosen(tables, expression, block_rows=block_rows)
        assert part.rows.tolist() == whole.rows.tolist()
        assert part.report == whole.report
    with pytest.raises(ValueError, match="expected a multiple of 1024 rows, got 1000"):
        chosen(tables, expression, block_rows=1000)
