"""What a GPU must give as the CPU does, to the bit; run on fakes and on real arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import cases
import tamis


class Case(NamedTuple):
    """A call: a function of tamis, arrays that move to the device, and the rest."""

    name: str
    call: Callable[..., Any]
    arrays: tuple[Any, ...]
    options: dict[str, Any]


def every_case(d: int) -> Iterator[Case]:
    """Calls on rows of d dimensions."""
    rng = np.random.default_rng(d)
    raw = rng.standard_normal((150, d), dtype=np.float32) * 3
    raw[20:40] = raw[20]
    copies, near = cases.copies(140, d, 1), cases.near_copies(150, d, 2)
    x, centroids = cases.equidistant(150, d, 3)
    wide = rng.standard_normal((20, d))
    ragged = cases.ragged(150, 4)
    for dtype in ("float16", "float32", "float64"):
        yield Case(f"canonical {dtype}", tamis.canonical, (raw.astype(dtype),), {})
        yield Case(f"assign {dtype}", _assign, (raw.astype(dtype), centroids), {})
    yield Case("assign near-ties", _assign, (x, centroids), {})
    yield Case("assign near-ties euclidean", _assign, (x, centroids), {"metric": "euclidean"})
    yield Case("assign far rows", _assign, (raw, wide), {"metric": "euclidean"})
    yield Case("assign top", _assign, (x, wide), {"top": 3})
    yield Case("assign large float16", _assign, (x, (wide * 9).astype(np.float16)), {})
    for spherical in (False, True):
        options: dict[str, Any] = {"spherical": spherical, "n_clusters": 9, "max_iter": 5}
        yield Case(f"kmeans {spherical}", _kmeans, (near,), options)
        yield Case(f"kmeans raw {spherical}", _kmeans, (raw,), options)
        yield Case(
            f"kmeans sample {spherical}", _kmeans, (raw,), options | {"max_points_per_centroid": 7}
        )
        yield Case(f"kmeans stack {spherical}", _kmeans, (raw.reshape(3, 50, d),), options)
        yield Case(f"kmeans init {spherical}", _kmeans_from, (raw, 5 * raw[:9]), options)
    yield Case("kmeans copies", _kmeans, (copies,), {"n_clusters": 9})
    yield Case("kmeans none", _kmeans, (near,), {"n_clusters": 3, "max_iter": 0})
    for side in ("earlier", "others"):
        yield Case(f"max_cosine {side}", _max_cosine, (near,), {"offsets": ragged, "side": side})
    yield Case("max_cosine copies", _max_cosine, (copies,), {})
    other: dict[str, Any] = {"offsets": [0, 40, 40, 150], "other_offsets": [0, 100, 140, 140]}
    yield Case("max_cosine other", _max_cosine_other, (raw, copies), other)
    yield Case("max_cosine nothing", _max_cosine, (near[:0],), {})


def _assign(x: Any, centroids: Any, **options: Any) -> tuple[Any, ...]:
    return tamis.assign(x, centroids, **options)


def _kmeans(x: Any, **options: Any) -> tuple[Any, ...]:
    return tuple(vars(tamis.kmeans(x, **options)).values())


def _kmeans_from(x: Any, init: Any, **options: Any) -> tuple[Any, ...]:
    return _kmeans(x, init=init, **options)


def _max_cosine(x: Any, **options: Any) -> tuple[Any, ...]:
    return tamis.max_cosine(x, **options)


def _max_cosine_other(x: Any, other: Any, **options: Any) -> tuple[Any, ...]:
    return tamis.max_cosine(x, other=other, **options)
