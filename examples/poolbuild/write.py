"""The pool on disk, laid out like a DataComp pool; the same rows give the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

KEYS_PER_SHARD = 10_000
"""img2dataset's numbering: key = shard * 10,000 + index, nine digits."""


@dataclass(frozen=True)
class Sample:
    """One row of the pool; sizes in pixels, `sha256` of the source file."""

    uid: str
    url: str
    text: str
    original_width: int
    original_height: int
    width: int
    height: int
    sha256: str
    extension: str
    image: bytes


def write_shard(
    folder: Path,
    shard: int,
    samples: Sequence[Sample],
    score_name: str,
    scores: npt.NDArray[np.float32],
    embeddings: Mapping[str, npt.NDArray[np.float16]],
) -> None:
    """Writes shards/N.tar, shards/N_stats.json, metadata/N.parquet and metadata/N.npz.

    Tar, parquet and npz hold the samples in the order given.
    """
    shards, metadata = folder / "shards", folder / "metadata"
    shards.mkdir(parents=True, exist_ok=True)
    metadata.mkdir(exist_ok=True)
    _write_tar(shards / f"{shard:05d}.tar", shard, samples)
    counts = {"count": len(samples), "successes": len(samples)}
    failures = {"failed_to_download": 0, "failed_to_resize": 0}
    stats = {**counts, **failures, "status_dict": {"success": len(samples)}}
    write_json(shards / f"{shard:05d}_stats.json", stats)
    _write_parquet(metadata / f"{shard:05d}.parquet", samples, score_name, scores)
    write_npz(metadata / f"{shard:05d}.npz", embeddings)


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[np.float16]]) -> None:
    """Writes members uncompressed; zipfile dates them 1980-01-01, whatever the day."""
    np.savez(path, allow_pickle=False, **{k: np.ascontiguousarray(v) for k, v in arrays.items()})


def write_json(path: Path, value: object) -> None:
    """Writes indented JSON with a final line feed."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_checksums(folder: Path) -> None:
    """Writes SHA256SUMS over all other files, for ``sha256sum --check``."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def _write_tar(path: Path, shard: int, samples: Sequence[Sample]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for index, sample in enumerate(samples):
            key = f"{shard * KEYS_PER_SHARD + index:09d}"
            _add_member(tar, f"{key}.{sample.extension}", sample.image)
            _add_member(tar, f"{key}.txt", sample.text.encode())
            record = {
                "uid": sample.uid,
                "caption": sample.text,
                "url": sample.url,
                "key": key,
                "status": "success",
                "width": sample.width,
                "height": sample.height,
                "original_width": sample.original_width,
                "original_height": sample.original_height,
                "sha256": sample.sha256,
            }
            _add_member(tar, f"{key}.json", json.dumps(record, ensure_ascii=False).encode())


def _add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # uid, gid and mtime 0, no names, mode 0644
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _write_parquet(
    path: Path, samples: Sequence[Sample], score_name: str, scores: npt.NDArray[np.float32]
) -> None:
    strings, integers = pa.string(), pa.int64()
    columns = {
        "uid": pa.array([s.uid for s in samples], strings),
        "url": pa.array([s.url for s in samples], strings),
        "text": pa.array([s.text for s in samples], strings),
        "original_width": pa.array([s.original_width for s in samples], integers),
        "original_height": pa.array([s.original_height for s in samples], integers),
        score_name: pa.array(scores, pa.float32()),
        "sha256": pa.array([s.sha256 for s in samples], strings),
    }
    pq.write_table(pa.table(columns), path)
