"""tamis._cuda: what it refuses before any kernel starts."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import numpy as np
import pytest

HERE = {"device": 0, "stream": 0}
AT = 1 << 20  # an address that nobody reads, because the call is refused
ROWS = {"x": AT, "n_rows": 5, "dim": 8}
CENTROIDS = {"centroids": AT, "n_clusters": 3}
WORK = {"work": AT, "work_bytes": 1 << 40}
POINTS = {"n_rows": 5, "n_columns": 8, "element": "float32", "kind": 2, "curvature": 0.5}
SCORED = {"rows": AT, "references": AT, "n_references": 4}
CALLS: dict[str, dict[str, Any]] = {
    "canonical": {**ROWS, "element": "float32", "rows": AT, "state": AT, **HERE},
    "squared_norms": {**ROWS, "squares": AT, **HERE},
    "assign": {
        **(ROWS | CENTROIDS | WORK | HERE),
        "euclidean": False,
        "labels": AT,
        "scores": AT,
        "counts": None,
    },
    "score_labels": {
        **(ROWS | CENTROIDS | HERE),
        "euclidean": True,
        "labels": AT,
        "scores": AT,
    },
    "assign_work_bytes": {**ROWS, **CENTROIDS, "euclidean": False, "device": 0},
    "assign_exact": {
        **(ROWS | CENTROIDS | WORK | HERE),
        "element": "float64",
        "euclidean": True,  # for dot no work is needed
        "top": 2,
        "labels": AT,
        "scores": AT,
    },
    "assign_exact_work_bytes": {
        **(ROWS | CENTROIDS),
        "element": "float64",
        "euclidean": False,
        "device": 0,
    },
    "update_work_bytes": {"n_rows": 5, "dim": 8, "n_clusters": 3},
    "update_centroids": {
        **(ROWS | CENTROIDS | WORK | HERE),
        "labels": AT,
        "spherical": True,
        "next": AT,
    },
    "add_rows_work_bytes": {"n_rows": 5, "n_clusters": 3},
    "add_rows": {
        **(ROWS | WORK | HERE),
        "n_clusters": 3,
        "labels": AT,
        "sum": AT,
        "count": AT,
    },
    "next_centroids": {
        **(CENTROIDS | HERE),
        "dim": 8,
        "sum": AT,
        "count": AT,
        "spherical": True,
        "next": AT,
    },
    "add_inertia": {**(ROWS | CENTROIDS | HERE), "labels": AT, "total": AT},
    "count_changed": {"labels": AT, "before": AT, "n_rows": 5, "changed": AT, **HERE},
    "paired_cosine": {
        "x": AT,
        "n_x": 5,
        "i": AT,
        "y": AT,
        "n_y": 4,
        "j": AT,
        "dim": 8,
        "n_pairs": 3,
        "cosine": AT,
        **HERE,
    },
    "lorentz_radii": {**(POINTS | HERE), "x": AT, "radius": AT, "norm": AT, "state": AT},
    "lorentz_paired": {
        **(POINTS | HERE),
        "apex": AT,
        "point": AT,
        "measure": 2,
        "min_radius": 0.1,
        "value": AT,
    },
    "lorentz_all_pairs": {
        **{name: value for name, value in (POINTS | HERE).items() if name != "n_rows"},
        "apex": AT,
        "n_apexes": 5,
        "point": AT,
        "n_points": 4,
        "measure": 2,
        "min_radius": 0.1,
        "value": AT,
    },
    "lorentz_specificity_work_bytes": {**(POINTS | SCORED), "device": 0},
    "lorentz_specificity": {
        **(POINTS | SCORED | WORK | HERE),
        "rows_are_apexes": False,
        "min_radius": 0.1,
        "sum": AT,
        "square": AT,
        "clamped": AT,
        "entailed": AT,
        "redone": AT,
    },
    "fill": {"to": AT, "byte": 0, "n_bytes": 8, **HERE},
    "copy": {"to": AT, "from_": AT, "n_bytes": 8, **HERE},
}
OPTIONAL = {("canonical", "rows"), ("assign", "counts"), ("assign", "scores")}
ADDRESSES = {
    *("x", "y", "i", "j", "rows", "state", "squares", "centroids", "labels", "scores", "counts"),
    *("work", "next", "sum", "count", "total", "before", "changed", "cosine", "to", "from_"),
    *("radius", "norm", "apex", "point", "value"),
    *("references", "square", "clamped", "entailed", "redone"),
}
BYTES = {"state", "to", "from_"}  # any address will do


def cases(names: set[str]) -> list[tuple[str, str]]:
    return [(call, name) for call, given in CALLS.items() for name in given if name in names]


def refuse(module: ModuleType, call: str, error: type[Exception], **changes: Any) -> str:
    with pytest.raises(error) as refused:
        getattr(module, call)(**(CALLS[call] | changes))
    return str(refused.value)


@pytest.mark.parametrize("nothing", [None, 0])
@pytest.mark.parametrize(("call", "name"), sorted({*cases(ADDRESSES)} - OPTIONAL))
def test_an_address_is_needed(
    module: ModuleType, call: str, name: str, nothing: int | None
) -> None:
    assert refuse(module, call, ValueError, **{name: nothing}) == (
        f"{name}: expected an address, got none"
    )


@pytest.mark.parametrize(("call", "name"), cases(ADDRESSES - BYTES))
def test_an_address_is_aligned(module: ModuleType, call: str, name: str) -> None:
    told = refuse(module, call, ValueError, **{name: AT + 1})
    assert re.fullmatch(rf"{name}: expected an address aligned to \d+ bytes", told)


@pytest.mark.parametrize(
    ("call", "name"), cases({"n_rows", "n_x", "n_y", "n_pairs", "n_bytes", "n_references"})
)
@pytest.mark.parametrize("number", [-1, 1 << 62])
def test_sizes_are_in_range(module: ModuleType, call: str, name: str, number: int) -> None:
    assert f"got {number}" in refuse(module, call, ValueError, **{name: number})


@pytest.mark.parametrize(("call", "name"), cases({"dim"}))
@pytest.mark.parametrize("number", [-1, 0, 65537])
def test_rows_have_1_to_65536_columns(
    module: ModuleType, call: str, name: str, number: int
) -> None:
    assert refuse(module, call, ValueError, dim=number) == (
        f"dim: expected 1 to 65536, got {number}"
    )


@pytest.mark.parametrize(("call", "name"), cases({"kind"}))
def test_points_are_of_a_space(module: ModuleType, call: str, name: str) -> None:
    for number in (-1, 0, 1, 65537):
        told = refuse(module, call, ValueError, n_columns=number)
        assert told == f"n_columns: expected 2 to 65536, got {number}"  # a time part, too
    for kind in (-1, 4):
        assert refuse(module, call, ValueError, kind=kind) == f"kind: expected 0 to 3, got {kind}"
    for number in (0.0, -1.0, np.nan, np.inf):
        told = refuse(module, call, ValueError, curvature=number)
        assert told == "curvature: expected a number above 0"


@pytest.mark.parametrize(("call", "name"), cases({"min_radius"}))
def test_a_least_radius_is_above_0(module: ModuleType, call: str, name: str) -> None:
    for number in (0.0, -1.0, np.nan, np.inf):
        told = refuse(module, call, ValueError, min_radius=number)
        assert told == "min_radius: expected a number above 0"


def test_measures_are_known(module: ModuleType) -> None:
    told = refuse(module, "lorentz_paired", ValueError, measure=4)
    assert told == "measure: expected 0 to 3, got 4"


@pytest.mark.parametrize(("call", "name"), cases({"n_clusters"}))
@pytest.mark.parametrize("number", [-1, 0, 1 << 31])
def test_there_are_1_to_2147483647_clusters(
    module: ModuleType, call: str, name: str, number: int
) -> None:
    assert refuse(module, call, ValueError, n_clusters=number) == (
        f"n_clusters: expected 1 to 2147483647, got {number}"
    )


@pytest.mark.parametrize("call", ["add_rows", "add_inertia", "count_changed"])
def test_problems_are_of_one_size(module: ModuleType, call: str) -> None:
    for number in (-1, 0, 65536):
        told = refuse(module, call, ValueError, n_problems=number)
        assert told == f"n_problems: expected 1 to 65535, got {number}"
    for size in {"n_rows", "n_clusters"} & CALLS[call].keys():
        told = refuse(module, call, ValueError, **{"n_rows": 6, "n_problems": 3, size: 5})
        assert told == "n_problems: expected a divisor of n_rows and n_clusters, got 3"


@pytest.mark.parametrize(("call", "name"), cases({"work_bytes"}))
def test_work_is_large_enough(module: ModuleType, call: str, name: str) -> None:
    told = refuse(module, call, ValueError, work_bytes=0)
    assert re.fullmatch(r"work: expected at least [1-9]\d* bytes, got 0", told)
    assert "got -1" in refuse(module, call, ValueError, work_bytes=-1)


@pytest.mark.parametrize(("call", "name"), cases({"element"}))
def test_elements_are_known(module: ModuleType, call: str, name: str) -> None:
    told = refuse(module, call, ValueError, element="int8")
    assert told.startswith("element: expected ") and told.endswith(", got int8")


@pytest.mark.parametrize("top", [-1, 0, 4])
def test_top_is_at_most_the_number_of_centroids(module: ModuleType, top: int) -> None:
    told = refuse(module, "assign_exact", ValueError, top=top)
    assert told == f"top: expected 1 to 3, got {top}"


def test_top_is_at_most_64(module: ModuleType) -> None:
    told = refuse(module, "assign_exact", ValueError, top=65, n_clusters=100)
    assert told == "top: expected 1 to 64, got 65"


@pytest.mark.parametrize(("call", "name"), cases(ADDRESSES))
def test_addresses_are_numbers_that_fit(module: ModuleType, call: str, name: str) -> None:
    for word in (-1, 1 << 64, "x", 1.5):
        refuse(module, call, TypeError, **{name: word})


def test_a_byte_is_a_byte(module: ModuleType) -> None:
    assert refuse(module, "fill", ValueError, byte=256) == "byte: expected 0 to 255, got 256"
