"""Both sides of a pool, unit by unit and row by row, whatever files they lie in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.pools import unit_rows, write_clip_retrieval, write_lists

from tamis.data.pool import Pool, open_pool
from tamis.errors import PoolError
from tamis.kernels.canonical import canonical
from tamis.score import rows as rows_module
from tamis.score.pairs import PairedPool, joined_inputs
from tamis.score.rows import PoolRows

SIZES = (20, 1, 9)


def npy_folder(folder: Path, rows: np.ndarray) -> Pool:
    first = 0
    for number, size in enumerate(SIZES):
        np.save(folder / f"{number}.npy", rows[first : first + size])
        first += size
    return open_pool(folder)


def npy_file(folder: Path, rows: np.ndarray) -> Pool:
    np.save(folder / "rows.npy", rows)
    return open_pool(folder / "rows.npy")


def archives(save: Callable[..., None]) -> Callable[[Path, np.ndarray], Pool]:
    def write(folder: Path, rows: np.ndarray) -> Pool:
        first = 0
        for number, size in enumerate(SIZES):
            save(folder / f"{number}.npz", a=rows[first : first + size], other=np.zeros((size, 1)))
            table = pa.table({"id": np.arange(first, first + size)})
            pq.write_table(table, folder / f"{number}.parquet")
            first += size
        return open_pool(folder, embedding="a")

    return write


def parquet(folder: Path, rows: np.ndarray) -> Pool:
    write_lists(folder / "rows.parquet", rows, id=np.arange(len(rows)))
    return open_pool(folder)


def remote(folder: Path, rows: np.ndarray) -> Pool:
    import fsspec

    npy_file(folder, rows)
    place = f"pairs/{folder.name}/rows.npy"
    fsspec.filesystem("memory").pipe(f"/{place}", (folder / "rows.npy").read_bytes())
    return open_pool(f"memory://{place}")


@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize(
    "write",
    [npy_folder, npy_file, archives(np.savez), archives(np.savez_compressed), parquet, remote],
    ids=["npy-folder", "npy", "npz-stored", "npz-compressed", "parquet", "remote"],
)
def test_rows_by_range_and_by_number(
    write: Callable[[Path, np.ndarray], Pool],
    dtype: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows_module, "WINDOW_ROWS", 4)
    rows = unit_rows(30, 8, dtype=dtype) * np.dtype(dtype).type(1 if dtype == "f2" else 3)
    rows[19, 0], rows[20] = np.nan, 0
    expected, _ = canonical(rows)
    both = PoolRows(write(tmp_path, rows), "image")
    known = {19: "image embedding has a NaN", 20: "image embedding is zero"}
    for start, stop in ((0, 30), (0, 1), (18, 22), (20, 21), (21, 30), (29, 30)):
        found, reasons = both.read(start, stop)
        assert np.array_equal(found, expected[start:stop])
        assert reasons == {r - start: why for r, why in known.items() if start <= r < stop}
    for wanted in ([], [3], [29, 0, 20, 19, 3, 3], list(range(29, -1, -1))):
        index = np.array(wanted, np.int64)
        assert np.array_equal(both.take(index), expected[index])
        rows_again, told = both.take_told(index)
        assert np.array_equal(rows_again, expected[index])
        assert told == {place: known[row] for place, row in enumerate(wanted) if row in known}


@pytest.mark.parametrize("wanted", [[0, 30], [-1, 4]])
def test_rows_that_are_not_there(wanted: list[int], tmp_path: Path) -> None:
    rows = PoolRows(npy_folder(tmp_path, unit_rows(30, 8)), "image")
    with pytest.raises(IndexError, match="expected rows 0 to 29, got"):
        rows.take(np.array(wanted))


@pytest.mark.parametrize("size", [0, 200])
def test_a_file_that_has_become_shorter(size: int, tmp_path: Path) -> None:
    rows = PoolRows(npy_file(tmp_path, unit_rows(30, 8)), "image")
    rows.take(np.array([3]))
    os.truncate(tmp_path / "rows.npy", size)
    with pytest.raises(PoolError, match=r"rows\.npy has become shorter; copy it again"):
        rows.take(np.array([3]))


def test_sides_in_other_files_are_the_same_pairs(tmp_path: Path) -> None:
    images, texts = unit_rows(30, 8), unit_rows(30, 8, seed=1)
    texts[2] = 0
    images[2, 1], images[25, 0] = np.nan, np.inf
    for name in ("images", "texts"):
        (tmp_path / name).mkdir()
    both = PairedPool(npy_folder(tmp_path / "images", images), npy_file(tmp_path / "texts", texts))
    names = [file.path for file in both.inputs()]
    assert names == ["0.npy", "1.npy", "2.npy", "rows.npy"]
    reasons = {}
    for unit in both.units(7):
        read = both.read(unit)
        part = slice(unit.first_row, unit.first_row + unit.n_rows)
        assert np.array_equal(read.images, canonical(images[part])[0])
        assert np.array_equal(read.texts, canonical(texts[part])[0])
        reasons |= {unit.first_row + row: reason for row, reason in read.reasons.items()}
        good = [row for row in range(unit.n_rows) if row not in read.reasons]
        assert read.usable.tolist() == good
    assert reasons == {
        2: "image embedding has a NaN; text embedding is zero",
        25: "image embedding has an infinite value",
    }


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("images", "texts"):
        (tmp_path / name).mkdir()
    images = npy_file(tmp_path / "images", unit_rows(5))
    texts = npy_file(tmp_path / "texts", unit_rows(5))
    names = [file.path for file in joined_inputs({"image": images, "text": texts})]
    assert names == ["rows.npy", "text/rows.npy"]
    assert len(joined_inputs({"image": images, "text": images})) == 1


def test_sides_that_do_not_belong_together(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", unit_rows(5))
    np.save(tmp_path / "fewer.npy", unit_rows(4))
    np.save(tmp_path / "wider.npy", unit_rows(5, 9))
    np.save(tmp_path / "named.npy", unit_rows(5))
    np.save(tmp_path / "named.ids.npy", np.arange(5))
    images = open_pool(tmp_path / "a.npy")
    for name, told in {
        "fewer": r"a\.npy have 5 rows, the text embeddings of .*fewer\.npy 4",
        "wider": r"have 8 dimensions, the text embeddings of .*wider\.npy 9",
        "named": "have other ids or another order; they must be row-aligned",
    }.items():
        with pytest.raises(PoolError, match=told):
            PairedPool(images, open_pool(tmp_path / f"{name}.npy"))


def test_the_reasons_of_an_embed_step_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    write_clip_retrieval(folder, [3, 4], padded=True, kinds=("img_emb", "text_emb"))
    rows = np.load(folder / "img_emb/img_emb_001.npy")
    rows[1:3] = 0
    np.save(folder / "img_emb/img_emb_001.npy", rows)
    path = folder / "metadata/metadata_001.parquet"
    table = pq.read_table(path).append_column(
        "image_reason", pa.array([None, "image is truncated", None, "unused"], pa.string())
    )
    pq.write_table(table, path)
    both = PairedPool(
        open_pool(folder, embedding="img_emb"), open_pool(folder, embedding="text_emb")
    )
    _, unit, last = both.units(3)
    assert both.read(unit).reasons == {1: "image is truncated", 2: "image embedding is zero"}
    assert both.read(last).reasons == {}
