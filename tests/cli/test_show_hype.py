"""`tamis show hype` as a person runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tests.cli.command import Outcome, call
from tests.embed.small import picture, write_pool
from tests.report.scored_hype import write_scores

TEXTS = ["a red kite", "photo", "a photo of two dogs on a beach", "photo", "a cat", ""]
NAMES = [f"{row:04d}" for row in range(len(TEXTS))]
NAN = float("nan")
HYPE = [0.5, -0.5, 0.75, -0.5, 0.25, NAN]
IMAGE = [0.3, 0.1, 0.2, 0.1, 0.25, NAN]
TEXT = [0.25, -0.125, 0.5, -0.125, 0.0, NAN]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    images = [picture(row) for row in range(5)] + [b"no image"]
    return write_pool(tmp_path / "pool", images, TEXTS)


@pytest.fixture
def run(pool: Path, tmp_path: Path) -> Path:
    scores = {"hype": HYPE, "image_specificity": IMAGE, "text_specificity": TEXT}
    return write_scores(tmp_path / "run", NAMES, pool, **scores)


def show(run: Path, *options: object) -> Outcome:
    return call("show", "hype", run, *options)


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_four_groups_and_their_figures(run: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    done = show(run, "--sample", 8, "--side", 64, "--out", sheet)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        f"4 rows of 6: {sheet}",
        "images, most specific: 0.3000 to 0.2500 rad",
        "images, least specific: 0.1000 to 0.2000 rad",
        "texts, most specific: 0.5000 to 0.2500 rad",
        "texts, least specific: -0.1250 to 0.0000 rad",
        "measured against 1,234 texts and 7 images, reference 0123456789ab",
    ]
    assert size(sheet)[0] == 8 + 8 * 72
    before = sheet.read_bytes()
    assert show(run, "--sample", 8, "--side", 64, "--out", sheet, "-q").out == ""
    assert sheet.read_bytes() == before
    # More than there are: of the rows with the same scores, one.
    assert show(run, "--sample", 400, "--out", sheet).out.startswith("4 rows of 6")


def test_rows_by_name_and_by_score(run: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.jpg"
    done = show(run, "--uid", "0004", "--uid", "0005", "--side", 64, "--out", sheet)
    assert done.out.startswith(f"2 rows of 6: {sheet}\nmeasured against 1,234 texts")
    narrow = size(sheet)
    done = show(run, "--uid", "0004", "--uid", "0005", "--side", 64, "--across", 2, "--out", sheet)
    assert size(sheet)[0] > narrow[0] == 8 + 2 * 72 and size(sheet)[1] < narrow[1]
    assert show(run, "--order", "lowest", "--out", sheet).out.startswith("5 rows of 6")
    assert show(run, "--order", "random", "--sample", 3, "--out", sheet).out.startswith("3 rows of")


def test_the_samples_may_lie_elsewhere(pool: Path, tmp_path: Path) -> None:
    run = write_scores(tmp_path / "run", NAMES[::-1], hype=HYPE, text_specificity=TEXT)
    done = show(run, "--out", tmp_path / "a.png")
    assert done.code == 2 and "no command has noted one" in done.told
    done = show(run, "--pool", pool, "--out", tmp_path / "a.png")
    assert done.code == 0 and len(done.out.splitlines()) == 4
    assert done.out.endswith("measured against 7 images, reference 0123456789ab\n")
    done = show(run, "--pool", pool, "--uid", "0002", "--out", tmp_path / "a.png")
    assert done.out.startswith("1 row of 6: ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--out", "a.gif"], "ends in .png or .jpg"),
        (["--out", "a.png", "--uid", "nobody"], "no row has the id 'nobody'"),
        (["--out", "a.png", "--order", "best"], "expected random, lowest, highest, got best"),
        (["--out", "a.png", "--uid", "0001", "--sample", "2"], "not beside --uid"),
        (["--out", "a.png", "--uid", "0001", "--order", "lowest"], "not beside --uid"),
        (["--out", "a.png", "--name", "other"], "other"),
        (["--out", "a.png", "--font", "absent.ttf"], "cannot read the font"),
        (["--out", "a.png", "--ids", "colour"], "colour"),
    ],
)
def test_what_is_refused(run: Path, options: list[str], told: str) -> None:
    done = show(run, *options)
    assert done.code == 2 and told in done.told


def test_a_run_without_hype(pool: Path, tmp_path: Path) -> None:
    done = show(tmp_path / "run", "--pool", pool, "--out", tmp_path / "a.png")
    assert done.code == 2 and "is not a tamis run" in done.told
