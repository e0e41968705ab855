"""`tamis reshard`, as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from tests.reshard.shards import new_shards, write_pool
from tests.samples.hostile_tars import uid
from typer.testing import CliRunner

from tamis.cli.reshard import reshard
from tamis.data.subset import write_subset
from tamis.errors import PoolError

app = typer.Typer()
app.command()(reshard)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    pool = write_pool(tmp_path / "pool")
    subset = tmp_path / "subset.npy"
    write_subset(subset, [uid(number) for number in (1, 1, 2, 99)])
    return [str(pool), "--subset", str(subset), "--out", str(tmp_path / "out")]


def test_summary_as_json(arguments: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*arguments, "--json", "--shard-size", "2"])
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert (summary["written"], summary["missing"], summary["shards"]) == (3, 1, 2)
    assert len(new_shards(tmp_path / "out")) == 2


def test_summary_for_people(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert "written 3 (2 different samples)" in text
    assert "not in the pool 1, listed in" in text
    assert CliRunner().invoke(app, [*arguments, "--quiet"]).output == ""


@pytest.mark.parametrize(
    "wrong", [["--shard-size", "0"], ["--first-shard", "-1"], ["--threads", "0"]]
)
def test_wrong_options(arguments: list[str], wrong: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments, *wrong])
    assert result.exit_code == 2 and wrong[0] in result.output


def test_no_such_pool(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["nowhere", *arguments[1:]])
    assert isinstance(result.exception, PoolError)
