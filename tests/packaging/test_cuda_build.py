"""When tamis._cuda is built, what its file is like, and the check of its machine code.

`make cuda` names the file in TAMIS_CUDA_MODULE.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest
from tests.packaging.systems import COMPILER, LIBC

ROOT = pathlib.Path(__file__).parents[2]
LARGEST = 8 << 20  # bytes; a jump past this is a library that crept in


# --- the module as a file ---------------------------------------------------------------------


@pytest.fixture
def module() -> pathlib.Path:
    name = os.environ.get("TAMIS_CUDA_MODULE")
    if not name:
        pytest.skip("TAMIS_CUDA_MODULE names no module: run `make cuda`")
    return pathlib.Path(name)


def run(*words: str, **environment: str) -> str:
    done = subprocess.run(
        words, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_module_needs_the_system_libraries_only(module: pathlib.Path) -> None:
    lines = run("ldd", str(module)).splitlines()
    needed = {line.split()[0].rsplit("/", 1)[-1] for line in lines}
    assert needed - {"linux-vdso.so.1"} <= LIBC | COMPILER
    assert module.stat().st_size < LARGEST


def test_the_module_exports_its_entry_point_only(module: pathlib.Path) -> None:
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm (binutils) is missing")
    lines = run(nm, "--dynamic", "--defined-only", "--format=posix", str(module)).splitlines()
    strong = {line.split()[0] for line in lines if line.split()[1] in "TDB"}
    assert strong == {"PyInit__cuda"}


IMPORT = """
import importlib.machinery, importlib.util, json, sys
import tamis
assert "tamis._cuda" not in sys.modules, "importing tamis imports tamis._cuda"
loader = importlib.machinery.ExtensionFileLoader("tamis._cuda", sys.argv[1])
spec = importlib.util.spec_from_file_location("tamis._cuda", sys.argv[1], loader=loader)
module = importlib.util.module_from_spec(spec)
loader.exec_module(module)
from tamis import _native
_native._module = module
"""
HIDDEN = {"CUDA_VISIBLE_DEVICES": ""}  # where there is a GPU


def test_the_module_imports_without_a_gpu_and_says_so(module: pathlib.Path) -> None:
    script = IMPORT + "print(json.dumps(tamis.info()['cuda']))"
    facts = json.loads(run(sys.executable, "-c", script, str(module), **HIDDEN))
    assert facts["built"] and not facts["available"]
    assert facts["architectures"] == ["sm_80", "compute_80", "sm_90a"]
    assert facts["reason"].startswith(
        ("no NVIDIA driver is loaded", "the NVIDIA driver is too old", "no GPU is visible")
    )


def test_the_import_looks_for_no_driver(module: pathlib.Path) -> None:
    script = IMPORT + "print('imported', file=sys.stderr, flush=True); tamis.info()"
    searches = {"LD_DEBUG": "libs"}  # glibc's loader then tells each library that it looks for
    done = subprocess.run(
        [sys.executable, "-c", script, str(module)],
        env=os.environ | HIDDEN | searches,
        capture_output=True,
        text=True,
        check=True,
    )
    before, _, after = done.stderr.partition("imported\n")
    assert "libcuda.so" not in before and "libcuda.so" in after


# --- when it is built -------------------------------------------------------------------------

PROBE = """
macro(enable_language name)  # no compiler is needed to see what is decided
  set(CMAKE_CUDA_COMPILER_VERSION ${PROBE_VERSION})
endmacro()
macro(check_language name)
  if(PROBE_WORKS)
    set(CMAKE_CUDA_COMPILER ${TAMIS_NVCC})
  endif()
endmacro()
macro(install kind file)
  message(STATUS "installed: ${file}")
