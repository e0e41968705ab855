"""Which rows stand at the ends of a specificity, and what is drawn of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.embed.small import picture, write_pool
from tests.report.scored_hype import write_scores

from tamis.data.image import decode_image
from tamis.data.samples import open_samples
from tamis.errors import PoolError, RunError
from tamis.report.hype import HypeRun, distinct_extremes

NAN = float("nan")
TEXTS = ["a red kite", "photo", "a photo of two dogs on a beach", "photo", ""]
NAMES = [f"{row:04d}" for row in range(len(TEXTS))]
IMAGE = [0.3, 0.1, 0.2, 0.1, NAN]
TEXT = [0.25, -0.125, 0.5, -0.125, NAN]
HYPE = [0.5, -0.5, 0.75, -0.5, NAN]
SCORES = {"hype": HYPE, "image_specificity": IMAGE, "text_specificity": TEXT}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return write_pool(tmp_path / "pool", [picture(row) for row in range(4)] + [b"no image"], TEXTS)


def opened(pool: Path, run: Path, **scores: list[float]) -> HypeRun:
    return HypeRun(write_scores(run, NAMES, **scores), open_samples(pool))


def same(cell: Any, row: int) -> bool:
    return np.array_equal(np.asarray(cell), np.asarray(decode_image(picture(row))))


_scores = st.lists(st.one_of(st.just(NAN), st.sampled_from([0.0, 0.25, -0.5, 1.0])), max_size=40)


@given(_scores, st.integers(1, 6))
def test_extremes_are_ranked_and_each_score_comes_once(scores: list[float], n_rows: int) -> None:
    values = np.array(scores, np.float32)
    different = sorted(set(values[~np.isnan(values)].tolist()))
    for order, expected in (("lowest", different), ("highest", different[::-1])):
        rows, alike = distinct_extremes(values, n_rows, order)  # type: ignore[arg-type]
        assert values[rows].tolist() == expected[:n_rows]
        assert rows.tolist() == [scores.index(score) for score in expected[:n_rows]]
        assert alike.tolist() == [scores.count(score) - 1 for score in expected[:n_rows]]


def test_four_groups(pool: Path, tmp_path: Path) -> None:
    shown = opened(pool, tmp_path / "run", **SCORES)
    groups = shown.groups(8)
    assert [group.title for group in groups] == [
        "images, most specific",
        "images, least specific",
        "texts, most specific",
        "texts, least specific",
    ]
    # Rows 1 and 3 score the same, so that the first stands for both; row 4 has no score.
    assert [group.rows.tolist() for group in groups] == [[0, 2], [1, 2], [2, 0], [1, 0]]
    assert [group.alike.tolist() for group in groups] == [[0, 0], [1, 0], [0, 0], [1, 0]]
    assert groups[0].scores.tolist() == np.float32([0.3, 0.2]).tolist()
    assert [len(group.rows) for group in shown.groups(1)] == [1] * 4


def test_cells_are_the_sample_and_its_scores(pool: Path, tmp_path: Path) -> None:
    more = {"neg_distance": [-0.5] * 5, "clip": [0.25] * 5, "imagenet": [1.0] * 5}
    hidden = {"image_error": [0.5] * 5, "text_entailed": [0.5] * 5, "image_radius": [0.5] * 5}
    shown = opened(pool, tmp_path / "run", **SCORES, **more, **hidden)
    images, _, texts, least = shown.groups(8)
    picture_of, told = shown._cells_of(images, 0)
    assert same(picture_of, 0)
    assert told == [
        "image specificity 0.300",
        "hype 0.500",
        "text specificity 0.250",
        "neg distance -0.500",
        "clip 0.250",
        "imagenet 1.000",
        "0000",
        "a red kite",
    ]
    told, picture_of = shown._cells_of(texts, 0)
    assert same(picture_of, 2)
    assert told[0] == "text specificity 0.500"
    assert told[-2:] == ["0002", "a photo of two dogs on a beach"]
    told, _ = shown._cells_of(least, 0)
    assert told[-3:] == ["1 other row alike", "0001", "photo"]
    assert shown._cells_of(least, 2) == ["", ""]


def test_a_row_without_a_score_says_why(pool: Path, tmp_path: Path) -> None:
    shown = opened(pool, tmp_path / "run", **SCORES)
    assert shown._told(4) == ["text is blank", "0004"]
    image = shown.sheet([4])._rows[0][0]
    assert image == ["(image is in no known format)"]


def test_a_score_of_one_side(pool: Path, tmp_path: Path) -> None:
    shown = opened(pool, tmp_path / "run", hype=IMAGE, image_specificity=IMAGE)
    groups = shown.groups(24)
    assert [group.title for group in groups] == ["images, most specific", "images, least specific"]
    assert [len(group.rows) for group in groups] == [3, 3]
    assert shown.sheet_of_groups(groups, side=32).columns[::2] == [group.title for group in groups]


def test_a_pool_without_images(tmp_path: Path) -> None:
    table = tmp_path / "pool.parquet"
    pq.write_table(pa.table({"id": NAMES, "text": TEXTS}), table)
    shown = HypeRun(
        write_scores(tmp_path / "run", NAMES, hype=TEXT, text_specificity=TEXT),
        open_samples(table),
    )
    groups = shown.groups(4)
    sheet = shown.sheet_of_groups(groups)
    assert sheet.columns == [group.title for group in groups]
    assert sheet._rows[0][0][-1] == "a photo of two dogs on a beach"  # type: ignore[index]
    assert shown.sheet([0]).columns == ["scores and text"]


def test_samples_are_found_by_id(pool: Path, tmp_path: Path) -> None:
    run = write_scores(tmp_path / "run", [*NAMES[::-1], "gone"], hype=[0.1] * 6)
    shown = HypeRun(run, open_samples(pool))
    assert same(shown.sheet([1])._rows[0][0], 3)
    assert shown._sample(1).text == TEXTS[3]  # type: ignore[union-attr]
    assert shown._sample(5) is None
    assert shown.sheet([5])._rows[0][0] == ["(not in the pool)"]
    assert shown.named(["0003"]).tolist() == [1]


def test_the_same_bytes_and_the_same_rows_beside_one_another(pool: Path, tmp_path: Path) -> None:
    shown = opened(pool, tmp_path / "run", **SCORES)
    widths = []
    for across in (1, 2):
        sheet = shown.sheet_of_groups(shown.groups(8), side=40, across=across)
        sheet.save(tmp_path / "a.png")
        before = (tmp_path / "a.png").read_bytes()
        sheet.save(tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes() == before
        with Image.open(tmp_path / "a.png") as image:
            widths.append(image.width)
    assert widths == [8 + 8 * 48, 8 + 16 * 48]


def test_refusals(pool: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError):
        HypeRun(tmp_path / "run", open_samples(pool))
    run = write_scores(tmp_path / "run", NAMES, **SCORES)
    with pytest.raises(RunError, match="other"):
        HypeRun(run, open_samples(pool), "other")
    others = write_scores(tmp_path / "others", ["a", "b"], hype=[0.1, 0.2])
    with pytest.raises(PoolError, match=r"has no row of .*its first id is '0000'"):
        HypeRun(others, open_samples(pool))
    manifest = run / "scores/hype/manifest.json"
    manifest.write_text(manifest.read_text().replace('"method": "hype"', '"method": "clip"'))
    with pytest.raises(RunError, match="expected a score of tamis score hype"):
        HypeRun(run, open_samples(pool))
