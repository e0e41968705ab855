"""Several k-means problems of one size on a GPU as one.

Their rows lie one after another, so do their centroids and labels, and a label counts from the
first centroid of its own problem.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis._array import cuda_ordinal
from tamis.cuda.assign import assign_into
from tamis.cuda.device import Array, Device
from tamis.cuda.rows import HostRows, Index, ResidentRows, Rows, make_canonical
from tamis.kernels.assign import scaled_rows
from tamis.kernels.canonical import BAD, refuse_bad
from tamis.kernels.kmeans import first_distinct

MOST_PROBLEMS = 65535
"""Of one launch."""


class Batch(NamedTuple):
    """Rows of problems of one size; those of problem p are about rows * 2^exponents[p]."""

    rows: Rows
    exponents: list[int]
    roundings: list[float]


def resident_batch(device: Device, x: Any, *, spherical: bool, allow_rounding: bool) -> Batch:
    """The problems of a 3-D x in a buffer of their own on the GPU.

    Raises:
        ValueError: the first problem with bad rows, or with too much rounding, has them.
    """
    n_problems, n_rows, dim = tuple(x.shape)
    flat = (n_problems * n_rows, dim)
    matrix = x
    if cuda_ordinal(x) is not None:
        view = replace(device.matrix(x, dims=(3,)), shape=flat)
        if spherical or view.dtype == "float16":
            rows, states = make_canonical(device, view)
            state = device.download(states)
            if spherical:
                _refuse_bad(state >= BAD, n_rows)
            if spherical or not state.any():
                return _unscaled(ResidentRows(device, rows), n_problems)
        matrix = device.download(view).reshape(x.shape)
    elif spherical:
        host = HostRows(device, x.reshape(flat), is_canonical=False)
        try:
            return _unscaled(host.resident(), n_problems)
        except ValueError:
            _refuse_bad(host.bad, n_rows)  # by the row's number in its problem
            raise
    scaled = [scaled_rows(problem, allow_rounding=allow_rounding) for problem in matrix]
    resident = ResidentRows(device, device.upload(np.concatenate([one.rows for one in scaled])))
    return Batch(resident, [one.exponent for one in scaled], [one.rounding for one in scaled])


def shares(length: int, n_problems: int) -> list[slice]:
    """Which part of an array belongs to each problem."""
    size = length // n_problems
    return [slice(p * size, (p + 1) * size) for p in range(n_problems)]


def of_each(numbers: Index, n_rows: int, n_problems: int) -> Index:
    """The same rows of every problem."""
    first = np.arange(n_problems, dtype=np.int64) * n_rows
    return (first[:, None] + numbers).ravel()


def initial_rows(
    points: Rows, order: Index, n_problems: int, n_clusters: int
) -> npt.NDArray[np.float16]:
    """`first_distinct` points of every problem.

    The first ones of all are read at once; a problem that has copies among them is looked at again.
    """
    n_points = points.shape[0] // n_problems
    found = points.read(of_each(order[:n_clusters], n_points, n_problems))
    for own, all_own in zip(
        shares(len(found), n_problems), shares(points.shape[0], n_problems), strict=True
    ):
        if len({row.tobytes() for row in found[own]}) < n_clusters:

            def read(some: Index, begin: int = all_own.start) -> npt.NDArray[np.float16]:
                return points.read(begin + some)

            found[own] = read(first_distinct(order, read, n_clusters))
    return found


def assign_each(
    device: Device,
    rows: Array,
    targets: Array,
    euclidean: bool,
    labels: Array,
    scores: Array | None,
    settled: npt.NDArray[np.bool_],
) -> None:
    """Labels int32 and float64 scores (or none) of the rows of every problem that is not settled.

    Neighbours go together, but for float64 targets.
    """
    n_problems = len(settled)
    n_rows, n_targets = len(rows) // n_problems, len(targets) // n_problems
    if targets.dtype == "float16":
        runs = np.flatnonzero(np.diff(settled, prepend=True, append=True)).reshape(-1, 2).tolist()
    else:
        runs = [[problem, problem + 1] for problem in np.flatnonzero(~settled).tolist()]
    for begin, end in runs:
        own, columns = (slice(begin * n, end * n) for n in (n_rows, n_targets))
        some, of, found = rows.part(own), targets.part(columns), labels.part(own)
        to = None if scores is None else scores.part(own)
        assign_into(device, some, of, euclidean, 1, found, to, end - begin)


def _unscaled(rows: ResidentRows, n_problems: int) -> Batch:
    return Batch(rows, [0] * n_problems, [0.0] * n_problems)


def _refuse_bad(bad: npt.NDArray[np.bool_], n_rows: int) -> None:
    for problem in bad.reshape(-1, n_rows):
        refuse_bad("x", problem)
