"""`tamis score`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from tests.cli.command import call, run
from tests.data.pools import unit_rows, write_clip_retrieval
from tests.run.snapshot import snapshot
from typer.testing import CliRunner

from tamis.cli.score.command import Out, command
from tamis.cli.sides import PoolArgument
from tamis.run.directory import RunDirectory
from tamis.score.sides import noted_pool

POOL = Path(__file__).parents[2] / "examples/pool"
SIDES = ["--image", "lite0_minilm_img", "--text", "minilm_txt"]


def test_clip_in_a_process_of_its_own(tmp_path: Path) -> None:
    outcome = run("score", "clip", POOL, *SIDES, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    words = outcome.out.split()
    for told in ("clip", "1,030", "mean", "0.3257", "spread"):
        assert told in words, told
    assert "scoring" in outcome.err
    table = pq.read_table(tmp_path / "run/scores/clip/scores.parquet")
    assert table.schema.names == ["uid", "clip", "reason"] and len(table) == 1030
    assert json.loads((tmp_path / "run/pool.json").read_text()) == {"pool": str(POOL)}


def test_json_is_the_summary_and_the_run_knows_its_pool(tmp_path: Path) -> None:
    first = call("score", "clip", POOL, *SIDES, "--out", tmp_path / "run", "--json")
    assert (first.code, first.err) == (0, "")
    assert json.loads(first.out) == json.loads(
        (tmp_path / "run/scores/clip/summary.json").read_text()
    )
    again = call("score", "clip", *SIDES, "--out", tmp_path / "run", "--json")
    assert again.out == first.out
    quiet = call("score", "clip", *SIDES, "--out", tmp_path / "run", "-q", "--name", "second")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert (tmp_path / "run/scores/second/scores.parquet").is_file()


def test_parts_have_the_bytes_of_one_process(tmp_path: Path) -> None:
    more = ["--batch-size", 300, "--repetitions", 2, "--rows-per-unit", 200]
    arguments = ["score", "negcliploss", POOL, *SIDES, *more, "--out"]
    assert call(*arguments, tmp_path / "one", "--json").code == 0
    for i in (1, 2):
        outcome = call(*arguments, tmp_path / "parts", "--part", f"{i}/2")
        assert outcome.code == 0 and f"{i} of 2" in outcome.out
    assert call(*arguments, tmp_path / "parts", "-q").code == 0
    assert snapshot(tmp_path / "parts") == snapshot(tmp_path / "one")


def test_normsim(tmp_path: Path) -> None:
    target = np.load(POOL / "metadata/00000.npz")["lite0_minilm_img"][:50]
    np.save(tmp_path / "target.npy", target)
    for p in ("2", "inf"):
        outcome = call(
            *["score", "normsim", POOL, "--image", "lite0_minilm_img", "--p", p],
            *["--target", tmp_path / "target.npy", "--out", tmp_path / "run", "--json"],
        )
        assert outcome.code == 0, outcome.err
    table = pq.read_table(tmp_path / "run/scores/normsim_inf/scores.parquet")
    assert (table.column("normsim_inf").to_numpy()[:50] > 0.99).all()


def embed_step(run_folder: Path, name: str, kinds: tuple[str, ...], *, ended: bool = True) -> None:
    """RUN/embeddings/NAME as an embed step leaves it."""
    made = run_folder.parent / name
    write_clip_retrieval(made, [30, 12], padded=True, kinds=kinds)
    with RunDirectory.open(run_folder / "embeddings" / name, {"model": name}, []) as step:
        for file in sorted(made.rglob("*.*")):
            step.commit("embed", file.stem, {str(file.relative_to(made)): file.read_bytes()})
        bad = pa.table({"uid": ["000000003"], "reason": ["image embedding is zero"]})
        step.commit("result", "files", {"quarantine.parquet": bad})
        if ended:
            step.finish()


def test_embeddings_of_the_run(tmp_path: Path) -> None:
    out = tmp_path / "run"
    embed_step(out, "b32", ("img_emb", "text_emb"))
    embed_step(out, "flipped", ("img_emb",))
    embed_step(out, "half", ("img_emb", "text_emb"), ended=False)
    assert call("score", "clip", "--embeddings", "b32", "--out", out, "-q").code == 0
    both = ["--embeddings", "flipped", "--text-embeddings", "b32"]
    outcome = call("score", "clip", *both, "--name", "clip_flipped", "--out", out, "--json")
    assert outcome.code == 0 and json.loads(outcome.out)["rows_in"] == 42
    assert not (out / "pool.json").exists()
    for more, told in {
        ("--embeddings", "half"): "has not ended; continue it with its own command first",
        ("--embeddings", "none"): "is not a tamis run",
        ("--embeddings", "flipped"): "text_emb",
        (
            "--embeddings",
            "b32",
            "--image",
            "x",
        ): "expected image or embeddings, not both: --image or --embeddings",
        (): "expected a pool: no command has noted one",
    }.items():
        outcome = call("score", "clip", *more, "--out", out, "--name", "other")
        assert outcome.code == 2 and told in outcome.told, outcome.told


def test_a_clip_retrieval_folder_needs_no_names(tmp_path: Path) -> None:
    write_clip_retrieval(tmp_path / "pool", [5], padded=True, kinds=("img_emb", "text_emb"))
    outcome = call("score", "clip", tmp_path / "pool", "--out", tmp_path / "run", "--json")
    assert json.loads(outcome.out)["scored"] == 5


def test_too_many_rows_without_a_score(tmp_path: Path) -> None:
    rows = unit_rows(10)
    rows[4] = 0
    (tmp_path / "pool/img_emb").mkdir(parents=True)
    (tmp_path / "pool/text_emb").mkdir()
    (tmp_path / "pool/metadata").mkdir()
    np.save(tmp_path / "pool/img_emb/img_emb_0.npy", rows)
    np.save(tmp_path / "pool/text_emb/text_emb_0.npy", unit_rows(10))
    pq.write_table(pa.table({"key": np.arange(10)}), tmp_path / "pool/metadata/metadata_0.parquet")
    arguments = ["score", "clip", tmp_path / "pool", "--out", tmp_path / "run"]
    outcome = call(*arguments, "--max-bad-fraction", 0.05)
    assert outcome.code == 3
    assert "1 of 10 rows have no score (image embedding is zero: 1)" in outcome.told
    outcome = call(*arguments, "--max-bad-fraction", 0.1)
    assert outcome.code == 0
    assert "unscored 1 (image embedding is zero: 1)" in " ".join(outcome.out.split())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--part", "3/2"], "expected a part I/N with 1 <= I <= N, such as 2/8, got 3/2"),
        (["--rows-per-unit", 0], "--rows-per-unit: expected at least 1"),
        (["--threads", 0], "--threads: expected at least 1"),
        (["--max-bad-fraction", 2], "expected a share from 0 to 1"),
        (["--name", "a b"], "expected a name of letters, digits and underscores"),
        (["--text", "lite0_img"], "384 dimensions, the text embeddings of"),
        (["--text", "absent"], "expected an array 'absent', the file has"),
    ],
)
def test_what_is_refused(arguments: list[object], told: str, tmp_path: Path) -> None:
    outcome = call("score", "clip", POOL, *SIDES, *arguments, "--out", tmp_path / "run")
    assert outcome.code == 2
    assert told in outcome.told
    assert not (tmp_path / "run/scores").exists()


def test_help_names_every_command_and_the_shared_options() -> None:
    outcome = call("score", "--help")
    for name in ("clip", "negcliploss", "normsim"):
        assert name in outcome.out
    outcome = call("score", "negcliploss", "--help")
    for option in ("--temperature", "--batch-size", "--part", "--rows-per-unit", "--embeddings"):
        assert option in outcome.out


def test_a_command_of_another_module(tmp_path: Path) -> None:
    """How further scorers are added: a function that makes one."""
    from tests.score.toy import FirstElement, write_pool

    def first(out: Out, pool: PoolArgument = None, limit: float = 1.5) -> FirstElement:
        """The first element."""
        return FirstElement(Path(noted_pool(pool, out)), limit)

    app = typer.Typer(no_args_is_help=True)
    app.command("first")(command(first))
    app.command("other")(command(first))
    write_pool(tmp_path / "pool")
    arguments = ["first", str(tmp_path / "pool"), "--out", str(tmp_path / "run"), "--limit", "2"]
    outcome = CliRunner().invoke(app, [*arguments, "--json"])
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout)["score"] == "first"
