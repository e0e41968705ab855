"""Which machine this is, in a name short enough for a folder, and how busy it was."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

_AMD = {
    (23, range(0x30)): "zen1",
    (23, range(0x30, 0x100)): "zen2",
    (25, range(0x10, 0x20)): "zen4",
    (25, range(0x60, 0x80)): "zen4",
    (25, range(0xA0, 0xB0)): "zen4",
    (25, range(0x100)): "zen3",
    (26, range(0x100)): "zen5",
}
_INTEL = {
    0x3C: "haswell",
    0x3F: "haswell",
    0x4F: "broadwell",
    0x55: "skylake-sp",
    0x6A: "icelake-sp",
    0x6C: "icelake-sp",
    0x8F: "sapphirerapids",
    0xCF: "emeraldrapids",
    0xAD: "graniterapids",
    0xAE: "graniterapids",
}


def cpu_facts(path: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """vendor, model_name, family, model and flags of the first processor."""
    text = path.read_text().split("\n\n")[0] if path.exists() else ""
    pairs = (line.partition(":") for line in text.splitlines())
    found = {key.strip(): value.strip() for key, _, value in pairs}
    return {
        "vendor": found.get("vendor_id", platform.machine()),
        "model_name": found.get("model name", "unknown"),
        "family": int(found.get("cpu family", 0)),
        "model": int(found.get("model", 0)),
        "flags": frozenset(found.get("flags", "").split()),
    }


def microarchitecture(vendor: str, family: int, model: int) -> str:
    """A name such as zen5, or amd-f26-m2 where it is not known."""
    if vendor == "AuthenticAMD":
        for (known, models), name in _AMD.items():
            if family == known and model in models:
                return name
    if vendor == "GenuineIntel" and family == 6 and model in _INTEL:
        return _INTEL[model]
    maker = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}.get(vendor, "cpu")
    return f"{maker}-f{family}-m{model}"


def machine_name(facts: dict[str, Any], threads: int, level: str) -> str:
    """For example zen5-2c-avx512vnni."""
    name = microarchitecture(facts["vendor"], facts["family"], facts["model"])
    return f"{name}-{threads}c-{level}"


def conditions(threads: int) -> dict[str, Any]:
    """When, on what, with which libraries, and how busy the machine was before."""
    facts = cpu_facts()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": facts["model_name"],
        "threads": threads,
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "blas": _blas(),
        "openblas_variables": {
            name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")
        },
        "slow_blas": _slow_blas(facts["flags"]),
    }


def _commit() -> str:
    """The short hash, with + where tracked files differ from it."""
    root = Path(__file__).parent
    try:
        words = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _slow_blas(flags: frozenset[str]) -> str:
    """A sentence where a matrix library runs kernels narrower than this machine's."""
    slow = [name for name in ("Haswell", "Zen", "Barcelona", "Prescott") if f"({name})" in _blas()]
    if "avx512f" not in flags or not slow:
        return ""
    return (
        f"OpenBLAS uses its {' and '.join(slow)} kernels on a machine with AVX-512: "
        "--openblas SkylakeX gives the rivals wider ones"
    )


def _blas() -> str:
    """The matrix libraries of numpy and of whatever else is loaded by now."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"numpy: {blas['name']} {blas['version']}"
    found = {
        f"{pool['internal_api']} {pool.get('version') or ''} ({pool.get('architecture', '-')})"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    }
    return ", ".join(sorted(found)) or "unknown"
