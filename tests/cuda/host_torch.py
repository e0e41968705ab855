"""torch with host memory in the place of a GPU's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tamis.cuda import libraries


class HostTorch(libraries.Torch):
    """The library whose tensors are on the host."""

    def __init__(self, ordinal: int) -> None:
        super().__init__(ordinal)
        self._place = torch.device("cpu")

    def stream(self) -> int:
        return 0

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        kind = getattr(torch, dtype)
        size = int(np.prod(shape)) * kind.itemsize
        memory = torch.full((size + 256,), 255, dtype=torch.uint8)
        start = -memory.data_ptr() % 256  # as on a GPU
        return memory[start : start + size].view(kind).reshape(shape)


def ordinal(x: Any) -> int | None:
    """`cuda_ordinal` for tensors that count as on a GPU."""
    return 0 if isinstance(x, torch.Tensor) else None
