"""The CUDA specificity agrees with the CPU's within 1e-6 rad, however tensor cores add."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.cuda.library import Library
from tests.cuda.test_mainloop import MODELS

from bits import assert_same_bits
from tamis._native import cpu

TOLERANCE = 1e-6
ELEMENTS = {"float16": 0, "float32": 1, "float64": 2}
KINDS = {"tangent": 0, "space": 1, "lorentz": 2, "poincare": 3}
APEXES = ("references", "rows")


def cloud(n: int, d: int, seed: int, *, low: float = 0.1, high: float = 2.0) -> Any:
    rng = np.random.default_rng(seed)
    v = rng.standard_normal((n, d)) + 1.5 * np.random.default_rng(7).standard_normal(d)
    return v / np.linalg.norm(v, axis=1, keepdims=True) * rng.uniform(low, high, (n, 1))


def score(
    library: Library, rows: Any, references: Any, apex: str, kind: str = "tangent", c: float = 1.0
) -> tuple[Any, Any, int]:
    """Sums of e, e^2 and max(e, 0), the counts of e <= 0, and how many pairs were redone."""
    n, (m, columns) = len(rows), references.shape
    operands = (library.array(rows), n, library.array(references), m)
    facts = (ELEMENTS[rows.dtype.name], columns, KINDS[kind], c, int(apex == "rows"), 0.1)
    sums, entailed = library.empty((3, n), np.float64), library.empty(n, np.int64)
    redone, size = library.array(np.array([3])), np.zeros(1, np.int64)
    outs = (sums[0], sums[1], sums[2], entailed, redone, size)
    library.call("emulated_specificity", *operands, *facts, *outs, None)
    work = library.empty(int(size[0]), np.uint8)
    library.call("emulated_specificity", *operands, *facts, *outs, work)
    return sums, entailed, int(redone[0]) - 3


def check(
    library: Library, rows: Any, references: Any, apex: str, kind: str = "tangent", c: float = 1.0
) -> tuple[float, int]:
    """The largest difference of a mean to the CPU's; how many pairs were redone."""
    sums, entailed, redone = score(library, rows, references, apex, kind, c)
    x, y = (
        part.view(np.uint16) if part.dtype == np.float16 else part for part in (rows, references)
    )
    *expected, counts, _ = cpu.lorentz_specificity(x, y, KINDS[kind], c, apex == "rows", 0.1)
    state = cpu.lorentz_radii(y, KINDS[kind], c)[2]
    used = int((state <= 2).sum())
    difference = np.abs(sums - np.array(expected)) / used
    assert_same_bits(np.isnan(sums), np.isnan(expected))
    worst = float(np.nanmax(difference))
    assert worst <= TOLERANCE
    # Energies next to 0 may fall on either side.
    assert np.abs(entailed - counts).max() <= max(1, used // 50)
    return worst, redone


@pytest.mark.parametrize("apex", APEXES)
@pytest.mark.parametrize("dtype", ELEMENTS)
@pytest.mark.parametrize(("n", "m", "d"), [(9, 150, 40), (131, 49, 7), (3, 48, 1), (5, 47, 33)])
def test_means_are_the_cpus(
    library: Library, n: int, m: int, d: int, dtype: str, apex: str
) -> None:
    rows, references = cloud(n, d, 1).astype(dtype), cloud(m, d, 2).astype(dtype)
    _, redone = check(library, rows, references, apex)
    # All of them where there are few references, or all directions are one.
    assert redone == n * m if m < 48 or d == 1 else redone < n * m / 2


@pytest.mark.parametrize("apex", APEXES)
@pytest.mark.parametrize(("order", "truncate"), MODELS)
def test_means_hold_however_sums_are_cut(
    library: Library, order: int, truncate: int, apex: str
) -> None:
    """Elements of one sign: every cut of a positive sum is a loss."""
    d = 512
    rng = np.random.default_rng(5)
    rows, references = (np.abs(rng.normal(1, 0.4, (n, d))) for n in (4, 60))
    for part, high in ((rows, 2.0), (references, 0.8)):
        part *= rng.uniform(0.3, high, (len(part), 1)) / np.linalg.norm(part, axis=1)[:, None]
    with library.configured(sum_order=order, truncate=truncate, races=0):
        check(library, rows.astype(np.float16), references.astype(np.float16), apex)


@pytest.mark.parametrize("apex", APEXES)
def test_means_hold_where_all_low_parts_are_alike(library: Library, apex: str) -> None:
    """Unit vectors a quarter of 2^-11 beside its multiples: 8e-6 from low parts times low parts."""
    d = 512
    rng = np.random.default_rng(3)
    steps = (
        rng.permuted(np.tile(np.arange(-d // 2, d // 2) * 0.6125, (70, 1)), axis=1).round() + 0.25
    )
    units = steps / np.linalg.norm(steps, axis=1)[:, None]
    assert 0.2 < (units * 2**11 - np.rint(units * 2**11)).mean() < 0.3
    radii = rng.uniform(0.3, 1.0, (70, 1))
    check(library, 2 * (units * radii)[:5], (units * radii)[5:], apex)


@pytest.mark.parametrize("kind", ["space", "lorentz", "poincare"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kind(library: Library, kind: str, dtype: str) -> None:
    rows, references = cloud(6, 16, 1), cloud(60, 16, 2)
    root = np.sqrt(0.4)

    def of(v: Any) -> Any:
        size = np.linalg.norm(v, axis=1, keepdims=True)
        found = np.sinh(root * size) * v / size / root
        if kind == "poincare":
            found = np.tanh(root * size / 2) * v / size / root
        if kind == "lorentz":
            found = np.c_[np.cosh(root * size) / root, found]
        return found.astype(dtype)

    for apex in APEXES:
        check(library, of(rows), of(references), apex, kind, 0.4)


@pytest.mark.parametrize("apex", APEXES)
@pytest.mark.parametrize(("radius", "separation"), [(1e-3, 0.0), (0.3, 1e-3), (3.0, 1e-2), (11, 0)])
def test_references_beside_the_rows(
    library: Library, radius: float, separation: float, apex: str
) -> None:
    rows = cloud(3, 24, 1, low=radius, high=radius)
    noise = np.random.default_rng(3).standard_normal((60, 24))
    references = rows[np.arange(60) % 3] * (1 + separation) + separation * radius / 5 * noise
    _, redone = check(library, rows, references, apex)
    assert redone > 0


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("apex", APEXES)
def test_marked_and_extreme_rows(library: Library, apex: str, few: bool) -> None:
    rows, references = cloud(8, 9, 1), cloud(40 if few else 70, 9, 2)
    for part in (rows, references):
        part[0], part[1, 3], part[2, 4] = 0, np.nan, np.inf
        part[3] *= 1e3
        part[4] *= 1e-200
        part[5] *= 1e200
    check(library, rows, references, apex)


@pytest.mark.parametrize("m", [5, 60])
def test_references_that_are_all_marked(library: Library, m: int) -> None:
    sums, entailed, _ = score(library, cloud(3, 9, 1), np.full((m, 9), np.nan), "rows")
    expected = cpu.lorentz_specificity(cloud(3, 9, 1), np.full((m, 9), np.nan), 0, 1.0, True, 0.1)
    assert_same_bits(np.isnan(sums), np.isnan(expected[:3]))
    assert not entailed.any()


@pytest.mark.parametrize("m", [3, 140])
def test_one_set_of_bits(library: Library, m: int) -> None:
    """For any order of blocks and threads, number of SMs, and split of the rows."""
    rows, references = cloud(700, 8, 1).astype("float32"), cloud(m, 8, 2).astype("float32")
    references[::7] = rows[: len(references[::7])]
    first = score(library, rows, references, "references")
    assert first[2] > 0
    for seed, sms in ((1, 1), (2, 132)):
        with library.configured(seed=seed, sms=sms, races=0):
            again = score(library, rows, references, "references")
            part = score(library, rows[5:200], references, "references")
        assert_same_bits(again[0], first[0])
        assert_same_bits(part[0], first[0][:, 5:200])
        assert_same_bits(again[1], first[1])
        assert again[2] == first[2]
