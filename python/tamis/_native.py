"""The only importer of the compiled modules."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

import tamis._cpu as cpu

__all__ = [
    "bits",
    "cpu",
    "cuda",
    "cuda_absent",
    "cuda_facts",
    "facts",
    "halves",
    "ordinal_of",
    "refuse_cuda",
    "refuse_mainloop",
]

LEAST_CAPABILITY = 80
_R580 = 13  # the major version of CUDA that needs a driver R580 or newer

_module: ModuleType | None = None  # tamis._cuda, once it was asked for
_refused: dict[int, str] = {}
_mainloop_refused: dict[int, str | None] = {}


def bits(rows: npt.NDArray[np.float16]) -> npt.NDArray[np.uint16]:
    """float16 as the uint16 view that crosses the binding."""
    return rows.view(np.uint16)


def halves(words: npt.NDArray[np.uint16]) -> npt.NDArray[np.float16]:
    """The float16 numbers that came back as uint16."""
    return words.view(np.float16)


def facts() -> dict[str, Any]:
    """What the kernels will use: level, levels, threads."""
    return {"level": cpu.level(), "levels": cpu.levels(), "threads": cpu.thread_count()}


def cuda() -> ModuleType:
    """tamis._cuda, imported by the first call.

    Raises:
        RuntimeError: CUDA cannot be used; says why.
    """
    why = cuda_absent()
    if why is not None:
        raise RuntimeError(f'CUDA cannot be used: {why}; use device="cpu"')
    module = _imported()
    assert module is not None
    return module


def cuda_absent(ordinal: int | None = None) -> str | None:
    """Why CUDA, or one device, cannot be used; None where it can.

    Without an ordinal only the module, the driver and the number of GPUs are looked at. That of the
    driver and the GPUs is asked anew by every call, and creates no context.
    """
    module = _imported()
    if module is None:
        return "this build of tamis has no CUDA module"
    why = _driver_absent(module)
    if why is not None:
        return why
    try:
        count = module.device_count()
    except RuntimeError as error:
        return str(error)
    if count == 0:
        return "no GPU is visible"
    if ordinal is None:
        return None
    if not 0 <= ordinal < count:
        seen = "1 GPU is visible" if count == 1 else f"{count} GPUs are visible"
        return f"cuda:{ordinal} does not exist: {seen}"
    capability = module.device(ordinal)["capability"]
    if capability < LEAST_CAPABILITY:
        return (
            f"cuda:{ordinal} has compute capability {_dotted(capability)}, "
            f"tamis needs {_dotted(LEAST_CAPABILITY)} or newer"
        )
    return _refused.get(ordinal)


def refuse_cuda(ordinal: int, why: str) -> None:
    """Use a device no more in this process: cuda_absent(ordinal) is `why` from now on."""
    _refused[ordinal] = why


def refuse_mainloop(ordinal: int, why: str | None) -> None:
    """Note why a device does not use the mainloop that was asked for; None: it does."""
    _mainloop_refused[ordinal] = why


def ordinal_of(device: str | None) -> int | None:
    """The GPU that "cuda" or "cuda:1" names; None for None, "auto" and "cpu".

    Raises:
        RuntimeError: the GPU cannot be used; says why.
        ValueError: there is no such device.
    """
    if device in (None, "auto", "cpu"):
        return None
    kind, colon, number = device.partition(":") if isinstance(device, str) else ("", "", "")
    if kind != "cuda" or (colon and not (number.isascii() and number.isdigit())):
        raise ValueError(
            f'device must be None, "auto", "cpu", "cuda" or "cuda:" and a number, got {device!r}'
        )
    why = cuda_absent(int(number) if colon else None)
    if why is None and not colon:
        number = str(cuda().current_device())
        why = cuda_absent(int(number))
    if why is not None:
        raise RuntimeError(f'device="{device}" cannot be used: {why}; use device="cpu"')
    return int(number)


def cuda_facts() -> dict[str, Any]:
    """Whether CUDA can be used and why not, what was built, the driver's CUDA, the devices."""
    module, why = _imported(), cuda_absent()
    known: dict[str, Any] = {
        "available": why is None,
        "reason": why,
        "built": module is not None,
        "architectures": [],
        "driver": None,
        "devices": [],
    }
    if module is not None:
        known["architectures"] = module.architectures()
        known["driver"] = _version(module.driver_version()) if module.driver_version() else None
    if module is not None and why is None:
        devices = [module.device(ordinal) for ordinal in range(module.device_count())]
        for device in devices:
            device["reason"] = cuda_absent(device["ordinal"])
            device["mainloop"] = module.mainloop(device["ordinal"])
            device["mainloop_reason"] = _mainloop_refused.get(device["ordinal"])
            device["capability"] = _dotted(device["capability"])
        known["devices"] = devices
        reasons = [device["reason"] for device in devices]
        if all(reasons):
            known |= {"available": False, "reason": "; ".join(reasons)}
    return known


def _imported() -> ModuleType | None:
    global _module
    if _module is None and importlib.util.find_spec("tamis._cuda") is not None:
        _module = importlib.import_module("tamis._cuda")
    return _module


def _driver_absent(module: ModuleType) -> str | None:
    driver, needed = module.driver_version(), module.runtime_version() // 1000
    if driver == 0:
        return "no NVIDIA driver is loaded"
    if driver // 1000 < needed:
        release = ", driver R580 or newer" if needed == _R580 else ""
        return (
            f"the NVIDIA driver is too old: it knows CUDA {_version(driver)}, "
            f"tamis needs CUDA {needed}.0{release}"
        )
    return None


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _dotted(capability: int) -> str:
    return f"{capability // 10}.{capability % 10}"
