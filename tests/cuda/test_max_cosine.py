"""Max cosine on the emulated device has the bits of the CPU, in any order and rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cuda.library import Library

import cases
from bits import assert_same_bits
from tamis.kernels import exact

Int64 = npt.NDArray[np.int64]
EARLIER, PREFIX, ALL = range(3)

pytestmark = pytest.mark.usefixtures("mainloop")

SHAPES: dict[str, list[int]] = {
    "nothing": [0, 0],
    "singletons": [1] * 70,
    "small": [2, 0, 31, 33, 1, 34, 0],
    "edges": [127, 128, 129],
    "more tiles": [300],
    "mixture": [1, 200, 0, 40, 2, 1],
}


def offsets_of(sizes: list[int]) -> Int64:
    return np.cumsum([0, *sizes])


def on_device(
    library: Library,
    x: cases.Rows,
    offsets: Int64,
    *,
    other: cases.Rows | None = None,
    other_offsets: Int64 | None = None,
    limits: Int64 | None = None,
    exclude_self: bool = False,
    plan_limits: bool = True,
    sms: int = 4,
) -> tuple[npt.NDArray[np.float64], Int64, Int64]:
    """cosine, index, counts; the arguments of exact.max_cosine64."""
    (n, d), columns = x.shape, other if other is not None else x[:0]
    if other is not None and other_offsets is None:
        other_offsets = np.array([0, len(other)])
    kind = ALL if other is not None or exclude_self else EARLIER
    device_limits = None if limits is None else library.array(limits)
    cosine, index = library.empty(n, np.float64), library.empty(n, np.int64)
    counts = library.array(np.zeros(3, np.int64))
    arguments = (
        *(library.array(x.view(np.uint16)), n, d, offsets, len(offsets) - 1),
        None if other is None else library.array(columns.view(np.uint16)),
        *(len(columns), other_offsets, kind if limits is None else PREFIX),
        *(limits if plan_limits else None, device_limits, int(exclude_self and other is None), sms),
    )
    size = np.zeros(1, np.int64)
    library.call("emulated_max_cosine", *arguments, size, None, None, None, None)
    work = library.empty(int(size[0]), np.uint8)
    library.call("emulated_max_cosine", *arguments, None, cosine, index, counts, work)
    return cosine, index, counts


def check(
    library: Library, x: cases.Rows, offsets: Int64, case: object = "", **options: Any
) -> Int64:
    """Compare with the CPU; return the counts."""
    expected = exact.max_cosine64(
        x, offsets, **{k: v for k, v in options.items() if k not in ("plan_limits", "sms")}
    )
    cosine, index, counts = on_device(library, x, offsets, **options)
    assert_same_bits((cosine, index), expected, case)
    assert counts[0] == len(x)
    return counts


def some_limits(sizes: list[int], columns: list[int], seed: int) -> Int64:
    most = np.repeat(np.array(columns, np.int64), np.array(sizes, np.int64))
    return np.random.default_rng(seed).integers(0, most + 1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("d", [1, 8, 33, 64])
def test_every_shape_and_sight(library: Library, shape: str, d: int) -> None:
    sizes = SHAPES[shape]
    offsets = offsets_of(sizes)
    x = cases.families(int(offsets[-1]) + 1, d, 3)[:-1]
    check(library, x, offsets, "earlier")
    check(library, x, offsets, "others", exclude_self=True)
    limits = some_limits(sizes, sizes, d)
    check(library, x, offsets, "prefix", limits=limits)
    check(library, x, offsets, "but self", limits=limits, exclude_self=True, plan_limits=False)


@pytest.mark.parametrize("d", [8, 33])
def test_another_set(library: Library, d: int) -> None:
    sizes, columns = [3, 130, 0, 40, 5, 1], [0, 40, 7, 150, 20, 260]
    x, other = cases.mixture(sum(sizes), d, 1), cases.mixture(sum(columns), d, 2)
    offsets, other_offsets = offsets_of(sizes), offsets_of(columns)
    options: dict[str, Any] = {"other": other, "other_offsets": other_offsets}
    check(library, x, offsets, "all", **options)
    limits = some_limits(sizes, columns, d)
    check(library, x, offsets, "prefix", limits=limits, **options)
    check(library, x, offsets, "device", limits=limits, plan_limits=False, **options)
    check(library, x, np.array([0, len(x)]), "no columns", other=other[:0])


@pytest.mark.parametrize("family", cases.FAMILIES)
def test_every_family(library: Library, family: str) -> None:
    x = cases.FAMILIES[family](190, 100, 5)
    check(library, x, np.array([0, 140, 190]), family)
    check(library, x[:140], np.array([0, 140]), family, exclude_self=True)


@pytest.mark.parametrize("mislead", [cases.misleading_bfloat16, cases.misleading_int8])
def test_candidates_that_mislead_a_low_precision_pass(library: Library, mislead: Any) -> None:
    x, candidates = mislead(24, 64, 1)
    check(library, np.concatenate([candidates, x]), np.array([0, 72]), "earlier")
    check(library, x, np.array([0, 24]), "other", other=np.concatenate([candidates, -candidates]))


def test_near_copies_are_told_apart_without_rescans(library: Library) -> None:
    # Within the margin of the first look, 2 * 256 * 2^-23, but not within that of the second.
    x = cases.near_copies(300, 256, 1, cosines=(0.99975, 0.9999))
    rows, rescored, climbed = check(library, x, np.array([0, 300]))
    assert climbed > rows / 2, "the first look must have too many candidates to prove anything"
    assert climbed < rows and rescored < 20 * rows, "the second look must suffice"


@pytest.mark.parametrize("sum_order", [0, 1, 2])
def test_the_second_look_sums_finely(library: Library, sum_order: int) -> None:
    # Beside 1, 1023 products of 2^-24 are cut off one by one, 6e-5 in all; the sums of slices are
    # not. So a copy of the row looks worse than rows without those elements, by 3e-5.
    x = np.full((1, 1024), 2.0**-12, np.float16)
    x[0, 0] = 1
    worse = np.zeros((40, 1024), np.float16)
    worse[:, 0] = 1
    worse[np.arange(40), 1 + np.arange(40)] = cases.SMALLEST
    for other in (np.concatenate([worse, x]), np.concatenate([x, worse])):
        with library.configured(sum_order=sum_order, truncate=1):
            counts = check(library, x, np.array([0, 1]), other=other)
        assert counts[2] == 1, "one look is not enough, two are"


@pytest.mark.parametrize("exclude_self", [False, True])
def test_exact_copies_are_told_apart_without_rescans(library: Library, exclude_self: bool) -> None:
    x = cases.copies(300, 40, 2, distinct=3)
    offsets = np.array([0, 260, 300])
    rows, rescored, climbed = check(library, x, offsets, exclude_self=exclude_self)
    assert rows / 2 < climbed < rows and rescored < 20 * rows
    limits = some_limits([260, 40], [260, 40], 1)
    check(library, x, offsets, limits=limits, exclude_self=exclude_self)
    # Copies in segments of their own, and copies in another set.
    check(library, x, np.array([0, 3, 50, 51, 300]), exclude_self=exclude_self)
    check(library, x[:150], np.array([0, 150]), other=np.concatenate([x[150:], -x[:150]]))


def test_ties_that_are_no_copies_are_rescanned(library: Library) -> None:
    x = np.tile(cases.one_hot(1, 64, 0), (200, 1))
    x[:, 63] = cases.SMALLEST * np.arange(200)
    rows, rescored, climbed = check(library, x, np.array([0, 200]))
    assert climbed > 1.8 * rows and rescored > 0.9 * rows**2 / 2


@pytest.mark.parametrize(("n", "size"), [(100_000, 1000), (100_000, 100_000), (99_960, 34)])
def test_work_memory_is_what_the_header_says(library: Library, n: int, size: int) -> None:
    offsets, bytes_needed = np.arange(0, n + 1, size), np.zeros(1, np.int64)
    for d, copies in ((64, 0), (63, 1)):
        rows = library.empty((1, d), np.uint16)
        arguments = rows, n, d, offsets, len(offsets) - 1, None, 0, None, EARLIER, None, None, 0, 4
        library.call("emulated_max_cosine", *arguments, bytes_needed, None, None, None, None)
        most = 210 * n + 20 * len(offsets) + 132 * 1024 * 4 + copies * n * 128
        assert most / 2 < bytes_needed[0] <= most


def test_what_does_not_fit_is_refused(library: Library) -> None:
    x, offsets = library.empty((5, 8), np.uint16), np.array([0, 4])
    arguments = x, 5, 8, offsets, 1, None, 0, None, EARLIER, None, None, 0, 4
    with pytest.raises(RuntimeError, match="planned"):
        library.call("emulated_max_cosine", *arguments, None, None, None, None, None)
    arguments = x, 4, 8, offsets, 1, x, 5, np.array([0, 5]), ALL, None, None, 1, 4
    with pytest.raises(RuntimeError, match="number"):
        library.call("emulated_max_cosine", *arguments, None, None, None, None, None)


@pytest.mark.parametrize("sms", [1, 7, 100])
def test_no_result_depends_on_the_number_of_multiprocessors(library: Library, sms: int) -> None:
    x = np.concatenate([cases.families(400, 16, 1), cases.copies(60, 16, 2)])
    check(library, x, np.array([0, 420, 460]), sms=sms)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("sum_order", "truncate"), [(0, 1), (1, 0), (1, 1), (2, 1)])
def test_no_result_depends_on_order_or_rounding(
    library: Library, seed: int, sum_order: int, truncate: int
) -> None:
    x = np.concatenate([cases.near_copies(150, 48, 3), cases.copies(40, 48, seed)])
    with library.configured(seed=seed, host_threads=2, sum_order=sum_order, truncate=truncate):
        check(library, x, np.array([0, 20, 190]), sms=3)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_any_segments(built: Library, data: st.DataObject) -> None:
    d, seed = data.draw(st.integers(1, 20)), data.draw(st.integers(0, 10**6))
    family = cases.FAMILIES[data.draw(st.sampled_from(list(cases.FAMILIES)))]
    few = st.one_of(st.integers(0, 4), st.integers(30, 70))
    sizes = data.draw(st.lists(few, max_size=3))
    n, options = sum(sizes), dict[str, Any]()
    columns = sizes
    if data.draw(st.booleans()):
        columns = data.draw(st.lists(few, min_size=len(sizes), max_size=len(sizes)))
        options["other"] = family(sum(columns) + 40, d, seed + 1)[: sum(columns)]
        options["other_offsets"] = offsets_of(columns)
    else:
        options["exclude_self"] = data.draw(st.booleans())
    if data.draw(st.booleans()):
        options["limits"] = some_limits(sizes, columns, seed)
        options["plan_limits"] = data.draw(st.booleans())
    check(built, family(n + 40, d, seed)[:n], offsets_of(sizes), sorted(options), **options)
    built.forget()


@pytest.mark.parametrize("d", [1, 8, 33])
def test_paired_cosines(library: Library, d: int) -> None:
    rng = np.random.default_rng(0)
    x, y = cases.mixture(50, d, 1), cases.edge_norms(70, d, 2)
    i, j = rng.integers(0, 50, 200), rng.integers(0, 70, 200)
    rows = library.array(x.view(np.uint16)), 50, library.array(y.view(np.uint16)), 70
    pairs = library.array(i), library.array(j)
    cosine = library.array(np.zeros(200))
    library.call("emulated_paired_cosine", *rows, d, *pairs, 0, cosine)
    assert not cosine.any(), "no pairs, no work"
    library.call("emulated_paired_cosine", *rows, d, *pairs, 200, cosine)
    assert_same_bits(cosine, exact.paired_cosine64(x, i, y, j))
