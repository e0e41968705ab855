"""Contact sheets: rows of pictures and texts, drawn into one image.

The bytes depend on the cells, the font and the version of Pillow alone.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tamis.errors import require
from tamis.run.atomic import write_bytes

if TYPE_CHECKING:
    from PIL import Image

    from tamis.data.samples.source import Sample

Cell: TypeAlias = "Image.Image | str | Sequence[str]"
"""A picture, shrunk to fit; or a text, or paragraphs of text, wrapped."""

MOST_PIXELS = 80_000_000
"""Of a sheet; above this many viewers refuse an image."""
_LONGEST_JPEG = 65_500
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_GAP = 8
_LEADING = 1.35
_ROOM = 1.5
_MOST_CHARACTERS = 20_000
_GROUND, _INK, _PAPER = (255, 255, 255), (24, 24, 24), (232, 232, 236)


class Sheet:
    """Rows of cells below a line of headings.

    Args:
        columns: the headings, one for each column.
        side: pixels of the square that a picture is shrunk to fit; smaller ones are not enlarged.
            It is the width of a column, and texts may be half as high again.
        across: rows beside one another, each under headings of its own.
        text_size: pixels.
        font: a TrueType or OpenType file; None takes the one inside Pillow, which has little more
            than ASCII. Characters that it lacks are written as Python escapes.

    Raises:
        ValueError: no columns, a size below 1, or a font that cannot be read.
        MissingExtraError: Pillow is not installed.

    Example:
        >>> from PIL import Image
        >>> sheet = Sheet(["image", "caption"], side=64)
        >>> sheet.add([Image.new("RGB", (200, 100), "red"), ["0.31", "a red rectangle"]])
        >>> sheet.save("sheet.png")
        >>> with Image.open("sheet.png") as drawn:
        ...     drawn.width
        152
    """

    def __init__(
        self,
        columns: Sequence[str],
        *,
        side: int = 192,
        across: int = 1,
        text_size: int = 13,
        font: Path | str | None = None,
    ) -> None:
        if not columns or min(side, across, text_size) < 1:
            raise ValueError(
                f"expected columns, and a side, a number of rows across and a text size of 1 or "
                f"more, got {side}, {across} and {text_size}"
            )
        self.columns = list(columns)
        self.side = side
        self.across = across
        self._pen = _Pen(text_size, None if font is None else str(font))
        self._rows: list[list[Cell]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, cells: Sequence[Cell]) -> None:
        """Add a row, with one cell for each column. Pictures are shrunk at once.

        Raises:
            ValueError: another number of cells.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"expected {len(self.columns)} cells, got {len(cells)}")
        self._rows.append([self._shrunk(cell) for cell in cells])

    def draw(self) -> Image.Image:
        """Return the sheet, an RGB image.

        Raises:
            ValueError: it would have more than `MOST_PIXELS` pixels.
        """
        images = require("PIL.Image", extra="images")
        drawing = require("PIL.ImageDraw", extra="images")
        head = self._pen.leading + _GAP
        lines = [
            [cell for row in self._rows[first : first + self.across] for cell in row]
            for first in range(0, len(self), self.across)
        ]
        heights = [max(map(self._height, line)) + _GAP for line in lines]
        columns = self.columns * self.across
        size = (_GAP + len(columns) * (self.side + _GAP), head + sum(heights) + _GAP)
        if size[0] * size[1] > MOST_PIXELS:
            raise ValueError(
                f"a sheet of {len(self):,} rows would be {size[0]:,} x {size[1]:,} pixels; choose "
                "fewer rows or smaller pictures"
            )
        sheet: Image.Image = images.new("RGB", size, _GROUND)
        pen = drawing.Draw(sheet)
        pen.rectangle((0, 0, size[0], head - 1), fill=_PAPER)
        tops = [head + _GAP + sum(heights[:line]) for line in range(len(lines))]
        headings = [self._pen.lines(name, self.side)[:1] for name in columns]
        placed: list[tuple[int, list[Any]]] = [(_GAP // 2, headings)]
        for top, cells in placed + list(zip(tops, lines, strict=True)):
            for column, cell in enumerate(cells):
                place = (_GAP + column * (self.side + _GAP), top)
                if _is_picture(cell):
                    sheet.paste(cell, place)
                else:
                    self._pen.write(pen, place, self._lines(cell))
        return sheet

    def save(self, path: Path | str) -> None:
        """Write the sheet, atomically, as PNG or JPEG; the name's ending decides.

        Raises:
            ValueError: another ending, too many pixels, or a side too long for JPEG.
            RunError: the file cannot be written.
        """
        kind = _FORMATS.get(Path(path).suffix.lower())
        if kind is None:
            raise ValueError(f"expected a name that ends in .png or .jpg, got {path}")
        sheet, encoded = self.draw(), io.BytesIO()
        if kind == "JPEG" and max(sheet.size) > _LONGEST_JPEG:
            raise ValueError(
                f"a JPEG has {_LONGEST_JPEG:,} pixels a side at most, the sheet would have "
                f"{max(sheet.size):,}; name a .png or choose fewer rows"
            )
        sheet.save(encoded, kind, **({"quality": 80} if kind == "JPEG" else {}))
        write_bytes(path, encoded.getvalue())

    def _shrunk(self, cell: Cell) -> Cell:
        if not _is_picture(cell):
            return [cell] if isinstance(cell, str) else list(cell)  # type: ignore[arg-type]
        width, height = cell.size  # type: ignore[union-attr]
        share = min(1.0, self.side / max(width, height, 1))
        fitting = (max(1, round(width * share)), max(1, round(height * share)))
        box = require("PIL.Image", extra="images").Resampling.BOX
        return cell.convert("RGB").resize(fitting, box)  # type: ignore[union-attr]

    def _height(self, cell: Cell) -> int:
        if _is_picture(cell):
            return cell.height  # type: ignore[union-attr]
        return self._pen.leading * len(self._lines(cell))

    def _lines(self, cell: Any) -> list[str]:
        lines = [line for text in cell for line in self._pen.lines(text, self.side)]
        most = max(1, int(_ROOM * self.side) // self._pen.leading)
        return lines if len(lines) <= most else [*lines[: most - 1], "..."]


class _Pen:
    """One font at one size: what it can draw, how wide, and in which lines."""

    def __init__(self, size: int, font: str | None) -> None:
        fonts = require("PIL.ImageFont", extra="images")
        try:
            # The basic layout: others depend on libraries that a machine has or has not.
            self._font = (
                fonts.load_default(size)
                if font is None
                else fonts.truetype(font, size, layout_engine=fonts.Layout.BASIC)
            )
        except OSError as error:
            raise ValueError(f"cannot read the font {font}: {error}") from error
        self.leading = round(size * _LEADING)
        self._missing = self._glyph("\uffff")
        self._drawable = lru_cache(maxsize=4096)(self._has)

    def lines(self, text: str, width: int) -> list[str]:
        """Cut a text into lines of at most `width` pixels, at spaces where there are any."""
        lines: list[str] = []
        line = ""
        for word in self._shown(text).split(" "):
            if line and self._width(f"{line} {word}") <= width:
                line = f"{line} {word}"
                continue
            lines += [line] if line else []
            *full, line = self._pieces(word, width)
            lines += full
        return [*lines, line]

    def write(self, pen: Any, place: tuple[int, int], lines: Sequence[str]) -> None:
        """Draw lines below one another."""
        for number, line in enumerate(lines):
            at = (place[0], place[1] + number * self.leading)
            pen.text(at, line, font=self._font, fill=_INK)

    def _shown(self, text: str) -> str:
        # More than fits on any sheet, however narrow its letters.
        spaced = " ".join(unicodedata.normalize("NFC", text[:_MOST_CHARACTERS]).split())
        return "".join(
            character if self._drawable(character) else character.encode("unicode_escape").decode()
            for character in spaced
        )

    def _pieces(self, word: str, width: int) -> Iterator[str]:
        piece = ""
        for character in word:
            if piece and self._width(piece + character) > width:
                yield piece
                piece = ""
            piece += character
        yield piece

    def _width(self, text: str) -> float:
        return float(self._font.getlength(text))

    def _has(self, character: str) -> bool:
        if not character.isprintable():
            return False
        return character.isascii() or self._glyph(character) != self._missing

    def _glyph(self, character: str) -> tuple[tuple[int, int], bytes] | None:
        try:
            mask = self._font.getmask(character)
        except UnicodeEncodeError:
            return None
        return mask.size, bytes(mask)


def _is_picture(cell: Any) -> bool:
    return hasattr(cell, "size")


def picture_cell(sample: Sample | None) -> Cell:
    """The picture of a sample, or why there is none.

    Example:
        >>> from tamis.data.samples import Sample
        >>> picture_cell(Sample("a")), picture_cell(Sample("a", image=b"GIF"))
        ('(no image)', '(image is in no known format)')
    """
    from tamis.data.image import ImageFault, decode_image

    if sample is None:
        return "(not in the pool)"
    if sample.image is None:
        return f"({sample.faults.get('image', 'no image')})"
    try:
        return decode_image(sample.image)
    except ImageFault as fault:
        return f"({fault.reason})"
