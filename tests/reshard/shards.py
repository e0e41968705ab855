"""What lies in shards, old and new."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.samples.hostile_tars import members_of, tar_of


def write_pool(folder: Path, sizes: Iterable[int] = (7, 5, 9)) -> Path:
    """Tars of samples numbered through, as img2dataset writes them."""
    folder.mkdir(parents=True)
    first = 0
    for shard, size in enumerate(sizes):
        content = tar_of(members_of(range(first, first + size)))
        (folder / f"{shard:05d}.tar").write_bytes(content)
        first += size
    return folder


def digests(tars: Iterable[Path]) -> list[tuple[str, str, str]]:
    """(key, suffix, sha256 of the bytes) of every member, in order."""
    found = []
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                key, _, suffix = member.name.partition(".")
                found.append((key, suffix, hashlib.sha256(file.read()).hexdigest()))
    return found


def new_shards(folder: Path) -> list[Path]:
    """The tars that were written."""
    return sorted(folder.glob("*.tar"))


def read_by_webdataset(tars: Iterable[Path]) -> list[dict[str, Any]]:
    """The samples of tars as the webdataset package groups them."""
    tariterators = pytest.importorskip("webdataset.tariterators")
    samples = []
    for path in tars:
        with open(path, "rb") as stream:
            source = [{"url": str(path), "stream": stream}]
            samples += tariterators.group_by_keys(tariterators.tar_file_expander(source))
    return samples
