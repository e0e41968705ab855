"""The CUDA assignment has the CPU module's bits: labels, float64 scores, ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.cuda.library import Library
from tests.cuda.test_mainloop import MODELS, sums

import cases
from bits import assert_same_bits, sha256
from tamis._native import cpu

Rows = npt.NDArray[np.float16]
METRICS = ("dot", "euclidean")

pytestmark = pytest.mark.usefixtures("mainloop")


def assign(
    library: Library, x: Rows, centroids: Rows, metric: str, **options: int
) -> tuple[Any, Any, Any]:
    """One call, as _assign; the labels are found without scores, too."""
    problem = (library, x, centroids, metric)
    labels, scores, counts = _assign(*problem, scored=True, **options)
    alone, rescored, fewer = _assign(*problem, scored=False, **options)
    assert_same_bits((alone, rescored), (labels, scores), "labels first")
    assert fewer[0] == counts[0] and fewer[1] <= counts[1] and fewer[2] == counts[2]
    return labels, scores, counts


def _assign(
    library: Library,
    x: Rows,
    centroids: Rows,
    metric: str,
    *,
    scored: bool,
    shift: int = 0,
    problems: int = 1,
    top: int = 1,
) -> tuple[Any, Any, Any]:
    """Labels with their scores, or labels alone, and then the scores of these.

    shift: elements by which both operands are off their alignment.
    """
    (n, d), k, euclidean = x.shape, len(centroids), int(metric == "euclidean")
    rows, targets = (_shifted(library, part, shift) for part in (x, centroids))
    size = np.zeros(1, np.int64)
    problem = (rows, n, targets, k, d, euclidean, problems)
    library.call("emulated_assign_work_bytes", *problem, size)
    shape: Any = n if top == 1 else (n, top)
    labels, scores = library.empty(shape, np.int32), library.empty(shape, np.float64)
    counts = library.array(np.zeros(3, np.int64))
    library.call(
        *("emulated_assign", *problem, top, labels),
        *(scores if scored else None, counts, library.empty(int(size[0]), np.uint8)),
    )
    if not scored:
        for i in range(top):
            one, its = (labels, scores) if top == 1 else (labels[:, i].copy(), scores[:, i].copy())
            library.call("emulated_score_labels", *problem, library.array(one), its)
            scores.reshape(n, top)[:, i] = its
    return labels, scores, counts


def _shifted(library: Library, part: Rows, shift: int) -> Any:
    memory = library.empty(part.size + shift, np.uint16)[shift:].reshape(part.shape)
    memory[...] = part.view(np.uint16)
    return memory


def on_cpu(x: Rows, centroids: Any, metric: str, top: int = 1) -> tuple[Any, Any]:
    targets = centroids.view(np.uint16) if centroids.dtype == np.float16 else centroids
    labels, scores, _ = cpu.assign(x.view(np.uint16), targets, metric == "euclidean", top, None)
    return (labels[:, 0], scores[:, 0]) if top == 1 else (labels, scores)


def check(library: Library, x: Rows, centroids: Rows, case: Any = "", **options: int) -> Any:
    """Both metrics; the counts of the last."""
    counts = None
    for metric in METRICS:
        expected = on_cpu(x, centroids, metric, options.get("top", 1))
        *actual, counts = assign(library, x, centroids, metric, **options)
        assert_same_bits(tuple(actual), expected, (case, metric))
        assert sha256(*actual) == sha256(*expected)
        assert counts[0] == len(x)
        assert counts[1] >= len(x)
    return counts


def zero_padded(rows: Rows) -> Rows:
    width = -(-rows.shape[1] // 8) * 8
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))


@pytest.mark.parametrize("shift", [0, 1, 8])
@pytest.mark.parametrize(("n", "dim"), [(1, 1), (3, 7), (5, 8), (9, 65), (2, 264)])
def test_rows_are_packed_where_they_must_be(library: Library, n: int, dim: int, shift: int) -> None:
    x = cases.unit_rows(n, dim, dim)
    rows = _shifted(library, x, shift)
    size = np.zeros(1, np.int64)
    library.call("emulated_packed", rows, n, dim, size, None)
    padded = zero_padded(x)
    needed = dim % 8 != 0 or shift % 8 != 0
    assert size[0] == (padded.nbytes if needed else 0)
    if needed:
        copy = library.empty(padded.shape, np.uint16)
        library.call("emulated_packed", rows, n, dim, size, copy)
        assert_same_bits(copy.view(np.float16), padded)


@pytest.mark.parametrize("d", [1, 7, 8, 31, 64, 65, 130])
@pytest.mark.parametrize("name", ["mixture", "near_copies", "one_hot", "small_integers"])
def test_families_and_widths(library: Library, name: str, d: int) -> None:
    family = cases.FAMILIES[name]
    rows = family(60, d, 1)
    with library.configured(seed=d):
        check(library, rows[:40], rows[20:], "own rows")
        check(library, rows[:40], family(35, d, 2), "another seed")


@pytest.mark.parametrize("name", sorted(cases.FAMILIES))
def test_every_family(library: Library, name: str) -> None:
    rows = cases.FAMILIES[name](40, 100, 3)
    check(library, rows, cases.FAMILIES[name](140, 100, 4))


@pytest.mark.parametrize(
    ("n", "k", "d"), [(1, 1, 1), (1, 300, 100), (129, 1, 64), (128, 128, 8), (257, 129, 31)]
)
def test_sizes_around_the_edges_of_blocks_and_tiles(
    library: Library, n: int, k: int, d: int
) -> None:
    check(library, cases.mixture(n, d, 1), cases.mixture(k, d, 2))


@pytest.mark.parametrize("d", [257, 768, 1001, 4096])
def test_wide_rows(library: Library, d: int) -> None:
    rows = cases.near_copies(20, d, d)
    with library.configured(sum_order=3):
        check(library, rows[:9], rows[5:])


@pytest.mark.parametrize("d", [2, 65, 100])
def test_near_ties_of_2_to_the_minus_48(library: Library, d: int) -> None:
    x, centroids = cases.equidistant(150, d, d)
    for seed, (order, truncate) in enumerate(MODELS):
        with library.configured(seed=seed, sum_order=order, truncate=truncate):
            turned = np.ascontiguousarray(centroids[:: -1 if seed % 2 else 1])
            check(library, x[:20], turned, (order, truncate))


@pytest.mark.parametrize("d", [64, 72])
def test_a_best_centroid_that_the_matrix_pass_underrates(library: Library, d: int) -> None:
    """Its lead is a sum of products that are cut one by one; its rival's is one product."""
    x = np.full((1, d), 2.0**-12)
    x[:, 0] = 1
    underrated = np.full(d, 2.0**-13 * (1 - 2.0**-11))
    rival = np.zeros(d)
    rival[-1] = (d - 1) / 2 * 2.0**-13
    underrated[0] = rival[0] = 0.75
    rows, centroids = x.astype(np.float16), np.array([rival, underrated], np.float16)
    for order, truncate in MODELS:
        with library.configured(sum_order=order, truncate=truncate):
            check(library, rows, centroids)
            assert assign(library, rows, centroids, "dot")[0].tolist() == [1]
            if (order, truncate) in ((0, 1), (3, 0)):  # the large product comes first
                low, high = sums(library, rows, centroids)[0, [1, 0]]
                assert low < high


