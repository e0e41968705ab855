"""Members larger than what is written at a time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from tests.reshard.shards import digests, new_shards
from tests.samples.hostile_tars import tar_of

from tamis.reshard import reshard

N_BYTES = 24 << 20


def test_a_large_member_is_in_memory_once(tmp_path: Path) -> None:
    large = bytes(range(256)) * (N_BYTES // 256) + b"!"
    content = [("0.jpg", large), ("0.txt", b"a kite"), ("1.jpg", b"small")]
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "0.tar").write_bytes(tar_of(content))
    (tmp_path / "ids.txt").write_text("0\n0\n1\n")
    tracemalloc.start()
    try:
        reshard(tmp_path / "pool", tmp_path / "ids.txt", tmp_path / "out", threads=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * N_BYTES
    old = {(key, suffix): hexed for key, suffix, hexed in digests([tmp_path / "pool" / "0.tar"])}
    assert digests(new_shards(tmp_path / "out")) == [
        (f"{key}-{copy}", suffix, old[key, suffix])
        for key, copy, suffixes in (("0", 0, "jpg txt"), ("0", 1, "jpg txt"), ("1", 0, "jpg"))
        for suffix in suffixes.split()
    ]
