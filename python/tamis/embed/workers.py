"""Images decoded and prepared in worker processes, in the order in which they came."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.data.image import ImageFault, decode_image
from tamis.data.limits import Limits
from tamis.embed.encoder import PrepareImage
from tamis.errors import RunError

IMAGES_PER_TASK = 16
LONGEST_SHAPE = 100
TOO_LONG = f"image is more than {LONGEST_SHAPE} times as long as wide"
"""A transform that first scales the short side would make such an image enormous."""
REFUSED = "image is refused by the model's transforms"


@dataclass(frozen=True)
class Prepared:
    """Images ready for an encoder.

    Attributes:
        arrays: (n, ...); a constant where an image cannot be used.
        reasons: index -> why it cannot.
    """

    arrays: npt.NDArray[Any]
    reasons: dict[int, str]


@dataclass(frozen=True)
class Preparation:
    """Everything that happens to an image before it meets a network; it pickles.

    Attributes:
        prepare: the encoder's.
        flip: mirror the image left to right.
        limits: what is refused before it is decoded.
    """

    prepare: PrepareImage
    flip: bool = False
    limits: Limits = field(default_factory=Limits)

    def __call__(self, images: Sequence[bytes | None]) -> Prepared:
        """Decode and prepare; None is an image that is known to be missing."""
        arrays, reasons = [], {}
        for index, data in enumerate(images):
            array = None
            if data is not None:
                try:
                    array = self._one(data)
                except ImageFault as fault:
                    reasons[index] = fault.reason
            arrays.append(self.blank if array is None else array)
        return Prepared(np.stack(arrays), reasons)

    @property
    def blank(self) -> npt.NDArray[Any]:
        """The constant."""
        from PIL import Image

        return self.prepare(Image.new("RGB", (8, 8)))

    def _one(self, data: bytes) -> npt.NDArray[Any]:
        image = decode_image(data, self.limits)
        if max(image.size) > LONGEST_SHAPE * min(image.size):
            raise ImageFault(TOO_LONG)
        if self.flip:
            from PIL import Image

            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        try:
            return self.prepare(image)
        except (ValueError, OSError, ArithmeticError) as error:
            raise ImageFault(REFUSED) from error


class ImageWorkers:
    """Runs a `Preparation` in processes.

    The processes are started afresh, never forked from this one, which may hold a network and its
    threads. A script that uses them needs the usual `if __name__ == "__main__":`.

    Args:
        preparation: what is run.
        workers: processes; 0 runs it in this one.
    """

    def __init__(self, preparation: Preparation, workers: int) -> None:
        if workers < 0:
            raise ValueError(f"expected 0 workers or more, got {workers}")
        self.workers = workers
        self._preparation = preparation
        self._pool = None
        if workers:
            self._pool = ProcessPoolExecutor(
                workers,
                mp_context=multiprocessing.get_context("forkserver"),
                initializer=_start_worker,
                initargs=(preparation,),
            )

    def submit(self, images: Sequence[bytes | None]) -> list[Future[Prepared]]:
        """Begin to prepare images; the results, one after the other, are in their order."""
        tasks = [
            images[start : start + IMAGES_PER_TASK]
            for start in range(0, len(images), IMAGES_PER_TASK)
        ]
        try:
            if self._pool is not None:
                return [self._pool.submit(_work, task) for task in tasks]
        except BrokenProcessPool as error:
            raise _broken() from error
        return [_done(self._preparation(task)) for task in tasks]

    def __enter__(self) -> ImageWorkers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def gathered(results: Sequence[Future[Prepared]], n_rows: int) -> Prepared:
    """Join results into one batch of `n_rows`, the last ones of which are the first image again.

    Raises:
        RunError: a worker process has died.
    """
    try:
        pieces = [result.result() for result in results]
    except BrokenProcessPool as error:
        raise _broken() from error
    arrays = np.empty((n_rows, *pieces[0].arrays.shape[1:]), pieces[0].arrays.dtype)
    reasons = {}
    start = 0
    for piece in pieces:
        arrays[start : start + len(piece.arrays)] = piece.arrays
        reasons.update({start + index: reason for index, reason in piece.reasons.items()})
        start += len(piece.arrays)
    arrays[start:] = arrays[0]
    return Prepared(arrays, reasons)


_preparation: Preparation | None = None


def _start_worker(preparation: Preparation) -> None:
    global _preparation
    _preparation = preparation
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot tell its workers, who would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(images: Sequence[bytes | None]) -> Prepared:
    assert _preparation is not None
    return _preparation(images)


def _done(prepared: Prepared) -> Future[Prepared]:
    future: Future[Prepared] = Future()
    future.set_result(prepared)
    return future


def _broken() -> RunError:
    return RunError(
        "an image worker has died, most often for want of memory; run the same command again with "
        "fewer --workers, it continues where it stopped"
    )
