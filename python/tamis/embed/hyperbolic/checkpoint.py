"""A checkpoint's tensors by name, checked before any of them is used."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tamis.embed.weights import existing, load_failure
from tamis.errors import require


def read_state(path: Path | str) -> dict[str, Any]:
    """Return the tensors of a checkpoint, name -> tensor, on the CPU.

    Args:
        path: `NAME.safetensors`, or what `torch.save` wrote: a state dict, or a dict that holds one
            as "model". Loaded with `weights_only=True`, see :mod:`tamis.embed.weights`.

    Returns:
        Dense tensors of float32, float16, bfloat16 or bool, which are finite, and which together
        are not larger than the file.

    Raises:
        ValueError: one sentence that names the file, and the tensor where it is one's fault.
        MissingExtraError: torch is not installed.
    """
    torch = require("torch", extra="embed")
    path = existing(path, "a checkpoint (safetensors, or of torch.save)")
    archive = path.is_file() and _is_archive(path)
    if not path.is_file() or not (archive or path.suffix == ".safetensors"):
        raise ValueError(
            f"expected a checkpoint NAME.safetensors, or one of torch.save (since torch 1.6), "
            f"got {path}"
        )
    try:
        if archive:
            _check_archive(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            from safetensors.torch import load_file

            state = load_file(path)
    except pickle.UnpicklingError as error:  # torch's own text advises to load it all the same
        raise ValueError(
            f"cannot load {path}: it is damaged, or holds more than tensors and plain containers; "
            "save its state dict alone, best as safetensors"
        ) from error
    except Exception as error:
        raise load_failure(path, error, hub=False) from error
    if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
        state = state["model"]
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"{path}: expected a dict of tensors, or one as its item 'model'")
    for name, tensor in state.items():
        fault = _fault(torch, tensor)
        if fault is not None:
            raise ValueError(f"{path}: {name} {fault}")
    n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    if n_bytes > path.stat().st_size:
        raise ValueError(
            f"{path}: its tensors claim {n_bytes:,} bytes, more than the file has; it is damaged"
        )
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: {name} holds NaN or infinity; take an earlier checkpoint")
    return dict(state)


def _is_archive(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # the end of one, and wrong
        return False


def _check_archive(path: Path) -> None:
    """torch.save compresses nothing: what would grow when it is read is none of its files."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ValueError("it is a compressed archive, and no checkpoint of torch.save")


def _fault(torch: Any, tensor: Any) -> str | None:
    """What is wrong with an entry, its values apart."""
    if not isinstance(tensor, torch.Tensor):
        return f"is no tensor but {type(tensor).__name__}"
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        return "is no dense tensor with values"
    if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.bool):
        dtype = str(tensor.dtype).removeprefix("torch.")
        return f"holds {dtype}; expected float32, float16 or bfloat16"
    return None
