"""`tamis score tmars` and `tamis show tmars` as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.cli.command import Outcome, call
from tests.embed.small import encoded, fingerprint, picture, write_pool
from tests.filters.tmars.masked import ExactProjection

pytest.importorskip("rapidocr_onnxruntime", reason="carries the detector's weights")

WORDS = ["BIG SALE", "", "HOTEL", "OPEN", "", "EXIT", "NO ENTRY"]
SCORE = ["--batch-size", 8, "--rows-per-unit", 3, "--side-len", 160, "--model", "demo"]


@pytest.fixture(autouse=True)
def _small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are another test's business."""
    monkeypatch.setattr("tamis.embed.models.open_encoder", lambda *_, **__: ExactProjection())


def sign(words: str) -> bytes:
    """A sign that says something, or a plain one."""
    image = Image.new("RGB", (160, 60), (40, 90, 160))
    pen = ImageDraw.Draw(image)
    pen.rectangle((4, 4, 155, 55), outline="white", width=2)
    pen.text((20, 14), words, font=ImageFont.load_default(26), fill="white")
    return encoded(image)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signs") / "pool"
    return write_pool(folder, [sign(word) for word in WORDS], [f"a sign: {w}" for w in WORDS])


def scores(run: Path, name: str = "tmars") -> dict[str, list[object]]:
    return pq.read_table(run / f"scores/{name}/scores.parquet").to_pydict()


def score(pool: Path, run: Path, *options: object) -> Outcome:
    return call("score", "tmars", pool, "--out", run, *SCORE, *options)


