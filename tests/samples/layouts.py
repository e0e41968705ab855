"""The sample pool, written in every layout that people have."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

POOL = Path(__file__).parents[2] / "examples" / "pool"


@dataclass(frozen=True)
class Row:
    """One pair of the sample pool, read with tarfile alone."""

    uid: str
    key: str
    ending: str
    image: bytes
    text: str
    width: int


@cache
def pairs(n_rows: int = 1030) -> tuple[Row, ...]:
    """The first pairs of the sample pool."""
    rows = []
    for shard in ("00000", "00001"):
        with tarfile.open(POOL / "shards" / f"{shard}.tar") as archive:
            members: dict[str, dict[str, bytes]] = {}
            for member in archive:
                key, _, ending = member.name.partition(".")
                members.setdefault(key, {})[ending] = archive.extractfile(member).read()
        for key, sample in members.items():
            ending = "jpg" if "jpg" in sample else "png"
            facts = json.loads(sample["json"])
            rows.append(
                Row(
                    facts["uid"],
                    key,
                    ending,
                    sample[ending],
                    sample["txt"].decode(),
                    facts["original_width"],
                )
            )
    return tuple(rows[:n_rows])


def write_tar(path: Path, rows: Sequence[Row], *, with_json: bool = True) -> None:
    with tarfile.open(path, "w") as archive:
        for row in rows:
            facts = json.dumps({"uid": row.uid, "key": row.key, "original_width": row.width})
            members = {row.ending: row.image, "txt": row.text.encode()}
            if with_json:
                members["json"] = facts.encode()
            for ending, content in members.items():
                member = tarfile.TarInfo(f"{row.key}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def table(rows: Sequence[Row]) -> pa.Table:
    """DataComp's metadata."""
    return pa.table(
        {
            "uid": [row.uid for row in rows],
            "text": [row.text for row in rows],
            "original_width": [row.width for row in rows],
        }
    )


def write_images(folder: Path, rows: Sequence[Row], *, texts: bool) -> None:
    """Images in a folder of two levels; keys sort as the rows do."""
    for position, row in enumerate(rows):
        inner = folder / f"part_{position // 5}"
        inner.mkdir(parents=True, exist_ok=True)
        (inner / f"{row.key}.{row.ending}").write_bytes(row.image)
        if texts:
            (inner / f"{row.key}.txt").write_text(row.text, encoding="utf-8")


def json_lines(rows: Sequence[Row]) -> bytes:
    lines = [json.dumps({"text": row.text, "width": row.width, "uid": row.uid}) for row in rows]
    return "".join(line + "\n" for line in lines).encode()


def zstd(content: bytes) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "zstd") as stream:
        stream.write(content)
    return buffer.getvalue().to_pybytes()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}


def write_parquet(path: Path, rows: pa.Table, *, group: int = 7) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, row_group_size=group)


def read_all(pool, rows_per_unit: int = 4, sides=None) -> list:
    return [sample for unit in pool.units(rows_per_unit) for sample in pool.read(unit, sides)]