def test_misleading_candidates(library: Library) -> None:
    x, candidates = cases.misleading_bfloat16(64, 64, 1)
    check(library, x, candidates)
    check(library, candidates, x)


@pytest.mark.parametrize("copies", [2, 16, 17, 20, 60])
def test_copies_of_centroids_go_to_the_first(library: Library, copies: int) -> None:
    x = cases.unit_rows(30, 33, 1)
    centroids = np.concatenate([cases.unit_rows(30, 33, 2), *[x[:3]] * copies])
    order = np.random.default_rng(copies).permutation(len(centroids))
    centroids = np.ascontiguousarray(centroids[order])
    counts = check(library, x, centroids)
    best = centroids[on_cpu(x, centroids, "euclidean")[0]]
    ties = (best[:, None] == centroids).all(axis=2).sum(axis=1)
    assert {1, copies} <= set(ties)
    if copies <= 16:
        assert counts[2] == 0
        assert counts[1] >= ties.sum()
    else:
        assert counts[2] >= (ties > 16).sum()  # rows that were rescanned


def test_every_row_rescanned(library: Library) -> None:
    x = cases.copies(40, 9, 1, distinct=1)
    for seed, host_threads in ((0, 1), (4, 3)):
        with library.configured(seed=seed, host_threads=host_threads):
            assert check(library, x, x[:20])[2] == 40


