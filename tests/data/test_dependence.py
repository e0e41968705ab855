"""Scores that depend on different things are not mixed, whichever way they come together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.cli.command import call

from tamis.data.dependence import DEPENDS_KEY, dependence_metadata
from tamis.data.score_file import ScoreFiles
from tamis.data.score_table import ScoreTables
from tamis.errors import PoolError
from tamis.select import select

ONE = {"reference": "a" * 64, "model": "sha256:m"}
OTHER = {"reference": "b" * 64, "model": "sha256:m"}
MIXED = (
    r"column 'hype' was scored with another reference \(b{24}\.\.\.\) than in .* \(a{24}\.\.\.\)"
)


def write(path: Path, depends: Mapping[str, Any], ids: str = "abc", name: str = "hype") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"id": list(ids), name: [0.5] * len(ids), "reason": [None] * len(ids)})
    pq.write_table(table.replace_schema_metadata(dependence_metadata(depends)), path)
    return path


def test_a_table_says_what_it_depends_on(tmp_path: Path) -> None:
    assert ScoreFiles.open(write(tmp_path / "a.parquet", ONE)).depends == ONE
    assert ScoreFiles.open(write(tmp_path / "b.parquet", {})).depends == {}


def test_shards_of_one_table(tmp_path: Path) -> None:
    write(tmp_path / "same/0.parquet", ONE)
    write(tmp_path / "same/1.parquet", {}, "d")
    write(tmp_path / "same/2.parquet", ONE, "e")
    write(tmp_path / "same/9.parquet", {"model": None})
    assert ScoreFiles.open(tmp_path / "same").depends == ONE
    write(tmp_path / "same/3.parquet", OTHER, "f")
    with pytest.raises(PoolError, match=f"3.parquet: {MIXED}"):
        ScoreFiles.open(tmp_path / "same")


def test_tables_beside_each_other(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.parquet", ONE), write(tmp_path / "b.parquet", OTHER)
    with pytest.raises(PoolError, match=f"b.parquet: {MIXED}"):
        ScoreTables.open(one, [other])
    renamed = write(tmp_path / "c.parquet", OTHER, name="hype_b")
    ScoreTables.open(one, [renamed, write(tmp_path / "d.parquet", ONE)])
    with pytest.raises(PoolError, match=r"than in .*a\.parquet"):
        select(one, "top(hype, 0.5)", scores=[renamed, other])


def test_the_command_refuses_them_in_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / "run/scores/hype/scores.parquet", ONE)
    other = write(tmp_path / "more/hype.parquet", OTHER)
    outcome = call("select", tmp_path / "run", "top(hype, 0.5)", "--scores", other)
    assert outcome.code == 2
    assert "such scores cannot be mixed, score both with the same reference" in outcome.told


def test_what_is_not_known_to_differ_is_let_pass(tmp_path: Path) -> None:
    one = write(tmp_path / "a.parquet", ONE)
    silent = write(tmp_path / "b.parquet", {})
    unknown = write(tmp_path / "c.parquet", {"reference": "a" * 64, "model": None})
    assert ScoreTables.open(one, [silent, unknown]).names()["hype"] == ["a", "b", "c"]
    model = write(tmp_path / "d.parquet", {**ONE, "model": "sha256:n"})
    with pytest.raises(PoolError, match=r"another model \(sha256:n\)"):
        ScoreTables.open(unknown, [silent, one, model])


@pytest.mark.parametrize("told", [b"{", b"[1]", b"\xff", b"null"])
def test_damaged_metadata(told: bytes, tmp_path: Path) -> None:
    table = pa.table({"id": ["a"], "hype": [0.5]}).replace_schema_metadata({DEPENDS_KEY: told})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(PoolError, match=r"tamis\.depends is not a JSON object"):
        ScoreFiles.open(tmp_path / "a.parquet")
