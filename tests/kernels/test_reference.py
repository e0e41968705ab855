"""The reference itself, against Python integers, fractions and loops on tiny inputs."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases
from tamis.kernels import reference, sample

FLOAT64 = st.floats(allow_nan=False, allow_infinity=False)
TINY_ROWS = st.integers(1, 11).flatmap(
    lambda d: st.lists(
        st.lists(st.sampled_from([0, 1, -1, 2, 3, -5]), min_size=d, max_size=d).filter(any),
        min_size=1,
        max_size=12,
    )
)


def float16_of(value: float) -> float:
    """Round to float16, to nearest and ties to even, in integers."""
    if value == 0:
        return value
    exact = abs(Fraction(value))
    exponent = max(math.frexp(value)[1] - 11, -24)
    units = exact / Fraction(2) ** exponent
    return math.copysign(float(round(units) * Fraction(2) ** exponent), value)


def ordered(terms: list[float]) -> float:
    s = [0.0] * 8
    for i, term in enumerate(terms):
        s[i % 8] += term
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))


def exact_dot(x: np.ndarray, y: np.ndarray) -> Fraction:
    return sum(
        (Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, y, strict=True)), Fraction(0)
    )


def exact_cosine(x: np.ndarray, y: np.ndarray) -> float:
    """dot / (|x| * |y|): exact sums rounded once, then one root each, one product, one division."""
    norms = [math.sqrt(float(exact_dot(row, row))) for row in (x, y)]
    return float(exact_dot(x, y)) / (norms[0] * norms[1])


@given(
    st.floats(-2, 2)
    | st.floats(-(2.0**-13), 2.0**-13)
    | st.integers(0, 2**12).map(lambda i: i * 2.0**-25)
)
@settings(max_examples=2000)
def test_numpy_rounds_float64_to_float16_once(value: float) -> None:
    rounded = np.array([value]).astype(np.float16)[0]
    assert float(rounded) == float16_of(value)


def test_rounding_is_not_by_way_of_float32() -> None:
    tie = 1 + 2.0**-11  # between two float16; float32 cannot tell the next two values from it
    values = np.array([tie, np.nextafter(tie, 2), np.nextafter(tie, 0)] * 11)
    expected = [1.0, 1 + 2.0**-10, 1.0] * 11
    assert values.astype(np.float16).tolist() == expected
    assert values.astype(np.float32).astype(np.float16).tolist() != expected


@given(st.lists(FLOAT64 | st.integers(-4, 4).map(float), min_size=1, max_size=20))
@settings(max_examples=500)
def test_canonical_is_the_definition(row: list[float]) -> None:
    rows, bad = reference.canonical(np.array([row]))
    if not any(row):
        assert bad[0] and not rows.any()
        return
    assert not bad[0]
    squared = ordered([v * v for v in row])
    norm = math.sqrt(squared) if math.isfinite(squared) else math.inf
    is_float16 = all(abs(v) < 65520 and float16_of(v) == v for v in row)
    if is_float16 and 1 - 2**-10 <= norm <= 1 + 2**-10:
        expected = row
    else:
        if math.isinf(norm) or squared < 2.0**-900:
            exponent = math.frexp(max(map(abs, row)))[1]
            row = [math.ldexp(v, -exponent) for v in row]
            norm = math.sqrt(ordered([v * v for v in row]))
        expected = [float16_of(v / norm) for v in row]
    assert rows[0].tolist() == expected


def test_rows_of_any_length_are_taken_or_scaled_at_the_edges() -> None:
    low, high = np.float16(1 - 2**-10), np.float16(1 + 2**-10)
    values = np.array([[low], [high], [np.nextafter(low, np.float16(0))], [np.float16(1.002)]])
    rows, bad = reference.canonical(values)
    assert rows[:, 0].tolist() == [low, high, 1, 1] and not bad.any()
    # Just inside float16's range of norms, but not float16 numbers.
    assert reference.canonical(np.array([[np.nextafter(1.0, 2)]]))[0][0, 0] == 1


def test_scaled_rows_are_divided_even_where_the_scaled_row_looks_canonical() -> None:
    row = np.array([[0.96, 0.28]]).astype(np.float16).astype(np.float64)
    assert np.array_equal(reference.canonical(row)[0], row)
    norm = math.sqrt(ordered((row[0] ** 2).tolist()))
    for power in (600, -600, 1023, -1040):
        scaled = reference.canonical(np.ldexp(row, power))[0]
        if power > -1000:  # below, the input itself has lost bits
            assert scaled[0].tolist() == [float16_of(v / norm) for v in row[0]]
        assert not scaled[0].all() or abs(float(np.square(scaled.astype(float)).sum()) - 1) < 2e-3


def test_bad_rows_are_zero_and_touch_no_other() -> None:
    values = np.random.default_rng(0).standard_normal((9, 5))
    good = reference.canonical(values)[0]
    for value in (np.nan, np.inf, -np.inf, 0.0):
        for row in range(9):
            dirty = values.copy()
            dirty[row, 2] = value
            if value == 0.0:
                dirty[row] = -0.0
            rows, bad = reference.canonical(dirty)
            assert bad.tolist() == [r == row for r in range(9)]
            expected = good.copy()
            expected[row] = 0
            assert np.array_equal(rows.view(np.uint16), expected.view(np.uint16))


@pytest.mark.parametrize("d", cases.DIMS)
def test_every_family_is_canonical_and_canonical_is_idempotent(d: int) -> None:
    for name, family in cases.FAMILIES.items():
        rows = family(20, d, 1)
        assert rows.shape == (20, d)
        again, bad = reference.canonical(rows)
        assert np.array_equal(again.view(np.uint16), rows.view(np.uint16)), name
        assert not bad.any()


@pytest.mark.parametrize("d", [1, 9, 64, 4096])
@pytest.mark.parametrize("family", ["subnormal_heavy", "wide_range", "outlier_dimension"])
def test_float64_dots_are_exact_in_any_order(family: str, d: int) -> None:
    rows = cases.FAMILIES[family](6, d, 2)
    units = [[int(Fraction(float(v)) * 2**24) for v in row] for row in rows]
    exact = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in units] for x in units]
    rows64 = rows.astype(np.float64)
    assert [[int(v * 2.0**48) for v in line] for line in rows64 @ rows64.T] == exact
    order = np.random.default_rng(0).permutation(d)
    shuffled = [[math.fsum((x * y)[order]) for y in rows64] for x in rows64]
    running = [[np.add.accumulate((x * y)[order])[-1] for y in rows64] for x in rows64]
    assert [[int(v * 2.0**48) for v in line] for line in shuffled] == exact
    assert [[int(v * 2.0**48) for v in line] for line in running] == exact


@given(TINY_ROWS, TINY_ROWS)
def test_assign_is_the_definition(rows: list[list[int]], centroids: list[list[int]]) -> None:
    d = len(rows[0])
    x = reference.canonical(np.array(rows, dtype=np.float64))[0]
    c = np.array([(row * d)[:d] for row in centroids], dtype=np.float32) / 3
    for metric in ("dot", "euclidean"):
        labels, scores = reference.assign(x, c, metric=metric)
        for r, row in enumerate(x.astype(float)):
            all_scores = []
            for centre in c.astype(float):
                score = ordered([a * b for a, b in zip(row.tolist(), centre.tolist(), strict=True)])
                if metric == "euclidean":
                    score -= ordered([v * v for v in centre.tolist()]) / 2
                all_scores.append(score)
            assert labels[r] == all_scores.index(max(all_scores))
            assert scores[r] == np.float32(max(all_scores))


def test_assign_ranks_ties_by_index() -> None:
    x = cases.one_hot(5, 4, 0)
    centroids = np.zeros((6, 4), dtype=np.float16)
    labels, scores = reference.assign(x, centroids, top=6)
    assert labels.tolist() == [list(range(6))] * 5
    assert labels.dtype == np.int32 and scores.dtype == np.float32 and scores.shape == (5, 6)


def test_huge_float16_centroids_are_summed_in_the_fixed_order() -> None:
    x = cases.wide_range(4, 33, 0)
    centroids = (cases.wide_range(3, 33, 1).astype(np.float64) * 60000).astype(np.float16)
    labels, dots = reference.assign64(x, centroids)
    for row, label, dot in zip(x.astype(float), labels, dots, strict=True):
        products = (row * centroids[label].astype(float)).tolist()
        assert dot == ordered(products)


@given(TINY_ROWS, st.data())
def test_max_cosine_is_the_definition(rows: list[list[int]], data: st.DataObject) -> None:
    x = reference.canonical(np.array(rows, dtype=np.float64))[0]
    n = len(x)
    cut = data.draw(st.integers(0, n))
    offsets = np.array([0, cut, cut, n])
    segment = [0 if r < cut else 2 for r in range(n)]
    for others in (False, True):
        cosine, index = reference.max_cosine64(x, offsets, exclude_self=others)
        for r in range(n):
            seen = [
                (exact_cosine(x[r], x[s]), -s)
                for s in range(n)
                if segment[s] == segment[r] and (s < r or (others and s != r))
            ]
            best, minus = max(seen, default=(-math.inf, 1))
            assert (cosine[r], index[r]) == (best, -minus)


@given(TINY_ROWS, st.floats(-1, 1) | st.sampled_from([0.5, math.sqrt(0.5), 1.0, 0.0]))
def test_pairs_and_rules_are_the_definition(rows: list[list[int]], threshold: float) -> None:
    x = reference.canonical(np.array(rows, dtype=np.float64))[0]
    n = len(x)
    limit = np.float32(threshold)
    pairs = [
        (i, j) for j in range(n) for i in range(j) if np.float32(exact_cosine(x[i], x[j])) > limit
    ]
    found = list(reference.pairs_above(x, None, threshold))
    assert [(i, j) for block in found for i, j in zip(block[0], block[1], strict=True)] == pairs
    offsets = np.array([0, n])
    keep: list[bool] = []
    for j in range(n):
        keep.append(not any(keep[i] for i, later in pairs if later == j))
    assert reference.greedy_keep(x, offsets, threshold).tolist() == keep
    lowest = list(range(n))
    for _ in range(n):
        for i, j in pairs:
            lowest[i] = lowest[j] = min(lowest[i], lowest[j])
    assert reference.components(x, offsets, threshold).tolist() == lowest


def test_limits_and_another_pool() -> None:
    x, y = cases.small_integers(7, 3, 0), cases.small_integers(5, 3, 1)
    limits = np.array([0, 1, 2, 3, 4, 5, 9])
    cosine, index = reference.max_cosine64(
        x, np.array([0, 7]), other=y, other_offsets=np.array([0, 5]), limits=limits
    )
    for r in range(7):
        seen = [exact_cosine(x[r], row) for row in y[: limits[r]]]
        assert cosine[r] == max(seen, default=-math.inf)
        assert index[r] == (seen.index(max(seen)) if seen else -1)
    cosine, index = reference.max_cosine64(x, np.array([0, 7]), limits=limits)
    assert index[0] == -1 and index[6] == 6  # with limits a row may see itself
    i, j = np.array([0, 6, 3]), np.array([4, 4, 0])
    paired = reference.paired_cosine64(x, i, y, j)
    assert paired.tolist() == [exact_cosine(x[a], y[b]) for a, b in zip(i, j, strict=True)]


@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_kmeans_is_the_definition(seed: int, spherical: bool) -> None:
    n, d, k = 30, 5, 4
    x = cases.small_integers(n, d, seed)
    x[11] = x[3]
    result = reference.kmeans(
        x, k, seed=seed, max_iter=3, max_points_per_centroid=5, spherical=spherical
    )
    keys = {p: sample.keys(seed, p, range(n)).tolist() for p in (sample.TRAIN, sample.INIT)}
    train = sorted(sorted(range(n), key=lambda r: keys[sample.TRAIN][r])[: 5 * k])
    first: list[list[float]] = []
    for r in sorted(train, key=lambda r: keys[sample.INIT][r]):
        if x[r].tolist() not in first and len(first) < k:
            first.append(x[r].tolist())
    centroids, rows = first, x.astype(float).tolist()

    def score(row: list[float], centre: list[float]) -> float:
        dot = float(exact_dot(np.array(row), np.array(centre)))
        return dot if spherical else dot - float(exact_dot(np.array(centre), np.array(centre))) / 2

    def label(row: list[float]) -> int:
        return max(range(k), key=lambda c: (score(row, centroids[c]), -c))

    labels = [label(rows[r]) for r in train]
    for update in range(3):
        updated = []
        for c in range(k):
            members = [rows[r] for r, lab in zip(train, labels, strict=True) if lab == c]
            sums = [sum(column) for column in zip(*members, strict=True)] or [0.0] * d
            by = math.sqrt(ordered([s * s for s in sums])) if spherical else len(members)
            updated.append([float16_of(s / by) for s in sums] if by else centroids[c])
        centroids, n_iter = updated, update + 1
        previous, labels = labels, [label(rows[r]) for r in train]
        if labels == previous:
            break
    assert result.centroids.tolist() == centroids
    assert (result.n_iter, result.n_train) == (n_iter, 5 * k)
    assert result.labels.tolist() == [label(row) for row in rows]
    own = [score(row, centroids[label(row)]) for row in rows]
    assert result.scores.tolist() == np.array(own, dtype=np.float32).tolist()
    inertia = sum(
        (Fraction(a) - Fraction(b)) ** 2
        for row in rows
        for a, b in zip(row, centroids[label(row)], strict=True)
    )
    assert result.inertia == float(inertia)


def test_euclidean_rows_are_scaled_by_one_power_of_two() -> None:
    x = np.random.default_rng(0).standard_normal((20, 6)) * 1e5
    x[4] = 0
    rows, exponent, rounding = reference.scaled_rows(x)
    norms = np.sqrt(np.square(np.ldexp(x, -exponent)).sum(axis=1))
    assert 0.5 < norms.max() <= 1 and not rows[4].any()
    assert np.array_equal(rows, np.ldexp(x, -exponent).astype(np.float16))
    assert 2**-14 < rounding < 2**-11
    unit = cases.unit_rows(5, 6, 0)
    assert reference.scaled_rows(unit)[1:] == (0, 0.0)
    assert reference.scaled_rows(np.array([[0.5], [0.25]]))[1] == -1
    # One long row pushes all others into the subnormal numbers of float16, where they lose bits.
    x[0] = 1e11
    assert reference.scaled_rows(x)[2] > 2**-10 > reference.scaled_rows(x[1:])[2]
    with pytest.raises(ValueError, match="rounding"):
        reference.kmeans(x, 2, spherical=False)
    assert reference.kmeans(x, 2, spherical=False, allow_rounding=True).n_train == 20
