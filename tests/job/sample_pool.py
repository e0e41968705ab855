"""The rows of examples/pool in every layout that pools come in, some of them made bad."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

METADATA = Path(__file__).parents[2] / "examples/pool/metadata"
EMBEDDING = "lite0_minilm_img"
COLUMN = "lite0_minilm_similarity_score"
BAD = {0: 0.0, 400: np.nan, 401: np.inf, 601: -np.inf, 1029: 0.0}
"""Row -> what its first number becomes; 0.0 stands for a row of zeros. All files begin or end with
one in some layout."""
BOUNDS = (0, 401, 601, 602, 1030)


@dataclass(frozen=True)
class Given:
    """A pool on disk, and the same rows for the estimator.

    Attributes:
        path: what the command gets.
        rows: (n, dim), as the files hold them.
        ids: list of n ids, or None where the files have none.
    """

    path: Path
    rows: np.ndarray
    ids: list[Any] | None

    @property
    def shown_ids(self) -> list[Any]:
        """The ids as results name them."""
        return list(range(len(self.rows))) if self.ids is None else self.ids


@cache
def shards() -> tuple[pa.Table, np.ndarray]:
    """All metadata and all embeddings of the sample pool."""
    stems = sorted(METADATA.glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(file) for file in stems])
    arrays = [np.load(file.with_suffix(".npz"))[EMBEDDING] for file in stems]
    return table, np.concatenate(arrays)


def rows_as(dtype: str) -> np.ndarray:
    """The rows in a dtype, those of `BAD` spoiled; wider ones are not float16 numbers."""
    rows = shards()[1].astype(dtype) * np.dtype(dtype).type(1 if dtype == "f2" else 3.3)
    for row, value in BAD.items():
        rows[row, 0] = value
        if value == 0:
            rows[row] = 0
    return rows


def column() -> np.ndarray:
    """The metadata column that can order the rows."""
    values: np.ndarray = shards()[0].column(COLUMN).to_numpy()
    return values


def uids() -> list[str]:
    found: list[str] = shards()[0].column("uid").to_pylist()
    return found


def npy_file(folder: Path) -> Given:
    rows = rows_as("f4")
    np.save(folder / "rows.npy", rows)
    return Given(folder / "rows.npy", rows, None)


def npy_folder(folder: Path) -> Given:
    """Several files with text ids of many lengths, which are not in row order."""
    rows = rows_as("f2")
    ids = [f"{'x' * (row % 7)}{(row * 389) % 1030:05d}" for row in range(len(rows))]
    for part, (start, stop) in enumerate(pieces()):
        np.save(folder / f"part{part}.npy", rows[start:stop])
        np.save(folder / f"part{part}.ids.npy", np.array(ids[start:stop]))
    return Given(folder, rows, ids)


def parquet(dtype: str, *, fixed: bool) -> Callable[[Path], Given]:
    """Integer ids; lists of a dtype."""

    def write(folder: Path) -> Given:
        rows = rows_as(dtype)
        ids = ((np.arange(len(rows)) * 389) % 1030 + 2**62).tolist()
        for part, (start, stop) in enumerate(pieces()):
            flat = pa.array(rows[start:stop].reshape(-1))
            if fixed:
                lists = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
            else:
                ends = np.arange(stop - start + 1, dtype=np.int32) * rows.shape[1]
                lists = pa.ListArray.from_arrays(ends, flat)
            table = pa.table({"id": ids[start:stop], "v": lists, COLUMN: column()[start:stop]})
            pq.write_table(table, folder / f"{part}.parquet", row_group_size=100)
        return Given(folder, rows, ids)

    return write


def clip_retrieval(folder: Path) -> Given:
    """Padded numbers; ids are paths."""
    rows = rows_as("f2")
    ids = [f"shard/{(row * 389) % 1030}.jpg" for row in range(len(rows))]
    (folder / "img_emb").mkdir()
    (folder / "metadata").mkdir()
    for part, (start, stop) in enumerate(pieces()):
        np.save(folder / f"img_emb/img_emb_{part:03d}.npy", rows[start:stop])
        table = pa.table({"image_path": ids[start:stop], COLUMN: column()[start:stop]})
        pq.write_table(table, folder / f"metadata/metadata_{part:03d}.parquet")
    return Given(folder, rows, ids)


def datacomp(save: Callable[..., None] = np.savez) -> Callable[[Path], Given]:
    """The layout of the sample pool itself; members stored, or compressed."""

    def write(folder: Path) -> Given:
        rows, (table, _) = rows_as("f2"), shards()
        for part, (start, stop) in enumerate(pieces()):
            save(folder / f"{part:05d}.npz", **{EMBEDDING: rows[start:stop]})
            pq.write_table(table.slice(start, stop - start), folder / f"{part:05d}.parquet")
        return Given(folder, rows, uids())

    return write


def pieces() -> list[tuple[int, int]]:
    return list(zip(BOUNDS, BOUNDS[1:], strict=False))


LAYOUTS: dict[str, Callable[[Path], Given]] = {
    "npy-file": npy_file,
    "npy-folder": npy_folder,
    "parquet-list-half": parquet("f2", fixed=False),
    "parquet-list-float": parquet("f4", fixed=False),
    "parquet-list-double": parquet("f8", fixed=False),
    "parquet-fixed-half": parquet("f2", fixed=True),
    "parquet-fixed-float": parquet("f4", fixed=True),
    "parquet-fixed-double": parquet("f8", fixed=True),
    "clip-retrieval": clip_retrieval,
    "datacomp-stored": datacomp(),
    "datacomp-compressed": datacomp(np.savez_compressed),
}
