"""What T-MARS saw, drawn: the very pixels that were scored, and figures of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.embed.small import picture
from tests.filters.tmars.masked import (
    N_ROWS,
    hostile_pool,
    polygons_of,
    scorer,
    sound_pool,
    square,
    write_masks,
)

from tamis.data.image import decode_image
from tamis.errors import RunError
from tamis.filters.tmars.fill import fill_text
from tamis.report.tmars import TmarsRun
from tamis.score.job import run_scorer


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    pool = sound_pool(tmp_path / "pool")
    masks = write_masks(tmp_path / "masks.parquet", pool)
    run_scorer(scorer(pool, masks), tmp_path / "run", pool=str(pool.path))
    return tmp_path / "run"


def cells(shown: TmarsRun, row: int) -> list[Any]:
    return shown._cells(row)


def test_pictures_are_those_that_were_scored(scored: Path) -> None:
    shown = TmarsRun(scored, masks=str(scored.parent / "masks.parquet"))
    assert (shown.has_text == (np.arange(N_ROWS) % 3 != 0)).all()
    for row in (0, 1, 2):
        image, outlined, filled, told = cells(shown, row)
        pixels = np.asarray(decode_image(picture(row)))
        np.testing.assert_array_equal(np.asarray(image), pixels)
        np.testing.assert_array_equal(
            np.asarray(filled), fill_text(pixels, polygons_of(row)).pixels
        )
        drawn = (np.asarray(outlined) == (230, 0, 90)).all(-1)
        assert drawn.any() == (row > 0)
        area = shown._table["tmars_text_area"][row]
        assert told[:3] == [
            f"tmars {shown.scores[row]:.3f}",
            f"clip {shown._table['tmars_clip'][row]:.3f}",
            f"text {area:.1%}, regions: {len(polygons_of(row))}",
        ]
        assert told[3:] == [f"{row:04d}", shown.pool.read(shown.pool.units(99)[0])[row].text]


def test_a_sheet_of_every_kind_of_row(tmp_path: Path) -> None:
    pool = hostile_pool(tmp_path / "pool", True)
    polygons = {row: [square(2, 2, 15, 9)] for row in range(1, pool.n_rows)}
    masks = write_masks(tmp_path / "masks.parquet", pool, polygons)
    run_scorer(scorer(pool, masks), tmp_path / "run", pool=str(pool.path))
    shown = TmarsRun(tmp_path / "run", masks=str(tmp_path / "masks.parquet"))
    sheets = [shown.sheet(range(pool.n_rows), side=40, across=across) for across in (1, 4)]
    assert [len(sheet) for sheet in sheets] == [pool.n_rows] * 2
    sheets[1].save(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width == 8 + 16 * 48
    assert cells(shown, 0)[:3] == ["", "", ""]
    assert "image is in no known format" in cells(shown, 0)[3]


def test_other_masks_are_refused(scored: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no masks 'text'"):
        TmarsRun(scored)
    with pytest.raises(RunError):
        TmarsRun(scored, name="none")
    manifest = scored / "scores/tmars/manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"made elsewhere"', '"by another hand"'))
    with pytest.raises(RunError, match="made with other masks"):
        TmarsRun(scored, masks=str(tmp_path / "masks.parquet"))
    manifest.write_text(text.replace('"method": "tmars"', '"method": "clip"'))
    with pytest.raises(RunError, match="expected a score of tamis score tmars"):
        TmarsRun(scored, masks=str(tmp_path / "masks.parquet"))
