"""When tamis._cuda is built, what its file is like, and the check of its machine code.

`make cuda` names the file in TAMIS_CUDA_MODULE.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections import Counter
from types import ModuleType
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).parents[2]
ALLOWED = {
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
    "libstdc++.so.6",
    "libgcc_s.so.1",
}
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
    assert needed - {"linux-vdso.so.1"} <= ALLOWED
    assert module.stat().st_size < LARGEST


def test_the_module_exports_its_entry_point_only(module: pathlib.Path) -> None:
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm (binutils) is missing")
    lines = run(nm, "--dynamic", "--defined-only", "--format=posix", str(module)).splitlines()
    strong = {line.split()[0] for line in lines if line.split()[1] in "TDB"}
    assert strong == {"PyInit__cuda"}


LOOK = """
import importlib.machinery, importlib.util, json, sys
import tamis
assert "tamis._cuda" not in sys.modules, "importing tamis imports tamis._cuda"
loader = importlib.machinery.ExtensionFileLoader("tamis._cuda", sys.argv[1])
spec = importlib.util.spec_from_file_location("tamis._cuda", sys.argv[1], loader=loader)
module = importlib.util.module_from_spec(spec)
loader.exec_module(module)
from tamis import _native
_native._module = module
print(json.dumps(tamis.info()["cuda"]))
"""


def test_the_module_imports_without_a_gpu_and_says_so(module: pathlib.Path) -> None:
    hidden = {"CUDA_VISIBLE_DEVICES": ""}  # where there is one
    facts = json.loads(run(sys.executable, "-c", LOOK, str(module), **hidden))
    assert facts["built"] and not facts["available"]
    assert facts["architectures"] == ["sm_80", "compute_80", "sm_90a"]
    assert facts["reason"].startswith(
        ("no NVIDIA driver is loaded", "the NVIDIA driver is too old", "no GPU is visible")
    )


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


# --- the check of the machine code ------------------------------------------------------------


def check_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cuda_check", ROOT / "tools/cuda_check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = check_module()
LISTING = """
Fatbin elf code:
================
arch = {arch}
code version = [1,8]

	code for {arch}
		Function : _ZN5tamis4cuda15find_candidatesENS_8HalfRowsE
	.headerflags	@"EF_CUDA_TEXMODE_UNIFIED EF_CUDA_64BIT_ADDRESS"
        /*0000*/                   MOV R1, c[0x0][0x28] ;          /* 0x00000a0000017a02 */
                                                                   /* 0x000fc40000000f00 */
        /*0010*/              @!P0 LDGSTS.E.BYPASS.128 [R2], [R4.64] ; /* 0x0000000004027fae */
        /*0020*/                   LDSM.16.M88.4 R8, [R2] ;        /* 0x000000000208783b */
        /*0030*/                   HMMA.16816.F32 R4, R8, R12, R4 ;/* 0x0000000c0804723c */
        /*0040*/                   EXIT ;                          /* 0x000000000000794d */
		..........
		Function : _ZN5tamis4cuda12_GLOBAL__N_14lookILi1EEEvNS0_6SearchE
        /*0000*/                   LDGSTS.E [R2], [R4.64] ;        /* 0x0000000004027fae */
        /*0010*/              @UP1 LDSM.16.M88.4 R8, [R2] ;        /* 0x000000000208783b */
        /*0020*/                   HMMA.16816.F32 R4, R8, R12, R4 ;/* 0x0000000c0804723c */
		Function : _ZN5tamis4cuda9overlooksEv
        /*0000*/               @P3 STL.128 [R1], R12 ;             /* 0x0000000c01007387 */
"""
USAGE = """
arch = {arch}
Resource usage:
 Common:
  GLOBAL:0
 Function _ZN5tamis4cuda15find_candidatesENS_8HalfRowsE:
  REG:128 STACK:{stack} SHARED:0 LOCAL:0 CONSTANT[0]:364 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function _ZN5tamis4cuda9overlooksEv:
  REG:32 STACK:64 SHARED:0 LOCAL:0 CONSTANT[0]:364 TEXTURE:0 SURFACE:0 SAMPLER:0
"""


def both(text: str, **values: Any) -> list[str]:
    parts = [text.format(arch=arch, **values) for arch in ("sm_80", "sm_90a")]
    return "".join(parts).splitlines()


def test_the_check_reads_instructions_and_stacks() -> None:
    code = check.instructions(both(LISTING))
    kernel = check.Kernel("sm_90a", "_ZN5tamis4cuda15find_candidatesENS_8HalfRowsE")
    assert code[kernel] == Counter(MOV=1, LDGSTS=1, LDSM=1, HMMA=1, EXIT=1)
    assert len(code) == 6
    assert check.stacks(both(USAGE, stack=24))[kernel] == 24


@pytest.mark.parametrize(
    ("mangled", "name"),
    [
        ("_Z4lookPf", "look"),
        ("_ZN5tamis4cuda12_GLOBAL__N_14lookILi1EEEvNS0_6SearchE", "look"),
        ("_ZN5tamis4cuda45_GLOBAL__N__17150a11_12_canonical_cu_0b09bd244lookIdEEv", "look"),
        ("main", ""),
    ],
)
def test_the_check_reads_mangled_names(mangled: str, name: str) -> None:
    assert check.name_of(check.Kernel("sm_80", mangled)) == name


def test_the_check_accepts_what_is_right() -> None:
    code, stack = check.instructions(both(LISTING)), check.stacks(both(USAGE, stack=0))
    assert check.faults(code, stack, ["sm_80"]) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("HMMA", "FFMA", "has no HMMA for sm_90a"),
        ("LDSM", "LDS", "has no LDSM for sm_80"),
        ("LDGSTS", "LDG", "has no LDGSTS for sm_80"),
        ("15find_candidates", "14find_candidate", "sm_80 has no kernel find_candidates"),
        ("4look", "5looks", "sm_90a has no kernel look"),
        ("MOV R1", "STL R1", "has 1 local loads and stores"),
        ("MOV R1", "LDL.64 R1", "has 1 local loads and stores"),
    ],
)
def test_the_check_finds_what_is_wrong(old: str, new: str, told: str) -> None:
    code = check.instructions(both(LISTING.replace(old, new)))
    stack = check.stacks(both(USAGE, stack=0))
    assert any(told in fault for fault in check.faults(code, stack, ["sm_80"]))


def test_the_check_finds_a_stack_and_missing_ptx() -> None:
    code, stack = check.instructions(both(LISTING)), check.stacks(both(USAGE, stack=8))
    said = check.faults(code, stack, [])
    assert said[0] == "there is no PTX for sm_80"
    assert [re.sub(":.*", "", fault) for fault in said[1:]] == [
        f"a matrix kernel for {arch} keeps 8 bytes of stack and has 0 local loads and stores"
        for arch in ("sm_80", "sm_90a")
    ]
