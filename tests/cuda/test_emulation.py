"""The emulated CUDA does what CUDA does, and finds what a kernel must not do."""

from __future__ import annotations

import math
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.cuda.library import Library

from bits import assert_same_bits

SEEDS = (0, 1, 2, 3)
# sum_order, truncate: the models of the tensor core's sums
MODELS = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0))
RACE = r"offset \d+ of shared memory, which (thread \d+|other threads)"
RACE_IN_ARRAY = r"offset \d+ of an array of 256 bytes, which thread \d+ of block number \d wrote"
# As in emulation/exports_mistakes.cpp, with a part of the sentence that finds it.
MISTAKES = {
    "early_exit": "thread 37 has ended",
    "half_a_barrier": "but thread 0 waits at __syncthreads",
    "two_barriers": "but thread 0 waits at __syncthreads",
    "lonely_lane": "came to __syncthreads|wait at __syncthreads .*__shfl_sync",
    "mask_without_lane": "mask without its lane",
    "divergent_matrix": "came to ldmatrix.trans .* but thread 0 waits at ldmatrix ",
    "misaligned_matrix": "gave ldmatrix a misaligned address",
    "matrix_elsewhere": "gave ldmatrix an address outside of shared memory",
    "misaligned_copy": "gave cp.async a misaligned address",
    "misaligned_vector": "null or misaligned pointer",
    "past_shared": "wrote 1 bytes at offset 256 of 256 bytes of shared memory",
    "before_shared": "wrote 1 bytes at offset -4 of 256 bytes of shared memory",
    "copied_past_shared": "wrote to offset 256 of its 256 bytes",
    "past_register_array": "indexed an array out of its bounds",
    "past_array": "read 4 bytes at offset 256 of an array of 256 bytes",
    "before_array": "wrote 4 bytes at offset -4 of an array of 256 bytes",
    "overflow": "overflowed a signed integer",
    "written_then_read": f"read {RACE} wrote|wrote {RACE} read",
    "read_then_written": f"wrote {RACE} read|read {RACE} wrote",
    "counted_by_hand": f"(read|wrote) {RACE} wrote",
    "counted_and_read": f"changed {RACE} read|read {RACE} changed",
    "lanes_without_barrier": f"read {RACE} wrote|wrote {RACE} read",
    "shuffle_as_barrier": f"read {RACE} wrote",
    "copy_without_barrier": f"read {RACE} wrote|wrote {RACE} read",
    "array_written_twice": f"wrote {RACE_IN_ARRAY}",
    "array_written_by_blocks": f"wrote {RACE_IN_ARRAY}",
    "array_read_by_blocks": f"read {RACE_IN_ARRAY}",
    "array_without_fence": f"read {RACE_IN_ARRAY}",
    "endless": "accesses and met nobody",
}


