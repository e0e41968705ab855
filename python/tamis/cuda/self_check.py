"""The first use of a GPU in a process: a small problem, its bits compared with the CPU's.

A kernel that has never met a card must not give a wrong answer in silence. A GPU that gives another
bit, or is farther from the CPU where bits cannot be the same, is refused for this process, and
`tamis.info()["cuda"]` repeats the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis import _native
from tamis._native import bits, cpu
from tamis.cuda import lorentz_check
from tamis.cuda.assign import assigned
from tamis.cuda.device import Array, Device
from tamis.cuda.lloyd import Lloyd
from tamis.cuda.mainloop import wanted
from tamis.cuda.max_cosine import compare_into
from tamis.cuda.problem import (
    DIMS,
    N_ROWS,
    SOME,
    Problem,
    few_rows,
    labels,
    make_problem,
    of_two,
    repeated,
    reversed_offsets,
    wide,
)
from tamis.cuda.rows import ResidentRows, make_canonical
from tamis.cuda.segments import Comparison

Results = tuple[npt.NDArray[Any], ...]

OnCpu = Callable[[Problem], Results]
OnGpu = Callable[[Device, Problem], Results]
Agree = Callable[[Results, Results], bool]

_checked: set[int] = set()
_lock = Lock()


def verify(device: Device) -> None:
    """Compare a GPU with the CPU once in a process; refuse it where a bit differs.

    Where wgmma is wanted and right, mma is not looked at: it serves what wgmma cannot count then.
    """
    with _lock:
        if device.ordinal in _checked:
            return
        asked = wanted() == "wgmma"
        without = why_not_wgmma(device) if asked else None
        why = None if asked and without is None else difference(device)
        if why is not None:
            _native.refuse_cuda(device.ordinal, f"{without}; then, {why}" if asked else why)
        _checked.add(device.ordinal)


def difference(device: Device) -> str | None:
    """How a GPU's results differ from the CPU's, as one sentence; None where they do not."""
    for dim in DIMS:
        problem = make_problem(dim)
        for name, on_cpu, on_gpu, agree in _operations(device):
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


def why_not_wgmma(device: Device) -> str | None:
    """Use wgmma where it gives the CPU's bits; elsewhere mma, and say why."""
    why: str | None = "its comparison did not end"
    try:
        device.module.use_mainloop(device.ordinal, "wgmma")
        why = difference(device)
    except RuntimeError as error:
        if isinstance(error, MemoryError):  # another try may work
            raise
        why = str(error)
    finally:
        if why is not None:
            device.module.use_mainloop(device.ordinal, "mma")
    _native.refuse_mainloop(device.ordinal, why)
    return why


def _operations(device: Device) -> Iterator[tuple[str, OnCpu, OnGpu, Agree]]:
    for name, on_cpu, on_gpu in _exact_operations():
        yield name, on_cpu, on_gpu, _same_bits
    if device.module.mainloop(device.ordinal) == "wgmma":
        for name, on_cpu, on_gpu in _persistent_operations():
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


def _persistent_operations() -> Iterator[tuple[str, OnCpu, OnGpu]]:
    for yes in (False, True):
        yield "assign", partial(_assign_twice, euclidean=yes), partial(_assign_much, euclidean=yes)
    yield "max_cosine", _max_cosine_twice, _max_cosine_much


def _canonical(problem: Problem) -> Results:
    rows = np.empty(problem.raw.shape, dtype=np.uint16)
    return cpu.canonical(problem.raw, rows), rows


def _canonical_there(device: Device, problem: Problem) -> Results:
    rows, state = make_canonical(device, device.upload(problem.raw))
    return device.download(state), device.download(rows).view(np.uint16)


def _assign(problem: Problem, *, euclidean: bool) -> Results:
    labels, scores, _ = cpu.assign(bits(problem.rows), bits(problem.centroids), euclidean, 2)
    return labels, scores


def _assign_there(device: Device, problem: Problem, *, euclidean: bool) -> Results:
    return _assigned(device, problem.rows, problem.centroids, euclidean, 2)


def _best_of_many(problem: Problem) -> Results:
    labels, scores, _ = cpu.assign(bits(few_rows(problem)), bits(problem.many), False, 1)
    return labels[:, 0], scores[:, 0]


def _best_of_many_there(device: Device, problem: Problem) -> Results:
    return _assigned(device, few_rows(problem), problem.many, False, 1)


def _assign_twice(problem: Problem, *, euclidean: bool) -> Results:
    columns = bits(problem.many[:SOME])
    labels, scores, _ = cpu.assign(bits(problem.rows), columns, euclidean, 1)
    return _twice(labels[:, 0]), _twice(scores[:, 0])


def _assign_much(device: Device, problem: Problem, *, euclidean: bool) -> Results:
    n, rows = _many_rows(device, problem)
    labels, scores = _assigned(device, rows, problem.many[:SOME], euclidean, 1)
    return _extremes(labels.reshape(n, N_ROWS)), _extremes(scores.reshape(n, N_ROWS))


def _best_of_wide(problem: Problem, *, euclidean: bool) -> Results:
    labels, scores, _ = cpu.assign(bits(problem.rows), wide(problem), euclidean, 3)
    return labels, scores


