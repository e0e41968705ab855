"""Weights: which ones a network has, and what may be loaded.

safetensors files hold arrays and nothing else. Other checkpoints are pickles; they are loaded with
torch's `weights_only=True`, which refuses what is not a tensor or a plain container. That is a
safety net and no security boundary: take such files from people you trust, or convert them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 24
_LONGEST_CAUSE = 300


def weights_hash(*networks: Any) -> str:
    """Return the sha256, 64 hex digits, of all parameters and buffers of torch modules.

    It covers names, types, shapes and values, so it is the same for every file format.
    """
    import torch

    digest = hashlib.sha256()
    for network in networks:
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            for start in range(0, len(values), CHUNK_BYTES):
                digest.update(values[start : start + CHUNK_BYTES])
    return digest.hexdigest()


def seeded(load: Callable[[], Any], seed: int) -> tuple[Any, bool]:
    """Return what a function loads, and whether random numbers were drawn for it.

    Libraries draw the weights that a file lacks. The state of torch's generator is left alone.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        network = load()
        return network, not torch.equal(before, torch.get_rng_state())


def existing(path: Path | str, what: str) -> Path:
    """Return `path`. Raises ValueError where nothing is there; `what` says what was expected."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"expected {what} at {path}, nothing is there")
    return path


def load_failure(source: object, error: Exception, *, hub: bool) -> ValueError:
    """Return the one sentence for a model that a library could not load.

    Args:
        source: what was to be loaded.
        error: what the library raised.
        hub: whether it would have come from the hub, and not from a local file.
    """
    told = " ".join(str(error).split())
    if " " not in told:  # a key, or nothing, says little alone
        told = f"{type(error).__name__} {told}".rstrip()
    if len(told) > _LONGEST_CAUSE:
        told = f"{told[:_LONGEST_CAUSE]} [...]"
    advice = (
        "; where its hub cannot be reached, name a local copy: its folder, or --weights"
        if hub
        else ""
    )
    return ValueError(f"cannot load {source}: {told.rstrip('.') if hub else told}{advice}")
