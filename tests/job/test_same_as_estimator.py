"""A run over a pool on disk decides exactly what `tamis.SemDeDup` decides on the same rows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.conftest import Pin
from tests.job.sample_pool import BAD, COLUMN, LAYOUTS, Given, column, pieces

from tamis import SemDeDup
from tamis.data.subset import read_subset
from tamis.filters.semdedup.job import Recipe, run_job, stages
from tamis.filters.semdedup.job import run as run_module
from tamis.filters.semdedup.job.results import share
from tamis.run.plan import MemoryPlan

RECIPES: dict[str, dict[str, Any]] = {
    "scores-only": {"clusters": 7},
    "auto": {"eps": 0.05},
    "eps": {"clusters": 16, "eps": 0.05, "recall_sample": 300},
    "eps-0": {"clusters": 16, "eps": 0.0, "recall_sample": 0},
    "keep-probes": {"clusters": 16, "probes": 2, "keep": 0.7, "recall_sample": 300},
    "all-probes": {"clusters": 5, "probes": 9, "keep": 0.5, "seed": 3},
    "keep-rows": {"clusters": 16, "keep_rows": 600, "seed": 2**40},
    "keep-ties": {"clusters": 16, "keep_rows": 900},
    "easy": {"clusters": 16, "eps": 0.08, "which_to_keep": "easy"},
    "random": {"clusters": 16, "probes": 1, "eps": 0.08, "which_to_keep": "random", "seed": 7},
    "column": {"clusters": 16, "eps": 0.08, "which_to_keep": COLUMN},
    "column-asc": {"clusters": 16, "probes": 1, "keep": 0.6, "which_to_keep": f"{COLUMN}:asc"},
    "greedy": {"clusters": 16, "eps": 0.08, "rule": "greedy"},
    "components": {"clusters": 16, "eps": 0.08, "rule": "components"},
    "easy-components": {
        "clusters": 4,
        "eps": 0.2,
        "rule": "components",
        "which_to_keep": "easy",
    },
    "compared": {"clusters": 16, "eps": 0.08, "compare_rules": True},
    "compared-probes": {"clusters": 16, "probes": 1, "keep": 0.8, "compare_rules": True},
}
FINAL = ("scores/semdedup.parquet", "eps_curve.parquet", "quarantine.parquet", "summary.json")


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Given]:
    return {
        name: write(tmp_path_factory.mktemp(name, numbered=False))
        for name, write in LAYOUTS.items()
    }


def estimate(given: Given, recipe: Recipe) -> SemDeDup:
    return SemDeDup(
        recipe.clusters,
        eps=recipe.eps,
        keep=recipe.keep,
        keep_rows=recipe.keep_rows,
        which_to_keep=recipe.order,
        rule=recipe.rule,
        probes=recipe.probes,
        recall_sample=recipe.recall_sample,
        seed=recipe.seed,
    ).fit(given.rows, given.ids, rank=column() if recipe.column else None)


def named(ids: list[Any], rows: np.ndarray) -> list[Any]:
    return [None if row < 0 else ids[row] for row in rows.tolist()]


def require_same_scores(run: Path, given: Given, expected: SemDeDup) -> None:
    table = pq.read_table(run / "scores/semdedup.parquet")
    ids = given.shown_ids
    assert table.column_names == ["uid", "semdedup", "nearest", "cluster", "reason"]
    assert table.column("uid").to_pylist() == ids
    cosine = table.column("semdedup").to_numpy()
    assert cosine.dtype == np.float32
    np.testing.assert_array_equal(cosine, expected.max_cosine_)
    assert table.column("nearest").to_pylist() == named(ids, expected.nearest_)
    labels = table.column("cluster").to_pylist()
    assert labels == [None if label < 0 else label for label in expected.labels_.tolist()]
    reasons = table.column("reason").to_pylist()
    assert [row for row, reason in enumerate(reasons) if reason] == sorted(BAD)


def require_same_groups(run: Path, given: Given, expected: SemDeDup) -> None:
    table, groups, ids = pq.read_table(run / "groups.parquet"), expected.groups_, given.shown_ids
    assert groups is not None
    for name, value in {
        "uid": named(ids, groups["row"]),
        "role": groups["role"].tolist(),
        "representative": named(ids, groups["representative"]),
        "nearest": named(ids, groups["nearest"]),
        "cluster": groups["cluster"].tolist(),
        "rank": groups["rank"].tolist(),
        "orphan": groups["orphan"].tolist(),
        "group": [None if group < 0 else group for group in groups["group"].tolist()],
        "cosine": [None if np.isnan(value) else value for value in groups["cosine"].tolist()],
    }.items():
        assert table.column(name).to_pylist() == value, name


def require_same_selection(run: Path, given: Given, expected: SemDeDup) -> None:
    summary = json.loads((run / "summary.json").read_text())
    keep, ids = expected.keep_mask_, given.shown_ids
    if keep is None:
        assert summary["kept"] is None and summary["removed"] is None
        assert not list(run.glob("subset.*")) and not (run / "groups.parquet").exists()
        return
    kept = sorted(ids[row] for row in np.flatnonzero(keep))
    (subset,) = run.glob("subset.*")
    assert read_subset(subset).to_list() == kept
    assert summary["kept"] == len(kept)
    assert summary["removed"] == len(ids) - len(BAD) - len(kept)
    assert summary["eps"] == expected.eps_
    assert summary["ties_at_cut"] == expected.ties_at_cut_
    assert summary["orphans"] == expected.n_orphans_
    require_same_groups(run, given, expected)


def require_same_recall(run: Path, expected: SemDeDup) -> None:
    summary = json.loads((run / "summary.json").read_text())
    if expected.recall_ is None:
        assert "recall" not in summary and not (run / "scores/recall.npy").exists()
        return
    assert summary["recall"] == share(expected.recall_.found)
    assert summary["residual"] == share(expected.recall_.residual)
    stored, sample = np.load(run / "scores/recall.npy"), expected.recall_.sample
    np.testing.assert_array_equal(stored["any_cosine"], sample.any_cosine)
    np.testing.assert_array_equal(stored["compared_cosine"], sample.compared_cosine)


def require_same(run: Path, given: Given, expected: SemDeDup) -> None:
    require_same_scores(run, given, expected)
    require_same_selection(run, given, expected)
    require_same_recall(run, expected)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["rows_in"] == len(given.rows)
    assert summary["quarantined"] == len(BAD)
    assert summary["clusters"] == expected.plan_
    curve = pq.read_table(run / "eps_curve.parquet")
    for name, values in expected.eps_curve_.items():
        assert curve.column(name).to_pylist() == values.tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout: str, pools: dict[str, Given], tmp_path: Path) -> None:
    given = pools[layout]
    recipe = Recipe(clusters=16, probes=2, keep=0.7, recall_sample=300)
    run_job(given.path, tmp_path / "run", recipe)
    require_same(tmp_path / "run", given, estimate(given, recipe))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe(recipe: str, pools: dict[str, Given], tmp_path: Path) -> None:
    given, asked = pools["datacomp-stored"], Recipe(**RECIPES[recipe])
    summary = run_job(given.path, tmp_path / "run", asked)
    require_same(tmp_path / "run", given, estimate(given, asked))
    if asked.compare_rules:
        plain = asked.model_copy(update={"probes": 0, "keep": None, "eps": summary["eps"]})
        masks = {}
        for rule in summary["rules"]:
            masks[rule] = estimate(given, plain.model_copy(update={"rule": rule})).keep_mask_
            assert masks[rule] is not None
        for rule, found in summary["rules"].items():
            assert found["kept"] == int(masks[rule].sum()), rule
            for other, count in found["removed_by"].items():
                assert count == int((masks[rule] & ~masks[other]).sum()), (rule, other)


def test_ties_at_the_cut_are_there_to_be_decided(pools: dict[str, Given]) -> None:
    expected = estimate(pools["datacomp-stored"], Recipe(**RECIPES["keep-ties"]))
    assert expected.ties_at_cut_ > 1


def test_quarantine_names_file_row_and_reason(pools: dict[str, Given], tmp_path: Path) -> None:
    run_job(pools["datacomp-stored"].path, tmp_path / "run", Recipe(clusters=2))
    table = pq.read_table(tmp_path / "run/quarantine.parquet")
    ids = pools["datacomp-stored"].shown_ids
    zero, infinite = "embedding is zero", "embedding has an infinite value"
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (ids[0], "00000.npz", 0, zero),
        (ids[400], "00000.npz", 400, "embedding has a NaN"),
        (ids[401], "00001.npz", 0, infinite),
        (ids[601], "00002.npz", 0, infinite),
        (ids[1029], "00003.npz", 427, zero),
    ]


def final_files(run: Path) -> dict[str, str]:
    """sha256 of the files that say what was decided."""
    paths = [run / name for name in FINAL]
    paths += [*run.glob("subset.*"), *run.glob("groups.parquet")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


CUT: dict[str, dict[str, Any]] = {
    "semdedup": {"clusters": 16, "probes": 2, "keep": 0.7, "recall_sample": 300},
    "greedy": {"clusters": 4, "eps": 0.1, "rule": "greedy", "recall_sample": 300},
    "compared": {"clusters": 16, "probes": 1, "eps": 0.1, "compare_rules": True},
    "one-cluster": {"clusters": 1, "eps": 0.1, "recall_sample": 300},
}


def plan_of(rows_per_unit: int, rows_per_batch: int) -> MemoryPlan:
    return MemoryPlan(rows_per_unit, rows_per_batch, 1 << 30, 0, 0)


@pytest.mark.parametrize("recipe", CUT)
def test_units_and_batches_change_nothing(
    recipe: str, pools: dict[str, Given], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down to one row per unit would be slow; 37 rows cut every file and every cluster."""
    asked = Recipe(**CUT[recipe])
    path = pools["datacomp-stored"].path
    run_job(path, tmp_path / "whole", asked)
    expected = final_files(tmp_path / "whole")
    cuts = []
    for rows_per_unit, rows_per_batch in ((37, 4096), (512, 300), (100, 41)):
        if recipe == "compared" and rows_per_batch < 300:
            continue  # components need a whole cluster in memory
        with monkeypatch.context() as patch:
            plan = plan_of(rows_per_unit, rows_per_batch)
            patch.setattr(run_module.MemoryPlan, "of", lambda *_, plan=plan, **__: plan)
            patch.setattr(stages, "LARGEST_BATCH", max(64, rows_per_batch // 4))
            run = tmp_path / f"{rows_per_unit}-{rows_per_batch}"
            run_job(path, run, asked)
        assert final_files(run) == expected
        assert len(list((run / "embeddings").glob("0*.npy"))) >= len(pieces())
        cuts.append(len(list(run.rglob("*.npy"))))
    assert len(set(cuts)) == len(cuts)


def test_memory_changes_nothing(pools: dict[str, Given], tmp_path: Path) -> None:
    asked = Recipe(**CUT["semdedup"])
    found = []
    for budget in (290, 1000, 100_000):
        run = tmp_path / str(budget)
        run_job(pools["npy-file"].path, run, asked, memory_bytes=budget * 10**6)
        found.append(final_files(run))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("recipe", CUT)
def test_threads_and_instruction_sets_change_nothing(
    recipe: str, pools: dict[str, Given], tmp_path: Path, levels: tuple[str, ...], pinned: Pin
) -> None:
    asked, path = Recipe(**CUT[recipe]), pools["parquet-list-float"].path
    run_job(path, tmp_path / "run", asked)
    expected = final_files(tmp_path / "run")
    for isa in levels:
        with pinned(isa=isa, threads=1):
            run_job(path, tmp_path / isa, asked)
        assert final_files(tmp_path / isa) == expected
    for threads in (2, 3):
        with pinned(threads=threads):
            run_job(path, tmp_path / str(threads), asked)
        assert final_files(tmp_path / str(threads)) == expected
