"""Image workers, and work that is done ahead."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tests.embed.small import encoded, picture, shrunk

from tamis.embed.ahead import ahead
from tamis.embed.workers import ImageWorkers, Preparation, gathered
from tamis.errors import RunError


def dies(image: Image.Image) -> npt.NDArray[Any]:
    os._exit(1)


def refuses(image: Image.Image) -> npt.NDArray[Any]:
    if image.width != 8:  # not the blank one
        raise ValueError("a size that this transform cannot take")
    return shrunk(image)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_come_in_order(workers: int) -> None:
    images = [picture(n) if n % 10 else None for n in range(70)]
    images[33] = b"junk"
    with ImageWorkers(Preparation(shrunk), workers) as pool:
        found = gathered(pool.submit(images), 75)
    assert found.arrays.shape == (75, 5, 6, 3)
    assert list(found.reasons) == [33]
    blank = shrunk(Image.new("RGB", (8, 8)))
    one = Preparation(shrunk)
    for index, data in enumerate(images):
        usable = data is not None and index != 33
        expected = one([data]).arrays[0] if usable else blank
        assert (found.arrays[index] == expected).all()
    assert (found.arrays[70:] == found.arrays[0]).all()


def test_a_transform_that_refuses_an_image() -> None:
    found = Preparation(refuses)([picture(1)])
    assert found.reasons == {0: "image is refused by the model's transforms"}


def test_long_images_are_not_scaled_up() -> None:
    fine, long = Image.new("RGB", (4, 400)), Image.new("RGB", (401, 4))
    found = Preparation(shrunk)([encoded(fine), encoded(long)])
    assert found.reasons == {1: "image is more than 100 times as long as wide"}


def test_a_worker_that_dies() -> None:
    with (
        ImageWorkers(Preparation(dies), 1) as pool,
        pytest.raises(RunError, match="an image worker has died"),
    ):
        gathered(pool.submit([picture(1)]), 1)


def test_ahead_raises_where_items_are_taken() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        raise KeyError("gone")

    with ahead(items(), 3) as taken:
        assert next(taken) == 1
        with pytest.raises(KeyError, match="gone"):
            next(taken)


def test_ahead_closes_what_is_left() -> None:
    closed = threading.Event()
    made = []

    def items() -> Generator[int, None, None]:
        try:
            for n in range(1000):
                made.append(n)
                yield n
        finally:
            closed.set()

    with ahead(items(), 2) as taken:
        assert next(taken) == 0
    assert closed.is_set()
    assert len(made) <= 5
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())


def test_arrays_are_as_the_encoder_makes_them() -> None:
    found = Preparation(shrunk, flip=True)([encoded(Image.fromarray(_ramp()))])
    assert (found.arrays[0] == _ramp()[:, ::-1]).all()


def _ramp() -> npt.NDArray[np.uint8]:
    return np.arange(90, dtype=np.uint8).reshape(5, 6, 3)


def test_only_images_that_are_missing_or_bad_cost_a_blank_one() -> None:
    widths = []

    def prepare(image: Image.Image) -> npt.NDArray[Any]:
        widths.append(image.width)
        return np.zeros(1)

    assert Preparation(prepare)([picture(1), b"junk", picture(2), None]).reasons.keys() == {1}
    assert widths.count(8) == 2 and len(widths) == 4