@pytest.mark.parametrize("threads", [32, 256, 1024])
@pytest.mark.parametrize("seed", SEEDS)
def test_barriers_order_shared_memory(library: Library, threads: int, seed: int) -> None:
    x = library.array(np.random.default_rng(seed).integers(-99, 99, (7, threads)).astype(float))
    out = library.empty(x.shape, np.float64)
    with library.configured(seed=seed, host_threads=1 + seed % 3):
        library.call("try_block_sums", x, out, *x.shape)
    assert (out == x.sum(axis=1, keepdims=True)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_lanes_see_each_other(library: Library, seed: int) -> None:
    lane = np.arange(32)
    x = np.random.default_rng(seed).integers(0, 99, 32)
    out = library.empty((8, 32), np.int64)
    with library.configured(seed=seed):
        library.call("try_warp_talk", x, out)
    expected = np.empty_like(out)
    expected[0] = x[(lane + 1) % 32]
    expected[1] = x[lane ^ 5]
    expected[2] = x[np.where(lane % 16 >= 3, lane - 3, lane)]
    expected[3] = x[np.where(lane % 8 < 5, lane + 3, lane)]
    expected[4] = sum(1 << int(i) for i in lane[x % 3 == 0])
    expected[5] = x.max()
    expected[6] = (7 in x) + 2
    expected[7] = np.where(lane % 2 == 0, x[4], sum(1 << int(i) for i in lane if i % 2 and i > 9))
    assert_same_bits(out, expected)


@pytest.mark.parametrize("host_threads", [1, 3])
def test_atomics_count_every_thread_of_every_block(library: Library, host_threads: int) -> None:
    total, largest = library.array(np.uint64([0])), library.array(np.uint64([0]))
    half = library.array([0.0])
    with library.configured(seed=5, host_threads=host_threads):
        library.call("try_count", 5, 4, 3, total, half, largest)
    assert (total[0], half[0], largest[0]) == (64 * 60, 32 * 60, 304)


def test_fragments_lie_as_documented(library: Library) -> None:
    rng = np.random.default_rng(0)
    a, b = _small(rng, (16, 16)), _small(rng, (16, 8))
    d = rng.integers(-9, 9, (16, 8)).astype(np.float32)
    fa, fb, fd = np.empty((32, 4, 2), "f2"), np.empty((32, 2, 2), "f2"), np.empty((32, 4), "f4")
    for lane in range(32):
        g, t = divmod(lane, 4)
        for i in range(2):
            k = 2 * t + i
            fa[lane, :, i] = a[g, k], a[g + 8, k], a[g, k + 8], a[g + 8, k + 8]
            fb[lane, :, i] = b[k, g], b[k + 8, g]
            fd[lane, [i, i + 2]] = d[g, k], d[g + 8, k]
    for order, truncate in MODELS:  # small integers: the same in every order
        out = fd.copy()
        with library.configured(sum_order=order, truncate=truncate):
            library.call("try_multiply_fragments", fa, fb, out)
        product = a.astype(float) @ b.astype(float) + d
        for lane in range(32):
            g, t = divmod(lane, 4)
            expected = [*product[g, 2 * t : 2 * t + 2], *product[g + 8, 2 * t : 2 * t + 2]]
            assert out[lane].tolist() == expected, (lane, order)


def test_matrices_are_loaded_as_documented(library: Library) -> None:
    matrices = np.arange(256, dtype=np.uint16).reshape(4, 8, 8)
    straight, transposed = np.empty((2, 32, 4), np.uint32)
    library.call("try_load_matrices", matrices, straight, transposed)
    pairs = straight.view(np.uint16).reshape(32, 4, 2)
    turned = transposed.view(np.uint16).reshape(32, 4, 2)
    for lane in range(32):
        g, t = divmod(lane, 4)
        for i in range(4):
            assert pairs[lane, i].tolist() == matrices[i, g, 2 * t : 2 * t + 2].tolist()
            assert turned[lane, i].tolist() == matrices[i, 2 * t : 2 * t + 2, g].tolist()


@pytest.mark.parametrize(("order", "truncate"), MODELS)
def test_tile_product_is_within_the_stated_bound(
    library: Library, order: int, truncate: int
) -> None:
    rng = np.random.default_rng(order)
    steps = 24
    a, b = rng.standard_normal((2, 16, 16 * steps))
    a = (a / np.linalg.norm(a, axis=1, keepdims=True)).astype(np.float16)
    b = (b / np.linalg.norm(b, axis=1, keepdims=True)).astype(np.float16)
    a[3], b[5] = b[2], a[2]
    c = library.array(np.zeros((16, 16), np.float32))
    with library.configured(seed=7, sum_order=order, truncate=truncate):
        library.call("try_multiply_tile", library.array(a), library.array(b), c, steps)
    error = np.abs(c - a.astype(float) @ b.astype(float).T).max()
    assert 0 < error <= (16 * steps / 16 + 8) * 2.0**-21


def test_models_of_the_sum_differ(library: Library) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.uniform(-1, 1, (2, 16, 64)).astype(np.float16)
    seen = set()
    for order, truncate in MODELS:
        c = np.zeros((16, 16), np.float32)
        with library.configured(sum_order=order, truncate=truncate):
            library.call("try_multiply_tile", library.array(a), library.array(b), c, 4)
        seen.add(c.tobytes())
    assert len(seen) == len(MODELS)


def test_copies_land_at_the_wait(library: Library) -> None:
    x = library.array(np.arange(1, 257, dtype=np.uint16).reshape(32, 8))
    for size in range(17):
        early, late = library.empty((2, 32, 8), np.uint16)
        library.call("try_copy_late", x, size, early, late)
        assert (early == 0xFFFF).all()
        whole = x.view(np.uint8).copy()
        whole[:, size:] = 0
        assert_same_bits(late, whole.view(np.uint16))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_found(library: Library, mistake: str, seed: int) -> None:
    out = library.empty(64, np.uint32)
    sentence = MISTAKES[mistake].replace("thread 0", r"thread \d+")
    if seed != 0 and mistake == "divergent_matrix":
        sentence = r"came to ldmatrix.* but thread \d+ waits at ldmatrix"
    with library.configured(seed=seed):
        with pytest.raises(RuntimeError, match=sentence):
            library.call("try_mistake", list(MISTAKES).index(mistake), out)
        library.call("try_mistake", len(MISTAKES), out)  # the next launch is sound
    assert (out == 0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_barriers_allow_sharing(library: Library, seed: int) -> None:
    out = library.empty(64, np.int32)
    with library.configured(seed=seed):
        library.call("try_share", out)
    i = np.arange(64)
    shared = np.empty(64, np.int64)
    shared[i ^ 2] = (i ^ 1) + (i - i % 32)
    assert (out == (shared[0] + shared[(i + 40) % 64]).sum()).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_block_may_read_what_others_wrote(library: Library, seed: int) -> None:
    parts, total = library.empty(9, np.uint32), library.empty(1, np.uint32)
    with library.configured(seed=seed):
        library.call("try_sum_at_the_end", 9, parts, total, library.array(np.uint32([0])))
    assert total[0] == sum(range(10, 19))


def test_races_can_be_let_pass(library: Library) -> None:
    out = library.empty(64, np.uint32)
    with library.configured(races=0):
        library.call("try_mistake", list(MISTAKES).index("lanes_without_barrier"), out)
    assert (out == 0).all()


@pytest.mark.parametrize(
    ("blocks", "threads", "shared", "sentence"),
    [
        (1 << 31, 32, 0, "cannot launch 2147483648 x 1 x 1 blocks of 32 threads"),
        (-1, 32, 0, "cannot launch"),
        (1, 33, 0, "blocks of 33 threads"),
        (1, 0, 0, "blocks of 0 threads"),
        (1, 2048, 0, "could not launch a kernel: invalid configuration argument"),
        (1, 32, 240 << 10, "could not grant a kernel its shared memory: invalid argument"),
    ],
)
def test_launches_are_checked(
    library: Library, blocks: int, threads: int, shared: int, sentence: str
) -> None:
    with pytest.raises(RuntimeError, match=sentence):
        library.call("try_launch", blocks, threads, shared)
    library.call("try_launch", 2, 64, 227 << 10)
    library.call("try_launch", 0, 64, 0)


def test_memory_and_devices(library: Library) -> None:
    to, source = library.empty(20, np.uint8), library.array(np.arange(10, dtype=np.uint8))
    library.call("try_memory", to, source, 10, 3)
    assert to.tolist() == [*range(10), *[3] * 10]
    library.call("try_memory", to, source, 0, 3)
    facts = np.zeros(5, np.int64)
    with library.configured(sms=132):
        library.call("try_device", facts)
    assert facts.tolist() == [1, 0, 132, 227 << 10, 90]
    with library.configured(capability=80):
        library.call("try_device", facts)
    assert facts.tolist() == [1, 0, 4, 227 << 10, 80]
    with pytest.raises(RuntimeError, match="make a device the current one: invalid device"):
        library.call("try_missing_device")


def test_writing_beside_an_array_is_found(library: Library) -> None:
    to = library.empty(19, np.uint8)
    source = library.array(np.zeros(10, np.uint8))
    with pytest.raises(AssertionError, match="beside an array of 19 bytes"):
        library.call("try_memory", to, source, 10, 3)
    library.forget()


def test_every_half_widens_exactly(library: Library) -> None:
    half = np.arange(1 << 16, dtype=np.uint16)
    single, wide = np.empty(1 << 16, np.float32), np.empty(1 << 16)
    library.call("try_widen", half, 1 << 16, single, wide)
    expected = half.view(np.float16)
    number = ~np.isnan(expected)
    assert_same_bits(single[number], expected[number].astype(np.float32))
    assert_same_bits(wide[number], expected[number].astype(np.float64))
    assert np.isnan(single[~number]).all() and np.isnan(wide[~number]).all()


def test_doubles_narrow_once_to_the_nearest(library: Library) -> None:
    rng = np.random.default_rng(0)
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    between = np.concatenate([(halves[:-1] + halves[1:]) / 2, [65520.0]])
    edges = np.concatenate([halves, between])
    words = rng.integers(0, 1 << 64, 200_000, dtype=np.uint64)
    spread = rng.standard_normal(200_000) * np.exp2(rng.uniform(-30, 20, 200_000))
    special = [0.0, 5e-324, 2.0**-1022, 2.0**-25, 2.0**-26, 65504, 65536, 1e300, math.inf, math.nan]
    values = np.concatenate(
        [edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf), spread, special]
    )
    values = np.concatenate([values, -values, words.view(np.float64)])
    out = np.empty(values.shape, np.uint16)
    library.call("try_narrow", values, len(values), out)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        expected = values.astype(np.float16).view(np.uint16)
    nan = np.isnan(values)
    assert_same_bits(out[~nan], expected[~nan])
    assert (out[nan] == np.where(np.signbit(values[nan]), 0xFE00, 0x7E00)).all()


@pytest.mark.parametrize("dim", [1, 7, 8, 9, 100, 1000])
def test_exact_operations_round_once_in_order(library: Library, dim: int) -> None:
    rng = np.random.default_rng(dim)
    for _ in range(20):
        x = rng.standard_normal(dim)
        norms, unit = np.empty(2), np.empty(dim)
        library.call("try_exact", x, dim, norms, unit)
        sums = [0.0] * 8
        for i, value in enumerate(x.tolist()):
            sums[i % 8] = _rounded(Fraction(sums[i % 8]), _rounded(Fraction(value) ** 2))
        even, odd = (
            (sums[0] + sums[4]) + (sums[2] + sums[6]),
            (sums[1] + sums[5]) + (sums[3] + sums[7]),
        )
        assert norms.tolist() == [even + odd, math.sqrt(even + odd)]
        assert_same_bits(unit, x / math.sqrt(even + odd))


def _rounded(*terms: Fraction | float) -> float:
    return float(sum(map(Fraction, terms), Fraction(0)))


def _small(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[Any]]:
    return rng.integers(-7, 8, shape).astype(np.float16)


def test_the_emulation_says_what_it_is(module: ModuleType) -> None:
    assert module.device(0)["capability"] == 90
    assert module.architectures() == ["emulation"]
    with pytest.raises(MemoryError, match=r"^CUDA could not make .*: out of memory$"):
        module.synchronize(device=9, stream=0)
