"""Subset files: DataComp's bytes, sorted, repeats kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.data.ids import Ids
from tamis.data.subset import read_subset, subset_name, write_subset
from tamis.errors import PoolError

hex_uid = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(st.lists(hex_uid, min_size=1, max_size=50))
def test_npy_subset_is_datacomps(values: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "subset.npy")
        write_subset(path, values)
        # DataComp's own recipe, one uid at a time.
        pairs = [(int(uid[:16], 16), int(uid[16:32], 16)) for uid in values]
        expected = np.sort(np.array(pairs, np.dtype("u8,u8")))
        stored = np.load(path, allow_pickle=False)
        assert stored.dtype == np.dtype("u8,u8")
        assert stored.tolist() == expected.tolist()
        assert read_subset(path).to_list() == sorted(values)


@pytest.mark.parametrize(
    ("values", "kind"),
    [(["b", "a", "a"], "string"), ([3, -1, 3], "int64"), (["f" * 32, "0" * 32], "uid32")],
)
def test_parquet_subset_of_every_kind(tmp_path: Path, values: list, kind: str) -> None:
    path = tmp_path / "subset.parquet"
    write_subset(path, values)
    assert pq.read_table(path).to_pydict() == {"id": sorted(values)}
    assert read_subset(path).kind == kind
    assert read_subset(path).to_list() == sorted(values)


def test_empty_subset(tmp_path: Path) -> None:
    none = Ids.of(np.empty(0, "u8,u8"))
    write_subset(tmp_path / "s.npy", none)
    assert np.load(tmp_path / "s.npy").shape == (0,)
    assert len(read_subset(tmp_path / "s.npy")) == 0


def test_names() -> None:
    assert {subset_name(kind) for kind in ("string", "int64", "row")} == {"subset.parquet"}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("s.npy", ["a"], "holds uids, but these are string ids; name the subset .parquet"),
        ("s.npy", [1], "these are int64 ids"),
        ("s.txt", ["0" * 32], "ends in .npy or .parquet, got s.txt"),
    ],
)
def test_ids_that_do_not_fit(tmp_path: Path, name: str, values: list, message: str) -> None:
    with pytest.raises(PoolError, match=message):
        write_subset(tmp_path / name, values)
    assert os.listdir(tmp_path) == []


def test_what_is_no_subset(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(PoolError, match='of dtype "u8,u8", got 1 of float64'):
        read_subset(tmp_path / "a.npy")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    with pytest.raises(PoolError, match="expected a column 'id', it has x"):
        read_subset(tmp_path / "a.parquet")
