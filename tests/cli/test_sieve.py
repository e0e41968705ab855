"""`tamis score sieve` and `tamis show sieve`: from images and texts to scores and a sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.cli.command import Outcome, call
from tests.embed.small import picture, write_pool
from tests.filters.sieve.tiny_blip import save_tiny_blip
from tests.run.snapshot import snapshot
from typer.testing import CliRunner

from tamis.cli.show import app as show_app
from tamis.errors import PoolError, RunError

ALTS = ["a cat on a mat", "photo", "", "a red kite", "stock photo of the sea", "imagery"]
CAPTIONS = [["a cat", "a mat"], ["a photo"], ["a dog"], [], ["the sea", "a ship"], ["ry"]]


def table_pool(path: Path) -> Path:
    uids = [f"{row:032x}" for row in range(len(ALTS))]
    pq.write_table(pa.table({"uid": uids, "text": ALTS, "captions": CAPTIONS}), path)
    return path


def score(pool: Path | None, out: Path, *options: object) -> Outcome:
    given = [] if pool is None else [pool]
    return call("score", "sieve", *given, "--out", out, *options)


def lines(run: Path, name: str = "sieve") -> list[dict[str, Any]]:
    table = pq.read_table(run / "scores" / name / "scores.parquet")
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def show(*arguments: object) -> Any:
    return CliRunner().invoke(show_app, ["sieve", *map(str, arguments)])


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of images that ImageNet's labels describe."""
    folder = tmp_path_factory.mktemp("scored")
    texts = ["a photo of a tabby cat", "jigsaw puzzle", "noise", "\u96ea \u05d7\u05ea", ""]
    images = [picture(row) for row in range(4)] + [b"no image"]
    write_pool(folder / "pool", images, texts)
    outcome = score(folder / "pool", folder / "run", "--captions", 3)
    assert outcome.code == 0, outcome.err
    (folder / "told.txt").write_text(outcome.out)
    return folder


def test_the_summary_says_what_made_the_numbers(scored: Path) -> None:
    told = " ".join((scored / "told.txt").read_text().split())
    assert "captioner labels: ImageNet classes of EfficientNet-lite0, no captioner" in told
    assert "encoder sentence:all-MiniLM-L6-v2" in told and "scored 4" in told
    summary = json.loads((scored / "run/scores/sieve/summary.json").read_text())
    assert summary["recipe"]["captions"] == 3 and summary["scored"] == 4
    assert list(summary["reasons"]) == ["text is blank; image is in no known format"]
    rows = lines(scored / "run")
    assert list(rows[0]) == [
        "uid",
        *(f"sieve{ending}" for ending in ("", "_mean", "_caption", "_unmasked")),
        "reason",
    ]
    assert all(-1 <= row["sieve"] <= 1 for row in rows[:4])
    assert rows[0]["sieve_caption"].startswith("a photo of a ")
    captions = pq.read_table(scored / "run/captions/labels/captions.parquet")
    assert [len(row or []) for row in captions.column("captions").to_pylist()] == [3, 3, 3, 3, 0]


def test_the_same_command_again_changes_nothing(scored: Path) -> None:
    before = snapshot(scored / "run")
    assert score(None, scored / "run", "--captions", 3, "-q").code == 0
    assert snapshot(scored / "run") == before
    changed = score(None, scored / "run", "--captions", 3, "--mode", "word")
    assert changed.code == 2 and "mode" in changed.told


def test_captions_serve_again_under_other_phrases(scored: Path, tmp_path: Path) -> None:
    phrases = tmp_path / "phrases.txt"
    phrases.write_text("a photo of\ntabby\n")
    given = ["--captions-from", "labels", "--phrases", phrases, "--mode", "word", "--json"]
    outcome = score(None, scored / "run", *given, "--name", "sieve_tabby")
    assert outcome.code == 0, outcome.err
    recipe = json.loads(outcome.out)["recipe"]
    assert recipe["phrases"] == ["a photo of", "tabby"] and recipe["mode"] == "word"
    assert recipe["captioner"]["model"].startswith("labels")
    both = zip(lines(scored / "run"), lines(scored / "run", "sieve_tabby"), strict=True)
    assert all(
        str(row["sieve_unmasked"]) == str(other["sieve_tabby_unmasked"]) for row, other in both
    )


def test_given_captions_and_parts(tmp_path: Path) -> None:
    pool = table_pool(tmp_path / "pool.parquet")
    more = ["--captioner", "column:captions"]
    assert score(pool, tmp_path / "one", *more, "-q").code == 0
    rows = lines(tmp_path / "one")
    assert [row["reason"] is None for row in rows] == [True, True, False, False, True, True]
    assert rows[2]["reason"] == "text is blank"
    assert rows[1]["sieve"] == 0 and rows[1]["sieve_caption"] == "a photo"
    assert rows[5]["sieve"] == 1 and rows[5]["sieve_unmasked"] < 0.9  # "imagery" without "image"
    assert rows[4]["sieve_caption"] == "the sea"
    first = score(pool, tmp_path / "parts", *more, "--part", "1/1")
    assert first.code == 0 and "the command without --part joins" in " ".join(first.out.split())
    assert score(pool, tmp_path / "parts", *more, "-q").code == 0
    table = Path("scores/sieve/scores.parquet")
    assert (tmp_path / "one" / table).read_bytes() == (tmp_path / "parts" / table).read_bytes()


