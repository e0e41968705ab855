"""Inputs longer than what is packed, listed or held at once: the bits and the memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import cases
import tamis
from bits import assert_same_bits
from tamis.kernels import reference


def whole_rows(n: int, d: int, seed: int) -> cases.Rows:
    """Many rows, quickly: random bytes, normalised."""
    values = np.random.default_rng(seed).integers(1, 256, size=(n, d), dtype=np.uint8)
    return tamis.canonical(values.astype(np.float16) - np.float16(128))[0]


def test_more_columns_than_are_packed_at_once(exact: Any, levels: Any, pinned: Any) -> None:
    x, every_column = whole_rows(40, 512, 1), whole_rows(140_000, 512, 2)
    every_column[30_000:30_010] = every_column[100_000:100_010] = every_column[:10]  # ties
    x[:10] = every_column[:10]
    for level in levels:
        # Columns are packed 16 MiB at a time: as float32 8,000 of them, as int8 33,000.
        n = 140_000 if level == "avx512vnni" else 40_000
        columns, half = every_column[:n], n // 2
        x[10:20] = columns[-10:]
        limits = np.arange(40) * (n // 40)
        with pinned(isa=level):
            labels, dots = exact.assign64(x, columns)
            parts = [exact.assign64(x, part) for part in (columns[:half], columns[half:])]
            cosine, index = exact.max_cosine64(
                x, np.array([0, 40]), other=columns, other_offsets=np.array([0, n]), limits=limits
            )
        later = parts[1][1] > parts[0][1]
        assert_same_bits(dots, np.where(later, parts[1][1], parts[0][1]), level)
        assert_same_bits(labels, np.where(later, parts[1][0] + half, parts[0][0]), level)
        assert labels[:20].tolist() == [*range(10), *range(n - 10, n)]
        for row in (0, 1, 5, 17, 39):
            seen = columns[: limits[row]]
            expected = reference.max_cosine64(
                x[[row]], np.array([0, 1]), other=seen, other_offsets=np.array([0, len(seen)])
            )
            assert_same_bits((cosine[[row]], index[[row]]), expected, (level, row))


def test_one_segment_wider_than_what_is_packed_at_once(levels: Any, pinned: Any) -> None:
    x = whole_rows(4600, 4096, 1)
    x[4500] = x[100]
    some = np.array([1, 4000, 4095, 4096, 4143, 4200, 4500, 4599])
    cosine = reference.cosines(x[some], x)
    for level in levels:
        if level == "scalar":  # minutes; it shares everything but the inner loop
            continue
        with pinned(isa=level):
            found = tamis.max_cosine(x)
        for row, cosines in zip(some, cosine, strict=True):
            best = int(cosines[:row].argmax())
            assert found[1][row] == best, (level, row)
            assert found[0][row] == np.float32(cosines[best])


@pytest.mark.parametrize("side", ["earlier", "others"])
def test_a_large_family_of_near_copies(side: Any, levels: Any, pinned: Any) -> None:
    n = 12_000
    x = cases.near_copies(n, 64, 1)
    some = np.arange(0, n, 97)
    cosine = reference.cosines(x[some], x)
    for row, line in zip(some, cosine, strict=True):
        line[row:] = line[row:] if side == "others" else -np.inf
        line[row] = -np.inf
    index = np.where(cosine.max(axis=1) > -np.inf, cosine.argmax(axis=1), -1)
    for level in levels:
        with pinned(isa=level):
            found = tamis.max_cosine(x, side=side)
        expected = (cosine.max(axis=1).astype(np.float32), index)
        assert_same_bits((found[0][some], found[1][some]), expected, level)


def test_more_pairs_of_one_row_panel_than_a_block_holds() -> None:
    # The last 60 rows are close to all rows before them, which are hardly close to one another.
    n, d = 24_000, 128
    rng = np.random.default_rng(0)
    values = rng.standard_normal((n, d)) * (0.714 / np.sqrt(d))
    values[:, 0] = 0.7
    values[-60:, 1:] *= 0.01
    x = cases.canonical16(values)
    threshold, last, count = 0.65, -1, 0
    late: list[Any] = []
    for i, j, cosine in tamis.pairs_above(x, None, threshold):
        order = j * n + i
        assert order[0] > last and (np.diff(order) > 0).all()
        last, count = int(order[-1]), count + len(i)
        assert len(i) < 2_200_000
        keep = j >= n - 60
        late.append((i[keep], j[keep], cosine[keep]))
    found = tuple(np.concatenate(parts) for parts in zip(*late, strict=True))
    expected = reference.cosines(x[-60:], x).astype(np.float32)
    j, i = np.nonzero(expected > np.float32(threshold))
    before = i < j + n - 60
    j, i = j[before], i[before]
    assert len(i) > 1 << 20
    assert_same_bits(found, (i, j + n - 60, expected[j, i]))
    assert count > len(i)


def test_a_million_segments() -> None:
    x = whole_rows(1_000_000, 8, 1)
    offsets = np.arange(1_000_001)
    assert (tamis.max_cosine(x, offsets)[1] == -1).all()
    doubled = np.arange(0, 1_000_001, 2)
    cosine, index = tamis.max_cosine(x, doubled)
    assert (index[::2] == -1).all() and np.array_equal(index[1::2], doubled[:-1])
    rows = x.astype(np.float64).reshape(-1, 2, 8)
    dot = (rows[:, 0] * rows[:, 1]).sum(axis=1)
    norms = np.sqrt(np.square(rows).sum(axis=2))
    assert_same_bits(cosine[1::2], (dot / (norms[:, 0] * norms[:, 1])).astype(np.float32))


MEMORY = """
import resource, numpy as np, tamis
from tamis.kernels import exact

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

rng = np.random.default_rng(0)
n = {n}
x = tamis.canonical(np.float16(8) + rng.random((n, 16)).astype(np.float16))[0]
offsets = np.array([0, n])
tamis.max_cosine(x[:100])
before = peak()
{call}
print(peak() - before)
"""


@pytest.mark.parametrize(
    ("n", "call"),
    [
        (20_000, "tamis.max_cosine(x, side='others')"),
        (16_000, "exact.greedy_keep(x, offsets, 0.0)"),
        (16_000, "exact.components(x, offsets, 0.0)"),
        (
            8_000,
            "assert sum(len(i) for i, _, _ in tamis.pairs_above(x, None, 0.0)) == n * (n - 1) // 2",
        ),
        (30_000, "tamis.assign(x, x[:20_000])"),
        (60_000, "tamis.kmeans(x, 1000, max_iter=2)"),
    ],
    ids=["max_cosine", "greedy_keep", "components", "pairs_above", "assign", "kmeans"],
)
def test_memory_does_not_grow_with_the_pairs(n: int, call: str) -> None:
    # The matrix of float32 cosines, or the list of pairs, would take 240 MB to 2.4 GB.
    program = MEMORY.format(n=n, call=call)
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(output.stdout) < 160, f"{output.stdout.strip()} MiB"


def test_a_forked_process_can_call_the_kernels() -> None:
    program = """
import multiprocessing, numpy as np, tamis
x = np.random.default_rng(0).standard_normal((3000, 32))
expected = tamis.max_cosine(x)[1].tolist()
with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map(tamis.max_cosine, [x, x])
assert [index.tolist() for _, index in found] == [expected, expected]
print("same")
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert output.stdout == "same\n"
