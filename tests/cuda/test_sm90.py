"""What sm_90a adds does in the emulation what it does on a GPU, and mistakes with it are found."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.cuda.library import Library
from tests.cuda.test_emulation import MODELS, SEEDS

from bits import assert_same_bits

ROWS, COLUMNS = 64, 256
BOX = 64  # elements
NOT_KNOWN = r"copied to offset \d+ of shared memory of block \d of the cluster, "
LACKS = "wait at barrier_wait .* of the barrier at offset 81920 of shared memory, which lacks "
ENDED = "at whose barriers another one may still arrive|barrier_arrive_in of a block that has ended"
# As in emulation/exports_sm90.cpp, with a part of the sentence that finds it.
MISTAKES = {
    "barrier_not_made": "gave barrier_wait a barrier that nobody has made",
    "barrier_not_ready": "gave barrier_wait a barrier that is not known to be ready",
    "barrier_not_shared": r"gave barrier_\w+ a barrier that (is not known to be ready|nobody has)",
    "barrier_made_twice": "made a barrier twice",
    "barrier_overwritten": "gave barrier_arrive a barrier that was overwritten",
    "one_arrival_too_many": "came to barrier_arrive of a barrier that has its 1 arrivals",
    "nobody_copies": LACKS + "1 of 1 arrivals and 0 bytes",
    "box_misaligned": "gave copy_box a misaligned address",
    "box_past_shared": "gave copy_box an address outside of shared memory",
    "rows_misaligned": "used a map of rows that are not 16-byte aligned",
    "operand_misaligned": "gave operand a row that is not a multiple of eight of a box",
    "operand_element": "gave operand element 8",
    "operand_past_shared": "multiplied what lies outside of shared memory",
    "operand_made_up": "multiplied an operand that describes no rows of a box",
    "no_begin": "multiplied without wgmma_begin",
    "sums_changed": "changed sums between wgmma_begin and wgmma_wait",
    "three_warps_multiply": r"came to wgmma\w* .*, where others of its warpgroup came to wgmma",
    "other_order": "came to wgmma_m64n256k16 .* with other operands than others of its warpgroup",
    "half_a_warp_multiplies": r"came to wgmma\w* .*, but thread \d+ waits at wgmma",
    "products_not_awaited": "ended and has not waited for its products",
    "slice_not_awaited": "multiplied .*, where it has not waited for the end of a copy's phase",
    "one_warp_awaits": "multiplied .*, where it has not waited for the end of a copy's phase",
    "nothing_there": "multiplied offset 16384 of shared memory, where nothing is",
    "stage_not_free": NOT_KNOWN + "where another copy|came to barrier_expect of a barrier that has",
    "left_too_early": NOT_KNOWN + "which products of warp 0 are not known to have read",
    "one_warp_leaves": NOT_KNOWN + "which products of warp 1 are not known to have read",
    "copied_twice": NOT_KNOWN + "where another copy is not known to have come",
    "read_too_early": "read .*, where a copy is not known|" + NOT_KNOWN + "where a thread read",
    "wrote_before_product": "multiplied .*, where a thread wrote with no barrier between",
    "rewritten_unfenced": "multiplied .*, where a thread wrote with no barrier between",
    "rewritten_alone": "multiplied .*, where a thread wrote with no barrier between",
    "wrote_after_product": "wrote .*, which products of warp 0 are not known to have read",
    "wrote_before_copy": NOT_KNOWN + "where a thread wrote with no barrier between",
    "block_ends_early": ENDED,
    "arrives_in_ended_block": ENDED,
    "copy_not_awaited": "was the last of its block, into which a copy may still come",
    "three_warps_ask_for_registers": "where not all warps of a warpgroup called registers_for_",
    "half_a_warp_asks_for_registers": r"came to \w+ .*, but thread \d+ waits at registers_for_many",
    "too_few_bytes": "brought 16 bytes more than the barrier at offset 81920 of shared memory",
    "too_many_bytes": LACKS + "0 of 1 arrivals and 16 bytes",
    "no_bytes": "multiplied .*, where it has not waited for the end of a copy's phase|bytes more",
    "trapped": r"came to __trap \(exports_sm90.cpp",
}
OF_TWO_BLOCKS = ("block_ends_early", "arrives_in_ended_block")
CASES = [(m, n) for m in MISTAKES for n in (1, 2) if n == 2 or m not in OF_TWO_BLOCKS]
WHAT = [*MISTAKES, "not_a_mistake", "sums_stored_early", "rewritten", "ends_by_barriers"]


def _multiply(
    library: Library, a: npt.NDArray[Any], b: npt.NDArray[Any], cluster: int, what: str
) -> npt.NDArray[Any]:
    c = library.empty((len(a), COLUMNS), np.float32)
    rows, columns = library.array(a), library.array(b)
    blocks = len(a) // ROWS
    library.call("try_sm90", rows, columns, c, a.shape[1], blocks, cluster, WHAT.index(what))
    return c


def _integers(seed: int, n_rows: int, dim: int) -> npt.NDArray[Any]:
    return np.random.default_rng(seed).integers(-7, 8, (n_rows, dim)).astype(np.float16)


@pytest.mark.parametrize("cluster", [1, 2])
@pytest.mark.parametrize("dim", [8, 64, 72, 128, 200])
def test_products_are_those_of_numpy(library: Library, dim: int, cluster: int) -> None:
    a, b = _integers(dim, 2 * ROWS, dim), _integers(dim + 1, COLUMNS, dim)
    expected = (a.astype(float) @ b.astype(float).T).astype(np.float32)
    for seed in (*SEEDS, 4, 5, 6, 7):
        with library.configured(seed=seed, host_threads=1 + seed % 3):
            assert_same_bits(_multiply(library, a, b, cluster, "not_a_mistake"), expected)
        library.forget()


@pytest.mark.parametrize(("order", "truncate"), MODELS)
def test_sums_are_those_of_the_smaller_instruction(
    library: Library, order: int, truncate: int
) -> None:
    rng = np.random.default_rng(order)
    a, b = (rng.uniform(-1, 1, (n, 128)).astype(np.float16) for n in (ROWS, COLUMNS))
    with library.configured(sum_order=order, truncate=truncate):
        c = _multiply(library, a, b, 1, "not_a_mistake")
        for row, column in ((0, 0), (16, 48), (48, 240)):
            tile = library.array(np.zeros((16, 16), np.float32))
            parts = library.array(a[row : row + 16]), library.array(b[column : column + 16])
            library.call("try_multiply_tile", *parts, tile, 8)
            part = np.ascontiguousarray(c[row : row + 16, column : column + 16])
            assert_same_bits(part, np.asarray(tile))


@pytest.mark.parametrize(
    ("element", "row"), [(0, 0), (64, 3), (40, -2), (-5, 18), (7, 8), (88, 1), (-64, 0), (0, 20)]
)
@pytest.mark.parametrize("box_rows", [1, 8, 13, 256])
def test_boxes_lie_in_shared_memory_as_documented(
    library: Library, box_rows: int, element: int, row: int
) -> None:
    n_rows, dim = 20, 88
    x = np.arange(1, n_rows * dim + 1, dtype=np.uint16).reshape(n_rows, dim)
    out = library.empty((box_rows, BOX), np.uint16)
    library.call("try_copy_box", library.array(x), n_rows, dim, box_rows, element, row, out)
    chunks = out.reshape(box_rows, 8, 8)
    r, c = np.indices((box_rows, 8))
    straight = chunks[r, c ^ r % 8].reshape(box_rows, BOX)
    wide = np.zeros((row + box_rows + 1000, dim + 1000), np.uint16)
    wide[500 : 500 + n_rows, 500 : 500 + dim] = x
    box = wide[500 + row : 500 + row + box_rows, 500 + element : 500 + element + BOX]
    assert_same_bits(straight, np.ascontiguousarray(box))


@pytest.mark.parametrize("cluster", [1, 2])
@pytest.mark.parametrize("what", ["rewritten", "ends_by_barriers"])
def test_barriers_order_what_is_used_again(library: Library, what: str, cluster: int) -> None:
    a, b = _integers(0, 2 * ROWS, 328), _integers(1, COLUMNS, 328)
    expected = (a.astype(float) @ b.astype(float).T).astype(np.float32)
    for seed in SEEDS:
        with library.configured(seed=seed):
            assert_same_bits(_multiply(library, a, b, cluster, what), expected)


def test_sums_are_not_there_before_the_wait(library: Library) -> None:
    a, b = _integers(0, ROWS, 200), _integers(1, COLUMNS, 200)
    for seed in SEEDS:
        with library.configured(seed=seed):
            assert np.isnan(_multiply(library, a, b, 1, "sums_stored_early")).all()


@pytest.mark.parametrize(("mistake", "cluster"), CASES)
def test_mistakes_are_found(library: Library, mistake: str, cluster: int) -> None:
    a, b = _integers(0, 2 * ROWS, 200), _integers(1, COLUMNS, 200)
    for seed in SEEDS:
        found = pytest.raises(RuntimeError, match=MISTAKES[mistake])
        with library.configured(seed=seed), found:
            _multiply(library, a, b, cluster, mistake)
    expected = a.astype(float) @ b.astype(float).T
    assert (_multiply(library, a, b, cluster, "not_a_mistake") == expected).all()


def test_launches_in_clusters_are_checked(library: Library) -> None:
    facts = np.zeros(2, np.int64)
    for blocks, cluster in ((3, 2), (9, 9), (1, 0)):
        with pytest.raises(RuntimeError, match="could not launch a kernel: invalid argument"):
            library.call("try_launch_clusters", blocks, cluster, facts)
    with library.configured(capability=80):
        library.call("try_launch_clusters", 6, 3, facts)
    assert facts.tolist() == [80, 80]
