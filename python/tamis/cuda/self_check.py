"""The first use of a GPU in a process: a small problem, its bits compared with the CPU's.

A kernel that has never met a card must not give a wrong answer in silence. The problem has what
breaks approximate kernels: near-ties of 2^-48, copies, near-copies, more of each than a candidate
list holds, walks of several tiles, ragged segments, a dimension that fills no tile, a zero row, a
NaN. A GPU that gives another bit, or is farther from the CPU where bits cannot be the same, is
refused for this process, and `tamis.info()["cuda"]` repeats the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis import _native
from tamis._native import bits, cpu
from tamis.cuda import lorentz_check
from tamis.cuda.assign import assigned
from tamis.cuda.device import Device
from tamis.cuda.kmeans import Lloyd
from tamis.cuda.max_cosine import compare_into
from tamis.cuda.rows import ResidentRows, make_canonical
from tamis.cuda.segments import Comparison

DIMS = (67, 136)
"""Odd, and a whole number of 16-byte pieces: rows that are copied first, and rows as they are."""
_ROWS = 240
_CENTROIDS = 140  # more than one tile of 128
REPEATS = 60  # of all centroids: more than two tiles for each of 32 blocks that split them
_SMALLEST = np.float16(2.0**-24)  # the smallest positive float16

Results = tuple[npt.NDArray[Any], ...]

OnCpu = Callable[["Problem"], Results]
OnGpu = Callable[[Device, "Problem"], Results]
Agree = Callable[[Results, Results], bool]

_checked: set[int] = set()
_lock = Lock()


class Problem(NamedTuple):
    """Host arrays that every kernel is given."""

    raw: npt.NDArray[np.float32]
    rows: npt.NDArray[np.float16]
    centroids: npt.NDArray[np.float16]
    many: npt.NDArray[np.float16]
    offsets: npt.NDArray[np.int64]


def verify(device: Device) -> None:
    """Compare a GPU with the CPU once in a process; refuse it where a bit differs."""
    with _lock:
        if device.ordinal in _checked:
            return
        why = difference(device)
        if why is not None:
            _native.refuse_cuda(device.ordinal, why)
        _checked.add(device.ordinal)


def difference(device: Device) -> str | None:
    """How a GPU's results differ from the CPU's, as one sentence; None where they do not."""
    for dim in DIMS:
        problem = make_problem(dim)
        for name, on_cpu, on_gpu, agree in _operations():
            try:
                found = on_gpu(device, problem)
            except MemoryError:  # the driver may be short of it, too, when it loads a kernel
                raise
            except RuntimeError as error:
                return f"{name} failed in the self-check of cuda:{device.ordinal} ({error})"
            if not agree(found, on_cpu(problem)):
                return (
                    f"{name} of cuda:{device.ordinal} differs from the CPU's in the self-check "
                    f"(dimension {dim})"
                )
    return None


def make_problem(dim: int) -> Problem:
    """Rows and centroids of one dimension, the same in every process."""
    rng = np.random.default_rng(dim)
    raw = rng.standard_normal((_ROWS, dim), dtype=np.float32)
    raw[40:60] = raw[40] + np.float32(0.03) * raw[40:60]  # near-copies
    raw[60:90] = raw[60]  # copies
    raw[150:190] = raw[150]
    raw[:, 0] = 0
    rows, centroids = _unit(raw), _unit(rng.standard_normal((_CENTROIDS, dim)))
    centroids[:20] = rows[30:50]
    centroids[70:90] = centroids[:20]  # ties between tiles
    # Best and second best differ by 2^-48 for every seventh row.
    rows[::7, 0] = _SMALLEST
    rows[150:190, 0] = _multiples(40)  # no copies, and nearer than any sum in float32 can tell
    centroids[100:140] = np.repeat(rows[: 7 * 20 : 7], 2, axis=0)
    centroids[100:140:2, 0], centroids[101:140:2, 0] = 3 * _SMALLEST, 4 * _SMALLEST
    many = rng.permutation(np.tile(centroids, (REPEATS, 1)))
    many[:, 0] = rng.choice(_multiples(1000), len(many))
    many[200:240] = rows[112]
    many[200:240, 0] = _multiples(40)
    raw[3], raw[5, dim // 2], raw[7] = 0, np.nan, 2.0**-70
    sizes = [0, 1, 0, 2, 31, 1, 1, 170, 0, 5]
    offsets = np.cumsum([0, *sizes, _ROWS - sum(sizes), 0], dtype=np.int64)
    return Problem(raw, rows, centroids, many, offsets)


def _operations() -> Iterator[tuple[str, OnCpu, OnGpu, Agree]]:
    for name, on_cpu, on_gpu in _exact_operations():
        yield name, on_cpu, on_gpu, _same_bits
    yield "lorentz", _lorentz, _lorentz_there, lorentz_check.near


def _exact_operations() -> Iterator[tuple[str, OnCpu, OnGpu]]:
    yield "canonical", _canonical, _canonical_there
    yield "assign", _best_of_many, _best_of_many_there
    for yes in (False, True):
        yield "assign", partial(_assign, euclidean=yes), partial(_assign_there, euclidean=yes)
        yield (
            "assign",
            partial(_best_of_wide, euclidean=yes),
            partial(_best_of_wide_there, euclidean=yes),
        )
        yield "k-means", partial(_update, spherical=yes), partial(_update_there, spherical=yes)
    for others, rectangular in ((False, False), (True, False), (False, True)):
        yield (
            "max_cosine",
            partial(_max_cosine, others=others, rectangular=rectangular),
            partial(_max_cosine_there, others=others, rectangular=rectangular),
        )


def _canonical(problem: Problem) -> Results:
    rows = np.empty(problem.raw.shape, dtype=np.uint16)
    return cpu.canonical(problem.raw, rows), rows


def _canonical_there(device: Device, problem: Problem) -> Results:
    rows, state = make_canonical(device, device.upload(problem.raw))
    return device.download(state), device.download(rows).view(np.uint16)


def _assign(problem: Problem, *, euclidean: bool) -> Results:
    labels, scores, _ = cpu.assign(bits(problem.rows), bits(problem.centroids), euclidean, 1)
    return labels[:, 0], scores[:, 0]


def _assign_there(device: Device, problem: Problem, *, euclidean: bool) -> Results:
    return _assigned(device, problem.rows, problem.centroids, euclidean, 1)


def _best_of_many(problem: Problem) -> Results:
    labels, scores, _ = cpu.assign(bits(few_rows(problem)), bits(problem.many), False, 1)
    return labels[:, 0], scores[:, 0]


def _best_of_many_there(device: Device, problem: Problem) -> Results:
    return _assigned(device, few_rows(problem), problem.many, False, 1)


def _best_of_wide(problem: Problem, *, euclidean: bool) -> Results:
    labels, scores, _ = cpu.assign(bits(problem.rows), _wide(problem), euclidean, 3)
    return labels, scores


def _best_of_wide_there(device: Device, problem: Problem, *, euclidean: bool) -> Results:
    return _assigned(device, problem.rows, _wide(problem), euclidean, 3)


def _assigned(
    device: Device,
    rows: npt.NDArray[np.float16],
    centroids: npt.NDArray[Any],
    euclidean: bool,
    top: int,
) -> Results:
    resident = ResidentRows(device, device.upload(rows))
    found = assigned(device, resident, device.upload(centroids), euclidean, top)
    return device.download(found[0]), device.download(found[1])


def _update(problem: Problem, *, spherical: bool) -> Results:
    rows, labels, before = bits(problem.rows), _labels(), bits(problem.centroids)
    following = cpu.update_centroids(rows, labels, before, spherical)
    changed = int((labels != np.roll(labels, 1)).sum())
    return following, np.array([str(cpu.inertia(rows, labels, before)), str(changed)])


def _update_there(device: Device, problem: Problem, *, spherical: bool) -> Results:
    rows = ResidentRows(device, device.upload(problem.rows))
    lloyd = Lloyd(device, rows, device.upload(problem.centroids), spherical=spherical)
    lloyd.labels = device.upload(_labels())
    changed = lloyd.changed_from(device.upload(np.roll(_labels(), 1)))
    inertia = lloyd.inertia()
    lloyd.update()
    following = device.download(lloyd.centroids).view(np.uint16)
    return following, np.array([str(inertia), str(changed)])


def _max_cosine(problem: Problem, *, others: bool, rectangular: bool) -> Results:
    rows, offsets = bits(problem.rows), problem.offsets
    other = rows[::-1].copy() if rectangular else None
    other_offsets = _reversed(offsets) if rectangular else None
    cosine, index, _ = cpu.max_cosine(rows, offsets, other, other_offsets, None, others)
    return cosine, index


def _max_cosine_there(
    device: Device, problem: Problem, *, others: bool, rectangular: bool
) -> Results:
    rows = device.upload(problem.rows)
    columns = device.upload(problem.rows[::-1]) if rectangular else None
    other_offsets = _reversed(problem.offsets) if rectangular else None
    what = Comparison(problem.offsets, other_offsets, None, others)
    cosine, index = device.empty((_ROWS,), "float64"), device.empty((_ROWS,), "int64")
    compare_into(device, rows, columns, what, cosine, index)
    return device.download(cosine), device.download(index)


def _lorentz(problem: Problem) -> Results:
    return lorentz_check.on_cpu(problem.raw)


def _lorentz_there(device: Device, problem: Problem) -> Results:
    return lorentz_check.on_gpu(device, problem.raw)


def few_rows(problem: Problem) -> npt.NDArray[np.float16]:
    """Rows that are assigned to many centroids, and tell near-ties of 2^-48 apart."""
    return np.ascontiguousarray(problem.rows[:140:28])


def _multiples(n: int) -> npt.NDArray[np.float16]:
    """1 to n times the smallest positive float16."""
    return np.arange(1, n + 1, dtype=np.uint16).view(np.float16)


def _labels() -> npt.NDArray[np.int32]:
    """One large cluster, small ones, and empty ones."""
    labels = np.arange(_ROWS, dtype=np.int32) % (_CENTROIDS - 20)
    labels[20:70] = 11
    return labels


def _reversed(offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(offsets[-1] - offsets[::-1])


def _wide(problem: Problem) -> npt.NDArray[np.float64]:
    return problem.centroids.astype(np.float64) * (1 + 2.0**-30)


def _unit(values: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    wide = values.astype(np.float64)
    norm = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    rows: npt.NDArray[np.float16] = (wide / norm).astype(np.float16)
    return rows


def _same_bits(found: Results, expected: Results) -> bool:
    return _hash(found) == _hash(expected)


def _hash(results: Results) -> str:
    digest = hashlib.sha256()
    for result in results:
        digest.update(f"{result.dtype.str}{result.shape}".encode())
        digest.update(np.ascontiguousarray(result).tobytes())
    return digest.hexdigest()
