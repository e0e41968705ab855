"""`tamis reshard` beside `cp` of the same shards, and how fast tars are indexed.

python bench/reshard.py                        # in the folder for temporary files
python bench/reshard.py --folder /dev/shm      # in memory: what the processors alone can do

The pool is read from the page cache. Three subsets: all samples, every other one, and every third
one four times. `cp` copies the whole pool, so that it is compared with "all" only. tamis makes
every shard durable (fsync) and takes its sha256; `cp, sync` is cp and then fsync of the copies.
Rounds are interleaved. MB are 10^6 bytes of what was written; CPU s is processor time of a round.
Every member that was written is compared with its original.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tamis.data.samples.tar_file import TarShard
from tamis.data.samples.tar_source import index_of
from tamis.data.subset import write_subset
from tamis.reshard import reshard
from tamis.reshard.names import member_header

BAR_MB_PER_SECOND = 300
BAR_TIMES_CP = 1.3


def main() -> int:
    """Exit code 0, 1 where a byte was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--samples", type=int, default=40_000, help="of 45 kB on average")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tamis-bench-", dir=options.folder) as name:
        return _compare(Path(name), options.samples, options.rounds, options.threads)


def _compare(folder: Path, n_samples: int, rounds: int, threads: int | None) -> int:
    pool = folder / "pool"
    uids = _write_pool(pool, n_samples)
    subsets = {"all": uids, "half": uids[::2], "third x 4": uids[::3] * 4}
    for name, chosen in subsets.items():
        write_subset(folder / f"{name}.npy", chosen)
    tars = sorted(pool.glob("*.tar"))
    size = sum(tar.stat().st_size for tar in tars)
    print(f"{n_samples:,} samples, {len(tars)} shards, {size / 1e9:.2f} GB in {folder.parent}")
    _index_rate(tars)

    out = folder / "out"

    def copy(*, sync: bool) -> int:
        out.mkdir()
        subprocess.run(["cp", *tars, out], check=True)
        if sync:
            subprocess.run(["sync", *out.iterdir()], check=True)
        return size

    def run(name: str) -> int:
        summary = reshard(pool, folder / f"{name}.npy", out, threads=threads)
        written: int = summary["bytes"]
        return written

    contenders: dict[str, Callable[[], int]] = {
        "cp": lambda: copy(sync=False),
        "cp, sync": lambda: copy(sync=True),
    }
    contenders |= {f"tamis, {name}": lambda name=name: run(name) for name in subsets}  # type: ignore[misc]
    times: dict[str, list[tuple[float, float, int]]] = {name: [] for name in contenders}
    right = True
    for number in range(rounds):
        for name, work in contenders.items():
            times[name].append(_timed(work))
            if number == 0 and name.startswith("tamis"):
                subset = subsets[name.removeprefix("tamis, ")]
                right &= _is_right(tars, sorted(out.glob("*.tar")), subset)
            shutil.rmtree(out)
    return _report(times, right)


def _timed(work: Callable[[], int]) -> tuple[float, float, int]:
    cpu, start = _cpu_seconds(), time.perf_counter()
    written = work()
    return time.perf_counter() - start, _cpu_seconds() - cpu, written


def _report(times: dict[str, list[tuple[float, float, int]]], right: bool) -> int:
    print(f"{'':18} {'median s':>9} {'best':>7} {'worst':>7} {'CPU s':>7} {'MB/s':>7}")
    rates = {}
    for name, rows in times.items():
        seconds = [row[0] for row in rows]
        rates[name] = rows[0][2] / 1e6 / statistics.median(seconds)
        print(
            f"{name:18} {statistics.median(seconds):9.2f} {min(seconds):7.2f} {max(seconds):7.2f} "
            f"{statistics.median(row[1] for row in rows):7.2f} {rates[name]:7.0f}"
        )
    ours = rates["tamis, all"]
    met = "PASS" if ours >= BAR_MB_PER_SECOND else "MISS"
    print(f"{met}: {ours:.0f} MB/s (>= {BAR_MB_PER_SECOND})")
    for rival in ("cp", "cp, sync"):
        ratio = rates[rival] / ours
        met = "PASS" if ratio <= BAR_TIMES_CP else "MISS"
        print(f"{met}: {ratio:.2f} times the time of {rival} (<= {BAR_TIMES_CP})")
    print("every member unchanged" if right else "WRONG: members differ")
    return 0 if right else 1


def _write_pool(pool: Path, n_samples: int) -> list[str]:
    pool.mkdir()
    random = np.random.default_rng(0)
    uids = [random.bytes(16).hex() for _ in range(n_samples)]
    for first in range(0, n_samples, 10_000):
        with open(pool / f"{first // 10_000:05d}.tar", "wb") as file:
            for number in range(first, min(first + 10_000, n_samples)):
                key = f"{number:09d}"
                meta = {"uid": uids[number], "key": key, "caption": "c" * 60, "url": "u" * 120}
                for suffix, data in (
                    ("jpg", random.bytes(int(random.integers(5_000, 85_000)))),
                    ("txt", b"c" * 60),
                    ("json", json.dumps(meta).encode()),
                ):
                    header = member_header(f"{key}.{suffix}", len(data))
                    file.write(header + data + bytes(-len(data) % 512))
            file.write(bytes(1024))
    return uids


def _index_rate(tars: list[Path]) -> None:
    rates = []
    for _ in range(3):
        index_of.cache_clear()
        start = time.perf_counter()
        members = sum(len(TarShard.open(tar).index().offsets) for tar in tars)
        rates.append(members / (time.perf_counter() - start))
    print(f"index: {statistics.median(rates):,.0f} members/s")


def _is_right(before: list[Path], after: list[Path], subset: list[str]) -> bool:
    """Whether the copies of each sample have the members of their original."""
    originals = _digests(before)
    by_uid = {json.loads(meta)["uid"]: digest for meta, digest in originals.values()}
    written = _digests(after)
    counts = Counter(subset)
    expected = {f"{uid}-{copy}" for uid, count in counts.items() for copy in range(count)}
    return written.keys() == expected and all(
        digest == by_uid[key.rpartition("-")[0]] for key, (_, digest) in written.items()
    )


def _digests(tars: list[Path]) -> dict[str, tuple[bytes, str]]:
    """key -> (its json, a digest of its suffixes and bytes)."""
    found: dict[str, tuple[bytes, str]] = {}
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, suffix = member.name.partition(".")
                data = tar.extractfile(member).read()  # type: ignore[union-attr]
                before = found.get(key, (b"", ""))[1]
                content = f"{before}{suffix}".encode() + data
                found[key] = data, hashlib.sha256(content).hexdigest()
    return found


def _cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    sys.exit(main())
