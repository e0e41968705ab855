"""What is compiled for the tests of CUDA, once for all processes and until a source changes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
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

    Skips the test where there is no compiler.
    """
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    flags = [(str(path), *words) for path, words in sorted(sources.items())]
    state = repr((name, COMPILER, FLAGS, flags, link))
    headers = [*(ROOT / "cpp").rglob("*.h"), *(ROOT / "tests").rglob("*.h")]
    files = [*sources, *headers]
    return once(name, state, files, lambda folder: _compile(folder, name, sources, link))


def once(name: str, state: str, files: Iterable[Path], make: Callable[[Path], None]) -> Path:
    """A file that make(folder) leaves, made anew where the state or one of the files differs.

    Processes that ask at once wait for the first.
    """
    folder = CACHE / _digest(state, files)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                fresh = Path(scratch) / "fresh"
                fresh.mkdir()
                make(fresh)
                fresh.rename(folder)
    return folder / name


def each(sources: Iterable[Path], compile_one: Callable[[Path], str]) -> list[str]:
    """The objects that compile_one makes of the sources, several at once."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(compile_one, sources))


def run(*words: str) -> None:
    """A command that has to succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(words)}\n{done.stderr}", pytrace=False)


def _digest(state: str, files: Iterable[Path]) -> str:
    digest = hashlib.sha256(repr((state, sys.version)).encode())
    for path in sorted(files):
        digest.update(str(path).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(
    folder: Path, name: str, sources: Mapping[Path, Sequence[str]], link: Sequence[str]
) -> None:
    def compile_one(source: Path) -> str:
        target = str(folder / f"{source.name}.o")
        run(str(COMPILER), *FLAGS, *sources[source], "-x", "c++", "-c", str(source), "-o", target)
        return target

    objects = each(sorted(sources), compile_one)
    run(str(COMPILER), "-shared", "-pthread", *link, *objects, "-o", str(folder / name))
    for path in objects:
        Path(path).unlink()
