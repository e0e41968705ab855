"""Reading starts no Arrow thread: such threads can crash the interpreter while it exits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from tests.data.pools import unit_rows, write_datacomp, write_lists

import tamis

READER = """
import os, sys
from pathlib import Path
import numpy as np
import pyarrow.parquet
from tamis.data.pool import open_pool
from tamis.data.subset import read_subset, write_subset
from tamis.run.directory import RunDirectory
from tamis.run.embeddings import EmbeddingStore, commit_unit

def threads():
    return len(os.listdir("/proc/self/task"))

folder = Path(sys.argv[1])
before = threads()
for path, key in ((folder / "datacomp", "b32_img"), (folder / "lists.parquet", None)):
    pool = open_pool(path, embedding=key)
    units = pool.units(300)
    pool.read_column("original_width")
    with RunDirectory.open(folder / f"run-{pool.kind}", {}, pool.inputs()) as run:
        for unit in units:
            commit_unit(run, unit, pool.read_embeddings(unit), {1: "bad"})
        EmbeddingStore(run.path, units).take([5, 3, 1])
    write_subset(folder / "subset.parquet", pool.ids())
    read_subset(folder / "subset.parquet")
print(threads() - before)
"""


def test_reading_starts_no_thread(tmp_path: Path) -> None:
    write_datacomp(tmp_path / "datacomp", [1000, 1000])
    write_lists(tmp_path / "lists.parquet", unit_rows(1000), original_width=np.arange(1000))
    result = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(tamis.__file__).parents[1])},
    )
    assert result.stdout == "0\n"
