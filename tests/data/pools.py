"""Small real pools in every layout, written the way their owners write them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def unit_rows(n_rows: int, dim: int = 8, dtype: str = "f2", seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n_rows, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(dtype)


def uids(n_rows: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    return [random.bytes(16).hex() for _ in range(n_rows)]


def write_lists(path: Path, rows: np.ndarray, *, fixed: bool = False, **columns: object) -> None:
    """A parquet whose column "embedding" holds `rows`, beside other columns."""
    element = pa.from_numpy_dtype(rows.dtype)
    flat = pa.array(rows.reshape(-1))
    if fixed:
        lists = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
    else:
        offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
        lists = pa.ListArray.from_arrays(offsets, flat)
    assert lists.type.value_type == element
    pq.write_table(pa.table({**columns, "embedding": lists}), path, row_group_size=7)


def write_datacomp(
    folder: Path, sizes: list[int], *, compressed: bool = False, seed: int = 0
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Shards of X.parquet and X.npz with two embeddings; returns all uids and all arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    all_uids, all_rows = uids(sum(sizes), seed), {"b32_img": [], "l14_img": []}
    save = np.savez_compressed if compressed else np.savez
    start = 0
    for shard, size in enumerate(sizes):
        arrays = {
            "b32_img": unit_rows(size, 8, seed=seed + shard),
            "l14_img": unit_rows(size, 12, seed=seed + 100 + shard),
        }
        table = {
            "uid": all_uids[start : start + size],
            "text": [f"text {row}" for row in range(size)],
            "clip_b32_similarity_score": np.linspace(0, 1, size, dtype="f4"),
            "original_width": np.arange(size),
        }
        pq.write_table(pa.table(table), folder / f"{shard:04x}.parquet")
        save(folder / f"{shard:04x}.npz", **arrays)
        for key, rows in arrays.items():
            all_rows[key].append(rows)
        start += size
    return all_uids, {key: np.concatenate(rows) for key, rows in all_rows.items()}


def write_clip_retrieval(
    folder: Path, sizes: list[int], *, padded: bool, kinds: tuple[str, ...] = ("img_emb",)
) -> dict[str, np.ndarray]:
    """img_emb/img_emb_N.npy and metadata/metadata_N.parquet with the column image_path."""
    (folder / "metadata").mkdir(parents=True)
    collected: dict[str, list[np.ndarray]] = {kind: [] for kind in kinds}
    key = 0
    for number, size in enumerate(sizes):
        text = f"{number:03d}" if padded else f"{number}"
        keys = [f"{key + row:09d}" for row in range(size)]
        table = pa.table({"image_path": keys, "caption": ["c"] * size})
        pq.write_table(table, folder / "metadata" / f"metadata_{text}.parquet")
        for index, kind in enumerate(kinds):
            (folder / kind).mkdir(exist_ok=True)
            rows = unit_rows(size, 8, seed=10 * number + index)
            np.save(folder / kind / f"{kind}_{text}.npy", rows)
            collected[kind].append(rows)
        key += size
    return {kind: np.concatenate(rows) for kind, rows in collected.items()}


def read_all(pool, rows_per_unit: int = 3) -> np.ndarray:
    return np.concatenate([pool.read_embeddings(unit) for unit in pool.units(rows_per_unit)])


def saved(array: np.ndarray, **options: bool) -> bytes:
    """The bytes of a `.npy` of `array`."""
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()