@pytest.mark.parametrize("d", [1, 40, 77])
def test_zero_rows_and_small_rows(library: Library, d: int) -> None:
    rng = np.random.default_rng(d)
    x = cases.unit_rows(40, d, 1) * rng.choice([0, 2.0**-20, 2.0**-9, 0.3, 1], size=(40, 1))
    x = x.astype(np.float16)
    check(library, x, x[20:])
    check(library, np.zeros_like(x[:9]), x)
    check(library, x[:9], np.zeros_like(x[:20]))


@pytest.mark.parametrize("shift", [1, 4, 8])
def test_operands_off_their_alignment(library: Library, shift: int) -> None:
    check(library, cases.mixture(50, 24, 1), cases.mixture(140, 24, 2), shift=shift)


@pytest.mark.parametrize("sms", [1, 3, 50])
def test_splits_of_columns_and_parts_of_rows(library: Library, sms: int) -> None:
    """One multiprocessor has 4096 rows at once; fifty split the columns into tiles."""
    n, k = (4200, 5) if sms == 1 else (60, 700)
    with library.configured(sms=sms, seed=sms, host_threads=2):
        check(library, cases.mixture(n, 8, 1), cases.mixture(k, 8, 2))
        check(library, cases.mixture(min(n, 200), 9, 1), cases.near_copies(k, 9, 2))


def test_each_part_rescans_its_own_rows(library: Library) -> None:
    x = np.zeros((4200, 8), np.float16)
    x[:, 0] = 1
    x[5] = x[4150] = np.eye(8)[1]
    centroids = np.repeat(np.eye(8, dtype=np.float16)[:2], [1, 20], axis=0)
    with library.configured(sms=1):  # 4096 rows at once
        counts = check(library, x, centroids)
    assert counts.tolist() == [4200, 4198 + 2 * 21, 2]


@pytest.mark.parametrize(
    ("problems", "n", "k", "d", "sms"),
    [(2, 130, 270, 17, 7), (5, 3, 1, 7, 1), (37, 40, 20, 8, 7), (3, 1400, 9, 9, 1)],
)
def test_problems_of_one_size_are_done_together(
    library: Library, problems: int, n: int, k: int, d: int, sms: int
) -> None:
    """One multiprocessor has 4096 rows at once, so 3 problems of 1400 rows take two turns."""
    x = [cases.mixture(n, d, 2 * i) for i in range(problems)]
    centroids = [cases.mixture(k, d, 2 * i + 1) for i in range(problems)]
    for i in range(0, problems, 2):
        centroids[i][:] = centroids[i][0]  # ties: rows are rescanned where there are many
    for metric in METRICS:
        expected = [on_cpu(*pair, metric) for pair in zip(x, centroids, strict=True)]
        flat = tuple(np.concatenate(part) for part in zip(*expected, strict=True))
        with library.configured(sms=sms, seed=sms):
            *found, counts = assign(
                library, np.concatenate(x), np.concatenate(centroids), metric, problems=problems
            )
        assert_same_bits(tuple(found), flat, metric)
        assert counts[0] == problems * n