def test_captions_of_a_model_are_drawn_as_asked(tmp_path: Path) -> None:
    model = save_tiny_blip(tmp_path / "tiny")
    write_pool(tmp_path / "pool", [picture(row) for row in range(2)], ["a dog", "a kite"])
    asked = {
        "seed": 3,
        "prompt": "a big ",
        "top_p": 0.8,
        "top_k": 7,
        "min_tokens": 4,
        "max_tokens": 9,
        "repetition_penalty": 1.5,
    }
    options = [part for name, value in asked.items() for part in (option(name), value)]
    options += ["--captioner", "blip:tiny", "--weights", model, "--transform", "model"]
    assert score(tmp_path / "pool", tmp_path / "run", *options, "--device", "cpu", "-q").code == 0
    summary = json.loads((tmp_path / "run/captions/blip-tiny/summary.json").read_text())
    assert summary["captioner"]["decoding"] == asked
    assert summary["captioner"]["transform"] == "model"


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--mode", "words"], "expected sieve, word, none, got words"),
        (["--phrases", "absent.txt"], "cannot read the phrases absent.txt"),
        (["--captioner", "gpt"], "expected a captioner labels"),
        (["--captioner", "column:nothing"], "nothing"),
        (["--captions", "0"], "for '--captions'"),
        (["--captions-from", "labels"], "no captions labels, and labels is no folder"),
        (["--captions-from", "labels", "--seed", "1"], "not beside --captions-from"),
        (["--captions-from", "labels", "--top-p", "0.5"], "not beside --captions-from"),
        (["--captioner", "labels", "--seed", "1"], "labels takes no seed"),
        (["--captioner", "labels", "--prompt", "a "], "labels takes no prompt"),
        (["--encoder", "demo:x"], "expected a model open_clip"),
        (["--max-bad-fraction", "2"], "expected a share from 0 to 1"),
    ],
)
def test_what_is_refused(options: list[str], told: str, tmp_path: Path) -> None:
    pool = table_pool(tmp_path / "pool.parquet")
    outcome = score(pool, tmp_path / "run", *options)
    assert outcome.code == 2 and told in outcome.told


def test_too_many_rows_without_a_score(tmp_path: Path) -> None:
    pool = table_pool(tmp_path / "pool.parquet")
    more = ["--captioner", "column:captions", "--max-bad-fraction", "0.1"]
    outcome = score(pool, tmp_path / "run", *more)
    assert outcome.code == 3 and "2 of 6 rows have no score" in outcome.told


def test_a_sheet(scored: Path, tmp_path: Path) -> None:
    outcome = show(scored / "run", "--sample", 3, "--out", tmp_path / "sheet.png")
    assert outcome.exit_code == 0, outcome.output
    assert "3 rows of 5" in outcome.output
    assert "captions by labels: ImageNet classes" in outcome.output
    first = (tmp_path / "sheet.png").read_bytes()
    show(scored / "run", "--sample", 3, "--out", tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes() == first
    every = tmp_path / "every.png"
    assert show(scored / "run", "--out", every).exit_code == 0  # the damaged image too
    assert opened(every).height > opened(tmp_path / "sheet.png").height
    assert show(scored / "run", "--order", "lowest", "--out", every).exit_code == 0
    named = show(scored / "run", "--uid", "0001", "--uid", "0000", "--out", tmp_path / "two.jpg")
    assert "2 rows of 5" in named.output and opened(tmp_path / "two.jpg").format == "JPEG"


def test_a_sheet_of_a_pool_without_images(tmp_path: Path) -> None:
    pool = table_pool(tmp_path / "pool.parquet")
    assert score(pool, tmp_path / "run", "--captioner", "column:captions", "-q").code == 0
    outcome = show(tmp_path / "run", "--out", tmp_path / "sheet.png")
    assert outcome.exit_code == 0 and "6 rows of 6" in outcome.output


def test_sheets_that_are_refused(scored: Path, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "sheet.png"]
    for arguments, kind, told in (
        ([tmp_path / "no"], RunError, "no command has noted"),
        ([scored / "run", "--name", "other"], RunError, "is not a tamis run"),
        ([scored / "run", "--uid", "none"], PoolError, "no row has the id 'none'"),
        ([scored / "run", "--ids", "row"], RunError, "about other rows"),
    ):
        outcome = show(*arguments, *out)
        assert isinstance(outcome.exception, kind) and told in str(outcome.exception)
    for options, told in (
        (["--order", "best"], "expected random, lowest, highest"),
        (["--uid", "0000", "--sample", "2"], "not beside --uid"),
    ):
        outcome = show(scored / "run", *options, *out)
        assert outcome.exit_code == 2 and told in outcome.output
    assert not (tmp_path / "sheet.png").exists()
