"""The warpgroup mainloop: every sum of rows and columns, in any order of threads and copies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from tests.cuda.library import Library
from tests.cuda.test_mainloop import MODELS, attack

import cases
from bits import assert_same_bits

Rows = npt.NDArray[np.float16]
TILE = {False: 256, True: 128}
"""Columns, by whether sums are fine."""


def sums(
    library: Library, x: Rows, y: Rows, *, cluster: int, fine: bool = False, n_clusters: int = 1
) -> npt.NDArray[np.float32]:
    group, tile = cluster * 128, TILE[fine]
    shape = (-(-len(x) // group) * group, -(-len(y) // tile) * tile)
    out = library.empty(shape, np.float32)
    operands = [library.array(part.view(np.uint16)) for part in (x, y)]
    library.call(
        *("warpgroup_sums", operands[0], len(x), operands[1], len(y), x.shape[1]),
        *(int(fine), cluster, n_clusters, out),
    )
    return out


@pytest.mark.parametrize("cluster", [1, 2])
@pytest.mark.parametrize(
    ("n", "k", "dim"), [(1, 1, 8), (5, 300, 64), (129, 256, 72), (300, 257, 136), (520, 520, 200)]
)
def test_tiles_hold_the_products_of_rows_and_columns(
    library: Library, n: int, k: int, dim: int, cluster: int
) -> None:
    rng = np.random.default_rng(n)
    x, y = (rng.integers(-4, 5, size=(rows, dim)).astype(np.float16) for rows in (n, k))
    for seed, fine in ((0, False), (1, False), (0, True), (1, True)):
        with library.configured(seed=seed, capability=90):
            out = sums(library, x, y, cluster=cluster, fine=fine)
        expected = np.zeros(out.shape, np.float32)  # rows and columns past the end: zero
        expected[:n, :k] = x.astype(np.float32) @ y.T.astype(np.float32)
        assert_same_bits(out + np.float32(0), expected)


@pytest.mark.parametrize("n_clusters", [1, 2, 3])
def test_walks_are_shared_by_any_number_of_clusters(library: Library, n_clusters: int) -> None:
    x, y = cases.unit_rows(700, 24, 1), cases.unit_rows(100, 24, 2)
    with library.configured(seed=n_clusters, capability=90):
        found = [
            sums(library, x, y, cluster=cluster, n_clusters=n_clusters)[: len(x), : len(y)]
            for cluster in (1, 2)
        ]
    exact = x.astype(np.float64) @ y.T.astype(np.float64)
    for out in found:
        assert np.abs(out - exact).max() < 2.0**-20
    assert_same_bits(*found)


@pytest.mark.parametrize("dim", [32, 264, 512])
def test_the_error_bound_holds_under_attack(library: Library, dim: int) -> None:
    x = attack(dim)
    bounds = np.empty(2)
    library.call("emulated_errors", dim, -1.0, bounds)
    exact = x.astype(np.float64) @ x.T.astype(np.float64)
    for fine, bound in enumerate(bounds):
        worst = 0.0
        for order, truncate in MODELS:
            with library.configured(sum_order=order, truncate=truncate, capability=90):
                found = sums(library, x, x, cluster=2, fine=bool(fine))[: len(x), : len(x)]
            worst = max(worst, np.abs(found - exact).max())
        assert bound / 8 < worst <= bound