def test_no_rows_no_work(library: Library) -> None:
    labels, scores, counts = assign(
        library, cases.unit_rows(0, 8), cases.unit_rows(3, 8), "euclidean"
    )
    assert (len(labels), len(scores), counts.tolist()) == (0, 0, [0, 0, 0])


def exact(library: Library, x: Rows, centroids: Any, metric: str, top: int) -> tuple[Any, Any]:
    (n, d), k, euclidean = x.shape, len(centroids), int(metric == "euclidean")
    labels, scores = library.empty((n, top), np.int32), library.empty((n, top), np.float64)
    rows, size = library.array(x.view(np.uint16)), np.zeros(1, np.int64)
    wide = library.array(centroids) if centroids.dtype == np.float64 else None
    half = library.array(centroids.view(np.uint16)) if wide is None else None
    shape = (half, wide, k, d, euclidean, top)
    library.call("emulated_assign_exact", rows, n, *shape, None, None, size, None)
    work = library.empty(int(size[0]), np.uint8)
    library.call("emulated_assign_exact", rows, n, *shape, labels, scores, size, work)
    return (labels[:, 0], scores[:, 0]) if top == 1 else (labels, scores)


@pytest.mark.parametrize(("n", "k", "d", "top"), [(40, 5, 8, 5), (130, 300, 33, 3), (9, 700, 7, 2)])
def test_the_best_few(library: Library, n: int, k: int, d: int, top: int) -> None:
    for sms in (1, 20):  # few of them split the columns
        with library.configured(sms=sms, seed=sms):
            check(library, cases.mixture(n, d, 1), cases.mixture(k, d, 2), top=top)
            check(library, cases.small_integers(n, d, 1), cases.small_integers(k, d, 2), top=top)


def test_the_best_few_of_ties_that_are_rescanned(library: Library) -> None:
    x = cases.copies(20, 9, 1, distinct=2)
    counts = check(library, x, np.concatenate([x, x]), top=4)
    assert counts[0] == 20 and counts[2] > 2 * 20


def test_the_best_few_of_several_problems(library: Library) -> None:
    x, centroids = cases.mixture(3 * 50, 16, 1), cases.mixture(3 * 20, 16, 2)
    found = assign(library, x, centroids, "euclidean", problems=3, top=2)[:2]
    parts = [
        on_cpu(x[50 * i : 50 * i + 50], centroids[20 * i : 20 * i + 20], "euclidean", 2)
        for i in range(3)
    ]
    assert_same_bits(found, tuple(np.concatenate(part) for part in zip(*parts, strict=True)))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("k", "top"), [(1, 1), (5, 5), (70, 1), (70, 3), (150, 64)])
def test_more_than_one_centroid_a_row(library: Library, k: int, top: int, metric: str) -> None:
    for seed, d in enumerate((1, 9, 40)):
        x = cases.small_integers(30, d, 1)
        centroids = cases.small_integers(k, d, 2)  # full of ties
        with library.configured(seed=seed):
            found = exact(library, x, centroids, metric, top)
        assert_same_bits(tuple(found), on_cpu(x, centroids, metric, top), d)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 7, 8, 9, 100])
def test_float64_centroids(library: Library, d: int, metric: str) -> None:
    rng = np.random.default_rng(d)
    x = cases.mixture(40, d, 1)
    centroids = rng.standard_normal((37, d)) * np.exp2(rng.integers(-30, 30, size=(37, 1)))
    centroids = np.concatenate(
        [centroids, centroids[:5], x[:4], x[:2].astype(np.float64) * 2.0**90]
    )
    for top in (1, 7):
        with library.configured(seed=top):
            found = exact(library, x, centroids, metric, top)
        assert_same_bits(tuple(found), on_cpu(x, centroids, metric, top), top)


@pytest.mark.parametrize("top", [0, 4, 65])
def test_top_out_of_range(library: Library, top: int) -> None:
    x = cases.unit_rows(3 if top < 65 else 99, 8)
    with pytest.raises(RuntimeError, match=rf"top must be between 1 and .*, got {top}"):
        exact(library, x, x, "dot", top)