endmacro()
include(${PROBE_FILE})
tamis_cuda_architectures(architectures)
message(STATUS "built: ${TAMIS_CUDA_BUILT} for ${architectures}")
"""


@pytest.fixture
def decided(tmp_path: pathlib.Path) -> Any:
    """`decided("ON", nvcc=..., driver=...)`: what cmake/cuda.cmake says."""
    folder = pathlib.Path(sys.executable).parent
    cmake = shutil.which("cmake", path=f"{folder}:{os.environ['PATH']}")
    if cmake is None:
        pytest.skip("cmake is missing")
    text = (ROOT / "cmake/cuda.cmake").read_text()
    assert "include(CheckLanguage)\n" in text
    (tmp_path / "cuda.cmake").write_text(text.replace("include(CheckLanguage)\n", ""))
    (tmp_path / "probe.cmake").write_text(PROBE)
    programs = tmp_path / "usr/local/cuda/bin"
    programs.mkdir(parents=True)

    def say(
        wanted: str, *, nvcc: bool, driver: bool, works: bool = True, version: str = "13.0.88"
    ) -> str:
        if nvcc:
            (programs / "nvcc").write_text("#!/bin/sh\n")
            (programs / "nvcc").chmod(0o755)
        done = subprocess.run(
            [
                cmake,
                f"-DTAMIS_CUDA={wanted}",
                f"-DTAMIS_NVIDIA_DRIVER=/no/such/file;{tmp_path if driver else '/nor/this'}",
                f"-DPROBE_FILE={tmp_path / 'cuda.cmake'}",
                f"-DPROBE_WORKS={works}",
                f"-DPROBE_VERSION={version}",
                # Of this machine nothing is to be found.
                f"-DCMAKE_FIND_ROOT_PATH={tmp_path}",
                "-DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=ONLY",
                *("-P", str(tmp_path / "probe.cmake")),
            ],
            env={key: value for key, value in os.environ.items() if key != "CUDACXX"},
            capture_output=True,
            text=True,
            check=False,
        )
        return " ".join((done.stdout + done.stderr).split())

    return say


BUILT = "built: ON for sm_80,compute_80,sm_90a"


def test_auto_builds_where_nvcc_and_a_driver_are(decided: Any) -> None:
    assert BUILT in decided("AUTO", nvcc=True, driver=True)


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        ({"nvcc": True, "driver": False}, "there is no NVIDIA driver"),
        ({"nvcc": False, "driver": False}, "there is no NVIDIA driver"),
        ({"nvcc": False, "driver": True}, "nvcc was not found"),
        ({"nvcc": True, "driver": True, "works": False}, "does not work with"),
        ({"nvcc": True, "driver": True, "version": "11.8.89"}, "it needs CUDA 12 or newer"),
    ],
)
def test_auto_says_why_it_does_not_build(decided: Any, machine: dict[str, Any], why: str) -> None:
    told = decided("AUTO", **machine)
    assert "built: OFF" in told and why in told
    assert "rror" not in told


def test_on_needs_no_driver(decided: Any) -> None:
    assert BUILT in decided("ON", nvcc=True, driver=False)


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        ({"nvcc": False, "driver": True}, "TAMIS_CUDA=ON: nvcc was not found"),
        (
            {"nvcc": True, "driver": True, "version": "11.8.89"},
            "TAMIS_CUDA=ON: it needs CUDA 12 or newer",
        ),
    ],
)
def test_on_fails_without_a_new_enough_nvcc(
    decided: Any, machine: dict[str, Any], why: str
) -> None:
    told = decided("ON", **machine)
    assert "CMake Error" in told and why in told and "built:" not in told


def test_off_builds_nothing(decided: Any) -> None:
    told = decided("OFF", nvcc=True, driver=True)
    assert "built: OFF" in told and "TAMIS_CUDA is OFF" in told


def test_a_module_that_was_built_before_is_installed(decided: Any, tmp_path: pathlib.Path) -> None:
    built = tmp_path / "_cuda.so"
    built.touch()
    told = decided(str(built), nvcc=True, driver=True)
    assert f"installed: {built}" in told and "built: OFF" in told


def test_a_module_that_is_not_there_is_an_error(decided: Any, tmp_path: pathlib.Path) -> None:
    told = decided(str(tmp_path / "_cuda.so"), nvcc=True, driver=True)
    assert "CMake Error" in told and "_cuda.so: there is no such file" in told


# --- the check of the machine code ------------------------------------------------------------
