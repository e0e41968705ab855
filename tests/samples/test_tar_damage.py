"""Any damage to a tar costs the samples it touches, and is told; all others stay whole."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.samples.hostile_tars import BLOCK, END, member, sample_members

from tamis.data.samples.source import Sample, Side
from tamis.data.samples.tar_file import TarShard
from tamis.errors import PoolError

BOTH: frozenset[Side] = frozenset({"image", "text"})
N = 100
TOLD = ("damaged", "cut", "empty", "goes on after an end mark")
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
# Long keys: in gnu and pax every member then has an extended header of its own.
PREFIX = {"ustar": "", "gnu": "g" * 120, "pax": "p" * 120}


def shard_of(kind: str) -> tuple[bytes, list[Sample], list[tuple[int, int]]]:
    """A tar of 100 samples; the samples; the bytes that each takes."""
    parts, samples, spans, position = [], [], [], 0
    for number in range(N):
        members = sample_members(number, prefix=PREFIX[kind])
        content = b"".join(member(n, d, tar_format=FORMATS[kind]) for n, d in members)
        key = members[0][0].removesuffix(".jpg")
        samples.append(Sample(key, members[0][1], members[1][1].decode()))
        spans.append((position, position + len(content)))
        position += len(content)
        parts.append(content)
    return b"".join(parts) + END, samples, spans


SHARDS = {kind: shard_of(kind) for kind in FORMATS}


def headers_in(content: bytes, start: int, stop: int) -> list[int]:
    """Where the headers begin."""
    return [at for at in range(start, stop, BLOCK) if content[at + 257 : at + 262] == b"ustar"]


def check(folder: Path, kind: str, content: bytes, harmed: list[int]) -> TarShard:
    """Samples without a harmed byte must be whole; all others whole or told.

    harmed: the changed bytes; everything from the end of `content` on counts as harmed.
    """
    _, samples, spans = SHARDS[kind]
    path, stats = folder / "00000.tar", folder / "00000_stats.json"
    path.write_bytes(content)
    stats.write_text(json.dumps({"successes": N}))
    shard = TarShard.open(path, stats=stats)
    found = {sample.key: sample for sample in shard.read(0, shard.n_rows, BOTH)}
    assert len(found) == shard.n_rows
    untouched = 0
    for sample, (start, stop) in zip(samples, spans, strict=True):
        if stop > len(content) or any(start <= byte < stop for byte in harmed):
            continue
        untouched += 1
        assert found[sample.key] == sample
    kept = sum(not sample.faults for sample in found.values())
    lost = len(found) - kept
    told = shard.problems()
    missing = N - shard.n_rows
    if missing:
        assert (
            told[-1]
            == f"00000.tar: 00000_stats.json states 100 successes, the tar has {N - missing}"
        )
    assert untouched <= kept <= N and kept + lost + missing == N
    if shard.faults or missing:
        assert any(word in line for line in told for word in TOLD)
    ids = shard.ids(None)
    if shard.n_rows and ids is not None:
        assert len(set(ids.to_list())) == shard.n_rows
    return shard


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_at_every_block(tmp_path: Path, kind: str) -> None:
    content = SHARDS[kind][0]
    step = BLOCK if kind == "ustar" else 7 * BLOCK
    for number, length in enumerate(range(0, len(content), step)):
        folder = tmp_path / str(number)
        folder.mkdir()
        shard = check(folder, kind, content[:length], [])
        if length < len(content) - len(END):
            assert len(shard.problems()) > 1


@given(st.sampled_from(sorted(FORMATS)), st.floats(0, 1))
def test_truncated_anywhere(
    tmp_path_factory: pytest.TempPathFactory, kind: str, share: float
) -> None:
    content = SHARDS[kind][0]
    try:
        check(tmp_path_factory.mktemp("cut"), kind, content[: int(share * len(content))], [])
    except PoolError as error:
        assert int(share * len(content)) < BLOCK and "not a tar" in str(error)  # noqa: PT017


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_flipped_bits(tmp_path_factory: pytest.TempPathFactory, places: list[float]) -> None:
    # Only ustar: nothing protects the long names that gnu and pax keep outside of headers.
    content = bytearray(SHARDS["ustar"][0])
    bits = {min(int(place * 8 * len(content)), 8 * len(content) - 1) for place in places}
    for bit in bits:
        content[bit // 8] ^= 1 << bit % 8
    check(tmp_path_factory.mktemp("flip"), "ustar", bytes(content), [bit // 8 for bit in bits])


@given(
    st.sampled_from(sorted(FORMATS)),
    st.lists(st.tuples(st.integers(0, 3 * N - 1), st.integers(0, 8 * BLOCK - 1)), max_size=20),
)
def test_flipped_bits_in_headers(
    tmp_path_factory: pytest.TempPathFactory, kind: str, flips: list[tuple[int, int]]
) -> None:
    content = bytearray(SHARDS[kind][0])
    headers = headers_in(content, 0, len(content))
    harmed = []
    for number, bit in flips:
        at = headers[number % len(headers)] + bit // 8
        content[at] ^= 1 << bit % 8
        harmed.append(at)
    check(tmp_path_factory.mktemp("flip"), kind, bytes(content), harmed)


@pytest.mark.parametrize("kind", FORMATS)
def test_one_header_lost_is_one_sample_with_a_fault(tmp_path: Path, kind: str) -> None:
    content, samples, spans = SHARDS[kind]
    headers = headers_in(content, *spans[50])
    assert len(headers) == (3 if kind == "ustar" else 6)
    for number, at in enumerate(headers):
        for damage in (bytes(BLOCK), b"\xff" * BLOCK):
            folder = tmp_path / f"{number}-{damage[0]}"
            folder.mkdir()
            broken = content[:at] + damage + content[at + BLOCK :]
            shard = check(folder, kind, broken, [at])
            rows = shard.read(0, shard.n_rows, BOTH)
            faulty = [sample.key for sample in rows if sample.faults]
            assert faulty == [samples[50].key] and shard.n_rows == N
