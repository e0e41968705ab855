"""The committed sample pool is what examples/README.md says it is."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
POOL = EXAMPLES / "pool"
STEMS = ("00000", "00001")
WIDTHS = {"lite0_img": 1280, "minilm_txt": 384, "lite0_minilm_img": 384}
COLUMNS = {
    "uid": "string",
    "url": "string",
    "text": "string",
    "original_width": "int64",
    "original_height": "int64",
    "lite0_minilm_similarity_score": "float",
    "sha256": "string",
}

Rows = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Shard:
    samples: list[dict[str, bytes]]
    table: dict[str, list[Any]]
    arrays: Mapping[str, Rows]


@pytest.fixture(scope="module")
def shards() -> list[Shard]:
    return [_read_shard(stem) for stem in STEMS]


@pytest.fixture(scope="module")
def arrays(shards: list[Shard]) -> dict[str, Rows]:
    return {name: np.concatenate([s.arrays[name] for s in shards]) for name in WIDTHS}


@pytest.fixture(scope="module")
def images(shards: list[Shard]) -> list[bytes]:
    return [_image(sample) for shard in shards for sample in shard.samples]


def test_files_are_the_documented_ones_and_match_their_checksums() -> None:
    names = {p.relative_to(POOL).as_posix() for p in POOL.rglob("*") if p.is_file()}
    expected = {"SHA256SUMS", "numbers.json"}
    for stem in STEMS:
        expected |= {f"shards/{stem}.tar", f"shards/{stem}_stats.json"}
        expected |= {f"metadata/{stem}.parquet", f"metadata/{stem}.npz"}
    assert names == expected
    lines = (POOL / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert {line.split("  ")[1] for line in lines} == expected - {"SHA256SUMS"}
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((POOL / name).read_bytes()).hexdigest() == digest, name


def test_pool_is_small() -> None:
    assert sum(p.stat().st_size for p in POOL.rglob("*") if p.is_file()) <= 12_000_000


def test_row_counts_agree(shards: list[Shard]) -> None:
    assert [len(shard.samples) for shard in shards] == [601, 429]
    for stem, shard in zip(STEMS, shards, strict=True):
        assert {len(values) for values in shard.table.values()} == {len(shard.samples)}
        assert {len(rows) for rows in shard.arrays.values()} == {len(shard.samples)}
        stats = json.loads((POOL / f"shards/{stem}_stats.json").read_text(encoding="utf-8"))
        assert stats["successes"] == stats["count"] == len(shard.samples)


def test_columns_are_datacomps_and_no_name_says_clip(shards: list[Shard]) -> None:
    for stem in STEMS:
        schema = pq.read_schema(POOL / f"metadata/{stem}.parquet")
        assert dict(zip(schema.names, map(str, schema.types), strict=True)) == COLUMNS
    assert not any("clip" in name for name in [*COLUMNS, *shards[0].arrays])


def test_uids_are_hashes_of_the_source_path(shards: list[Shard]) -> None:
    uids = [uid for shard in shards for uid in shard.table["uid"]]
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch("[0-9a-f]{32}", uid) for uid in uids)
    prefix = "debian:openclipart-png/usr/share/"
    for shard in shards:
        for uid, url in zip(shard.table["uid"], shard.table["url"], strict=True):
            path = url.removeprefix(prefix)
            assert path != url
            assert hashlib.sha256(path.encode()).hexdigest()[:32] == uid


def test_tar_samples_are_in_the_order_of_the_parquet_rows(shards: list[Shard]) -> None:
    for number, shard in enumerate(shards):
        for index, sample in enumerate(shard.samples):
            record = json.loads(sample["json"])
            assert record["key"] == sample["key"].decode() == f"{number * 10_000 + index:09d}"
            assert record["caption"] == sample["txt"].decode() == shard.table["text"][index]
            for name in ("uid", "url", "sha256", "original_width", "original_height"):
                assert record[name] == shard.table[name][index]


def test_tar_members_carry_no_trace_of_the_builder() -> None:
    for stem in STEMS:
        with tarfile.open(POOL / f"shards/{stem}.tar") as tar:
            for member in tar:
                owner = (member.uid, member.gid, member.uname, member.gname)
                assert owner == (0, 0, "", "")
                assert (member.mtime, member.mode, member.isreg()) == (0, 0o644, True)


def test_npz_members_are_uncompressed_and_undated() -> None:
    for path in [*(POOL / f"metadata/{stem}.npz" for stem in STEMS), _MAP]:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                assert member.compress_type == zipfile.ZIP_STORED
                assert member.date_time == (1980, 1, 1, 0, 0, 0)


def test_embeddings_are_finite_unit_float16_rows(arrays: dict[str, Rows]) -> None:
    for name, width in WIDTHS.items():
        rows = arrays[name]
        assert rows.dtype == np.dtype("<f2")
        assert rows.shape == (1030, width)
        assert np.isfinite(rows).all()
        norms = np.sqrt((rows.astype(np.float64) ** 2).sum(1))
        assert np.abs(norms - 1).max() <= 2**-10


def test_equal_images_and_equal_texts_have_bit_equal_embeddings(
    shards: list[Shard], arrays: dict[str, Rows], images: list[bytes]
) -> None:
    texts = [text for shard in shards for text in shard.table["text"]]
    sources = [digest for shard in shards for digest in shard.table["sha256"]]
    by_image = {"lite0_img": images, "lite0_minilm_img": images, "minilm_txt": texts}
    for name, values in by_image.items():
        for members in _families(values):
            assert len({arrays[name][row].tobytes() for row in members}) == 1
    assert _families(images) == _families(sources)


def test_copies_are_as_many_as_the_readme_says(images: list[bytes]) -> None:
    sizes = [len(members) for members in _families(images)]
    assert (len(sizes), sum(sizes), max(sizes)) == (137, 319, 24)


def test_near_copies_are_as_many_as_the_readme_says(
    arrays: dict[str, Rows], images: list[bytes]
) -> None:
    x = arrays["lite0_img"].astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosine = x @ x.T
    np.fill_diagonal(cosine, -1)
    nearest = cosine.max(1)
    alone = np.ones(len(x), dtype=bool)
    alone[[row for members in _families(images) for row in members]] = False
    counts = {0.999: (319, 0), 0.99: (363, 44), 0.95: (534, 215), 0.9: (597, 278), 0.8: (680, 361)}
    for bound, expected in counts.items():
        assert ((nearest > bound).sum(), (nearest[alone] > bound).sum()) == expected


def test_dirt_is_kept_but_no_address(shards: list[Shard]) -> None:
    texts = [text for shard in shards for text in shard.table["text"]]
    assert texts.count("gramastar") == 127
    assert sum(not text.isascii() for text in texts) == 21
    assert len(set(texts)) == 412
    assert all(text and "@" not in text for text in texts)


def test_linear_map_gives_the_mapped_images_and_the_score(
    shards: list[Shard], arrays: dict[str, Rows]
) -> None:
    with np.load(_MAP, allow_pickle=False) as linear:
        weight, bias = linear["weight"].astype(np.float64), linear["bias"].astype(np.float64)
    mapped = arrays["lite0_img"].astype(np.float64) @ weight + bias
    mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
    shipped = arrays["lite0_minilm_img"].astype(np.float64)
    # Half a float16 step, plus float64 noise of the product.
    assert (np.abs(mapped - shipped) <= np.abs(shipped) * 2**-11 + 2**-25 + 1e-12).all()
    scores = np.array([s for shard in shards for s in shard.table[_SCORE]], dtype=np.float32)
    dots = (shipped * arrays["minilm_txt"].astype(np.float64)).sum(1)  # exact in any order
    assert np.array_equal(scores, dots.astype(np.float32))


def test_images_are_small(images: list[bytes]) -> None:
    sizes = [_size(data) for data in images]
    assert max(max(size) for size in sizes) == 128
    assert min(min(size) for size in sizes) >= 1


_MAP = EXAMPLES / "lite0_to_minilm.npz"
_SCORE = "lite0_minilm_similarity_score"


def _read_shard(stem: str) -> Shard:
    samples: list[dict[str, bytes]] = []
    with tarfile.open(POOL / f"shards/{stem}.tar") as tar:
        for member in tar:
            key, extension = member.name.split(".")
            if not samples or samples[-1]["key"] != key.encode():
                samples.append({"key": key.encode()})
            file = tar.extractfile(member)
            assert file is not None
            assert extension not in samples[-1]
            samples[-1][extension] = file.read()
    table = pq.read_table(POOL / f"metadata/{stem}.parquet").to_pydict()
    with np.load(POOL / f"metadata/{stem}.npz", allow_pickle=False) as npz:
        return Shard(samples, table, dict(npz))


def _image(sample: dict[str, bytes]) -> bytes:
    (extension,) = sample.keys() - {"key", "txt", "json"}
    start = {"png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff"}[extension]
    assert sample[extension].startswith(start)
    return sample[extension]


def _families(values: list[Any]) -> list[list[int]]:
    """Row numbers of equal values, for values that occur twice or more."""
    rows: dict[Any, list[int]] = defaultdict(list)
    for row, value in enumerate(values):
        rows[value].append(row)
    return [members for members in rows.values() if len(members) > 1]


def _size(data: bytes) -> tuple[int, int]:
    """Width and height from the header of a PNG or of a baseline or progressive JPEG."""
    if data.startswith(b"\x89PNG"):
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    height, width = (int.from_bytes(data[at + i : at + i + 2], "big") for i in (5, 7))
    return width, height
