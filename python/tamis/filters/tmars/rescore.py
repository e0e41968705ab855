"""Images with and without their text, as rows of an encoder.

In a worker an image is decoded once, filled, and prepared for the encoder as it is and filled. An
image without text is prepared once, and its row counts for both: the very same bits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast
from weakref import finalize

import numpy as np
import numpy.typing as npt

from tamis.embed.ahead import ahead
from tamis.embed.batches import MISSING
from tamis.embed.encoder import Encoder, PrepareImage
from tamis.embed.workers import IMAGES_PER_TASK, ImageWorkers, Preparation, Prepared, gathered
from tamis.filters.tmars.fill import RING, FillKind, RegionKind, fill_text
from tamis.filters.tmars.rescore_masks import MaskSource

if TYPE_CHECKING:
    from concurrent.futures import Future

    from PIL.Image import Image

    from tamis.data.samples import SamplePool
    from tamis.data.unit import Unit
    from tamis.filters.tmars.masks import Mask

OTHER_SIZE = "mask was made on an image of another size"
_BLOCKS_AHEAD = 2
Rows = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Filling:
    """How text is filled; see :func:`tamis.filters.tmars.fill.fill_text`."""

    fill: FillKind = "ring-mean"
    region: RegionKind = "polygon"
    ring: float = RING


@dataclass(frozen=True)
class _Views:
    """Prepares one image twice: a record of `plain`, `filled`, `area`, `has_text` and `fits`."""

    prepare: PrepareImage
    filling: Filling
    mask: Mask | None

    def __call__(self, image: Image) -> npt.NDArray[Any]:
        plain = self.prepare(image)
        kind = (plain.dtype, plain.shape)
        fields = [("plain", *kind), ("filled", *kind), ("area", "f4"), ("has_text", "?")]
        record = np.zeros((), np.dtype([*fields, ("fits", "?")]))
        record["plain"] = record["filled"] = plain
        polygons = [] if self.mask is None else self.mask.on(image.size)
        record["fits"] = polygons is not None
        if polygons:
            from PIL import Image as Images

            how = self.filling
            filled = fill_text(
                np.asarray(image), polygons, fill=how.fill, region=how.region, ring=how.ring
            )
            record["area"], record["has_text"] = filled.area, filled.text.any()
            if record["has_text"]:
                record["filled"] = self.prepare(Images.fromarray(filled.pixels))
        return record


@dataclass(frozen=True)
class MaskedPreparation(Preparation):
    """Prepares pairs of an encoded image and its mask, each as a record of both views."""

    filling: Filling = field(default_factory=Filling)

    def __call__(self, images: Sequence[Any]) -> Prepared:
        """Decode, fill and prepare; either may be None."""
        found = [
            replace(self._plain, prepare=_Views(self.prepare, self.filling, mask))([data])
            for data, mask in images
        ]
        reasons = {row: one.reasons[0] for row, one in enumerate(found) if one.reasons}
        return Prepared(np.concatenate([one.arrays for one in found]), reasons)

    @property
    def _plain(self) -> Preparation:
        return Preparation(self.prepare, flip=self.flip, limits=self.limits)


@dataclass
class Views:
    """The rows of a unit's images.

    Attributes:
        plain: (n, dim), of the images as they are.
        filled: (n, dim), of the images without text; the same numbers where there is none.
        area: float32 (n,), share of the pixels that are text; NaN where it is not known.
        reasons: row -> why there is no image.
        mask_reasons: row -> why there is no mask.
    """

    plain: Rows
    filled: Rows
    area: npt.NDArray[np.float32]
    boxes: npt.NDArray[np.int32]
    reasons: dict[int, str] = field(default_factory=dict)
    mask_reasons: dict[int, str] = field(default_factory=dict)


class Rescorer:
    """Encodes the images of a pool with and without their text.

    Args:
        pool: the samples.
        masks: of its rows.
        encoder: encodes images.
        filling: how text is filled.
        batch_size: images that the network sees at a time.
        workers: processes that decode and fill; 0 does it in this one.

    Raises:
        ValueError: the encoder does not prepare images.
    """

    def __init__(
        self,
        pool: SamplePool,
        masks: MaskSource,
        encoder: Encoder,
        filling: Filling,
        *,
        batch_size: int,
        workers: int,
    ) -> None:
        if encoder.prepare_image is None:
            raise ValueError(f"the encoder {encoder.name} cannot prepare images")
        self._pool = pool
        self._masks = masks
        self._encoder = encoder
        self._preparation = MaskedPreparation(encoder.prepare_image, filling=filling)
        self._batch_size = batch_size
        self._workers = workers
        self._started = ExitStack()
        self._images: ImageWorkers | None = None
        finalize(self, self._started.close)

    def views(self, unit: Unit) -> Views:
        """Encode a unit; images are decoded while the network runs.

        The processes that decode stay for the next unit: to start them takes as long as hundreds of
        images do.
        """
        try:
            if self._images is None:
                workers = ImageWorkers(self._preparation, self._workers)
                self._images = self._started.enter_context(workers)
            return self._views(unit, self._images)
        except BaseException:
            self._images = None
            self._started.close()
            raise

    def _views(self, unit: Unit, workers: ImageWorkers) -> Views:
        dim = self._encoder.dims["image"]
        views = Views(
            np.zeros((unit.n_rows, dim)),
            np.zeros((unit.n_rows, dim)),
            np.full(unit.n_rows, np.nan, np.float32),
            np.zeros(unit.n_rows, np.int32),
        )
        waiting = _Waiting(self._encoder, self._batch_size, views.filled)
        with ahead(self._blocks(unit, workers), _BLOCKS_AHEAD) as blocks:
            for start, masks, faults, prepared in blocks:
                self._add(views, waiting, start, masks, faults | prepared.reasons, prepared.arrays)
        waiting.flush()
        return views

    def _add(
        self,
        views: Views,
        waiting: _Waiting,
        start: int,
        masks: list[Mask],
        faults: dict[int, str],
        records: npt.NDArray[Any],
    ) -> None:
        rows = slice(start, start + len(masks))
        plain = self._encoder.encode_images(np.ascontiguousarray(records["plain"]))[: len(masks)]
        views.plain[rows] = views.filled[rows] = plain
        for index, mask in enumerate(masks):
            row = start + index
            if index in faults:
                views.reasons[row] = faults[index]
            elif mask.reason is not None or not records["fits"][index]:
                views.mask_reasons[row] = mask.reason or OTHER_SIZE
            else:
                views.area[row] = records["area"][index]
                views.boxes[row] = len(mask.polygons)
                if records["has_text"][index]:
                    waiting.add(row, records["filled"][index])

    def _blocks(
        self, unit: Unit, workers: ImageWorkers
    ) -> Generator[tuple[int, list[Mask], dict[int, str], Prepared], None, None]:
        size = self._batch_size
        depth = 1 + -(-workers.workers * IMAGES_PER_TASK // size)
        begun: deque[tuple[int, list[Mask], dict[int, str], list[Future[Prepared]]]] = deque()
        for start in range(0, unit.n_rows, size):
            begun.append((start, *self._begin(unit, start, workers)))
            if len(begun) > depth:
                *block, results = begun.popleft()
                yield *block, gathered(results, size)  # type: ignore[misc]
        while begun:
            *block, results = begun.popleft()
            yield *block, gathered(results, size)  # type: ignore[misc]

    def _begin(
        self, unit: Unit, start: int, workers: ImageWorkers
    ) -> tuple[list[Mask], dict[int, str], list[Future[Prepared]]]:
        stop = min(start + self._batch_size, unit.n_rows)
        first = unit.first_row + start
        rows = replace(unit, start=unit.start + start, stop=unit.start + stop, first_row=first)
        samples = self._pool.read(rows, {"image"})
        masks = self._masks.read(first, first + len(samples))
        faults = {
            index: sample.faults.get("image", MISSING["image"])
            for index, sample in enumerate(samples)
            if sample.image is None
        }
        pairs = [
            (sample.image, mask if mask.reason is None else None)
            for sample, mask in zip(samples, masks, strict=True)
        ]
        return masks, faults, workers.submit(cast(Any, pairs))


class _Waiting:
    """Filled images, which wait until there are as many as the network sees at a time."""

    def __init__(self, encoder: Encoder, batch_size: int, found: Rows) -> None:
        self._encoder = encoder
        self._batch_size = batch_size
        self._found = found
        self._rows: list[int] = []
        self._images: list[npt.NDArray[Any]] = []

    def add(self, row: int, image: npt.NDArray[Any]) -> None:
        self._rows.append(row)
        self._images.append(image)
        if len(self._rows) == self._batch_size:
            self.flush()

    def flush(self) -> None:
        """Encode those that wait, filled up with the first of them to a whole batch."""
        if not self._rows:
            return
        missing = self._batch_size - len(self._rows)
        batch = np.stack(self._images + self._images[:1] * missing)
        self._found[self._rows] = self._encoder.encode_images(batch)[: len(self._rows)]
        self._rows, self._images = [], []
