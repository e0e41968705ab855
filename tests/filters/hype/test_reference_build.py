"""Which rows a reference is made of."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.filters.hype.reference_pools import (
    BAD,
    CUTS,
    N_ROWS,
    InMemory,
    sides,
    write_pool,
)

from tamis.errors import PoolError
from tamis.filters.hype import reference_build, reference_sample
from tamis.filters.hype.points import open_points
from tamis.filters.hype.reference_build import build_reference
from tamis.filters.hype.reference_file import save_reference
from tamis.filters.hype.reference_sample import sample_points
from tamis.kernels import sample


def by_key(n_rows: int, seed: int) -> list[int]:
    """All rows in the order of their keys."""
    return np.argsort(sample.keys(seed, sample.REFERENCE, range(n_rows))).tolist()


@given(
    n_rows=st.integers(1, 60),
    count=st.integers(1, 80),
    seed=st.integers(0, 5),
    bad=st.lists(
        st.dictionaries(st.integers(0, 59), st.sampled_from("ab")), min_size=1, max_size=2
    ),
    step=st.integers(1, 70),
    spare=st.integers(0, 9),
)
def test_the_sample_is_its_definition(
    n_rows: int, count: int, seed: int, bad: list[dict[int, str]], step: int, spare: int
) -> None:
    given_sides: Any = [InMemory(n_rows, reasons) for reasons in bad]
    with (
        mock.patch.object(reference_sample, "TAKEN_NUMBERS", step),
        mock.patch.object(reference_sample, "_SPARE", spare),
    ):
        found = sample_points(given_sides, count, seed)
    rows, reasons = [], []
    for row in by_key(n_rows, seed):
        if len(rows) == count:
            break
        why = [side[row] for side in bad if row in side]
        (reasons if why else rows).append("; ".join(why) or row)
    assert found.rows.tolist() == rows
    assert found.reasons == {why: reasons.count(why) for why in sorted(set(reasons))}
    for points in found.points:
        assert points[:, 0].tolist() == [row + 1 for row in rows]


def test_a_sample_holds_and_reads_little_of_a_large_pool() -> None:
    side: Any = InMemory(3_000_000, {})
    tracemalloc.start()
    found = sample_points([side], 1000, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.rows) == 1000 and side.taken < 1200
    assert peak < 3_000_000 * 8


def test_points_are_of_the_chosen_rows(tmp_path: Path) -> None:
    images, texts = write_pool(tmp_path / "pool")
    made = build_reference(*sides(tmp_path / "pool", tmp_path), rows=20, seed=4)
    chosen = [row for row in by_key(N_ROWS, 4) if row not in BAD][:20]
    assert made.img_rows.tolist() == made.txt_rows.tolist() == chosen
    assert np.array_equal(made.img, images[chosen]) and np.array_equal(made.txt, texts[chosen])
    assert made.img.dtype == np.float32 and made.space.recipe() == {
        "dim": 6,
        "curvature": 0.5,
        "kind": "tangent",
        "model": "m",
    }
    before = by_key(N_ROWS, 4)[: by_key(N_ROWS, 4).index(chosen[-1])]
    passed = [f"{BAD[row]} embedding has a NaN" for row in before if row in BAD]
    assert passed and made.source["passed_over"] == {why: passed.count(why) for why in passed}


def test_the_file_does_not_depend_on_cuts(tmp_path: Path) -> None:
    found = set()
    for number, cut in enumerate(CUTS):
        pool = tmp_path / f"pool{number}"
        write_pool(pool, cut)
        made = build_reference(*sides(pool, tmp_path), rows=24, seed=1)
        save_reference(made, tmp_path / f"{number}.safetensors")
        found.add(hashlib.sha256((tmp_path / f"{number}.safetensors").read_bytes()).hexdigest())
    assert found == {"841f4f9f3ac6788cfa49a198d61778640d1eddcf07d7e764b0d420104df1f42b"}
    assert made.digest == "d347546a4311b1577ebb51d91a9ddb0071679478ed392fdd208ebe2f8f8125e7"


def test_the_first_rows_are_the_smaller_reference(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool")
    both = sides(tmp_path / "pool", tmp_path)
    small, large = (build_reference(*both, rows=rows, seed=2) for rows in (7, 30))
    assert np.array_equal(small.img, large.img[:7]) and np.array_equal(small.txt, large.txt[:7])


def test_all_usable_rows_where_there_are_fewer(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool")
    made = build_reference(*sides(tmp_path / "pool", tmp_path), rows=1000)
    assert made.rows == 1000 and made.count == {"img": 56, "txt": 56}
    assert sorted(made.img_rows.tolist()) == [row for row in range(N_ROWS) if row not in BAD]
    assert sum(made.source["passed_over"].values()) == len(BAD)


@pytest.mark.parametrize("only", ["image", "text"])
def test_a_row_must_be_usable_on_the_sides_that_are_asked_for(tmp_path: Path, only: str) -> None:
    write_pool(tmp_path / "pool")
    made = build_reference(*sides(tmp_path / "pool", tmp_path, only), rows=1000)
    name, other = ("img", "txt") if only == "image" else ("txt", "img")
    assert made.count == {name: 58} and getattr(made, other) is None
    rows = made.row_numbers[name].tolist()
    assert sorted(rows) == [row for row in range(N_ROWS) if BAD.get(row) != only]


def test_no_usable_row_is_told(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool", [4], bad=dict.fromkeys(range(4), "text"))
    with pytest.raises(PoolError, match=r"expected a usable row .* got none \(text .*: 4\)"):
        build_reference(*sides(tmp_path / "pool", tmp_path))


def test_what_was_asked_for_must_make_sense(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool")
    with pytest.raises(ValueError, match="at least 1 reference row, got 0"):
        build_reference(*sides(tmp_path / "pool", tmp_path), rows=0)
    with pytest.raises(ValueError, match="images, of texts, or of both"):
        build_reference(None, None)


def test_more_than_memory_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pool(tmp_path / "pool")
    monkeypatch.setattr(reference_build, "MOST_NUMBERS", 2 * 6 * 20)
    both = sides(tmp_path / "pool", tmp_path)
    assert build_reference(*both, rows=20).count == {"img": 20, "txt": 20}
    with pytest.raises(ValueError, match=r"at most 240 numbers, got 252; ask for fewer rows"):
        build_reference(*both, rows=21)


def test_sides_of_two_spaces_are_refused(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool")
    images, _ = sides(tmp_path / "pool", tmp_path)
    place = str(tmp_path / "pool")
    texts = open_points("text", tmp_path, pool=place, embedding="txt", curvature=1.0)
    with pytest.raises(PoolError, match=r"different spaces: curvature 0\.5 and 1\.0"):
        build_reference(images, texts)
