"""tamis.kmeans and tamis.KMeans equal the reference to the bit, field by field."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases
import tamis
from bits import assert_same_bits
from tamis.kernels import reference, sample

FIELDS = ("centroids", "labels", "scores", "n_iter", "inertia", "n_train", "converged")


def assert_same_result(actual: Any, expected: Any, case: Any = "") -> None:
    for field in FIELDS:
        value, wanted = getattr(actual, field), getattr(expected, field)
        if isinstance(wanted, np.ndarray):
            assert_same_bits(value, wanted, (case, field))
        else:
            assert value == wanted, f"{case} {field}: {value}, not {wanted}"


def check(x: Any, k: int, levels: Any, pinned: Any, case: Any = "", **options: Any) -> None:
    expected = reference.kmeans(x, k, **options)
    for level in levels:
        with pinned(isa=level):
            assert_same_result(tamis.kmeans(x, k, **options), expected, (case, level))


@pytest.mark.parametrize("d", cases.DIMS)
@pytest.mark.parametrize("spherical", [True, False])
def test_every_width(d: int, spherical: bool, levels: Any, pinned: Any) -> None:
    check(cases.mixture(150, d, 1), 7, levels, pinned, d, spherical=spherical, max_iter=4)


@pytest.mark.parametrize("name", cases.FAMILIES)
@pytest.mark.parametrize("k", [1, 2, 40])
def test_every_family(name: str, k: int, levels: Any, pinned: Any) -> None:
    for spherical in (True, False):
        x = cases.FAMILIES[name](200, 33, 2)
        check(x, k, levels, pinned, name, spherical=spherical, seed=5, max_iter=6)


@pytest.mark.parametrize(("n", "k", "d"), [(6000, 64, 64), (3000, 700, 40), (2000, 10, 300)])
def test_many_tiles(n: int, k: int, d: int, levels: Any, pinned: Any) -> None:
    check(cases.mixture(n, d, 1, centres=k), k, levels, pinned, max_iter=5)


@given(
    st.integers(1, 40),
    st.data(),
    st.integers(1, 12),
    st.integers(-5, 10**6),
    st.sampled_from(list(cases.FAMILIES)),
    st.booleans(),
    st.integers(0, 6),
    st.sampled_from([1, 2, 5, 256, None]),
)
@settings(max_examples=300)
def test_any_shape(
    n: int,
    data: st.DataObject,
    d: int,
    seed: int,
    name: str,
    spherical: bool,
    max_iter: int,
    per_centroid: int | None,
) -> None:
    x = cases.FAMILIES[name](n, d, abs(seed))
    k = data.draw(st.integers(1, n))
    options: dict[str, Any] = {
        "seed": seed,
        "spherical": spherical,
        "max_iter": max_iter,
        "max_points_per_centroid": per_centroid,
    }
    assert_same_result(tamis.kmeans(x, k, **options), reference.kmeans(x, k, **options))


@pytest.mark.parametrize("spherical", [True, False])
def test_sampling_is_explicit_and_reported(spherical: bool, levels: Any, pinned: Any) -> None:
    x = cases.mixture(2000, 16, 1)
    for limit, n_train in ((3, 60), (99, 1980), (100, 2000), (256, 2000), (None, 2000)):
        options: dict[str, Any] = {"max_points_per_centroid": limit, "spherical": spherical}
        check(x, 20, levels, pinned, limit, seed=3, max_iter=4, **options)
        assert tamis.kmeans(x, 20, max_iter=1, **options).n_train == n_train


def test_labels_scores_and_inertia_belong_to_the_returned_centroids() -> None:
    x = cases.mixture(900, 24, 1)
    for max_iter in (0, 1, 3, 100):
        result = tamis.kmeans(x, 30, max_iter=max_iter, max_points_per_centroid=10)
        labels, scores = reference.assign(x, result.centroids)
        assert_same_bits(result.labels, labels)
        assert_same_bits(result.scores, scores)
        difference = x.astype(np.float64) - result.centroids.astype(np.float64)[labels]
        assert result.inertia == pytest.approx(float(np.square(difference).sum()), rel=1e-12)
        assert result.n_iter <= max_iter
    assert result.converged and result.n_iter < 100


def test_no_iterations_return_the_initial_rows() -> None:
    x = cases.mixture(300, 12, 1)
    result = tamis.kmeans(x, 25, max_iter=0, seed=11)
    order = np.argsort(sample.keys(11, sample.INIT, range(300)))
    assert_same_bits(result.centroids, x[order[:25]])
    assert result.n_iter == 0


def test_initial_rows_skip_copies_while_they_can(levels: Any, pinned: Any) -> None:
    x = cases.copies(400, 9, 1, distinct=6)
    for k in (1, 5, 6):
        centroids = tamis.kmeans(x, k, max_iter=0).centroids
        assert len(np.unique(centroids, axis=0)) == k
    for k in (7, 100, 400):
        check(x, k, levels, pinned, k, max_iter=3)
        centroids = tamis.kmeans(x, k, max_iter=0).centroids
        assert len(np.unique(centroids[:6], axis=0)) == 6
    # Rows that differ only in the sign of a zero are not bit-identical.
    zeros = np.zeros((4, 3), dtype=np.float16)
    zeros[:, 0], zeros[2:, 1] = 1, -0.0
    check(zeros, 3, levels, pinned, "signed zeros", max_iter=0)


def test_as_many_clusters_as_rows(levels: Any, pinned: Any) -> None:
    for n, d in ((1, 1), (1, 50), (2, 1), (60, 60), (60, 3)):
        x = cases.unit_rows(n, d, 1)
        for spherical in (True, False):
            check(x, n, levels, pinned, (n, d), spherical=spherical)
    result = tamis.kmeans(cases.unit_rows(60, 60, 1), 60)
    assert sorted(result.labels) == list(range(60)) and result.converged


def test_empty_and_cancelling_clusters_keep_their_centroid(levels: Any, pinned: Any) -> None:
    x = np.array([[1, 0], [-1, 0], [1, 0], [-1, 0]], dtype=np.float16)
    far = np.array([[0, 1], [0, -1]], dtype=np.float16)
    for spherical in (True, False):
        check(x, 2, levels, pinned, spherical, init=far, spherical=spherical)
    assert_same_bits(tamis.kmeans(x, 2, init=far).centroids, far)


@pytest.mark.parametrize("spherical", [True, False])
def test_given_initial_centroids(spherical: bool, levels: Any, pinned: Any) -> None:
    x, start = cases.mixture(500, 17, 1), cases.mixture(9, 17, 2)
    kept = start.copy()
    for dtype in (np.float16, np.float32, np.float64):
        check(x, 9, levels, pinned, dtype, init=start.astype(dtype), spherical=spherical)
    start.flags.writeable = False
    check(x, 9, levels, pinned, "read-only", init=start[::-1], spherical=spherical)
    assert_same_bits(start, kept)


def test_rows_of_every_dtype_and_stride(levels: Any, pinned: Any) -> None:
    x = np.random.default_rng(0).standard_normal((200, 22)) * 5
    for dtype in (np.float16, np.float32, np.float64):
        values = x.astype(dtype)
        values.flags.writeable = False
        for view in (values, values[::-1, ::-2], np.asfortranarray(values)):
            check(view, 6, levels, pinned, dtype, max_iter=3)


def test_inertia_of_far_centroids_is_exact_too(levels: Any, pinned: Any) -> None:
    x = cases.unit_rows(50, 24, 0)
    for size in (3, 100, 300, 65_504):
        init = np.random.default_rng(size).uniform(-size, size, (4, 24)).astype(np.float16)
        for level in levels:
            with pinned(isa=level):
                found = tamis.kmeans(x, 4, init=init, spherical=False, max_iter=0)
            difference = x.astype(np.float64) - init.astype(np.float64)[found.labels]
            total = sum(int(units) ** 2 for units in np.ldexp(difference, 24).flat)
            assert found.inertia == float(total) / 2**48, (size, level)


def test_inertia_is_rounded_once() -> None:
    # A float64 accumulation loses the small terms; integers of 2^-48 do not.
    x = np.zeros((4001, 2), dtype=np.float16)
    x[:, 0] = 1
    x[1:, 1] = cases.SMALLEST
    x[0] = -1, 0
    for spherical in (True, False):
        start = np.array([[1, 0]], dtype=np.float16)
        result = tamis.kmeans(x, 1, init=start, max_iter=0, spherical=spherical)
        assert result.inertia == 4 + 4000 * 2.0**-48


def test_euclidean_rows_of_any_size(levels: Any, pinned: Any) -> None:
    x = np.random.default_rng(0).standard_normal((300, 10)) + 2
    x[7] = x[100] = 0
    for scale in (1.0, 2.0**-30, 2.0**40, 2.0**-900, 2.0**900):
        scaled = x * scale
        assert_same_bits(
            tamis.kmeans(scaled, 8, spherical=False).labels,
            reference.kmeans(x, 8, spherical=False).labels,
            scale,
        )
    for level in levels:
        with pinned(isa=level):
            labels = tamis.kmeans(x, 8, spherical=False).labels
        assert_same_bits(labels, reference.kmeans(x, 8, spherical=False).labels, level)


def test_many_rows_in_a_cluster_and_inertia_beyond_64_bits(levels: Any, pinned: Any) -> None:
    x = cases.mixture(60_000, 3, 1, centres=2)
    start = np.eye(3, dtype=np.float16)
    for spherical in (True, False):
        options: dict[str, Any] = {"spherical": spherical, "max_points_per_centroid": None}
        check(x, 3, levels, pinned, spherical, init=start, max_iter=3, **options)
    far = np.tile(np.array([[1, 0]], dtype=np.float16), (70_001, 1))
    far[:, 1] = cases.SMALLEST * (np.arange(70_001) % 2)
    start = np.array([[-1, 0]], dtype=np.float16)
    check(far, 1, levels, pinned, "opposite", init=start, max_iter=0)
    assert tamis.kmeans(far, 1, init=start, max_iter=0).inertia > 2.0 ** (64 - 48)


def test_euclidean_rows_of_very_different_size(levels: Any, pinned: Any) -> None:
    rng = np.random.default_rng(0)
    x = cases.mixture(400, 20, 1).astype(np.float64) * np.exp2(rng.uniform(-20, 0, size=(400, 1)))
    x[5] = x[6] = 0
    check(x, 25, levels, pinned, max_iter=5, spherical=False, allow_rounding=True)


def test_euclidean_rounding_is_refused_unless_allowed() -> None:
    x = np.random.default_rng(0).standard_normal((50, 6))
    x[0] *= 1e7
    with pytest.raises(ValueError, match="allow_rounding"):
        tamis.kmeans(x, 3, spherical=False)
    labels = tamis.kmeans(x, 3, spherical=False, allow_rounding=True).labels
    assert_same_bits(labels, reference.kmeans(x, 3, spherical=False, allow_rounding=True).labels)


@pytest.mark.parametrize("spherical", [True, False])
def test_three_dimensions_are_one_call_for_each_slice(spherical: bool) -> None:
    x = np.stack([cases.mixture(120, 14, s) for s in range(3)])
    options: dict[str, Any] = {"seed": 4, "max_points_per_centroid": 9, "spherical": spherical}
    result = tamis.kmeans(x, 5, **options)
    assert result.centroids.shape == (3, 5, 14)
    assert result.labels.shape == result.scores.shape == (3, 120)
    for s in range(3):
        one = tamis.kmeans(x[s], 5, **options)
        assert_same_bits(result.centroids[s], one.centroids)
        assert_same_bits(result.labels[s], one.labels)
        assert_same_bits(result.scores[s], one.scores)
        for field in ("n_iter", "inertia", "n_train", "converged"):
            whole = np.asarray(getattr(result, field))
            assert whole[s if whole.ndim else ()] == getattr(one, field), field


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_bad_rows_are_counted_and_the_first_is_named(value: float) -> None:
    x = np.ones((100, 4), dtype=np.float32)
    x[[31, 32, 77, 99]] = value
    with pytest.raises(ValueError, match=r"\b4\b") as caught:
        tamis.kmeans(x, 2)
    assert re.search(r"\b31\b", str(caught.value)), caught.value
    if value != 0:
        with pytest.raises(ValueError, match=r"\b31\b"):
            tamis.kmeans(x, 2, spherical=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_clusters": 10}, r"10.*9|9.*10"),
        ({"n_clusters": 0}, "n_clusters"),
        ({"n_clusters": -1}, "n_clusters"),
        ({"n_clusters": 2.5}, "n_clusters|int"),
        ({"max_iter": -1}, "max_iter"),
        ({"max_points_per_centroid": 0}, "max_points_per_centroid"),
        ({"init": "k-means++"}, "init|k-means"),
        ({"init": cases.unit_rows(3, 5)}, "init"),
        ({"init": cases.unit_rows(2, 6)}, "init"),
        ({"init": np.zeros((2, 5))}, "init"),
        ({"x": cases.unit_rows(9, 5)[0]}, "2-D|dimension"),
        ({"x": np.empty((0, 5), dtype=np.float32)}, "0|row"),
        ({"device": "cuda"}, "cuda|CUDA"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"x": cases.unit_rows(9, 5), "n_clusters": 2, **change}
    with pytest.raises((ValueError, TypeError, RuntimeError), match=words) as caught:
        tamis.kmeans(**arguments)
    assert "\n" not in str(caught.value)


def test_estimator_follows_the_function() -> None:
    x, new = cases.mixture(300, 12, 1), cases.mixture(40, 12, 2)
    estimator = tamis.KMeans(7, seed=3, max_iter=5)
    assert estimator.fit(x) is estimator
    result = tamis.kmeans(x, 7, seed=3, max_iter=5)
    assert_same_bits(estimator.cluster_centers_, result.centroids)
    assert_same_bits(estimator.labels_, result.labels)
    assert (estimator.inertia_, estimator.n_iter_) == (result.inertia, result.n_iter)
    assert_same_bits(estimator.predict(x), result.labels)
    assert_same_bits(estimator.predict(new), reference.assign(new, result.centroids)[0])


def test_estimator_of_euclidean_clusters_predicts_its_own_labels() -> None:
    x = np.random.default_rng(0).standard_normal((300, 5)) + 1
    for scale in (1, 2**-10, 1000):
        estimator = tamis.KMeans(6, spherical=False).fit(x * scale)
        assert_same_bits(estimator.predict(x * scale), estimator.labels_, scale)


def test_estimator_has_the_habits_of_scikit_learn() -> None:
    start = cases.unit_rows(4, 6)
    estimator = tamis.KMeans(n_clusters=4, init=start, max_iter=9, seed=2)
    parameters = estimator.get_params()
    assert set(parameters) >= {
        "n_clusters",
        "max_iter",
        "init",
        "spherical",
        "max_points_per_centroid",
        "seed",
        "device",
    }
    assert parameters["init"] is start and parameters["max_iter"] == 9
    clone = type(estimator)(**parameters)
    assert clone.get_params().keys() == parameters.keys()
    assert all(clone.get_params()[name] is value for name, value in parameters.items())
    x = cases.unit_rows(50, 6, 1)
    assert_same_bits(clone.fit(x).labels_, estimator.fit(x).labels_)
    assert estimator.set_params(n_clusters=3, init="random") is estimator
    assert estimator.get_params()["n_clusters"] == 3
    assert len(estimator.fit(x).cluster_centers_) == 3
    with pytest.raises(ValueError, match="clusters"):
        estimator.set_params(clusters=3)


def test_estimator_stores_without_checking_and_must_be_fitted() -> None:
    estimator = tamis.KMeans(n_clusters=-3)
    assert estimator.n_clusters == -3 and not hasattr(estimator, "labels_")
    with pytest.raises(ValueError, match="n_clusters"):
        estimator.fit(cases.unit_rows(9, 5))
    with pytest.raises((AttributeError, ValueError, RuntimeError), match="fit"):
        tamis.KMeans(2).predict(cases.unit_rows(9, 5))
