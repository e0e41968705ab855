"""Subset files: which rows to train on.

DataComp's format is a `.npy` of dtype "u8,u8" with fields (int(uid[:16], 16), int(uid[16:], 16)),
sorted lexicographically; a uid that is there twice is trained on twice, so repeats are kept.
Other ids go to a parquet with the one column "id", sorted too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.data.ids import UID_DTYPE, IdKind, Ids
from tamis.data.npy_file import NpyFile
from tamis.errors import PoolError
from tamis.run import atomic


def subset_name(kind: IdKind) -> str:
    """Return the usual file name for ids of a kind: "subset.npy" for uids, else "subset.parquet".

    Example:
        >>> subset_name("uid32"), subset_name("int64")
        ('subset.npy', 'subset.parquet')
    """
    return "subset.npy" if kind == "uid32" else "subset.parquet"


def subset_content(ids: Ids, name: str) -> np.ndarray | pa.Table:
    """Return what the subset file `name` holds, sorted, repeats kept.

    Args:
        ids: the rows to keep, in any order.
        name: a file name that ends in ".npy" (DataComp's format) or ".parquet".

    Raises:
        PoolError: `.npy` for ids that are not uids, or another ending.
    """
    ordered = ids.take(ids.argsort())
    if name.endswith(".parquet"):
        return pa.table({"id": ordered.to_arrow()})
    if not name.endswith(".npy"):
        raise PoolError(f"expected a subset file that ends in .npy or .parquet, got {name}")
    if ids.kind != "uid32":
        raise PoolError(
            f"a .npy subset is DataComp's and holds uids, but these are {ids.kind} ids; "
            f"name the subset .parquet instead of {name}"
        )
    return ordered.to_uid_array()


def write_subset(path: Path | str, ids: Any) -> None:
    """Write a subset file atomically.

    Args:
        path: ends in ".npy" for DataComp's format, in ".parquet" for any kind of id.
        ids: Ids, or what :meth:`Ids.of` takes: uids as text, integers, ...

    Raises:
        PoolError: the ids do not fit the format.
        RunError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "subset.npy"
        >>> write_subset(path, ["f" * 32, "0" * 31 + "1"])
        >>> read_subset(path).to_list() == ["0" * 31 + "1", "f" * 32]
        True
    """
    path = Path(path)
    content = subset_content(Ids.of(ids), path.name)
    if isinstance(content, np.ndarray):
        atomic.write_npy(path, content)
    else:
        atomic.write_parquet(path, content)


def read_subset(path: Path | str) -> Ids:
    """Read a subset file as it is: its order and its repeats are kept.

    Raises:
        PoolError: the file is not a subset in either format.
    """
    path = Path(path)
    if path.name.endswith(".parquet"):
        from tamis.data.metadata import MetadataFile

        return MetadataFile.open(path).read_ids("id", strict_uids=False)
    file = NpyFile.open(path)
    if file.dtype != UID_DTYPE or len(file.shape) != 1:
        raise PoolError(
            f'{path}: expected DataComp\'s subset, one dimension of dtype "u8,u8", '
            f"got {len(file.shape)} of {file.dtype}"
        )
    return Ids.of(file.read(0, file.shape[0]))
