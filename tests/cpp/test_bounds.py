"""The error of every approximate score is within its bound, and the bound is no excuse."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

CPP = Path(__file__).parents[2] / "cpp"
COMPILER = shutil.which(os.environ.get("CXX", "g++"))
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]
SOURCES = {
    CPP / "src/cpu/kernels_scalar.cpp": [],
    CPP / "src/cpu/kernels_avx2.cpp": AVX2,
    CPP / "src/cpu/kernels_avx512.cpp": AVX512,
    CPP / "src/cpu/kernels_avx512vnni.cpp": [*AVX512, "-mavx512vnni"],
    CPP / "src/cpu/level.cpp": [],
    CPP / "src/cpu/panels.cpp": [],
    Path(__file__).with_name("bounds.cpp"): [],
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("bounds")
    common = [COMPILER, "-std=c++20", "-O1", "-ffp-contract=off"]
    include = [f"-I{CPP / 'include'}", f"-I{CPP / 'src'}"]

    def compile_one(item: tuple[Path, list[str]]) -> Path:
        source, flags = item
        target = folder / f"{source.stem}.o"
        subprocess.run([*common, *flags, *include, "-c", source, "-o", target], check=True)
        return target

    with ThreadPoolExecutor() as pool:
        objects = list(pool.map(compile_one, SOURCES.items()))
    subprocess.run([*common, *objects, "-o", folder / "bounds"], check=True)
    return folder / "bounds"


def test_no_error_exceeds_its_bound(program: Path, levels: Any) -> None:
    worst: dict[str, float] = {}
    for level in levels:
        environment = {**os.environ, "TAMIS_CPU_ISA": level}
        output = subprocess.run(
            [program], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for line in output.splitlines():
            ratio = float(line.split()[-1])
            assert ratio <= 1, line
            kind = line.split()[1]
            worst[kind] = max(worst.get(kind, 0), ratio)
        assert output
    # A bound that nothing comes near sends rows to float64 for nothing.
    assert worst["f32"] > 0.1
    assert worst.get("i8", 1) > 0.9
