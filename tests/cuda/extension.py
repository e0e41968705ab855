"""tamis._cuda over the emulated CUDA: the bindings as they are, kernels that run on a CPU.

Addresses are those of host memory, the only device is 0, and streams finish at once. Nothing is
checked as in library.py, which makes it several times faster.

TAMIS_CUDA_AS_BUILT=90, or 80, puts the module that nvcc builds in its place, on a device of this
compute capability: see as_built.py. With 90-wgmma, that is its mainloop from the start.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest
from tests.cuda.as_built import as_built
from tests.cuda.compiled import EMULATION, ROOT, compiled

BINDINGS = ROOT / "cpp/bindings"
VERSIONS = Path(__file__).with_name("versions.h")


@functools.cache
def emulated_cuda() -> ModuleType:
    """The module, compiled anew where a source has changed."""
    if wanted := os.environ.get("TAMIS_CUDA_AS_BUILT"):
        os.environ["TAMIS_PTX_CAPABILITY"], _, mainloop = wanted.partition("-")
        module = _load(as_built())
        module.use_mainloop(0, mainloop or "mma")
        return module
    pybind11 = pytest.importorskip("pybind11")  # a build tool, which `make test` installs
    flags = [
        *("-O2", '-DTAMIS_CUDA_ARCHITECTURES="emulation"', "-include", str(VERSIONS)),
        *(f"-isystem{pybind11.get_include()}", f"-isystem{sysconfig.get_path('include')}"),
    ]
    return _load(compiled("_cuda.so", dict.fromkeys(_sources(), flags)))


def _sources() -> list[Path]:
    kernels = ROOT / "cpp/src/cuda"
    emulation = [path for path in EMULATION.glob("*.cpp") if not path.stem.startswith("exports_")]
    bindings = [BINDINGS / "cuda.cpp", BINDINGS / "driver.cu"]
    return [*kernels.glob("*.cu"), *kernels.glob("*.cpp"), *emulation, *bindings]


def _load(path: Path) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("_cuda", str(path))
    spec = importlib.util.spec_from_file_location("_cuda", path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
