"""tamis._cuda as nvcc builds it, with its kernels as PTX, over a machine that executes PTX.

Nothing of it is replaced but the CUDA runtime: host code, kernels, inline assembly and the way of a
launch are those of the module. Device memory is the host's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.cuda.compiled import COMPILER, ROOT, each, once, run

MACHINE = ROOT / "tests/ptx/machine"
BINDINGS = ROOT / "cpp/bindings"
TARGETS = ("compute_80", "compute_90a")
HOST = "-fPIC,-fvisibility=hidden,-ffp-contract=off"
COMMON = ["-ccbin", str(COMPILER), f"-Xcompiler={HOST}", "-std=c++20", "-cudart", "none"]
INCLUDES = [f"-I{ROOT / 'cpp/include'}", f"-I{ROOT / 'cpp/src'}"]


def as_built() -> Path:
    """The module, with the PTX of every architecture: TAMIS_PTX_CAPABILITY chooses among them."""
    nvcc = shutil.which(os.environ.get("CUDACXX", "nvcc"))
    if nvcc is None:
        pytest.fail("there is no nvcc: name it by CUDACXX")
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    module = _module(nvcc, version)
    sources = [path for path in MACHINE.glob("*.cpp") if not path.stem.startswith("exports")]
    flags = [*COMMON, "-O2", f"-I{MACHINE}"]

    def make(folder: Path) -> None:
        objects = _objects(nvcc, folder, sources, lambda _: flags)
        # Its CUDA is its own, whatever else of CUDA is loaded.
        link = ["-shared", "-pthread", "-Wl,-Bsymbolic", str(module), *objects]
        run(str(COMPILER), *link, "-o", str(folder / "_cuda.so"))

    state = repr((nvcc, version, flags, module))
    return once("_cuda.so", state, [*sources, *MACHINE.glob("*.h")], make)


def _module(nvcc: str, version: str) -> Path:
    """All but the runtime, in one object."""
    pybind11 = pytest.importorskip("pybind11")
    common = [*COMMON, "-O3", "-DNDEBUG", *INCLUDES]
    targets = [f"-gencode=arch={target},code={target}" for target in TARGETS]
    kernels = [*common, *targets, "--no-compress"]
    bindings = [
        *(*common, f'-DTAMIS_CUDA_ARCHITECTURES="{",".join(TARGETS)}"'),
        *(f"-isystem={pybind11.get_include()}", f"-isystem={sysconfig.get_path('include')}"),
    ]
    folder = ROOT / "cpp/src/cuda"
    sources = [*folder.glob("*.cpp"), BINDINGS / "cuda.cpp"]
    sources += [*folder.glob("*.cu"), BINDINGS / "driver.cu"]

    def make(folder: Path) -> None:
        flags = {".cu": kernels, ".cpp": bindings}
        objects = _objects(nvcc, folder, sources, lambda path: flags[path.suffix])
        run(str(COMPILER), "-r", "-nostdlib", *objects, "-o", str(folder / "module.o"))

    state = repr((nvcc, version, kernels, bindings))
    return once("module.o", state, [*sources, *(ROOT / "cpp").rglob("*.h")], make)


def _objects(
    nvcc: str, folder: Path, sources: Sequence[Path], flags: Callable[[Path], Sequence[str]]
) -> list[str]:
    def compile_one(source: Path) -> str:
        made = str(folder / f"{source.name}.o")
        run(nvcc, *flags(source), "-c", str(source), "-o", made)
        return made

    largest_first = sorted(sources, key=lambda path: (-path.stat().st_size, path))
    return each(largest_first, compile_one)