def _best_of_wide_there(device: Device, problem: Problem, *, euclidean: bool) -> Results:
    return _assigned(device, problem.rows, wide(problem), euclidean, 3)


def _assigned(
    device: Device,
    rows: npt.NDArray[np.float16] | Array,
    centroids: npt.NDArray[Any],
    euclidean: bool,
    top: int,
) -> Results:
    resident = ResidentRows(device, _there(device, rows))
    found = assigned(device, resident, device.upload(centroids), euclidean, top)
    return device.download(found[0]), device.download(found[1])


def _update(problem: Problem, *, spherical: bool) -> Results:
    """Of two problems in one batch: the halves of the rows."""
    found: list[list[Any]] = [[], [], [], []]
    arrays = (problem.rows, labels(), np.roll(labels(), 1), of_two(problem))
    for rows, given, before, centroids in zip(*(np.split(a, 2) for a in arrays), strict=True):
        following = cpu.update_centroids(bits(rows), given, bits(centroids), spherical)
        best, scores, _ = cpu.assign(bits(rows), following, not spherical, 1)
        inertia = cpu.inertia(bits(rows), given, bits(centroids))
        numbers = np.array([str(inertia), str((given != before).sum())])
        for results, own in zip(found, (following, best[:, 0], scores[:, 0], numbers), strict=True):
            results.append(own)
    return tuple(map(np.concatenate, found))


def _update_there(device: Device, problem: Problem, *, spherical: bool) -> Results:
    rows = ResidentRows(device, device.upload(problem.rows))
    lloyd = Lloyd(device, rows, device.upload(of_two(problem)), 2, spherical=spherical)
    lloyd.labels = device.upload(labels())
    changed = lloyd.changed_from(device.upload(np.roll(labels(), 1)))
    numbers = np.array([str(n) for own in zip(lloyd.inertias(), changed, strict=True) for n in own])
    lloyd.update()
    lloyd.assign(scored=False)
    lloyd.score()
    assert lloyd.scores is not None
    following = device.download(lloyd.centroids).view(np.uint16)
    return following, device.download(lloyd.labels), device.download(lloyd.scores), numbers


def _max_cosine(problem: Problem, *, others: bool, rectangular: bool) -> Results:
    rows, offsets = bits(problem.rows), problem.offsets
    other = rows[::-1].copy() if rectangular else None
    other_offsets = reversed_offsets(offsets) if rectangular else None
    cosine, index, _ = cpu.max_cosine(rows, offsets, other, other_offsets, None, others)
    return cosine, index


def _max_cosine_there(
    device: Device, problem: Problem, *, others: bool, rectangular: bool
) -> Results:
    columns = problem.rows[::-1] if rectangular else None
    other_offsets = reversed_offsets(problem.offsets) if rectangular else None
    what = Comparison(problem.offsets, other_offsets, None, others)
    return _compared(device, problem.rows, columns, what)


def _compared(
    device: Device,
    rows: npt.NDArray[np.float16] | Array,
    columns: npt.NDArray[np.float16] | None,
    what: Comparison,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    n = len(rows)
    cosine, index = device.empty((n,), "float64"), device.empty((n,), "int64")
    others = None if columns is None else device.upload(columns)
    compare_into(device, _there(device, rows), others, what, cosine, index)
    return device.download(cosine), device.download(index)


def _max_cosine_twice(problem: Problem) -> Results:
    cosine, index = _max_cosine(problem, others=True, rectangular=False)
    return _twice(cosine), _twice(index)


def _max_cosine_much(device: Device, problem: Problem) -> Results:
    n, rows = _many_rows(device, problem)
    what = Comparison(repeated(problem.offsets, n), None, None, True)
    cosine, index = _compared(device, rows, None, what)
    before = N_ROWS * np.arange(n)[:, np.newaxis]
    index = index.reshape(n, N_ROWS)
    index = np.where(index < 0, index, index - before)
    return _extremes(cosine.reshape(n, N_ROWS)), _extremes(index)


def _lorentz(problem: Problem) -> Results:
    return lorentz_check.on_cpu(problem.raw)


def _lorentz_there(device: Device, problem: Problem) -> Results:
    return lorentz_check.on_gpu(device, problem.raw)


def _many_rows(device: Device, problem: Problem) -> tuple[int, Array]:
    """The rows n times, so that a persistent block has more than one piece of work; (n, them)."""
    n = 2 * int(device.module.device(device.ordinal)["sms"]) * 128 // N_ROWS + 2
    return n, device.take(device.upload(problem.rows), np.tile(np.arange(N_ROWS), n))


def _there(device: Device, rows: npt.NDArray[np.float16] | Array) -> Array:
    return rows if isinstance(rows, Array) else device.upload(rows)


def _twice(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.stack((values, values))


def _extremes(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Of repetitions that should be equal, the first, and one that differs if there is any."""
    return np.stack((values[0], values[(values != values[0]).any(axis=1).argmax()]))


def _same_bits(found: Results, expected: Results) -> bool:
    return _hash(found) == _hash(expected)


def _hash(results: Results) -> str:
    digest = hashlib.sha256()
    for result in results:
        digest.update(f"{result.dtype.str}{result.shape}".encode())
        digest.update(np.ascontiguousarray(result).tobytes())
    return digest.hexdigest()
