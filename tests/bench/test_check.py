"""The judges of the benchmark: a wrong answer never counts."""

from __future__ import annotations

import numpy as np
import pytest
from bench.contenders import call, judge_all, tamis_contender
from bench.tasks import AssignTask, KMeansTask, MaxCosineTask, SemDeDupTask

from bench import check, inputs


@pytest.fixture
def assign_task() -> AssignTask:
    rows = inputs.random_rows(300, 24)
    return AssignTask(rows, rows[:40].copy())


@pytest.fixture
def cosine_task() -> MaxCosineTask:
    offsets = np.array([0, 1, 1, 90, 300])
    return MaxCosineTask(inputs.random_rows(300, 24), offsets)


def second_best(task: AssignTask) -> np.ndarray:
    scores = task.rows.astype(np.float64) @ task.centroids.astype(np.float64).T
    return np.argsort(-scores, axis=1)[:, 1]


def test_tamis_is_right_in_every_task() -> None:
    rows = inputs.pool_rows(600, 32, 20)
    tasks = [
        AssignTask(rows, rows[:50].copy()),
        KMeansTask(rows, rows[:20].copy(), 2),
        MaxCosineTask(rows, np.array([0, 0, 1, 300, 600])),
        SemDeDupTask(rows, 5, 20, 0.05),
    ]
    for task in tasks:
        verdict = task.judge(call(task)(), exact=True)
        assert not verdict.wrong and verdict.mismatches == 0 and verdict.checked == 600, task.op


def test_one_wrong_label_is_found(assign_task: AssignTask) -> None:
    labels, scores = call(assign_task)()
    labels[123] = second_best(assign_task)[123]
    verdict = assign_task.judge((labels, scores), exact=True)
    assert verdict.wrong and verdict.mismatches == 1 and "row 123" in verdict.note


def test_one_wrong_score_bit_is_found(assign_task: AssignTask) -> None:
    labels, scores = call(assign_task)()
    scores[7] = np.nextafter(scores[7], np.float32(2))
    assert assign_task.judge((labels, scores), exact=True).wrong


def test_a_tie_goes_to_the_lowest_index(assign_task: AssignTask) -> None:
    twice = np.concatenate([assign_task.centroids, assign_task.centroids])
    task = AssignTask(assign_task.rows, twice)
    labels, scores = call(task)()
    assert not task.judge((labels, scores), exact=True).wrong
    assert task.judge((labels + 40, scores), exact=True).wrong
    assert task.judge((labels + 40, None), exact=False).mismatches == 0


def test_a_rivals_mismatches_are_counted(assign_task: AssignTask) -> None:
    labels, _ = call(assign_task)()
    labels[:10] = second_best(assign_task)[:10]
    verdict = assign_task.judge((labels, None), exact=False)
    assert verdict.mismatches == 10 and not verdict.wrong


@pytest.mark.parametrize("labels", [np.zeros(299, int), np.full(300, 40), np.full(300, -1)])
def test_nonsense_from_a_rival_is_wrong(assign_task: AssignTask, labels: np.ndarray) -> None:
    assert assign_task.judge((labels, None), exact=False).wrong


def test_a_later_row_or_another_segment_is_found(cosine_task: MaxCosineTask) -> None:
    cosine, index = call(cosine_task)()
    for row, other in ((50, 60), (100, 3)):
        changed = index.copy()
        changed[row] = other
        verdict = cosine_task.judge((cosine, changed), exact=True)
        assert verdict.wrong and f"row {row}" in verdict.note


def test_one_wrong_cosine_bit_is_found(cosine_task: MaxCosineTask) -> None:
    cosine, index = call(cosine_task)()
    cosine[200] = np.nextafter(cosine[200], np.float32(2))
    assert cosine_task.judge((cosine, index), exact=True).wrong


def test_a_row_without_earlier_rows_has_no_cosine(cosine_task: MaxCosineTask) -> None:
    cosine, index = call(cosine_task)()
    cosine[1] = 0
    assert cosine_task.judge((cosine, index), exact=True).wrong


def test_zeros_are_the_least_in_the_published_formula(cosine_task: MaxCosineTask) -> None:
    published = np.maximum(call(cosine_task)()[0], 0)
    assert cosine_task.judge((published, None), exact=False).mismatches == 0
    assert cosine_task.judge((published + 1e-5, None), exact=False).mismatches == 300


def test_worse_centroids_have_a_larger_objective() -> None:
    rows = inputs.mixture_rows(400, 16, 8)
    task = KMeansTask(rows, rows[:8].copy(), 3)
    centroids, _ = call(task)()
    assert check.objective(rows, centroids) < check.objective(rows, task.init)
    scaled = 3 * centroids.astype(np.float64)  # judged after scaling to norm 1
    assert check.objective(rows, scaled) == pytest.approx(check.objective(rows, centroids), 1e-3)


def test_an_objective_is_the_squared_distance() -> None:
    rows = inputs.random_rows(50, 8)
    centre = np.eye(8)[:1]
    expected = np.square(rows.astype(np.float64) - centre).sum(axis=1).mean()
    assert check.objective(rows, centre) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("part", [0, 3, 4], ids=["keep", "cosine", "nearest"])
def test_a_wrong_part_of_semdedup_is_found(part: int) -> None:
    task = SemDeDupTask(inputs.pool_rows(400, 32, 20), 4, 20, 0.05)
    answer = [np.array(values) for values in call(task)()]
    row = int(np.flatnonzero(answer[4] >= 0)[5])
    answer[part][row] = {0: ~answer[0][row], 3: 0.5, 4: row}[part]
    assert task.judge(tuple(answer), exact=True).wrong


def test_levels_that_disagree_are_found(assign_task: AssignTask) -> None:
    best, pinned = (tamis_contender(assign_task, name=name) for name in ("tamis", "pinned"))
    answers = {"tamis": best.run(), "pinned": pinned.run()}
    verdicts = judge_all([best, pinned], answers)
    assert not verdicts["tamis"].wrong and not verdicts["pinned"].wrong
    answers["pinned"][0][299] += 1
    verdicts = judge_all([best, pinned], answers)
    assert not verdicts["tamis"].wrong and verdicts["pinned"].wrong


@pytest.mark.parametrize("rows", [np.zeros((5, 4)), np.ones((5, 4)), np.tile(np.eye(4)[0], (5, 1))])
def test_easy_input_is_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a benchmark needs rows"):
        inputs.usable(rows.astype(np.float16))
