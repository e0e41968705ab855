"""The wheel's modules as files, and what its tamis says of CUDA; `make wheel` names the wheel."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from tests.packaging.systems import LIBC, NEWEST_GLIBC


def modules(wheel: pathlib.Path) -> dict[str, str]:
    """The path in the wheel of each compiled module."""
    names = zipfile.ZipFile(wheel).namelist()
    return {pathlib.Path(name).name.partition(".")[0]: name for name in names if ".so" in name}


@pytest.fixture(params=["_cpu", "_cuda"])
def module(request: pytest.FixtureRequest, wheel: pathlib.Path, tmp_path: pathlib.Path) -> str:
    name = modules(wheel).get(request.param)
    if name is None:
        assert request.param == "_cuda"
        pytest.skip("this wheel is for the CPU only")
    return zipfile.ZipFile(wheel).extract(name, tmp_path)


def readelf(option: str, module: str) -> str:
    program = shutil.which("readelf")
    if program is None:
        pytest.skip("readelf (binutils) is missing")
    words = [program, "--wide", option, module]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_a_module_needs_the_c_library_only(module: str) -> None:
    entries = readelf("--dynamic", module)
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", entries))
    assert "libc.so.6" in needed and needed <= LIBC
    assert "RPATH" not in entries and "RUNPATH" not in entries


def test_a_module_asks_for_an_old_glibc_and_python_only(module: str) -> None:
    asked = re.findall(r"GLOBAL +DEFAULT +UND +(\S+)", readelf("--dyn-syms", module))
    assert asked
    for symbol in asked:
        name, _, version = symbol.partition("@")
        if version:
            match = re.fullmatch(r"GLIBC_(\d+)\.(\d+)[.\d]*", version)
            assert match and (int(match[1]), int(match[2])) <= NEWEST_GLIBC, symbol
        else:
            assert name.startswith(("Py", "_Py")), f"no library of an old system has {symbol}"


def test_info_tells_whether_cuda_is_in_the_wheel(wheel: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import json, tamis; print(json.dumps(tamis.info()['cuda']))"],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    facts = json.loads(done.stdout)
    assert facts["built"] == ("_cuda" in modules(wheel)) and not facts["available"]
    if facts["built"]:
        sentences = ("no NVIDIA driver is loaded", "the NVIDIA driver is too old", "no GPU")
    else:
        sentences = ("this build of tamis has no CUDA module",)
    assert facts["reason"].startswith(sentences)
