"""The machine's peak arithmetic, measured by peaks.cpp with whatever C++ compiler there is."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

NEEDED_FLAGS = {
    "avx2": {"avx2", "fma"},
    "avx512": {"avx512f"},
    "bf16": {"avx512f", "avx512_bf16"},
    "int8": {"avx512f", "avx512_vnni"},
}
"""What /proc/cpuinfo must list for each peak: float32, float32, bfloat16 and int8 multiply-adds."""


def measure_peaks(
    flags: Collection[str], threads: int, *, milliseconds: int = 500
) -> tuple[dict[str, float], str]:
    """GFLOP/s (GOP/s for int8) of all threads together, by name; and why there are none."""
    names = [name for name, needed in NEEDED_FLAGS.items() if needed <= set(flags)]
    compiler = next(filter(None, map(shutil.which, _compilers())), None)
    if not names:
        return {}, "not measured: no AVX2"
    if compiler is None:
        return {}, "not measured: there is no C++ compiler"
    source = Path(__file__).with_name("peaks.cpp")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peaks"
        build = [compiler, "-O2", "-std=c++17", "-pthread", str(source), "-o", str(program)]
        try:
            subprocess.run(build, check=True, capture_output=True, text=True)
            run = [str(program), str(threads), str(milliseconds), *names]
            lines = subprocess.run(run, check=True, capture_output=True, text=True).stdout
        except subprocess.CalledProcessError as error:
            return {}, f"not measured: {compiler} failed ({error.stderr.strip()[:200]})"
    return {name: float(rate) for name, rate in map(str.split, lines.splitlines())}, ""


def _compilers() -> list[str]:
    return [name for name in (os.environ.get("CXX"), "c++", "g++", "clang++") if name]
