"""Every copy that was asked for is written once, its members' bytes unchanged, or is told."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.reshard.shards import digests, new_shards, read_by_webdataset, write_pool
from tests.run.snapshot import snapshot
from tests.samples.hostile_tars import member, members_of, tar_of, uid

from tamis.data.samples import open_samples
from tamis.data.subset import read_subset, write_subset
from tamis.errors import ChangedError, PoolError, RunError
from tamis.reshard import reshard
from tamis.run.pool_link import remember_pool

POOL = Path(__file__).parents[2] / "examples/pool"


def subset_of(path: Path, numbers: list[int]) -> Path:
    write_subset(path, [uid(number) for number in numbers])
    return path


@pytest.mark.parametrize("shard_size", [1, 3, 4, 100])
def test_copies_and_bytes(tmp_path: Path, shard_size: int) -> None:
    pool = write_pool(tmp_path / "pool")
    numbers = [20, 3, 3, 3, 7, 11, 12, 0, 0, 6]
    subset = subset_of(tmp_path / "subset.npy", numbers)
    out = tmp_path / "out"
    summary = reshard(pool, subset, out, shard_size=shard_size, first_shard=5)

    before: dict[str, list[tuple[str, str]]] = {}
    for key, suffix, digest in digests(sorted(pool.glob("*.tar"))):
        before.setdefault(uid(int(key)), []).append((suffix, digest))
    expected = [
        (f"{uid(number)}-{copy}", suffix, digest)
        for number, count in sorted(Counter(numbers).items())
        for copy in range(count)
        for suffix, digest in before[uid(number)]
    ]
    tars = new_shards(out)
    assert digests(tars) == expected

    n_shards = -(-10 // shard_size)
    assert [tar.name for tar in tars] == [f"{5 + n:08d}.tar" for n in range(n_shards)]
    counts = [json.loads(tar.with_name(f"{tar.stem}_stats.json").read_bytes()) for tar in tars]
    full, rest = divmod(10, shard_size)
    assert [count["successes"] for count in counts] == [shard_size] * full + [rest] * (rest > 0)
    assert summary == json.loads((out / "summary.json").read_bytes())
    assert summary == {
        "subset_rows": 10,
        "written": 10,
        "samples": 7,
        "missing": 0,
        "missing_ids": 0,
        "quarantined": 0,
        "quarantined_ids": 0,
        "shards": n_shards,
        "bytes": sum(tar.stat().st_size for tar in tars),
    }
    meta = json.loads((out / "meta.json").read_bytes())
    assert (meta["output_shard_count"], meta["output_shard_format"]) == (n_shards, "{:08d}.tar")
    assert read_subset(out / "sample_ids.npy").to_list() == read_subset(subset).to_list()


def test_the_sample_pool_read_by_webdataset(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    originals = read_by_webdataset(sorted((POOL / "shards").glob("*.tar")))
    uids = [json.loads(sample["json"])["uid"] for sample in originals]
    wanted = sorted(random.choice(uids, 500).tolist())
    subset = tmp_path / "subset.npy"
    write_subset(subset, wanted)
    remember_pool(tmp_path / "run", POOL)
    summary = reshard(tmp_path / "run", subset, tmp_path / "out", shard_size=64)
    assert (summary["written"], summary["missing"], summary["shards"]) == (500, 0, 8)

    tars = new_shards(tmp_path / "out")
    samples = read_by_webdataset(tars)
    by_uid = dict(zip(uids, originals, strict=True))
    found = []
    for sample in samples:
        key, _, copy = sample.pop("__key__").rpartition("-")
        found.append((key, int(copy)))
        original = by_uid[key]
        assert {k: v for k, v in sample.items() if k != "__url__"} == {
            k: v for k, v in original.items() if not k.startswith("__")
        }
    assert sorted(key for key, _ in found) == wanted
    assert len(set(found)) == 500
    assert [key for key, copy in found if copy == 0] == [u for u in uids if u in set(wanted)]


LOADER = """
import json, sys, webdataset
dataset = webdataset.WebDataset(sys.argv[1], shardshuffle=False, empty_check=False)
print(json.dumps([(key, text.decode()) for key, text in dataset.to_tuple("__key__", "txt")]))
"""


def test_webdatasets_own_loader_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    pool = write_pool(tmp_path / "pool")
    subset = subset_of(tmp_path / "subset.npy", [1, 2, 2, 15])
    reshard(pool, subset, tmp_path / "out", shard_size=2)
    pattern = str(tmp_path / "out" / "{00000000..00000001}.tar")
    # In a process of its own: the loader leaves its files open, which is a warning here.
    command = [sys.executable, "-W", "ignore", "-c", LOADER, pattern]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        [f"{uid(1)}-0", "caption 1"],
        [f"{uid(2)}-0", "caption 2"],
        [f"{uid(2)}-1", "caption 2"],
        [f"{uid(15)}-0", "caption 15"],
    ]


def test_the_result_is_a_pool(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool")
    subset = subset_of(tmp_path / "subset.npy", [1, 2, 2, 15, 99])
    reshard(pool, subset, tmp_path / "out", shard_size=3)
    found = open_samples(tmp_path / "out", ids="key")
    assert found.problems() == []
    assert found.ids().to_list() == [f"{uid(n)}-{j}" for n, j in [(1, 0), (2, 0), (2, 1), (15, 0)]]
    with pytest.raises(PoolError, match=r"id .* is there twice"):
        reshard(tmp_path / "out", subset, tmp_path / "again")


def test_missing_and_damaged_samples_are_told(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    lost = members_of([2])
    content = tar_of(members_of([1]))[:-1024] + tar_of(lost)[:512] + bytes(512)
    content += b"".join(member(name, data) for name, data in lost[1:]) + tar_of(members_of([3]))
    (pool / "0.tar").write_bytes(content)
    subset = subset_of(tmp_path / "subset.npy", [1, 2, 2, 3, 98, 99, 99, 99])
    out = tmp_path / "out"
    summary = reshard(pool, subset, out)
    counted = {name: summary[name] for name in ("subset_rows", "written", "missing", "quarantined")}
    assert counted == {"subset_rows": 8, "written": 2, "missing": 4, "quarantined": 2}
    assert (summary["missing_ids"], summary["quarantined_ids"]) == (2, 1)
    assert pq.read_table(out / "subset/missing.parquet").to_pydict() == {
        "id": [uid(98), uid(99)],
        "copies": [1, 3],
    }
    assert pq.read_table(out / "quarantine.parquet").to_pylist() == [
        {
            "uid": uid(2),
            "file": "0.tar",
            "row": 1,
            "reason": "sample is damaged: the tar is damaged there",
        }
    ]
    keys = [sample["__key__"] for sample in read_by_webdataset(new_shards(out))]
    assert keys == [f"{uid(1)}-0", f"{uid(3)}-0"]


def test_only_damaged_samples_leave_one_empty_shard(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    bad = [("../9.json", json.dumps({"uid": uid(9)}).encode()), ("../9.jpg", b"x")]
    (pool / "0.tar").write_bytes(tar_of([*bad, *members_of([1])]))
    summary = reshard(pool, subset_of(tmp_path / "s.npy", [9]), tmp_path / "out")
    assert (summary["written"], summary["quarantined"], summary["shards"]) == (0, 1, 1)
    assert read_by_webdataset(new_shards(tmp_path / "out")) == []


def test_ids_that_are_no_uids(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    names = ["a-0", "a", "d/b", "café", "x" * 120]
    members = [(f"{n}.{s}", f"{n}{s}".encode()) for n in names for s in ("jpg", "txt")]
    write_tar(pool / "0.tar", members)
    subset = tmp_path / "subset.txt"
    subset.write_text("\n".join(["a", "a", "a-0", "a-0", "d/b", "café", "x" * 120]))
    out = tmp_path / "out"
    summary = reshard(pool, subset, out)
    assert summary["written"] == 7
    samples = {
        sample["__key__"]: sample["txt"].decode() for sample in read_by_webdataset(new_shards(out))
    }
    assert samples == {
        "a-0-0": "a-0txt",
        "a-0-1": "a-0txt",
        "a-0": "atxt",
        "a-1": "atxt",
        "d%2Fb-0": "d/btxt",
        "caf%C3%A9-0": "cafétxt",
        f"{'x' * 120}-0": "x" * 120 + "txt",
    }
    assert (out / "subset/sample_ids.parquet").exists()


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> None:
    path.write_bytes(tar_of(members, tar_format=tarfile.PAX_FORMAT))


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_change_no_byte(tmp_path: Path, threads: int) -> None:
    pool = write_pool(tmp_path / "pool")
    subset = subset_of(tmp_path / "subset.npy", [*range(21), 4, 4])
    reshard(pool, subset, tmp_path / "one", shard_size=2, threads=1)
    reshard(pool, subset, tmp_path / "many", shard_size=2, threads=threads)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "many")


def test_a_subset_as_parquet_and_that_of_the_run(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool")
    run = tmp_path / "run"
    remember_pool(run, pool)
    with pytest.raises(PoolError, match=r"run holds no subset\.npy and no subset\.parquet"):
        reshard(run, None, tmp_path / "out")
    with pytest.raises(PoolError, match="name a subset"):
        reshard(pool, None, tmp_path / "out")
    subset_of(run / "subset.npy", [4, 5])
    pq.write_table(pa.table({"uid": [uid(5), uid(4)]}), tmp_path / "list.parquet")
    by_run = reshard(run, None, tmp_path / "a")
    by_table = reshard(pool, tmp_path / "list.parquet", tmp_path / "b")
    assert by_run == by_table and by_run["written"] == 2
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


def test_refusals(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool")
    subset = subset_of(tmp_path / "subset.npy", [1])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(RunError, match="neither empty nor a tamis run"):
        reshard(pool, subset, tmp_path / "full")
    with pytest.raises(PoolError, match=r"none of the 1 ids of .* is in the pool"):
        reshard(pool, subset_of(tmp_path / "other.npy", [99]), tmp_path / "out")
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(PoolError, match=r"none.txt holds no ids, so there is nothing to write"):
        reshard(pool, tmp_path / "none.txt", tmp_path / "out")
    with pytest.raises(ValueError, match="expected shard_size >= 1"):
        reshard(pool, subset, tmp_path / "out", shard_size=0)
    docs = tmp_path / "docs.jsonl"
    docs.write_text('{"text": "one"}\n')
    with pytest.raises(PoolError, match=r"expected a pool of tars, .* is one of kind "):
        reshard(docs, subset, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    reshard(pool, subset, tmp_path / "out")
    with pytest.raises(ChangedError, match="another recipe"):
        reshard(pool, subset_of(tmp_path / "more.npy", [1, 2]), tmp_path / "out")
    with open(pool / "00000.tar", "r+b") as file:
        file.seek(600)
        file.write(b"changed")
    with pytest.raises(ChangedError, match="another input"):
        reshard(pool, subset, tmp_path / "out")


def test_a_pool_by_url(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    pool = write_pool(tmp_path / "pool")
    for tar in pool.iterdir():
        with fsspec.open(f"memory://reshard/{tar.name}", "wb") as file:
            file.write(tar.read_bytes())
    subset = subset_of(tmp_path / "subset.npy", [1, 8, 8, 20])
    here = reshard(pool, subset, tmp_path / "here", shard_size=3)
    assert reshard("memory://reshard", subset, tmp_path / "there", shard_size=3) == here
    assert digests(new_shards(tmp_path / "here")) == digests(new_shards(tmp_path / "there"))
