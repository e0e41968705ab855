"""T-MARS: the similarity of an image and its caption once the text in the image is gone.

Where the text of an image says what the caption says, a model that reads finds the two similar,
whatever else the image shows. T-MARS (Maini et al., ICLR 2024) fills the text and scores again:
what is still similar shares more than letters. The kept pairs are trained with as they are; the
filled images serve the score alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.data.samples.source import Side
from tamis.embed.ahead import ahead
from tamis.embed.batches import blocks
from tamis.embed.rows import UnitRows
from tamis.errors import PoolError, require
from tamis.filters.tmars.fill import check_fill
from tamis.filters.tmars.rescore import Filling, Rescorer, Rows
from tamis.filters.tmars.rescore_masks import MaskSource
from tamis.kernels.canonical import canonical
from tamis.kernels.exact import paired_cosine64
from tamis.run.quarantine import reasons_of
from tamis.score.scorer import Scorer, Scores

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.samples import SamplePool
    from tamis.data.unit import Unit
    from tamis.embed.encoder import Encoder
    from tamis.run.inputs import InputFile

BATCH = 64
ROWS_PER_UNIT = 2000
_BLOCKS_AHEAD = 2
_TEXT: frozenset[Side] = frozenset({"text"})


class Tmars(Scorer):
    """Cosine of the filled image and the caption, in float64 of canonical rows.

    Columns, the name of the score before each but the first:

    | column       | type    | what                                                        |
    |--------------|---------|-------------------------------------------------------------|
    | tmars        | float32 | cosine of the filled image with its caption                 |
    | _clip        | float32 | cosine of the image as it is; the same bits where no text is |
    | _text_area   | float32 | share of the pixels that were filled                        |
    | _text_boxes  | int32   | regions of the mask                                         |

    A row has no score, and a reason, where its image cannot be decoded, its caption is missing or
    its mask is; the other columns hold what is known nonetheless. What a row gets depends on its
    own image, mask and caption, not on its neighbours, workers or parts. Cost: every image is
    decoded once and encoded once, those with text twice.

    The published code stops at the detector. Unlike what little is known of the rest, coordinates
    are those of the original image (the published wrapper leaves them in a padded square), and the
    rule of the filling is a parameter.

    Args:
        pool: images and captions.
        masks: where the text is; :func:`tamis.filters.tmars.masks_reader.open_masks`.
        encoder: of images and texts into one space; :func:`tamis.embed.models.open_encoder`.
        filling: how text is filled.
        columns: the columns that `open_samples` was told; a part of the recipe.
        batch_size: rows that a network sees at a time; another one may change last bits.
        workers: processes that decode and fill; 0 does it in this one.
        name: of the score.

    Raises:
        PoolError: the pool lacks images or captions.
        ValueError: the encoder has no common space of images and texts, or an unknown filling.

    Example:
        A red picture with a white label, its mask, and a toy encoder of the mean colour::

        >>> from pathlib import Path
        >>> from PIL import Image
        >>> import pyarrow.parquet as pq
        >>> from tamis.data.samples import open_samples
        >>> from tamis.filters.tmars.masks_reader import open_masks
        >>> from tamis.score.job import run_scorer
        >>> class Toy:
        ...     name, dims, buckets = "toy", {"image": 3, "text": 3}, (1,)
        ...     recipe = staticmethod(dict)
        ...     prepare_image = staticmethod(lambda image: np.asarray(image.resize((1, 1))))
        ...     encode_images = staticmethod(lambda batch: batch[:, 0, 0] / 255)
        ...     prepare_texts = staticmethod(lambda texts: [[np.zeros(1, int)] for _ in texts])
        ...     encode_texts = staticmethod(lambda tokens, _: np.eye(3)[tokens[:, 0]])
        >>> image = Image.new("RGB", (40, 40), "red")
        >>> image.paste("white", (10, 10, 30, 30))
        >>> Path("pool").mkdir()
        >>> image.save("pool/a.png")
        >>> _ = Path("pool/a.txt").write_text("red")
        >>> square = [10.0, 10, 30, 10, 30, 30, 10, 30]
        >>> pq.write_table(pa.table({"id": ["a"], "polygons": [[square]]}), "masks.parquet")
        >>> pool = open_samples("pool")
        >>> scorer = Tmars(pool, open_masks("masks.parquet", pool.ids()), Toy(), batch_size=1)
        >>> _ = run_scorer(scorer, "run")
        >>> found = pq.read_table("run/scores/tmars/scores.parquet").to_pylist()[0]
        >>> found["tmars"], found["tmars_clip"] < 0.95, found["tmars_text_area"]
        (1.0, True, 0.25)
    """

    def __init__(
        self,
        pool: SamplePool,
        masks: MaskSource,
        encoder: Encoder,
        *,
        filling: Filling = Filling(),  # noqa: B008 - frozen
        columns: Mapping[str, str | None] | None = None,
        batch_size: int = BATCH,
        workers: int = 0,
        name: str = "tmars",
    ) -> None:
        check_fill(filling.fill, filling.region, filling.ring)
        if pool.sides != {"image", "text"}:
            has = " and ".join(f"{side}s" for side in sorted(pool.sides)) or "neither"
            raise PoolError(f"{pool.path}: expected images and captions, the pool has {has}")
        if set(encoder.dims) != {"image", "text"} or len(set(encoder.dims.values())) > 1:
            raise ValueError(f"expected a model of images and texts, {encoder.name} is none")
        if batch_size < 1:
            raise ValueError(f"expected a batch size of 1 or more, got {batch_size}")
        self._pool = pool
        self._masks = masks
        self._encoder = encoder
        self._filling = filling
        self._columns = {key: column for key, column in (columns or {}).items() if column}
        self._batch_size = batch_size
        self._name = name
        self._rescorer = Rescorer(
            pool, masks, encoder, filling, batch_size=batch_size, workers=workers
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def schema(self) -> pa.Schema:
        name = self._name
        return pa.schema(
            [
                (name, pa.float32()),
                (f"{name}_clip", pa.float32()),
                (f"{name}_text_area", pa.float32()),
                (f"{name}_text_boxes", pa.int32()),
            ]
        )

    def recipe(self) -> dict[str, Any]:
        cv2 = self._filling.fill == "inpaint"
        return {
            "method": "tmars",
            "encoder": self._encoder.recipe(),
            "masks": self._masks.recipe(),
            "columns": self._columns,
            "batch_size": self._batch_size,
            **asdict(self._filling),
            **({"opencv": require("cv2", extra="tmars").__version__} if cv2 else {}),
        }

    def inputs(self) -> list[InputFile]:
        return [*self._pool.inputs(), *self._masks.inputs()]

    def ids(self) -> Ids:
        return self._pool.ids()

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        return self._pool.units(rows_per_unit)

    def score(self, unit: Unit) -> Scores:
        captions = self._captions(unit)
        texts, reasons = _canonical(captions.finish()["text"], captions.reasons["text"], "text")
        views = self._rescorer.views(unit)
        plain, faults = _canonical(views.plain, views.reasons, "image")
        clip = _cosines(plain, texts, faults | reasons)
        filled, unfilled = _canonical(views.filled, faults | views.mask_reasons, "filled image")
        tmars = _cosines(filled, texts, unfilled | reasons)
        known = ~np.isnan(views.area)
        name = self._name
        return Scores(
            {
                name: tmars,
                f"{name}_clip": clip,
                f"{name}_text_area": views.area,
                f"{name}_text_boxes": pa.array(views.boxes, mask=~known),
            },
            _joined(unfilled, reasons),
        )

    def _captions(self, unit: Unit) -> UnitRows:
        rows = UnitRows(unit, self._encoder, _TEXT, self._batch_size)
        coming = blocks(self._pool, [unit], self._encoder, _TEXT, self._batch_size, None)
        with ahead(coming, _BLOCKS_AHEAD) as found:
            for block in found:
                rows.add(block)
        return rows


def _canonical(
    rows: Rows, reasons: Mapping[int, str], what: str
) -> tuple[npt.NDArray[np.float16], dict[int, str]]:
    """The canonical rows, and what is wrong with those that have none."""
    made, bad = canonical(rows)
    found = {row: f"{what} {why}" for row, why in reasons_of(rows, bad).items()}
    return made, {**found, **reasons}


def _cosines(
    images: npt.NDArray[np.float16], texts: npt.NDArray[np.float16], bad: Mapping[int, str]
) -> npt.NDArray[np.float32]:
    usable = np.ones(len(images), np.bool_)
    usable[list(bad)] = False
    rows = np.flatnonzero(usable)
    found = np.full(len(images), np.nan, np.float32)
    found[rows] = paired_cosine64(images, rows, texts, rows).astype(np.float32)
    return found


def _joined(images: Mapping[int, str], texts: Mapping[int, str]) -> dict[int, str]:
    return {
        row: "; ".join(why[row] for why in (images, texts) if row in why)
        for row in sorted({*images, *texts})
    }
