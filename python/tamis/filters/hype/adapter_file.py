"""The file of an adapter: a few tensors, and what is told about them; believed once checked."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy.typing as npt

from tamis.errors import PoolError

FORMAT = 1
LARGEST_FILE = 256 << 20
"""Bytes; two maps between 8,192 dimensions."""
LARGEST_TOLD = 1 << 24
"""Characters of what is told about the tensors."""

_WHAT = "hyperbolic adapter"
_KEY = "tamis"
_WEIGHTS = ("image.weight", "text.weight")
_NUMBERS = ("curvature", "image.scale", "logit_scale", "text.scale")

Tensors = dict[str, npt.NDArray[Any]]


def adapter_bytes(tensors: Tensors, told: Mapping[str, Any]) -> bytes:
    """Return the content of a file; the same tensors and words always give the same bytes.

    Args:
        tensors: by their names in the file.
        told: what they were trained on, and how, as JSON can hold it.
    """
    from safetensors.numpy import save

    text = json.dumps({"format": FORMAT, "what": _WHAT, **told}, sort_keys=True, allow_nan=False)
    return bytes(save(tensors, {_KEY: text}))


def read_adapter(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Return the tensors of a file and what is told about them.

    Names, types and shapes are checked before a tensor is read, and that all of it is there.

    Raises:
        PoolError: not a file, too large, damaged, or not an adapter of this format.
    """
    from safetensors import SafetensorError, safe_open

    _check_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            told = _told(path, (file.metadata() or {}).get(_KEY))
            names = sorted(file.keys())
            wanted = sorted((*_WEIGHTS, *_NUMBERS))
            if names != wanted:
                found = ", ".join(names)
                _refuse(path, f"expected the tensors {', '.join(wanted)}, got {found:.300}")
            for name in wanted:
                _check_tensor(path, name, file.get_slice(name))
            return {name: file.get_tensor(name) for name in wanted}, told
    except SafetensorError as error:
        raise PoolError(
            f"{path} is no safetensors file, or damaged ({error}); copy it again"
        ) from error
    except OSError as error:
        raise PoolError(f"cannot read {path}: {error.strerror or error}") from error


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise PoolError(f"cannot read the adapter {path}: {error.strerror or error}") from error
    if not stat.S_ISREG(status.st_mode):
        _refuse(path, "expected a file")
    if status.st_size > LARGEST_FILE:
        _refuse(path, f"expected at most {LARGEST_FILE:,} bytes, got {status.st_size:,}")


def _check_tensor(path: Path, name: str, tensor: Any) -> None:
    dtype, shape = tensor.get_dtype(), tensor.get_shape()
    if name in _NUMBERS:
        if dtype != "F64" or shape:
            _refuse(path, f"expected {name} to be one number, F64 of shape [], got {dtype} {shape}")
    elif dtype != "F16" or len(shape) != 2 or 0 in shape:
        _refuse(path, f"expected {name} to be F16 of shape [D, dim], got {dtype} {shape}")


def _told(path: Path, text: str | None) -> dict[str, Any]:
    if text is None:
        _refuse(path, f"its metadata has no {_KEY!r}")
    if len(text) > LARGEST_TOLD:
        _refuse(path, f"its metadata {_KEY!r} has more than {LARGEST_TOLD:,} characters")
    try:
        told = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        _refuse(path, f"its metadata {_KEY!r} is not JSON")
    if not isinstance(told, dict) or told.pop("what", None) != _WHAT:
        _refuse(path, f"its metadata {_KEY!r} describes something else")
    found = told.pop("format", None)
    if type(found) is not int or found != FORMAT:
        _refuse(path, f"expected format {FORMAT}, got {found!r:.40}; another tamis wrote it")
    objects = all(isinstance(told.get(key), dict) for key in ("image", "text", "training"))
    if not objects or not isinstance(told.get("note"), str):
        _refuse(path, f"its metadata {_KEY!r} lacks what it was trained on")
    return told


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _refuse(path: Path, why: str) -> NoReturn:
    raise PoolError(f"{path} is no adapter that can be used: {why}")
