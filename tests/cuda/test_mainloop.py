"""The matrix pass: where its tiles lie, what they hold, and how far its sums may be off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from tests.cuda.library import Library

import cases
from bits import assert_same_bits

Rows = npt.NDArray[np.float16]
# sum_order, truncate: the models of the tensor core's sums
MODELS = ((0, 0), (0, 1), (1, 1), (2, 1), (3, 0))


def sums(library: Library, x: Rows, y: Rows, *, fine: bool = False) -> npt.NDArray[np.float32]:
    shape = [-(-len(part) // 128) * 128 for part in (x, y)]
    out = library.empty((shape[0], shape[1]), np.float32)
    operands = [library.array(part.view(np.uint16)) for part in (x, y)]
    library.call(
        "emulated_sums", operands[0], len(x), operands[1], len(y), x.shape[1], int(fine), out
    )
    return out


def test_no_bank_serves_two_lanes(library: Library) -> None:
    places = np.empty((128, 4), np.int32)
    library.call("emulated_chunk_places", places)
    assert sorted(places.ravel()) == list(range(0, 128 * 32, 8))
    line = places * 2 % 128 // 16  # which sixteenth of the banks, of 8 lanes at a time
    for row in range(0, 128, 8):  # ldmatrix reads one chunk of 8 rows
        for chunk in range(4):
            assert sorted(line[row : row + 8, chunk]) == list(range(8))
    for row in range(0, 128, 2):  # a copy writes all chunks of 2 rows
        assert sorted(line[row : row + 2].ravel()) == list(range(8))
    assert (places[16:] - places[:-16] == 16 * 32).all()


@pytest.mark.parametrize(
    ("n", "k", "dim"), [(1, 1, 8), (5, 300, 16), (129, 127, 40), (128, 257, 64), (250, 130, 136)]
)
def test_tiles_hold_the_products_of_rows_and_columns(
    library: Library, n: int, k: int, dim: int
) -> None:
    rng = np.random.default_rng(n)
    x, y = (rng.integers(-4, 5, size=(rows, dim)).astype(np.float16) for rows in (n, k))
    for seed in (0, 1):
        with library.configured(seed=seed):
            out = sums(library, x, y, fine=seed == 1)
        expected = np.zeros(out.shape, np.float32)  # rows and columns past the end: zero
        expected[:n, :k] = x.astype(np.float32) @ y.T.astype(np.float32)
        assert_same_bits(out + np.float32(0), expected)


def attack(dim: int) -> Rows:
    """Large products first, then as many as possible that a cut sum loses."""
    steps = np.full(dim, (1 - 2.0**-11) * 2.0**-12)
    tails = [steps, steps * 2**-0.5, np.linspace(1, 0, dim), np.full(dim, dim**-0.5)]
    rows = []
    for tail in tails:
        for head in (0, 1, 9):
            row = tail.copy()
            row[:head] = 0.7 if head > 1 else 1.0
            rows += [row / max(1.0, np.linalg.norm(row)), row[::-1] / np.linalg.norm(row)]
    x = np.concatenate([rows, cases.wide_range(40, dim), cases.near_copies(40, dim)])
    return x.astype(np.float16)


@pytest.mark.parametrize("dim", [16, 64, 512])
def test_the_error_bound_holds_under_attack(library: Library, dim: int) -> None:
    x = attack(dim)
    bounds = np.empty(2)
    library.call("emulated_errors", dim, -1.0, bounds)
    exact = x.astype(np.float64) @ x.T.astype(np.float64)
    for fine, bound in enumerate(bounds):
        worst = 0.0
        for order, truncate in MODELS:
            with library.configured(sum_order=order, truncate=truncate):
                found = sums(library, x, x, fine=bool(fine))[: len(x), : len(x)]
            worst = max(worst, np.abs(found - exact).max())
        assert bound / 8 < worst <= bound
