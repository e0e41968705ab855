"""Writing a subset of any size: sorted in memory where it fits, else bucket by bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np

from tamis.data.ids import UID_DTYPE, Ids
from tamis.data.subset import subset_content
from tamis.run import atomic

_BYTES_TO_SORT = 64  # for each uid: itself, its key, its place, and the sorted copy
_BUCKETS = 256


def write_ids(
    path: Path, n_ids: int, parts: Callable[[], Iterable[Ids]], memory_bytes: int
) -> tuple[atomic.Written, int]:
    """Write a subset file; see :mod:`tamis.data.subset`.

    Args:
        path: ends in .npy or .parquet.
        n_ids: how many there are.
        parts: gives them, in any order, repeats included.
        memory_bytes: uids that need more are first dealt out to unnamed files beside `path`, by
            their first byte, so that one bucket at a time is sorted. Other ids are sorted at once.

    Returns:
        What was written, and how many different ids it holds.

    Raises:
        PoolError: the ids do not fit the format.
        RunError: the file cannot be written.
    """
    if path.name.endswith(".npy") and n_ids * _BYTES_TO_SORT > memory_bytes:
        return _write_in_buckets(path, n_ids, parts())
    content = subset_content(Ids.concat(list(parts())), path.name)
    if isinstance(content, np.ndarray):
        return atomic.write_npy(path, content), _n_different(content)
    return atomic.write_parquet(path, content), len(content["id"].unique())


def _write_in_buckets(path: Path, n_ids: int, parts: Iterable[Ids]) -> tuple[atomic.Written, int]:
    n_different = 0
    with atomic.replacing(path) as file, ExitStack() as stack:
        try:
            # Without names: nothing is left behind, however this process ends.
            buckets = [stack.enter_context(TemporaryFile(dir=path.parent)) for _ in range(_BUCKETS)]
            for part in parts:
                _deal(subset_content(part, path.name), buckets)
        except OSError as error:
            raise atomic.write_failure(path, error) from error
        header = {"descr": UID_DTYPE.descr, "fortran_order": False, "shape": (n_ids,)}
        np.lib.format.write_array_header_1_0(file, header)
        for bucket in buckets:
            bucket.seek(0)  # which flushes
            uids = np.frombuffer(bucket.read(), UID_DTYPE)
            ordered = subset_content(Ids.of(uids), path.name)
            n_different += _n_different(ordered)
            file.write(ordered.view(np.uint8))
    return file.written, n_different


def _n_different(ordered: np.ndarray) -> int:
    halves = ordered.view(np.uint64).reshape(-1, 2)
    return min(len(ordered), 1) + int((halves[1:] != halves[:-1]).any(axis=1).sum())


def _deal(ordered: np.ndarray, buckets: Sequence[IO[bytes]]) -> None:
    first_bytes = (ordered["f0"] >> np.uint64(56)).astype(np.int64)
    ends = np.searchsorted(first_bytes, np.arange(_BUCKETS), side="right").tolist()
    start = 0
    for bucket, end in zip(buckets, ends, strict=True):
        if end > start:
            bucket.write(ordered[start:end].tobytes())
        start = end
