"""HYPE's score against its formulas, in float64, one pair of points at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import Pin
from tests.filters.hype.hype_oracle import Formulas, columns
from tests.filters.hype.hype_run import CURVATURE, column, reasons, reference, scorer, table
from tests.filters.hype.reference_pools import BAD, N_ROWS, write_pool
from tests.run.snapshot import snapshot

from tamis.data.unit import Unit
from tamis.errors import ChangedError, PoolError
from tamis.filters.hype.reference import Reference
from tamis.filters.hype.terms import Measure
from tamis.score.job import run_scorer
from tamis.score.scorer import Scores

SIZES = (31, 1, 28)
GOOD = np.array([row not in BAD for row in range(N_ROWS)])
Sides = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    write_pool(tmp_path / "pool", SIZES)
    return tmp_path / "pool"


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    return write_pool(tmp_path_factory.mktemp("points") / "pool", SIZES)


@pytest.fixture(scope="module")
def expected(points: Sides) -> dict[str, np.ndarray]:
    against = reference(*points)
    images, texts = (side[GOOD] for side in points)
    return columns(Formulas(CURVATURE), images, texts, against.img, against.txt)


def test_every_column_is_its_formula(
    pool: Path, points: Sides, expected: dict[str, np.ndarray], tmp_path: Path
) -> None:
    against = reference(*points)  # which holds scored rows
    summary = run_scorer(scorer(pool, tmp_path / "run", against), tmp_path / "run")
    assert [*table(tmp_path / "run").schema.names] == [
        *["uid", "hype", "hype_image_specificity", "hype_text_specificity", "hype_neg_distance"],
        *["hype_image_error", "hype_text_error", "hype_image_entailed", "hype_text_entailed"],
        *["hype_image_radius", "hype_text_radius", "reason"],
    ]
    for part, values in expected.items():
        found = column(tmp_path / "run", part)
        assert found[GOOD] == pytest.approx(values, abs=1e-6), part
    assert np.isnan(column(tmp_path / "run", "neg_distance")[~GOOD]).all()
    assert len(np.unique(expected["image_specificity"])) > 50  # not a constant
    assert (expected["text_entailed"] > 0).any() and (expected["image_entailed"] > 0).any()
    assert summary["rows_in"] == N_ROWS == summary["scored"] + summary["unscored"]


def test_the_clamped_mean(pool: Path, points: Sides, tmp_path: Path) -> None:
    against = reference(*points)
    run_scorer(scorer(pool, tmp_path / "run", against, clamp=True), tmp_path / "run")
    images, texts = (side[GOOD] for side in points)
    wanted = columns(Formulas(CURVATURE), images, texts, against.img, against.txt, clamp=True)
    for part in ("", "image_specificity", "text_specificity", "image_error"):
        assert column(tmp_path / "run", part)[GOOD] == pytest.approx(wanted[part], abs=1e-6)


def test_another_min_radius(pool: Path, points: Sides, tmp_path: Path) -> None:
    against = reference(*points)
    run_scorer(scorer(pool, tmp_path / "run", against, min_radius=0.02), tmp_path / "run")
    images, texts = (side[GOOD] for side in points)
    wanted = columns(Formulas(CURVATURE, 0.02), images, texts, against.img, against.txt)
    assert column(tmp_path / "run", "")[GOOD] == pytest.approx(wanted[""], abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_published_formulas(dtype: type[Any], points: Sides) -> None:
    """Literally, guards and precision included; a sum of 50 float32 numbers differs by rounding."""
    images, texts = (side[GOOD].astype(dtype) for side in points)
    against = reference(*(side.astype(dtype) for side in points))
    assert against.img is not None and against.txt is not None
    found = Measure(against, "paper").of(images, texts)
    formulas = Formulas(CURVATURE, eps=1e-8, dtype=dtype)
    wanted = columns(formulas, images, texts, against.img, against.txt)
    wanted.pop("")
    bound = 1e-6 if dtype is np.float32 else 1e-12
    for part, values in wanted.items():
        assert found[part] == pytest.approx(values, abs=bound), part


def test_the_two_modes_differ_where_digits_are_lost(points: Sides) -> None:
    against = reference(*points)
    same = np.array([[0.5, 0.1, 0.2, 0, 0, 0]], np.float32)
    near = same * np.float32(1.0002)
    stable, paper = (Measure(against, mode).of(same, near) for mode in ("stable", "paper"))
    length = float(np.linalg.norm(near.astype(np.float64) - same))
    assert stable["neg_distance"] == pytest.approx([-length], rel=1e-5)
    assert abs(paper["neg_distance"][0] + length) > 1e-5


@pytest.mark.parametrize("mode", ["stable", "paper"])
@pytest.mark.parametrize("length", [0.0, 1e-44, 1e9, 1e30])
def test_extreme_rows_touch_no_other(mode: Any, length: float, points: Sides) -> None:
    images, texts = (side[GOOD] for side in points)
    measure = Measure(reference(*points), mode)
    before = measure.of(images, texts)
    images, texts = images.copy(), texts.copy()
    images[0] = texts[0] = length
    after = measure.of(images, texts)
    for name, values in before.items():
        assert np.array_equal(after[name][1:], values[1:]), name


def test_weights(pool: Path, points: Sides, tmp_path: Path) -> None:
    weights = {"image_specificity": -0.05, "neg_distance": 0.45, "text_specificity": 0}
    made = scorer(pool, tmp_path / "run", reference(*points), weights=weights, name="mixed")
    run_scorer(made, tmp_path / "run")
    parts = [column(tmp_path / "run", part, "mixed").astype(np.float64) for part in weights]
    total = sum(w * values for w, values in zip(weights.values(), parts, strict=True))
    assert column(tmp_path / "run", "", "mixed")[GOOD] == pytest.approx(total[GOOD], abs=2e-7)


def test_a_bad_row_has_a_reason_and_touches_no_other(
    pool: Path, points: Sides, expected: dict[str, np.ndarray], tmp_path: Path
) -> None:
    run_scorer(scorer(pool, tmp_path / "run", reference(*points)), tmp_path / "run")
    assert reasons(tmp_path / "run") == {
        row: f"{side} embedding has a NaN" for row, side in BAD.items()
    }
    for row, side in BAD.items():
        other = "text" if side == "image" else "image"
        assert np.isnan(column(tmp_path / "run", "")[row])
        assert np.isnan(column(tmp_path / "run", f"{side}_specificity")[row])
        assert np.isnan(column(tmp_path / "run", f"{side}_radius")[row])
        assert np.isfinite(column(tmp_path / "run", f"{other}_specificity")[row])

    write_pool(tmp_path / "clean", SIZES, bad={})
    run_scorer(scorer(tmp_path / "clean", tmp_path / "2", reference(*points)), tmp_path / "2")
    assert reasons(tmp_path / "2") == {}
    for part in expected:
        clean = column(tmp_path / "2", part)[GOOD]
        assert np.array_equal(clean, column(tmp_path / "run", part)[GOOD])


def test_the_bad_kinds_of_rows(points: Sides, tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    images, texts = write_pool(folder, [N_ROWS], bad={})
    images[0], texts[0] = 0, np.inf
    images[1], texts[2] = 1e9, 0
    np.savez(folder / "00.npz", img=images, txt=texts)
    run_scorer(scorer(folder, tmp_path / "run", reference(*points)), tmp_path / "run")
    told = reasons(tmp_path / "run")
    assert [*told] == [0, 2]
    assert "image embedding is zero; text embedding" in told[0]
    assert told[2] == "text embedding is zero"
    assert column(tmp_path / "run", "image_radius")[1] == np.float32(np.arcsinh(2.0**15))
    assert np.isfinite(column(tmp_path / "run", "")[1])


@pytest.mark.parametrize("side", ["image", "text"])
def test_one_side_alone(
    side: str, points: Sides, expected: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """The other side is not in the pool, and the reference holds no rows of the side itself."""
    pool = tmp_path / "pool"
    write_pool(pool, SIZES)
    for file in pool.glob("*.npz"):
        rows = np.load(file)
        kept = {"image": "img", "text": "txt"}[side]
        np.savez(file, **{kept: rows[kept]})
    both = reference(*points)
    halves = {"image": (None, both.txt), "text": (both.img, None)}[side]
    numbers = [None if half is None else np.arange(len(half)) for half in halves]
    against = Reference(both.space, *halves, *numbers, None, None, {})
    run_scorer(scorer(pool, tmp_path / "run", against, side), tmp_path / "run")
    assert table(tmp_path / "run").schema.names == [
        *["uid", "hype", f"hype_{side}_specificity", f"hype_{side}_error"],
        *[f"hype_{side}_entailed", f"hype_{side}_radius", "reason"],
    ]
    good = np.array([BAD.get(row) != side for row in range(N_ROWS)])
    known = good[GOOD.nonzero()[0]]
    assert known.all()
    for part in ("specificity", "error", "entailed", "radius"):
        found = column(tmp_path / "run", f"{side}_{part}")
        assert found[GOOD] == pytest.approx(expected[f"{side}_{part}"], abs=1e-6)
    main = column(tmp_path / "run", "")
    assert np.array_equal(main[good], column(tmp_path / "run", f"{side}_specificity")[good])
    why = f"{side} embedding has a NaN"
    assert reasons(tmp_path / "run") == dict.fromkeys(np.flatnonzero(~good).tolist(), why)


@pytest.mark.parametrize("mode", ["stable", "paper"])
def test_units_parts_and_threads_change_nothing(
    mode: str, points: Sides, pinned: Pin, tmp_path: Path
) -> None:
    against = reference(*points)

    def scored(run: str, sizes: tuple[int, ...], **options: Any) -> bytes:
        folder = tmp_path / f"pool-{len(sizes)}"
        if not folder.exists():
            write_pool(folder, sizes)
        for part in options.pop("parts", [None]):
            made = scorer(folder, tmp_path / run, against, mode=mode)
            run_scorer(made, tmp_path / run, part=part, **options)
        step = tmp_path / run / "scores/hype"
        return (step / "scores.parquet").read_bytes() + (step / "summary.json").read_bytes()

    whole = scored("whole", (N_ROWS,))
    assert scored("rows", (N_ROWS,), rows_per_unit=1) == whole
    assert scored("cut", SIZES, rows_per_unit=7) == whole
    assert scored("parts", SIZES, rows_per_unit=5, parts=[(2, 2), (1, 2), None]) == whole
    with pinned(threads=1):
        assert scored("thread", SIZES, rows_per_unit=64) == whole


@pytest.fixture(scope="module")
def wide() -> Sides:
    """Rows of so many columns that a matrix product of other shape is other bits."""
    random = np.random.default_rng(3)
    return tuple(random.normal(0, 0.05, (300, 384)).astype(np.float32) for _ in range(2))


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(1, 299), max_size=4, unique=True), first=st.integers(0, 3000))
@pytest.mark.parametrize("mode", ["stable", "paper"])
def test_rows_in_memory_however_they_are_cut(
    mode: Any, wide: Sides, cuts: list[int], first: int
) -> None:
    images, texts = wide
    measure = Measure(reference(*wide), mode)
    whole = measure.of(images, texts, first)
    ends = [0, *sorted(cuts), len(images)]
    parts = [
        measure.of(images[a:b], texts[a:b], first + a)
        for a, b in zip(ends[:-1], ends[1:], strict=True)
    ]
    for name, values in whole.items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), values), name


def test_a_step_that_stops_anywhere_ends_with_the_same_bytes(
    pool: Path, points: Sides, tmp_path: Path
) -> None:
    against = reference(*points)
    run_scorer(scorer(pool, tmp_path / "whole", against), tmp_path / "whole", rows_per_unit=8)
    stops = 0
    while True:
        made = scorer(pool, tmp_path / "run", against)
        with mock.patch.object(made, "score", side_effect=_once(made.score)):
            try:
                run_scorer(made, tmp_path / "run", rows_per_unit=8)
                break
            except KeyboardInterrupt:
                stops += 1
    assert stops == 8  # units of 31 + 1 + 28 rows, 8 at a time, less the last
    assert snapshot(tmp_path / "run") == snapshot(tmp_path / "whole")


def _once(score: Callable[[Unit], Scores]) -> Callable[[Unit], Scores]:
    calls: list[Unit] = []

    def scored(unit: Unit) -> Scores:
        if calls:
            raise KeyboardInterrupt
        calls.append(unit)
        return score(unit)

    return scored


def test_what_changes_a_score_is_refused(pool: Path, points: Sides, tmp_path: Path) -> None:
    run, against = tmp_path / "run", reference(*points)
    run_scorer(scorer(pool, run, against), run)
    before = snapshot(run)
    other = reference(points[0][::-1], points[1][::-1])
    for changed in (
        scorer(pool, run, other),
        scorer(pool, run, against, mode="paper"),
        scorer(pool, run, against, min_radius=0.2),
        scorer(pool, run, against, clamp=True),
        scorer(pool, run, against, weights={"neg_distance": 2}),
        scorer(pool, run, against, "image"),
    ):
        with pytest.raises(ChangedError):
            run_scorer(changed, run)
    assert snapshot(run) == before


def test_a_reference_of_another_space_or_side(pool: Path, points: Sides, tmp_path: Path) -> None:
    for space, what in (
        ({"curvature": 1.0}, "curvature"),
        ({"model": "n"}, "model"),
        ({"kind": "space"}, "kind"),
    ):
        with pytest.raises(PoolError, match=what):
            scorer(pool, tmp_path, reference(*points, **space))
    narrow = reference(*(side[:, :4] for side in points))
    with pytest.raises(PoolError, match="dim"):
        scorer(pool, tmp_path, narrow)
    both = reference(*points)
    texts_only = Reference(both.space, None, both.txt, None, both.txt_rows, None, None, {})
    with pytest.raises(PoolError, match=r"reference with images \(img\), which texts are measured"):
        scorer(pool, tmp_path, texts_only)
    with pytest.raises(PoolError, match=r"reference with images \(img\)"):
        scorer(pool, tmp_path, texts_only, "text")
    scorer(pool, tmp_path, texts_only, "image")
    with pytest.raises(ValueError, match="that texts can be measured against"):
        Measure(texts_only).of(None, points[1])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mode": "fast"}, "mode"),
        ({"min_radius": 0}, "min_radius"),
        ({"weights": {"clip": 1}}, "this score has no such term"),
        ({"weights": {"size": 1}}, "is no term"),
        ({"given": {"size": None}}, "expected the given terms clip and imagenet, got size"),
        ({"weights": {"neg_distance": float("nan")}}, "expected a finite number, got nan"),
    ],
)
def test_settings_out_of_range(
    options: dict[str, Any], told: str, pool: Path, points: Sides, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=told):
        scorer(pool, tmp_path, reference(*points), **options)


def test_the_table_says_what_it_depends_on(pool: Path, points: Sides, tmp_path: Path) -> None:
    against = reference(*points, model=None)
    made = scorer(pool, tmp_path, against)
    assert made.depends() == {"reference": against.digest, "model": "m"}
