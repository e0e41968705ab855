"""The wheel file itself; `make wheel` names it in TAMIS_WHEEL after installing it."""

from __future__ import annotations

import pathlib
import re
import zipfile

from tests.packaging.systems import NEWEST_GLIBC

LARGEST = 4 << 20  # bytes; a jump past this is a library that crept in


def test_the_wheel_runs_on_old_systems(wheel: pathlib.Path) -> None:
    tags = re.findall(r"manylinux_(\d+)_(\d+)_x86_64", wheel.name)
    assert tags, f"{wheel.name} has no manylinux tag"
    assert min((int(a), int(b)) for a, b in tags) <= NEWEST_GLIBC


def test_the_wheel_stays_small(wheel: pathlib.Path) -> None:
    """But for the CUDA module, which has a bound of its own in test_cuda_build.py."""
    entries = zipfile.ZipFile(wheel).infolist()
    cuda = sum(entry.compress_size for entry in entries if entry.filename.startswith("tamis/_cuda"))
    assert wheel.stat().st_size - cuda < LARGEST


def test_the_wheel_holds_the_package_and_no_library(wheel: pathlib.Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"tamis"}
    modules = sorted(re.sub(r"\.[\w-]+\.so$", "", name) for name in names if ".so" in name)
    assert modules in (["tamis/_cpu"], ["tamis/_cpu", "tamis/_cuda"])
    assert not [name for name in names if ".libs/" in name]
