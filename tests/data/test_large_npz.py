"""A stored npz member is read in place: memory is bounded by the unit, not by the member."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.cli.command import environment

N_ROWS, DIM = 505_671, 512  # a shard of DataComp-small

READ_ALL = """
import sys
import numpy as np
from tamis.data import open_pool
from tamis.run.peak import peak_memory_bytes

pool = open_pool(sys.argv[1], embedding="b32_img")
units = pool.units(8192)
pool.read_embeddings(units[0])
start = peak_memory_bytes()
marks = [pool.read_embeddings(unit)[[0, -1], 0] for unit in units]
print(peak_memory_bytes() - start, np.concatenate(marks).astype(float).sum())
"""


def test_a_large_member_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "shard.npz"
    block = np.zeros((N_ROWS // 9 + 1, DIM), np.float16)
    block[:, 0] = 1
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive,
        archive.open("b32_img.npy", "w", force_zip64=True) as member,
    ):
        header = {"descr": "<f2", "fortran_order": False, "shape": (N_ROWS, DIM)}
        np.lib.format.write_array_header_1_0(member, header)
        for start in range(0, N_ROWS, len(block)):
            member.write(block[: N_ROWS - start].tobytes())
    pq.write_table(pa.table({"key": np.arange(N_ROWS)}), tmp_path / "shard.parquet")
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(path)],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    growth, marks = map(float, done.stdout.split())
    assert marks == 2 * -(-N_ROWS // 8192)
    assert growth < 50e6
    path.unlink()  # half a gigabyte
