"""Centroids of a pool, and which of them a target set is near.

DataComp publishes its 100,000 centroids and the ImageNet embeddings as pickles, which run code when
they are read; tamis reads `.npy` and the other layouts of :mod:`tamis.data.layouts` only. A file
that you trust is converted by `numpy.save("centroids.npy", torch.load(path, weights_only=False))`,
the embeddings by the same with `["image_features"]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tamis.data.asset import AssetError, asset
from tamis.data.npy_file import EMBEDDING_DTYPES, NpyFile
from tamis.data.pool import Pool
from tamis.kernels.assign import assign
from tamis.kernels.canonical import canonical
from tamis.run.inputs import InputFile
from tamis.run.progress import Progress, Quiet

_ROWS_PER_UNIT = 1 << 16


class Centroids:
    """k centroids, used as they are stored: never normalised, never rounded.

    Args:
        path: a `.npy` file of shape (k, d), float16, float32 or float64.

    Raises:
        AssetError: there is no such file, or it holds something else.

    Attributes:
        shape: (k, d).
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.input: InputFile = asset(
            self.path, "centroids", expected="the pool's centroids, a .npy file of (k, dim)"
        )
        self._file = NpyFile.open(self.path)
        shape = self._file.shape
        if len(shape) != 2 or self._file.dtype not in EMBEDDING_DTYPES or 0 in shape:
            raise AssetError(
                f"{self.path}: expected centroids of shape (k, dim) in float16, float32 or "
                f"float64, got {shape} {self._file.dtype}"
            )
        self.shape = (shape[0], shape[1])
        self._rows: np.ndarray | None = None

    def nearest(self, rows: np.ndarray) -> np.ndarray:
        """Return int32 (n,): the centroid of the largest inner product with each canonical row.

        Decided in float64; ties go to the lowest number.
        """
        if len(rows) == 0:
            return np.empty(0, np.int32)
        if self._rows is None:
            self._rows = self._file.read(0, self.shape[0])
        return assign(rows, self._rows, metric="dot")[0]


def target_numbers(
    centroids: Centroids, targets: Pool, progress: Progress | None = None
) -> np.ndarray:
    """Return int64, ascending: the centroids that are the nearest of at least one target row.

    Rows of the targets that are zero, NaN or infinite are left out.

    Raises:
        AssetError: the dimensions differ, or no row is usable.
    """
    if targets.dim != centroids.shape[1]:
        raise AssetError(
            f"{targets.path}: expected target embeddings of dim {centroids.shape[1]}, as the "
            f"centroids have, got {targets.dim}"
        )
    found = np.zeros(centroids.shape[0], np.bool_)
    with (progress or Quiet()).stage("target set", targets.n_rows, "rows") as advance:
        for unit in targets.units(_ROWS_PER_UNIT):
            rows, bad = canonical(targets.read_embeddings(unit))
            found[centroids.nearest(rows[~bad])] = True
            advance(unit.n_rows)
    if not found.any():
        raise AssetError(f"{targets.path}: expected target embeddings, all rows are zero or NaN")
    return np.flatnonzero(found)


def read_numbers(path: Path | str, k: int) -> np.ndarray:
    """Read the numbers of the target centroids: a `.npy` of integers, or text, one on a line.

    Raises:
        AssetError: no such file, or not k centroids' numbers.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "targets.txt"
        >>> _ = path.write_text("7\\n2\\n7\\n")
        >>> read_numbers(path, k=10)
        array([2, 7])
    """
    path = Path(path)
    asset(path, "targets", expected="the numbers of the target centroids (.npy, or text)")
    values = _npy_numbers(path) if path.suffix == ".npy" else _text_numbers(path)
    if len(values) == 0 or min(values) < 0 or max(values) >= k:
        raise AssetError(
            f"{path}: expected numbers of centroids from 0 to {k - 1}, got "
            f"{f'{min(values)} to {max(values)}' if len(values) else 'none'}"
        )
    return np.unique(np.asarray(values, np.int64))


def _npy_numbers(path: Path) -> Any:
    file = NpyFile.open(path)
    if len(file.shape) != 1 or file.dtype.kind not in "iu":
        raise AssetError(
            f"{path}: expected one dimension of integers, got {file.shape} {file.dtype}"
        )
    return file.read(0, file.shape[0])


def _text_numbers(path: Path) -> list[int]:
    values = []
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            try:
                values.append(int(line))
            except ValueError:
                raise AssetError(
                    f"{path}: line {number}: expected a centroid's number, got {line[:40]!r}"
                ) from None
    return values


def _lines(path: Path) -> Iterable[str]:
    try:
        return path.read_text("utf-8").split("\n")
    except UnicodeDecodeError:
        raise AssetError(f"{path}: expected UTF-8 text") from None
