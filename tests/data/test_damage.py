"""Any bytes changed anywhere: a PoolError, or harmless; never a crash or another error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.pools import (
    read_all,
    saved,
    uids,
    unit_rows,
)

from tamis.data.pool import open_pool
from tamis.errors import PoolError

GOOD = saved(unit_rows(10))


def outcome(path: Path) -> None:
    """Open and read everything; only a PoolError may come of it."""
    try:
        pool = open_pool(path, embedding=None if path.suffix == ".npy" else "e")
        if pool.n_rows < 10_000:
            read_all(pool, 4)
            pool.ids()
            pool.inputs()
    except PoolError as error:
        assert str(error)  # noqa: PT017 - most damage is found, some is harmless; neither crashes


damage = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8)


@given(damage, st.floats(0, 1.2))
def test_any_damage_to_an_npy_is_a_pool_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], keep: float
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "e.npy"
    path.write_bytes(damaged(GOOD, changes, keep))
    outcome(path)


@given(damage, st.floats(0, 1.2), st.booleans())
def test_any_damage_to_an_npz_is_a_pool_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[float, int]],
    keep: float,
    compressed: bool,
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    pq.write_table(pa.table({"uid": uids(10)}), folder / "a.parquet")
    (np.savez_compressed if compressed else np.savez)(folder / "a.npz", e=unit_rows(10))
    good = (folder / "a.npz").read_bytes()
    (folder / "a.npz").write_bytes(damaged(good, changes, keep))
    outcome(folder)


@given(damage, st.floats(0, 1.2))
def test_any_damage_to_a_parquet_is_a_pool_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], keep: float
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    lists = pa.array(unit_rows(10).tolist(), pa.list_(pa.float32()))
    pq.write_table(pa.table({"uid": uids(10), "e": lists}), folder / "a.parquet")
    good = (folder / "a.parquet").read_bytes()
    (folder / "a.parquet").write_bytes(damaged(good, changes, keep))
    outcome(folder)


def damaged(content: bytes, changes: list[tuple[float, int]], keep: float) -> bytes:
    result = bytearray(content)
    for place, value in changes:
        result[min(int(place * len(result)), len(result) - 1)] = value
    return bytes(result[: max(int(keep * len(result)), 1)])