def test_from_a_pool_to_a_subset(pool: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = score(pool, run)
    assert done.code == 0, done.err
    assert "7/7 rows" in done.err and "scored" in done.out
    assert json.loads((run / "masks/text/summary.json").read_text())["rows_with_text"] == 5
    found = scores(run)
    has_text = np.array(found["tmars_text_area"]) > 0
    assert has_text.tolist() == [bool(word) for word in WORDS]
    same = np.array(found["tmars"]) == np.array(found["tmars_clip"])
    assert (same == ~has_text).all()
    chosen = call("select", run, "top(tmars, 0.5)", "--json")
    assert chosen.code == 0, chosen.err

    before = fingerprint(run / "masks")
    again = score(pool, run, "--fill", "inpaint", "--name", "inpainted", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["recipe"]["fill"] == "inpaint"
    assert fingerprint(run / "masks") == before


def test_another_model_needs_no_second_detection(pool: Path, tmp_path: Path) -> None:
    assert score(pool, tmp_path / "run", "-q").code == 0
    with mock.patch("tamis.filters.tmars.scorer_steps.open_detector") as opened:
        options = ["--batch-size", 8, "--model", "demo", "--name", "second", "-q"]
        done = call("score", "tmars", pool, "--out", tmp_path / "run", *options)
    assert (done.code, done.err, opened.called) == (0, "", False)
    first, second = scores(tmp_path / "run"), scores(tmp_path / "run", "second")
    assert first["tmars"] == second["second"]


def test_masks_are_of_the_column_of_images_that_is_scored(tmp_path: Path) -> None:
    table, run = tmp_path / "pool.parquet", tmp_path / "run"
    columns = {"a": [sign("HOTEL"), sign("")], "b": [sign(""), sign("HOTEL")], "text": ["x", "y"]}
    pq.write_table(pa.table({**columns, "title": ["u", "v"]}), table)
    assert score(table, run, "-q", "--image", "a").code == 0
    options = ["--batch-size", 8, "--model", "demo", "--name", "second", "-q"]
    done = call("score", "tmars", table, "--out", run, *options, "--image", "b")
    assert done.code == 2 and "columns" in done.told
    options += ["--image", "a", "--text", "title", "--detector", "ppocr", "--side-len", 160]
    assert call("score", "tmars", table, "--out", run, *options).code == 0


def test_parts_score_what_they_detected(pool: Path, tmp_path: Path) -> None:
    """Before all parts are joined, and whichever joins them, the bytes are those of one process."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert score(pool, whole, "-q").code == 0
    for part in ("2/2", "1/2"):
        done = score(pool, parts, "--part", part, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["scored"] == {"1/2": 4, "2/2": 3}[part]
        assert not (parts / "masks/text/masks.parquet").exists()
    assert score(pool, parts, "-q").code == 0
    assert fingerprint(parts) == fingerprint(whole)
    damaged = tmp_path / "other"
    assert score(pool, damaged, "-q", "--part", "1/2").code == 0
    (damaged / "masks/text/masks/00000-00000.parquet").write_bytes(b"")
    (damaged / "scores/tmars/units/00000-00000.parquet").write_bytes(b"")
    assert score(pool, damaged, "-q").code == 0
    assert fingerprint(damaged) == fingerprint(whole)


def test_parts_of_other_sizes_are_refused(pool: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert score(pool, run, "-q", "--part", "2/2").code == 0
    step = run / "scores/tmars"
    step.rename(tmp_path / "aside")
    options = ["--batch-size", 8, "--side-len", 160, "--model", "demo", "--rows-per-unit", 2]
    done = call("score", "tmars", pool, "--out", run, *options, "--part", "2/2", "-q")
    assert done.code == 2
    assert "the masks of rows 0 to 2 are not in" in done.told


def test_masks_made_elsewhere(pool: Path, tmp_path: Path) -> None:
    assert score(pool, tmp_path / "run", "-q").code == 0
    made = tmp_path / "run/masks/text/masks.parquet"
    elsewhere = tmp_path / "elsewhere.parquet"
    elsewhere.write_bytes(made.read_bytes())
    done = score(pool, tmp_path / "second", "-q", "--masks", elsewhere)
    assert done.code == 0, done.err
    assert not (tmp_path / "second/masks").exists()
    assert scores(tmp_path / "second") == scores(tmp_path / "run")
    done = score(pool, tmp_path / "third", "--masks", elsewhere, "--coordinates", "miles")
    assert done.code == 2 and "expected coordinates pixels or square512" in done.told
    sheet = tmp_path / "sheet.png"
    done = call("show", "tmars", tmp_path / "second", "--masks", elsewhere, "--out", sheet, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_showing(pool: Path, tmp_path: Path) -> None:
    run, sheet = tmp_path / "run", tmp_path / "sheet.png"
    assert score(pool, run, "-q").code == 0
    done = call("show", "tmars", run, "--sample", 5, "--side", 64, "--out", sheet)
    assert done.code == 0, done.err
    told = f"5 rows, 5 of them with text, drawn on {sheet}; 5 of the pool's 7 rows have text\n"
    assert done.out == told
    before = sheet.read_bytes()
    assert call("show", "tmars", run, "--sample", 5, "--side", 64, "--out", sheet, "-q").code == 0
    assert sheet.read_bytes() == before
    with Image.open(sheet) as image:
        assert image.format == "PNG" and image.width == 8 + 4 * 72
    by_name = ["--uid", "0004", "--uid", "0000", "--out", sheet]
    assert call("show", "tmars", run, *by_name).out.startswith("2 rows, 1 of them with text")
    lowest = ["--order", "lowest", "--sample", 100, "--across", 2, "--out", sheet]
    assert call("show", "tmars", run, *lowest).out.startswith("7 rows, 5 of them with text")


def test_bad_rows_are_told(pool: Path, tmp_path: Path) -> None:
    bad = write_pool(tmp_path / "pool", [b"junk", picture(1)], ["one", "two"])
    done = score(bad, tmp_path / "run", "--max-bad-fraction", 0.2)
    assert done.code == 3
    assert "1 of 2 rows have no mask (image is in no known format: 1)" in done.told
    done = score(bad, tmp_path / "run", "--json")
    assert done.code == 0
    assert json.loads(done.out)["reasons"] == {"image is in no known format": 1}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--fill", "blur"], "expected a fill of ring-mean, box-mean, image-mean, inpaint"),
        (["--ring", "-1"], "expected a ring from 0 to 10"),
        (["--detector", "magic"], "expected a detector"),
        (["--detector", "/nowhere/net.onnx"], "net.onnx"),
        (["--detector", "fast:tiny"], "fast:tiny needs weights"),
        (["--post", "paper"], "the detector ppocr has no post"),
        (["--enlarge", "-1"], "enlarge"),
        (["--masks", "/nowhere/masks.parquet"], "/nowhere/masks.parquet"),
        (["--masks", ".."], "expected a plain name for the masks"),
        (["--part", "3/2"], "expected a part I/N"),
        (["--batch-size", 0], "batch size"),
    ],
)
def test_wrong_options_are_one_sentence(
    pool: Path, tmp_path: Path, options: list[object], told: str
) -> None:
    done = score(pool, tmp_path / "run", *options)
    assert done.code == 2 and told in done.told


def test_show_says_what_is_missing(pool: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = call("show", "tmars", run, "--out", tmp_path / "a.png")
    assert done.code == 2 and "is not a tamis run" in done.told
    assert score(pool, run, "-q").code == 0
    for options, told in (
        (["--out", "a.gif"], "ends in .png or .jpg"),
        (["--out", "a.png", "--uid", "nobody"], "no row has the id 'nobody'"),
        (["--out", "a.png", "--order", "best"], "order of random, lowest, highest"),
        (["--out", "a.png", "--name", "other"], "other"),
        (["--out", "a.png", "--masks", "other"], "holds no masks 'other'"),
        (["--out", "a.png", "--font", pool / "0000.txt"], "cannot read the font"),
    ):
        done = call("show", "tmars", run, *options)
        assert done.code == 2 and told in done.told, (options, done.err)
