"""torch on a CPU: one matrix product and a maximum, in float32 and in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from bench.rivals import Offer, Rival
from bench.rivals.numpy_adapter import unit_float32
from bench.tasks import AssignTask, MaxCosineTask

BLOCK_ROWS = 8192  # the score matrix of a block of rows, not of all rows


def rival(threads: int) -> Rival:
    torch.set_num_threads(threads)
    kinds = [("torch", "float32", "avx512"), ("torch bf16", "bfloat16", "bf16")]
    return Rival(
        "torch",
        f"torch {torch.__version__}",
        {
            op: [
                Offer(name, dtype, partial(prepare, dtype=getattr(torch, dtype)), peak)
                for name, dtype, peak in kinds
            ]
            for op, prepare in (("assign", _assign), ("max_cosine", _max_cosine))
        },
    )


def _assign(task: AssignTask, *, dtype: torch.dtype) -> Callable[[], Any]:
    rows = torch.from_numpy(task.rows).to(dtype)
    centroids = torch.from_numpy(task.centroids).to(dtype).T.contiguous()

    def call() -> Any:
        with torch.inference_mode():
            parts = [(block @ centroids).max(dim=1)[1] for block in torch.split(rows, BLOCK_ROWS)]
            return torch.cat(parts).numpy(), None

    return call


def _max_cosine(task: MaxCosineTask, *, dtype: torch.dtype) -> Callable[[], Any]:
    rows = torch.from_numpy(unit_float32(task.rows)).to(dtype)
    bounds = list(zip(task.offsets[:-1].tolist(), task.offsets[1:].tolist(), strict=True))

    def call() -> Any:
        out = torch.zeros(len(rows))
        with torch.inference_mode():
            for begin, end in bounds:
                if end - begin > 1:
                    segment = rows[begin:end]
                    out[begin:end] = torch.triu(segment @ segment.T, diagonal=1).max(dim=0)[0]
        return out.numpy(), None

    return call
