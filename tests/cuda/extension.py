"""tamis._cuda over the emulated CUDA: the bindings as they are, kernels that run on a CPU.

Addresses are those of host memory, the only device is 0, and streams finish at once. Nothing is
checked as in library.py, which makes it several times faster.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from tests.cuda.library import COMPILER, EMULATION, FLAGS, ROOT

BINDINGS = ROOT / "cpp/bindings"
VERSIONS = Path(__file__).with_name("versions.h")
CACHE = ROOT / "build/emulated-cuda"


@functools.cache
def emulated_cuda() -> ModuleType:
    """The module, compiled anew where a source has changed."""
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    pybind11 = pytest.importorskip("pybind11")  # a build tool, which `make test` installs
    flags = [
        *FLAGS,
        *("-O2", '-DTAMIS_CUDA_ARCHITECTURES="emulation"', "-include", str(VERSIONS)),
        *(f"-isystem{pybind11.get_include()}", f"-isystem{sysconfig.get_path('include')}"),
    ]
    folder = CACHE / _digest(flags)
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            fresh = Path(scratch) / "module"
            fresh.mkdir()
            _compile(fresh, flags)
            with contextlib.suppress(OSError):  # another process was faster
                fresh.rename(folder)
    return _load(folder / "_cuda.so")


def _sources() -> list[Path]:
    kernels = ROOT / "cpp/src/cuda"
    emulation = [path for path in EMULATION.glob("*.cpp") if not path.stem.startswith("exports_")]
    bindings = [BINDINGS / "cuda.cpp", BINDINGS / "driver.cu"]
    return sorted([*kernels.glob("*.cu"), *kernels.glob("*.cpp"), *emulation, *bindings])


def _digest(flags: list[str]) -> str:
    state = hashlib.sha256(repr((COMPILER, flags, sys.version)).encode())
    headers = [*(ROOT / "cpp").rglob("*.h"), *EMULATION.glob("*.h"), VERSIONS]
    for path in sorted([*_sources(), *headers]):
        state.update(str(path).encode())
        state.update(path.read_bytes())
    return state.hexdigest()[:16]


def _compile(folder: Path, flags: list[str]) -> None:
    def compile_one(source: Path) -> Path:
        target = folder / f"{source.name}.o"
        _run(*flags, "-x", "c++", "-c", str(source), "-o", str(target))
        return target

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = list(pool.map(compile_one, _sources()))
    _run("-shared", "-pthread", *map(str, objects), "-o", str(folder / "_cuda.so"))
    for path in objects:
        path.unlink()


def _run(*words: str) -> None:
    done = subprocess.run([str(COMPILER), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{COMPILER} {' '.join(words)}\n{done.stderr}", pytrace=False)


def _load(path: Path) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("_cuda", str(path))
    spec = importlib.util.spec_from_file_location("_cuda", path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
