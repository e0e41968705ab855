"""What is compiled for the tests of CUDA, once for all processes and until a source changes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EMULATION = Path(__file__).with_name("emulation")
CACHE = ROOT / "build/emulated-cuda"
COMPILER = shutil.which(os.environ.get("CXX", "g++"))
FLAGS = [
    *("-std=c++20", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-DTAMIS_EMULATION"),
    *(f"-I{EMULATION}", f"-I{ROOT / 'cpp/include'}", f"-I{ROOT / 'cpp/src'}"),
]


def compiled(name: str, sources: Mapping[Path, Sequence[str]], *link: str) -> Path:
    """The shared library of these sources, each with flags of its own.

    Skips the test where there is no compiler. Processes that ask at once wait for the first.
    """
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    folder = CACHE / _digest(name, sources, link)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                fresh = Path(scratch) / "fresh"
                fresh.mkdir()
                _compile(fresh, name, sources, link)
                fresh.rename(folder)
    return folder / name


def _digest(name: str, sources: Mapping[Path, Sequence[str]], link: Sequence[str]) -> str:
    flags = [(str(path), *words) for path, words in sorted(sources.items())]
    state = hashlib.sha256(repr((name, COMPILER, FLAGS, flags, link, sys.version)).encode())
    headers = [*(ROOT / "cpp").rglob("*.h"), *Path(__file__).parent.rglob("*.h")]
    for path in sorted([*sources, *headers]):
        state.update(str(path).encode())
        state.update(path.read_bytes())
    return state.hexdigest()[:16]


def _compile(
    folder: Path, name: str, sources: Mapping[Path, Sequence[str]], link: Sequence[str]
) -> None:
    def compile_one(item: tuple[Path, Sequence[str]]) -> str:
        source, flags = item
        target = folder / f"{source.name}.o"
        _run(*FLAGS, *flags, "-x", "c++", "-c", str(source), "-o", str(target))
        return str(target)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = list(pool.map(compile_one, sorted(sources.items())))
    _run("-shared", "-pthread", *link, *objects, "-o", str(folder / name))
    for path in objects:
        Path(path).unlink()


def _run(*words: str) -> None:
    done = subprocess.run([str(COMPILER), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{COMPILER} {' '.join(words)}\n{done.stderr}", pytrace=False)
