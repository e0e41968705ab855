"""tamis._cuda: what it refuses before any kernel starts, and that its stub tells the truth."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.cuda.extension import emulated_cuda
from tests.cuda.library import ROOT

import tamis

HERE = {"device": 0, "stream": 0}
STUB = ROOT / "python/tamis/_cuda.pyi"
AT = 1 << 20  # an address that nobody reads, because the call is refused


@pytest.fixture(scope="session")
def module() -> ModuleType:
    return emulated_cuda()


# --- the stub ---------------------------------------------------------------------------------


def _arguments(function: ast.FunctionDef) -> list[str]:
    given = function.args
    words = [argument.arg for argument in given.args]
    return [*words, *(["*"] if given.kwonlyargs else []), *(a.arg for a in given.kwonlyargs)]


def _stub(path: Path) -> dict[str, list[str]]:
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = _arguments(node)
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                assert isinstance(member, ast.FunctionDef)
                found[f"{node.name}.{member.name}"] = _arguments(member)
    return found


def _signature(function: Any) -> list[str]:
    """The arguments that pybind11 writes into the first line of a docstring."""
    text = re.sub(r"\[[^\]]*\]", "", function.__doc__.splitlines()[0])
    inside = text[text.index("(") + 1 : text.rindex(")")] if "(" in text else ""
    return [word.split(":")[0].strip() for word in inside.split(",") if word.strip()]


def test_the_stub_has_every_function_with_its_arguments(module: ModuleType) -> None:
    found = {}
    for name in dir(module):
        value = getattr(module, name)
        if isinstance(value, type):
            for member in ("__init__", *(word for word in dir(value) if word[0] != "_")):
                found[f"{name}.{member}"] = _signature(getattr(value, member))
        elif not name.startswith("_"):
            found[name] = _signature(value)
    assert len(found) > 25
    assert found == _stub(STUB)


# --- the facts --------------------------------------------------------------------------------


def test_the_device_of_the_emulation(module: ModuleType) -> None:
    assert module.device_count() == 1 and module.current_device() == 0
    facts = module.device(0)
    assert sorted(facts) == ["capability", "ordinal", "shared_bytes", "sms"]
    assert facts["capability"] == 90
    assert module.architectures() == ["emulation"]
    module.synchronize(**HERE)
    with pytest.raises(RuntimeError, match="CUDA could not"):
        module.device(7)
    with pytest.raises(RuntimeError, match="CUDA could not"):
        module.synchronize(device=7, stream=0)
    with pytest.raises(MemoryError, match=r"^CUDA could not make .*: out of memory$"):
        module.synchronize(device=9, stream=0)


def test_fill_and_copy(module: ModuleType) -> None:
    source, target = np.arange(9, dtype=np.uint8), np.zeros(9, np.uint8)
    module.copy(target.ctypes.data, source.ctypes.data, 5, **HERE)
    assert target.tolist() == [0, 1, 2, 3, 4, 0, 0, 0, 0]
    module.fill(target.ctypes.data + 7, 255, 2, **HERE)
    assert target.tolist() == [0, 1, 2, 3, 4, 0, 0, 255, 255]


# --- what is refused --------------------------------------------------------------------------

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
OPTIONAL = {("canonical", "rows"), ("assign", "counts")}
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


# --- max cosine: a plan is checked as on the CPU ----------------------------------------------

OFFSETS = np.array([0, 2, 5])


def plan(module: ModuleType, *given: Any, dim: int = 8, **more: Any) -> Any:
    return module.MaxCosine(*given, dim=dim, device=0, **more)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((OFFSETS[1:], None, None, False), "offsets: expected to start at 0 and to end at 5"),
        ((OFFSETS[:0], None, None, False), "offsets: expected to start at 0"),
        ((np.array([0, 3, 2, 5]), None, None, False), "offsets: expected ascending offsets, got 3"),
        ((OFFSETS, OFFSETS[:2], None, False), "other_offsets: expected 2 segments, as in offsets"),
        ((OFFSETS, None, OFFSETS, False), "limits: expected 5 elements, got 3"),
        (
            (OFFSETS, None, np.array([0, 1, 0, 0, 4]), False),
            "limits: expected 0 to 3, got 4",
        ),
    ],
)
def test_a_plan_is_checked(module: ModuleType, given: tuple[Any, ...], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        plan(module, *given)


def test_a_plan_wants_int64(module: ModuleType) -> None:
    with pytest.raises(TypeError, match="offsets: expected dtype int64, got int32"):
        plan(module, OFFSETS.astype(np.int32), None, None, False)
    with pytest.raises(ValueError, match="dim: expected 1 to 65536, got 0"):
        plan(module, OFFSETS, None, None, False, dim=0)


RUN = dict.fromkeys(("x", "other", "limits", "cosine", "index", "work"), AT)
RUN |= {"counts": 0, "work_bytes": 1 << 40, "stream": 0}


@pytest.mark.parametrize("name", ["x", "other", "limits", "cosine", "index", "work"])
def test_a_run_wants_every_address_of_its_plan(module: ModuleType, name: str) -> None:
    planned = plan(module, OFFSETS, OFFSETS, np.array([0, 1, 3, 0, 0]), False)
    with pytest.raises(ValueError, match=f"^{name}: expected an address, got none$"):
        planned.run(**(RUN | {name: None}))
    with pytest.raises(ValueError, match=f"^{name}: expected an address aligned to"):
        planned.run(**(RUN | {name: AT + 1}))
    with pytest.raises(ValueError, match=r"^work: expected at least [1-9]\d* bytes, got 64$"):
        planned.run(**(RUN | {"work_bytes": 64}))


# --- and that what is accepted comes through --------------------------------------------------


@pytest.mark.parametrize("dim", [1, 8, 33])
def test_labels_and_cosines_are_the_cpus(module: ModuleType, dim: int) -> None:
    x = tamis.canonical(np.random.default_rng(dim).normal(size=(70, dim)))[0]
    centroids = x[:9].copy()
    problem = (x.ctypes.data, 70, dim, centroids.ctypes.data, 9, False)
    needed = module.assign_work_bytes(*problem, device=0)
    work, labels, scores = aligned(needed), np.empty(70, np.int32), np.empty(70)
    outputs = (labels.ctypes.data, scores.ctypes.data, None)
    module.assign(*problem, *outputs, work.ctypes.data, needed, **HERE)
    expected = tamis.assign(x, centroids)
    assert np.array_equal(labels, expected[0])
    assert np.array_equal(scores.astype(np.float32), expected[1])

    offsets = np.array([0, 40, 40, 70])
    planned = plan(module, offsets, None, None, True, dim=dim)
    needed = planned.work_bytes(x.ctypes.data, None)
    work, cosine, index = aligned(needed), np.empty(70), np.empty(70, np.int64)
    outputs = (cosine.ctypes.data, index.ctypes.data, None)
    planned.run(x.ctypes.data, None, None, *outputs, work.ctypes.data, needed, stream=0)
    nearest = tamis.max_cosine(x, offsets, side="others")
    assert np.array_equal(cosine.astype(np.float32), nearest[0])
    assert np.array_equal(index, nearest[1])


def aligned(n_bytes: int) -> Any:
    memory = np.empty(n_bytes + 256, np.uint8)
    start = -memory.ctypes.data % 256
    return memory[start : start + n_bytes]
