"""The estimator from end to end, against the plain Python oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.conftest import Pin
from tests.filters.oracle import Oracle, clustering, order_of
from tests.filters.pools import PARALLEL, clustered, rows_of

from tamis.filters.semdedup import SemDeDup
from tamis.filters.semdedup.select import threshold_of
from tamis.kernels import sample
from tamis.kernels.kmeans import kmeans

BAD = {"zero": 0.0, "nan": np.nan, "inf": np.inf, "-inf": -np.inf}


def raw(n_rows: int, dim: int, seed: int) -> np.ndarray:
    """Float32 rows of any length, a third of them copies."""
    rng = np.random.default_rng(seed)
    rows = clustered(n_rows, dim, seed).astype(np.float32)
    return rows * np.exp2(rng.integers(-3, 4, size=(n_rows, 1))).astype(np.float32)


def oracle_of(
    x: np.ndarray, dedup: SemDeDup, ids: list[Any] | None = None, values: list[Any] | None = None
) -> Oracle:
    rows = rows_of(x)
    labels, dots, probed = clustering(rows, dedup.cluster_centers_, dedup.probes)
    keys = sample.keys(dedup.seed, sample.ORDER, range(len(rows))).tolist()
    order = order_of(
        dedup.which_to_keep, dots, ids or list(range(len(rows))), keys=keys, values=values
    )
    return Oracle(rows, labels, order, probed)


@pytest.mark.parametrize("which", ["hard", "easy", "random", "asc", "desc"])
@pytest.mark.parametrize(("k", "probes"), [(1, 0), (7, 0), (7, 1), (7, 3)])
def test_a_pool_of_300_rows(which: str, k: int, probes: int) -> None:
    x = raw(300, 6, seed=k)
    rng = np.random.default_rng(probes)
    ids = [f"{value:032x}" for value in rng.permutation(300).tolist()]
    values = rng.integers(5, size=300).tolist() if which in ("asc", "desc") else None
    dedup = SemDeDup(k, eps=0.03, which_to_keep=which, probes=probes, seed=4, recall_sample=50)
    dedup.fit(x, ids, rank=values)
    oracle = oracle_of(x, dedup, ids, values)

    cosine, nearest = oracle.scores()
    assert dedup.labels_.tolist() == oracle.labels
    np.testing.assert_array_equal(dedup.max_cosine_, np.array(cosine, dtype=np.float32))
    assert dedup.nearest_.tolist() == nearest
    assert dedup.keep_mask_.tolist() == oracle.semdedup(0.03)
    keep = dedup.keep_mask_.tolist()
    orphans = [oracle.is_orphan(row, keep, threshold_of(0.03)) for row in range(300)]
    assert dedup.n_orphans_ == sum(orphans)
    removed = dedup.groups_["role"] == "removed"
    assert sorted(dedup.groups_["row"][removed].tolist()) == [r for r in range(300) if not keep[r]]
    expected = np.array([oracle.recall(row) for row in dedup.recall_.sample.rows.tolist()])
    np.testing.assert_array_equal(dedup.recall_.sample.compared_cosine, expected[:, 1].astype("f4"))
    assert dedup.recall_.found == dedup.recall_.sample.at(0.03)


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("rule", ["greedy", "components"])
def test_other_rules(rule: str, k: int) -> None:
    x = raw(200, 4, seed=8)
    dedup = SemDeDup(k, eps=0.02, rule=rule).fit(x)
    assert dedup.keep_mask_.tolist() == getattr(oracle_of(x, dedup), rule)(0.02)


def test_its_clusters_are_those_of_kmeans() -> None:
    rows = rows_of(raw(900, 5, seed=0))
    dedup = SemDeDup(3, seed=9, recall_sample=0).fit(rows)
    expected = kmeans(rows, 3, seed=9)
    assert dedup.cluster_centers_.tobytes() == expected.centroids.tobytes()
    np.testing.assert_array_equal(dedup.labels_, expected.labels)


@pytest.mark.parametrize("ids", ["none", "int", "str"])
@pytest.mark.parametrize("choice", [{"keep": 0.37}, {"keep_rows": 41}, {"keep": 1.0}])
def test_exactly_n_rows_are_kept(choice: dict[str, Any], ids: str) -> None:
    x = raw(120, 5, seed=3)
    numbers = np.random.default_rng(0).permutation(120)
    given = {"none": None, "int": numbers, "str": [f"{n:03d}" for n in numbers]}[ids]
    dedup = SemDeDup(4, **choice).fit(x, given)
    count = {0.37: 44, 1.0: 120}[choice["keep"]] if "keep" in choice else 41
    ranked = numbers if given is not None else range(120)
    expected = sorted(range(120), key=lambda row: (dedup.max_cosine_[row], ranked[row]))[:count]
    assert np.flatnonzero(dedup.keep_mask_).tolist() == sorted(expected)
    at_cut = dedup.max_cosine_ == dedup.max_cosine_[dedup.keep_mask_].max()
    assert dedup.ties_at_cut_ == (at_cut.sum() if (at_cut & ~dedup.keep_mask_).any() else 0)
    same = SemDeDup(4, eps=dedup.eps_).fit(x, given)
    assert same.keep_mask_.sum() == count + (at_cut & ~dedup.keep_mask_).sum()


def test_kept_sets_shrink_as_eps_grows() -> None:
    x = raw(150, 4, seed=2)
    masks = [SemDeDup(5, eps=eps, probes=1).fit(x).keep_mask_ for eps in (0, 1e-6, 0.01, 0.1, 1, 2)]
    assert masks[0].all()
    for wider, narrower in zip(masks[:-1], masks[1:], strict=True):
        assert not (narrower & ~wider).any()
    assert masks[-1].sum() < masks[1].sum() < 150


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("which", ["hard", "easy", "random", "desc"])
def test_a_bad_row_anywhere_changes_no_other_decision(which: str, kind: str) -> None:
    x = raw(24, 4, seed=1)
    values = np.arange(24) % 7
    parameters = {"eps": 0.05, "probes": 1, "which_to_keep": which, "recall_sample": 10}

    def fit(rows: np.ndarray, ranks: np.ndarray) -> SemDeDup:
        return SemDeDup(3, **parameters).fit(rows, rank=ranks if which == "desc" else None)

    clean = fit(x, values)
    for position in range(25):
        bad = np.insert(x, position, x[0], axis=0)
        bad[position, :] = 0
        bad[position, position % 4] = BAD[kind]
        found = fit(bad, np.insert(values, position, 6))
        rest = np.arange(25) != position
        shifted = np.append(np.flatnonzero(rest), -1)
        assert not found.keep_mask_[position]
        assert found.labels_[position] == -1
        assert found.nearest_[position] == -1
        assert np.isnan(found.max_cosine_[position])
        np.testing.assert_array_equal(found.keep_mask_[rest], clean.keep_mask_)
        np.testing.assert_array_equal(found.labels_[rest], clean.labels_)
        np.testing.assert_array_equal(found.max_cosine_[rest], clean.max_cosine_)
        np.testing.assert_array_equal(found.nearest_[rest], shifted[clean.nearest_])
        for name in ("row", "representative", "nearest"):
            np.testing.assert_array_equal(found.groups_[name], shifted[clean.groups_[name]])
        np.testing.assert_array_equal(found.recall_.sample.rows, shifted[clean.recall_.sample.rows])
        assert found.recall_.found == clean.recall_.found
        assert found.recall_.residual == clean.recall_.residual


def test_many_bad_rows_count_for_nothing() -> None:
    x = raw(60, 4, seed=5)
    x[::3] = 0
    x[1::12, 2] = np.nan
    dedup = SemDeDup(2, keep=0.5).fit(x)
    usable = np.isfinite(x).all(axis=1) & x.any(axis=1)
    assert dedup.keep_mask_.sum() == usable.sum() // 2
    assert not dedup.keep_mask_[~usable].any()
    assert (dedup.labels_[~usable] == -1).all()
    assert dedup.eps_curve_["kept"][0] == usable.sum()


def test_one_row() -> None:
    dedup = SemDeDup(eps=2.0).fit(np.ones((1, 3)))
    assert dedup.keep_mask_.tolist() == [True]
    assert dedup.max_cosine_.tolist() == [-np.inf]
    assert dedup.nearest_.tolist() == [-1]
    assert len(dedup.groups_["row"]) == 0
    assert dedup.recall_.found.of == 0


@pytest.mark.parametrize("k", [1, 3, 40])
def test_all_rows_equal(k: int) -> None:
    dedup = SemDeDup(k, eps=0.01).fit(np.tile([3.0, 4.0], (40, 1)))
    assert np.flatnonzero(dedup.keep_mask_).tolist() == [0]
    assert (dedup.nearest_[1:] == 0).all()
    assert dedup.n_orphans_ == 0
    assert dedup.recall_.found.value == 1.0
    assert dedup.recall_.residual.value == 0.0


def test_all_rows_distinct() -> None:
    dedup = SemDeDup(2, eps=0.5).fit(np.eye(12))
    assert dedup.keep_mask_.all()
    assert dedup.n_orphans_ == 0
    assert dedup.recall_.found.value is None


def test_parallel_rows_and_copies_of_them() -> None:
    rows = PARALLEL[np.random.default_rng(0).integers(len(PARALLEL), size=120)]
    dedup = SemDeDup(4, eps=1e-7, probes=2).fit(rows)
    cosine, nearest = oracle_of(rows, dedup).scores()
    np.testing.assert_array_equal(dedup.max_cosine_, np.array(cosine, dtype=np.float32))
    assert dedup.nearest_.tolist() == nearest


def test_without_a_choice_there_are_scores_and_a_curve_only() -> None:
    dedup = SemDeDup(2).fit(raw(50, 4, seed=0))
    assert dedup.keep_mask_ is dedup.eps_ is dedup.groups_ is dedup.n_orphans_ is None
    assert dedup.ties_at_cut_ == 0
    assert dedup.recall_.found is dedup.recall_.residual is None
    assert dedup.recall_.sample.at(0.1).of > 0
    assert dedup.eps_curve_["kept"][-1] < 50


def test_recall_can_be_left_out() -> None:
    assert SemDeDup(2, eps=0.1, recall_sample=0).fit(raw(20, 4, seed=0)).recall_ is None


def test_auto_prints_its_plan() -> None:
    dedup = SemDeDup(recall_sample=0).fit(raw(50, 4, seed=0))
    assert dedup.plan_["auto"]
    assert dedup.plan_["n_clusters"] == 1
    assert dedup.plan_["n_rows"] == 50


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_results_have_one_type_and_do_not_depend_on_the_layout_of_x(dtype: type) -> None:
    rows = rows_of(raw(60, 4, seed=0)).astype(dtype)
    expected = SemDeDup(3, eps=0.1).fit(rows)
    found = SemDeDup(3, eps=0.1).fit(np.asfortranarray(rows))
    for name, kind in (
        ("max_cosine_", "f4"),
        ("nearest_", "i8"),
        ("labels_", "i4"),
        ("keep_mask_", "?"),
    ):
        column = getattr(found, name)
        assert column.dtype == np.dtype(kind)
        assert column.tobytes() == getattr(expected, name).tobytes()


def columns_of(dedup: SemDeDup) -> list[bytes]:
    assert dedup.keep_mask_ is not None
    assert dedup.groups_ is not None
    assert dedup.recall_ is not None
    columns = [dedup.keep_mask_, dedup.max_cosine_, dedup.nearest_, dedup.labels_]
    columns += [*dedup.groups_.values(), dedup.recall_.sample.any_cosine]
    return [column.tobytes() for column in [*columns, dedup.recall_.sample.compared_cosine]]


def test_no_instruction_set_and_no_thread_count_changes_a_bit(
    levels: tuple[str, ...], pinned: Pin
) -> None:
    x = np.concatenate((raw(700, 33, seed=0), clustered(300, 33, seed=1, spread=0.01)))
    dedup = SemDeDup(9, eps=0.02, probes=2, recall_sample=100)
    expected = columns_of(dedup.fit(x))
    for level in levels:
        for threads in (1, 3):
            with pinned(isa=level, threads=threads):
                assert columns_of(dedup.fit(x)) == expected, (level, threads)


def test_parameters_follow_the_habits_of_estimators() -> None:
    dedup = SemDeDup(5, keep=0.5, seed=3)
    assert dedup.get_params() == {
        "n_clusters": 5,
        "eps": None,
        "keep": 0.5,
        "keep_rows": None,
        "which_to_keep": "hard",
        "rule": "semdedup",
        "probes": 0,
        "recall_sample": 2000,
        "seed": 3,
        "device": None,
    }
    assert dedup.set_params(keep=None, eps=0.1) is dedup
    assert (dedup.keep, dedup.eps) == (None, 0.1)
    assert SemDeDup(**dedup.get_params()).get_params() == dedup.get_params()
    with pytest.raises(ValueError, match="no parameter 'epsilon'"):
        dedup.set_params(epsilon=0.1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"eps": 2.5}, "eps must be in"),
        ({"eps": -0.1}, "eps must be in"),
        ({"keep": 0}, "keep must be in"),
        ({"keep": 1.5}, "keep must be in"),
        ({"keep_rows": 11}, "keep_rows=11 is more than the 10 usable rows"),
        ({"eps": 0.1, "keep": 0.5}, "at most one"),
        ({"n_clusters": 11}, "n_clusters=11 is more than the 10 usable rows"),
        ({"n_clusters": 0}, "n_clusters must be"),
        ({"which_to_keep": "best"}, "which_to_keep must be"),
        ({"which_to_keep": "desc"}, "needs one rank value"),
        ({"rule": "first"}, "rule must be"),
        ({"rule": "greedy", "keep": 0.5}, "its kept sets are not nested"),
        ({"rule": "greedy", "eps": 0.1, "probes": 1}, "needs probes=0"),
        ({"probes": -1}, "probes must be"),
        ({"recall_sample": -1}, "recall_sample must be"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SemDeDup(**parameters).fit(raw(10, 4, seed=0))


@pytest.mark.parametrize("x", [np.empty((0, 4)), np.zeros((3, 4)), np.full((2, 3), np.nan)])
def test_a_pool_without_a_usable_row_is_refused(x: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least one"):
        SemDeDup().fit(x)


def test_ids_and_rank_of_another_length_are_refused() -> None:
    x = raw(10, 4, seed=0)
    with pytest.raises(ValueError, match=r"ids must have shape \(10,\)"):
        SemDeDup(1).fit(x, list(range(9)))
    with pytest.raises(ValueError, match=r"rank must have shape \(10,\)"):
        SemDeDup(1, which_to_keep="asc").fit(x, rank=[1.0])
