"""tamis._cuda: its stub tells the truth, a plan is checked, and what is accepted comes through."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.cuda.compiled import ROOT

import tamis

HERE = {"device": 0, "stream": 0}
STUB = ROOT / "python/tamis/_cuda.pyi"
AT = 1 << 20  # an address that nobody reads, because the call is refused


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


def test_the_device(module: ModuleType) -> None:
    assert module.device_count() == 1 and module.current_device() == 0
    assert sorted(module.device(0)) == ["capability", "ordinal", "shared_bytes", "sms"]
    module.synchronize(**HERE)
    with pytest.raises(RuntimeError, match="CUDA could not"):
        module.device(7)
    with pytest.raises(RuntimeError, match="CUDA could not"):
        module.synchronize(device=7, stream=0)


def test_fill_and_copy(module: ModuleType) -> None:
    source, target = np.arange(9, dtype=np.uint8), np.zeros(9, np.uint8)
    module.copy(target.ctypes.data, source.ctypes.data, 5, **HERE)
    assert target.tolist() == [0, 1, 2, 3, 4, 0, 0, 0, 0]
    module.fill(target.ctypes.data + 7, 255, 2, **HERE)
    assert target.tolist() == [0, 1, 2, 3, 4, 0, 0, 255, 255]


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
