"""What T-MARS saw: the image, the text that was found, the filled image, and what they scored."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.data.image import ImageFault, decode_image
from tamis.data.parquet_file import open_parquet, parquet_errors
from tamis.errors import RunError, require
from tamis.report.choice import read_row
from tamis.report.sheet import Cell, Sheet
from tamis.run.directory import RunDirectory
from tamis.run.pool_link import pool_of
from tamis.score.job import SCORES, step_folder

if TYPE_CHECKING:
    from PIL import Image

    from tamis.data.samples import SamplePool

HEADINGS = ("image", "text found", "filled", "scores and caption")
_OUTLINE = (230, 0, 90)


class TmarsRun:
    """A T-MARS score, with the pool and the masks that it is of.

    Args:
        run: the run directory.
        name: of the score.
        masks: the name of the detect step in the run, or the path of masks made elsewhere.

    Attributes:
        pool: the samples.
        scores: float32 (n,), NaN where a row has none.
        has_text: bool (n,), the rows in which some pixel was filled.

    Raises:
        RunError: there is no such score, it has not ended, or it is of other masks.
        PoolError: the pool or the masks cannot be read.
    """

    def __init__(self, run: Path | str, name: str = "tmars", masks: str = "text") -> None:
        from tamis.data.samples import open_samples
        from tamis.filters.tmars.masks_reader import open_masks
        from tamis.filters.tmars.scorer_steps import is_path

        step = step_folder(run, name)
        recipe = RunDirectory.read(step).recipe
        place = pool_of(run)
        if recipe.get("method") != "tmars" or place is None:
            raise RunError(f"expected a score of tamis score tmars in {step}")
        self.name = name
        self.pool: SamplePool = open_samples(place, **recipe["columns"])
        coordinates = recipe["masks"].get("coordinates", "pixels")
        self._masks = open_masks(
            masks if is_path(masks) else run,
            self.pool.ids(),
            coordinates=coordinates,
            **({} if is_path(masks) else {"name": masks}),
        )
        if self._masks.recipe() != recipe["masks"]:
            raise RunError(f"{step} was made with other masks than {masks}; name them with --masks")
        self._filling = {key: recipe[key] for key in ("fill", "region", "ring")}
        self._table = _read(step / SCORES)
        self.scores: npt.NDArray[np.float32] = self._table[name]
        self.has_text: npt.NDArray[np.bool_] = self._table[f"{name}_text_area"] > 0

    def sheet(
        self,
        rows: Iterable[int],
        *,
        side: int = 192,
        across: int = 1,
        font: Path | str | None = None,
    ) -> Sheet:
        """Draw some rows.

        Args:
            rows: their numbers.
            side, across, font: see :class:`tamis.report.sheet.Sheet`.
        """
        text_size = min(max(side // 11, 9), 13)
        sheet = Sheet(HEADINGS, side=side, across=across, text_size=text_size, font=font)
        for row in rows:
            sheet.add(self._cells(int(row)))
        return sheet

    def _cells(self, row: int) -> list[Cell]:
        from tamis.filters.tmars.fill import fill_text

        sample, mask = read_row(self.pool, row), self._masks.read(row, row + 1)[0]
        told = self._told(row, sample.text)
        if sample.image is None:
            return ["", "", "", told]
        try:
            image = decode_image(sample.image)
        except ImageFault:
            return ["", "", "", told]
        polygons = mask.on(image.size)
        if mask.reason is not None or polygons is None:
            return [image, "", "", told]
        filled = fill_text(np.asarray(image), polygons, **self._filling).pixels
        pictures = require("PIL.Image", extra="images")
        return [image, outlined(image, polygons), pictures.fromarray(filled), told]

    def _told(self, row: int, caption: str | None) -> list[str]:
        name = self.name
        score, clip, area, boxes = (
            self._table[column][row]
            for column in (name, f"{name}_clip", f"{name}_text_area", f"{name}_text_boxes")
        )
        reason = self._table["reason"][row]
        return [
            f"{name} {score:.3f}",
            f"clip {clip:.3f}",
            "no mask" if np.isnan(area) else f"text {area:.1%}, regions: {boxes:.0f}",
            *([] if reason is None else [reason]),
            str(self.pool.ids()[row]),
            caption or "",
        ]


def outlined(image: Image.Image, polygons: Iterable[npt.ArrayLike]) -> Image.Image:
    """Return a copy of an image, paler, with polygons drawn on it.

    Example:
        >>> from PIL import Image
        >>> drawn = outlined(Image.new("RGB", (9, 9)), [[[2, 2], [6, 2], [6, 6], [2, 6]]])
        >>> drawn.getpixel((2, 2)), drawn.getpixel((4, 4))
        ((230, 0, 90), (102, 102, 102))
    """
    images = require("PIL.Image", extra="images")
    drawing = require("PIL.ImageDraw", extra="images")
    paler: Image.Image = images.blend(image, images.new("RGB", image.size, "white"), 0.4)
    pen = drawing.Draw(paler)
    width = max(1, round(max(image.size) / 150))
    for polygon in polygons:
        corners = [tuple(corner) for corner in np.asarray(polygon, np.float64).tolist()]
        pen.line([*corners, corners[0]], fill=_OUTLINE, width=width)
    return paler


def _read(path: Path) -> dict[str, Any]:
    with open_parquet(path) as file, parquet_errors(path):
        table = file.read(use_threads=False)
    return {
        name: (
            column.to_pylist()
            if name == "reason"
            else column.cast("float64").to_numpy().astype(np.float32)
        )
        for name, column in zip(table.column_names[1:], table.columns[1:], strict=True)
    }
