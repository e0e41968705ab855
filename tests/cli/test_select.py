"""`tamis select`: an expression over scores, or a new threshold of a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.cli.command import call, run
from tests.run.snapshot import snapshot

from tamis.data.subset import read_subset

POOL = Path(__file__).parents[2] / "examples/pool"
SMALL = ["--embedding", "lite0_minilm_img", "--clusters", 8, "--probes", 1, "-q"]


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that selected nothing."""
    out = tmp_path_factory.mktemp("scores") / "run"
    assert call("dedup", POOL, "--out", out, *SMALL).code == 0
    return out


@pytest.mark.parametrize(
    "choice", [("--eps", 0.1), ("--keep", 0.6), ("--keep-rows", 777), ("--keep-rows", 1030)]
)
def test_it_is_the_selection_of_a_run_of_its_own(
    scores: Path, tmp_path: Path, choice: tuple[Any, ...]
) -> None:
    assert call("dedup", POOL, "--out", tmp_path / "own", *SMALL, *choice).code == 0
    expected = json.loads((tmp_path / "own/summary.json").read_text())
    before = snapshot(scores)

    outcome = call("select", scores, *choice, "--out", tmp_path / "subset.npy", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(outcome.out)
    assert found.pop("subset") == str(tmp_path / "subset.npy")
    assert found == {name: expected[name] for name in found}
    assert found.keys() >= {"kept", "removed", "quarantined", "eps", "ties_at_cut", "recall"}
    subset = (tmp_path / "subset.npy").read_bytes()
    assert subset == (tmp_path / "own/subset.npy").read_bytes()

    assert call("select", scores, *choice, "--out", tmp_path / "subset.parquet").code == 0
    ids = read_subset(tmp_path / "subset.parquet").to_list()
    assert ids == read_subset(tmp_path / "subset.npy").to_list()
    assert len(ids) == expected["kept"]
    assert snapshot(scores) == before


def test_the_npy_is_datacomps(scores: Path, tmp_path: Path) -> None:
    outcome = run("select", scores, "--keep", 0.5, "--out", tmp_path / "subset.npy")
    assert (outcome.code, outcome.err) == (0, "")
    subset = np.load(tmp_path / "subset.npy")
    assert subset.dtype == np.dtype("u8,u8") and len(subset) == 515
    assert (np.sort(subset) == subset).all()
    assert "515 (50.0%)" in outcome.out and "recall" in outcome.out


def test_without_out_it_only_tells(scores: Path) -> None:
    outcome = call("select", scores, "--eps", 0.1)
    assert outcome.code == 0 and "kept" in outcome.out and "subset" not in outcome.out


def test_choices_that_cannot_be_made(scores: Path, tmp_path: Path) -> None:
    for choice, told in {
        (): "give an expression, --eps, --keep or",
        ("--eps", 0.1, "--keep", 0.1): "at most one of eps, keep and keep_rows",
        ("--eps", 3): "eps must be in [0, 2], got 3.0",
        ("--keep", 2): "keep must be in (0, 1], got 2.0",
        ("--keep-rows", 1031): "keep_rows=1031 is more than the 1030 usable rows",
    }.items():
        outcome = call("select", scores, *choice, "--out", tmp_path / "subset.npy")
        assert outcome.code == 2
        assert told in outcome.told
    for name, told in {
        "subset.txt": "expected a subset file that ends in .npy or .parquet",
        "absent/subset.npy": "cannot write",
    }.items():
        outcome = call("select", scores, "--eps", 0.1, "--out", tmp_path / name)
        assert outcome.code == 2
        assert told in outcome.told
    assert list(tmp_path.iterdir()) == []


def test_npy_is_refused_for_other_ids(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.eye(5, dtype=np.float16))
    assert call("dedup", tmp_path / "rows.npy", "--out", tmp_path / "run", "-q").code == 0
    outcome = call("select", tmp_path / "run", "--keep", 0.5, "--out", tmp_path / "s.npy")
    assert outcome.code == 2
    assert "these are int64 ids; name the subset .parquet" in outcome.told
    assert (
        call("select", tmp_path / "run", "--keep", 0.5, "--out", tmp_path / "s.parquet").code == 0
    )
    assert read_subset(tmp_path / "s.parquet").to_list() == [0, 1]


def test_what_is_no_finished_run_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent", POOL):
        outcome = call("select", path, "--eps", 0.1)
        assert outcome.code == 2
        assert "is not a tamis run: it holds no manifest.json" in outcome.told
    rows = np.eye(40, dtype=np.float16)
    rows[:2] = 0
    np.save(tmp_path / "rows.npy", rows)
    assert call("dedup", tmp_path / "rows.npy", "--out", tmp_path / "run", "-q").code == 3
    outcome = call("select", tmp_path / "run", "--eps", 0.1)
    assert outcome.code == 2
    assert "has not ended; continue it with its own command first" in outcome.told


SCORE = "lite0_minilm_similarity_score"


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A score of others, for most rows of the pool."""
    tables = [pq.read_table(path) for path in sorted((POOL / "metadata").glob("*.parquet"))]
    table = pa.concat_tables(tables).slice(0, 1000)
    lengths = [len(text.split()) for text in table["text"].to_pylist()]
    path = tmp_path / "words.parquet"
    pq.write_table(pa.table({"uid": table["uid"], "words": lengths}), path)
    return path


def test_rows_that_a_table_has_beyond_the_pool_are_told(scores: Path, tmp_path: Path) -> None:
    table = pq.read_table(POOL / "metadata" / "00000.parquet", columns=["uid"])
    more = pa.table({"uid": ["f" * 32, "e" * 32]})
    other = pa.concat_tables([table, more])
    pq.write_table(
        other.append_column("x", pa.nulls(len(other), pa.int8())), tmp_path / "x.parquet"
    )
    told = call("select", scores, "x > 1", "--scores", tmp_path / "x.parquet").out
    assert "x: 2 of its rows are not in" in told and f"x: {1030 - len(table)} rows are not" in told


def test_an_expression(scores: Path, words: Path, tmp_path: Path) -> None:
    before = snapshot(scores)
    out = tmp_path / "subset.npy"
    expression = f"top({SCORE}, 0.5) & semdedup(eps=0.1) - words < 3"
    choice = ["--scores", POOL / "metadata", "--scores", words]
    refused = call("select", scores, expression, *choice)
    assert refused.code == 2 and "comparisons beside - stand in parentheses" in refused.err
    expression = f"top({SCORE}, 0.5) & semdedup(eps=0.1) - (words < 3)"
    outcome = call("select", scores, expression, *choice, "--out", out, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    report = json.loads(outcome.out)
    assert report == json.loads((tmp_path / "subset.npy.json").read_text())
    assert [term["term"] for term in report["terms"]] == [
        f"top({SCORE}, 0.5)", "semdedup(eps=0.1)", "words < 3",
    ]  # fmt: skip
    assert report["rows"] == 1030 and len(np.load(out)) == report["kept"] > 100
    assert report["without_score"] <= 30 and report["terms"][2]["without_score"] == 30
    assert [source["table"] for source in report["inputs"]] == ["semdedup", "metadata", "words"]
    assert snapshot(scores) == before

    told = call("select", scores, expression, *choice, "--out", tmp_path / "again.npy").out
    assert "threshold 0." in told and "words: 30 rows are not in" in told
    assert "rows in both" in told and f"{report['overlap'][1][0]:,}" in told
    assert "again.npy.json" in told and f"{report['kept']:,}" in told
    assert (tmp_path / "again.npy").read_bytes() == out.read_bytes()


@pytest.mark.parametrize("eps", [0.05, 0.3])
def test_eps_is_a_shorthand(scores: Path, tmp_path: Path, eps: float) -> None:
    call("select", scores, "--eps", eps, "--out", tmp_path / "short.npy")
    call("select", scores, f"semdedup(eps={eps})", "--out", tmp_path / "long.npy")
    assert (tmp_path / "short.npy").read_bytes() == (tmp_path / "long.npy").read_bytes()


def test_keep_is_a_shorthand(scores: Path, tmp_path: Path) -> None:
    call("select", scores, "--keep", 0.6, "--out", tmp_path / "short.npy")
    call("select", scores, "bottom(semdedup, 0.6)", "--out", tmp_path / "long.npy")
    assert (tmp_path / "short.npy").read_bytes() == (tmp_path / "long.npy").read_bytes()


def test_metadata_without_a_run(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    expression = f'top({SCORE}, 0.3, ties="datacomp") & original_width >= 200'
    outcome = run("select", POOL / "metadata", expression, "--export-metadata", kept, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    report = json.loads(outcome.out)
    tables = [pq.read_table(kept / f"0000{number}.parquet") for number in (0, 1)]
    assert sum(map(len, tables)) == report["kept"] == report["metadata"]["rows"]
    assert report["terms"][0]["rows"] == int(1030 * 0.3) + 1
    assert min(pa.concat_tables(tables)["original_width"].to_pylist()) >= 200
    assert (
        "metadata: " in call("select", POOL / "metadata", expression, "--export-metadata", kept).out
    )


def test_expressions_that_cannot_be_read(scores: Path, tmp_path: Path) -> None:
    out = tmp_path / "subset.npy"
    outcome = call("select", scores, "semdedup(eps=0.1) & clip > 0.3", "--out", out)
    assert outcome.code == 2 and outcome.out == ""
    assert outcome.err == (
        "tamis: no column is called 'clip' (the columns are cluster, nearest, reason, semdedup, "
        "uid) (character 21)\n"
        "  semdedup(eps=0.1) & clip > 0.3\n"
        "                      ^^^^\n"
    )
    for arguments, told in (
        (("semdedup(eps=0.1)", "--eps", 0.1), "give an expression or one of --eps, --keep and"),
        (("--scores", out), "--scores and --export-metadata need an expression"),
        (("semdedup(eps=0.1)", "--scores", out), "subset.npy does not exist"),
        (("semdedup < 0.5", "--export-metadata", scores), "holds other files"),
    ):
        outcome = call("select", scores, *arguments, "--out", out)
        assert outcome.code == 2 and told in outcome.told
    outcome = call("select", tmp_path, "semdedup < 0.5", "--out", out)
    assert outcome.code == 2 and "expected a folder with .parquet files" in outcome.told
    assert list(tmp_path.iterdir()) == []


def test_markup_in_an_expression_is_text(tmp_path: Path) -> None:
    table = {"uid": [f"{row:032x}" for row in range(9)], "[red]": range(9), "b": ["x"] * 9}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    outcome = call("select", tmp_path / "t.parquet", '`[red]` > 3 & b != "[/bold]"')
    assert outcome.code == 0
    assert "[red]" in outcome.out and "[/bold]" in outcome.out


def test_a_threshold_without_deduplication(tmp_path: Path) -> None:
    run = tmp_path / "run"
    pool = Path(__file__).parents[2] / "examples" / "pool" / "metadata"
    score = ["score", "clip", pool, "--image", "lite0_minilm_img", "--text", "minilm_txt"]
    assert call(*score, "--out", run, "--quiet").code == 0
    outcome = call("select", run, "--eps", 0.1)
    assert outcome.code == 2
    assert "holds no scores of SemDeDup; run tamis dedup first" in outcome.told
