"""Contact sheets: where things stand, what is drawn, and the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tamis.errors import RunError
from tamis.report import sheet as module
from tamis.report.sheet import Sheet

RED, BLUE = (255, 0, 0), (0, 0, 255)


def made(rows: int = 2, **options: object) -> Sheet:
    sheet = Sheet(["image", "mask", "caption"], side=64, **options)  # type: ignore[arg-type]
    for row in range(rows):
        pictures = [Image.new("RGB", (200, 100), RED), Image.new("RGB", (10, 20), BLUE)]
        sheet.add([*pictures, ["0.31", f"caption {row}"]])
    return sheet


def test_pictures_keep_their_shape_and_small_ones_their_size() -> None:
    pixels = np.asarray(made(1).draw())
    for colour, size in ((RED, (64, 32)), (BLUE, (10, 20))):
        rows, columns = np.nonzero((pixels == colour).all(-1))
        assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == size
        assert len(rows) == size[0] * size[1]
    left = 8 + 2 * (64 + 8)
    text = pixels[40:, left:]
    assert (text < 128).any(), "the caption was not drawn"
    assert pixels.shape[1] == 8 + 3 * (64 + 8)


def test_columns_line_up_and_rows_do_not_overlap() -> None:
    pixels = np.asarray(made(3).draw())
    rows, columns = np.nonzero((pixels == RED).all(-1))
    assert columns.min() == 8
    starts = np.flatnonzero(np.diff(np.unique(rows)) > 1)
    assert len(starts) == 2  # three bands of rows
    assert len(rows) == 3 * 64 * 32


def test_rows_beside_one_another() -> None:
    three = np.asarray(made(3, across=2).draw())
    two = np.asarray(made(2).draw())
    assert three.shape == (two.shape[0], 8 + 6 * (64 + 8), 3)
    rows, columns = np.nonzero((three == RED).all(-1))
    assert len(rows) == 3 * 64 * 32
    assert set(columns.tolist()) == {*range(8, 72), *range(224, 288)}
    np.testing.assert_array_equal(three[:30, 224 : 224 + 216], three[:30, 8 : 8 + 216])


@pytest.mark.parametrize("name", ["a.png", "a.JPG"])
def test_same_bytes_every_time(tmp_path: Path, name: str) -> None:
    made().save(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    made().save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with Image.open(tmp_path / name) as image:
        assert image.size == made().draw().size


def lines(text: str, width: int = 64, **options: object) -> list[str]:
    return made(**options)._pen.lines(text, width)


def test_texts_are_wrapped_inside_their_column() -> None:
    text = "the quick brown fox jumps over the lazy dog and on " + "x" * 100
    cut = lines(text)
    assert "".join(cut).replace(" ", "") == text.replace(" ", "")
    pen = made()._pen
    assert all(pen._width(line) <= 64 for line in cut)
    assert len(cut) > 4
    assert lines("") == [""] and lines(" \n\t ") == [""]


def test_what_the_font_lacks_is_escaped() -> None:
    wide = 10_000
    assert lines("a\u6f22\u00e9 b", wide) == ["a\\u6f22\\xe9 b"]
    assert lines("tab\tand\nline", wide) == ["tab and line"]
    assert lines("nul\0 lone \ud800 \U0001f600", wide) == ["nul\\x00 lone \\ud800 \\U0001f600"]
    # one character, in whatever way it is written
    assert lines("e\u0301", wide) == lines("\u00e9", wide)


def test_a_long_text_ends_in_dots() -> None:
    short, long = made(0), made(0)
    for sheet, words in ((short, 200), (long, 20_000)):
        sheet.add(["", "", "word " * words])
    assert short.draw().size == long.draw().size
    assert short._lines(["word " * 200])[-1] == "..."


def test_every_kind_of_picture() -> None:
    sheet = Sheet(["a"], side=16)
    for mode in ("1", "L", "P", "RGBA", "CMYK", "RGB"):
        sheet.add([Image.new(mode, (40, 1))])
    sheet.add([Image.new("RGB", (1, 1000))])
    assert sheet.draw().mode == "RGB"


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"\.png or \.jpg, got a\.gif"):
        made().save("a.gif")
    with pytest.raises(ValueError, match="expected 3 cells, got 1"):
        made().add(["a"])
    with pytest.raises(ValueError, match="expected columns"):
        Sheet([])
    with pytest.raises(ValueError, match="cannot read the font"):
        made(font=tmp_path / "none.ttf")
    with pytest.raises(RunError, match="cannot write"):
        made().save(tmp_path / "no" / "folder.png")
    monkeypatch.setattr(module, "MOST_PIXELS", 1000)
    with pytest.raises(ValueError, match="fewer rows"):
        made().save(tmp_path / "a.png")


def test_a_sheet_too_long_for_jpeg(tmp_path: Path) -> None:
    sheet = Sheet(["image"], side=8, text_size=9)
    for _ in range(4200):
        sheet.add([Image.new("RGB", (8, 8))])
    with pytest.raises(ValueError, match="a JPEG has 65,500 pixels a side at most"):
        sheet.save(tmp_path / "sheet.jpg")
