"""The embedding store: every usable row, in any order, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tamis
from tamis.errors import AccountingError, RunError
from tamis.run.directory import RunDirectory
from tamis.run.embeddings import ROW_INDEX, EmbeddingStore, commit_unit

DIM = 6


@dataclass(frozen=True)
class Piece:
    name: str
    first_row: int
    n_rows: int


def pieces(sizes: list[int]) -> list[Piece]:
    starts = np.cumsum([0, *sizes])
    return [Piece(f"{i:05d}", int(starts[i]), size) for i, size in enumerate(sizes)]


def fill(run: RunDirectory, units: list[Piece], rows: np.ndarray, bad: dict[int, str]) -> None:
    for unit in units:
        stop = unit.first_row + unit.n_rows
        reasons = {row - unit.first_row: bad[row] for row in bad if unit.first_row <= row < stop}
        commit_unit(run, unit, rows[unit.first_row : stop], reasons)


def some_rows(n_rows: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n_rows, DIM)).astype(np.float16)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=6),
    st.sets(st.integers(0, 53)),
    st.lists(st.integers(0, 10**6), max_size=40),
    st.integers(1, 12),
)
def test_store_is_the_usable_rows(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    bad_rows: set[int],
    picks: list[int],
    rows_per_block: int,
) -> None:
    folder = tmp_path_factory.mktemp("store")
    units, rows = pieces(sizes), some_rows(sum(sizes))
    bad = {row: f"reason {row}" for row in sorted(bad_rows) if row < len(rows)}
    with RunDirectory.open(folder, {}, []) as run:
        fill(run, units, rows, bad)
        store = EmbeddingStore(folder, units)
        store.commit_index(run)
        store.commit_index(run)
    usable = [row for row in range(len(rows)) if row not in bad]
    assert store.shape == (len(usable), DIM)
    assert store.bad == bad
    assert store.input_rows().tolist() == usable == np.load(folder / ROW_INDEX).tolist()
    indices = [pick % len(usable) for pick in picks] if usable else []
    assert store.take(indices).tobytes() == rows[usable][indices].tobytes()
    out = np.empty((len(indices), DIM), np.float16)
    assert store.take(indices, out) is out
    blocks = list(store.blocks(rows_per_block))
    assert [start for start, _ in blocks] == list(range(0, len(usable), rows_per_block))
    assert b"".join(block.tobytes() for _, block in blocks) == rows[usable].tobytes()


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, list[Piece]]:
    units = pieces([5, 5])
    with RunDirectory.open(tmp_path, {}, []) as run:
        fill(run, units, some_rows(10), {3: "embedding is zero"})
    return tmp_path, units


def test_what_is_out_of_range(stored: tuple[Path, list[Piece]]) -> None:
    store = EmbeddingStore(*stored)
    for indices in ([9], [-1]):
        with pytest.raises(IndexError, match="from 0 to 8"):
            store.take(indices)
    with pytest.raises(IndexError, match="range within 0 to 9"):
        store.read(0, 10)
    with pytest.raises(ValueError, match="rows_per_block"):
        next(store.blocks(0))
    assert len(store) == 9


def test_damaged_stores(stored: tuple[Path, list[Piece]]) -> None:
    folder, units = stored
    store = EmbeddingStore(folder, units)
    path = folder / "embeddings" / "00001.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(RunError, match="has become shorter"):
        store.take([8])
    with pytest.raises(RunError, match="ended in the middle"):
        store.read(0, 9)
    with pytest.raises(RunError, match="it is truncated"):
        EmbeddingStore(folder, units)
    path.unlink()
    for use in (lambda: store.take([8]), lambda: EmbeddingStore(folder, units)):
        with pytest.raises(RunError, match="cannot read"):
            use()
    path.write_bytes(content)
    (folder / "embeddings" / "00000.bad.parquet").unlink()
    with pytest.raises(AccountingError, match="has 5 rows, but 4 are stored and 0 are bad"):
        EmbeddingStore(folder, units)
    with pytest.raises(RunError, match="rows of one dim"):
        EmbeddingStore(folder, [])
    np.save(path, np.zeros((5, DIM), np.float32))
    with pytest.raises(RunError, match="expected float16 rows"):
        EmbeddingStore(folder, units[1:])


def test_only_canonical_rows_are_stored(tmp_path: Path) -> None:
    (unit,) = pieces([5])
    with RunDirectory.open(tmp_path, {}, []) as run:
        for rows in (np.zeros((5, DIM)), np.zeros((4, DIM), np.float16), np.zeros(5, np.float16)):
            with pytest.raises(ValueError, match="expected 5 canonical float16 rows"):
                commit_unit(run, unit, rows, {})


# Reads 1 GiB of rows from sparse files, which take no disk, and says by how much its peak grew.
READER = """
import sys
from pathlib import Path
import numpy as np
import pyarrow.parquet
from tamis.data.pool import open_pool
from tamis.run.embeddings import EmbeddingStore

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10

folder, how = Path(sys.argv[1]), sys.argv[2]
units = open_pool(folder / "embeddings").units(1 << 16)
before = peak()
if how == "pool":
    pool = open_pool(folder / "embeddings")
    total = sum(len(pool.read_embeddings(unit)) for unit in pool.units(1 << 14))
else:
    class Named:
        def __init__(self, unit):
            self.name, self.first_row, self.n_rows = f"{unit.file:05d}", unit.first_row, unit.n_rows
    store = EmbeddingStore(folder, [Named(unit) for unit in units])
    if how == "blocks":
        total = sum(len(rows) for _, rows in store.blocks(1 << 14))
    else:
        indices = np.random.default_rng(0).integers(0, len(store), 1 << 14)
        total = sum(len(store.take(indices)) for _ in range(4)) * 16
print(total, peak() - before)
"""


@pytest.mark.parametrize("how", ["pool", "blocks", "take"])
def test_memory_does_not_grow_with_the_pool(tmp_path: Path, how: str) -> None:
    rows, dim, files = 1 << 16, 512, 16
    (tmp_path / "embeddings").mkdir()
    for number in range(files):
        path = tmp_path / "embeddings" / f"{number:05d}.npy"
        with path.open("wb") as file:
            description = {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)}
            np.lib.format.write_array_header_1_0(file, description)
            file.truncate(file.tell() + rows * dim * 2)
    output = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path), how],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(tamis.__file__).parents[1])},
    ).stdout
    total, grown = map(int, output.split())
    assert total == rows * files
    # 1 GiB went by; a block is 16 MiB, and one unit's file of 64 MiB may be mapped.
    assert grown < 128 << 20
