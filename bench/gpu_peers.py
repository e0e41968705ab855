"""What else is installed, on the same rows: torch's matmul, faiss, flashlib.

A peer that is absent is left out; one that fails says so in its cell and stops nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.gpu_lab import Lab

AT_ONCE = 1 << 30  # elements of a score matrix that torch writes
SECONDS = 0.4


def is_installed(name: str) -> bool:
    """Whether it could be imported."""
    return importlib.util.find_spec(name) is not None


def assignments(
    lab: Lab, rows: Any, centroids: Any, labels: npt.NDArray[np.int32]
) -> dict[str, str]:
    """Rate and share of other labels of every peer."""
    if lab.toy:
        return {}
    n, d = rows.shape
    flops = 2.0 * n * d * len(centroids)
    calls: dict[str, Callable[[], Any]] = {
        "torch matmul + argmax, fp16": lambda: _matmul_argmax(rows, centroids)
    }
    if is_installed("faiss"):
        calls["faiss"] = lambda: _faiss(rows, centroids)
    return {name: _said(lab, call, flops, labels) for name, call in calls.items()}


def triangles(lab: Lab, rows: Any, offsets: npt.NDArray[np.int64]) -> dict[str, str]:
    """The inner step of published SemDeDup: X X^T of every segment, its triangle, its maximum."""
    if lab.toy:
        return {}
    sizes = np.diff(offsets).astype(np.float64)
    flops = float((sizes * (sizes - 1)).sum() * rows.shape[1])
    return {"torch triu(X X^T), fp16": _said(lab, lambda: _triangles(rows, offsets), flops, None)}


def clusterings(lab: Lab, rows: Any, init: Any, n_iter: int) -> dict[str, str]:
    """Whole k-means of the peers, from the same centroids."""
    if lab.toy or not is_installed("flashlib"):
        return {}
    n, d = rows.shape
    flops = 2.0 * n * d * len(init) * n_iter
    return {"flashlib": _said(lab, lambda: _flashlib(rows, init, n_iter), flops, None)}


def _said(
    lab: Lab, call: Callable[[], Any], flops: float, labels: npt.NDArray[np.int32] | None
) -> str:
    try:
        found = call()
        ms = median(lab.milliseconds(call, SECONDS))
        said = f"{ms:.3g} ms, {flops / ms / 1e9:.0f} TFLOP/s"
        if labels is not None:
            other = float((lab.take(found) != labels).mean())
            said += f", {other:.3%} other labels"
    except Exception as error:  # noqa: BLE001 - whatever a peer may raise
        return f"failed ({type(error).__name__}: {str(error).splitlines()[0][:80]})"
    return said


def _matmul_argmax(rows: Any, centroids: Any) -> Any:
    import torch

    step = max(1, AT_ONCE // len(centroids))
    turned = centroids.T
    return torch.cat([(part @ turned).argmax(dim=1) for part in rows.split(step)])


def _faiss(rows: Any, centroids: Any) -> Any:
    import faiss
    import faiss.contrib.torch_utils

    resources = faiss.StandardGpuResources()
    metric = faiss.METRIC_INNER_PRODUCT
    return faiss.knn_gpu(resources, rows, centroids, 1, metric=metric)[1][:, 0]


def _triangles(rows: Any, offsets: npt.NDArray[np.int64]) -> Any:
    import torch

    best = torch.empty(len(rows), dtype=rows.dtype, device=rows.device)
    for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        part = rows[begin:end]
        best[begin:end] = torch.triu(part @ part.T, diagonal=1).amax(dim=0)
    return best


def _flashlib(rows: Any, init: Any, n_iter: int) -> Any:
    from flashlib import flash_kmeans

    options: dict[str, Any] = {"max_iters": n_iter, "init_centroids": init, "tol": 0}
    return flash_kmeans(rows, n_clusters=len(init), **options)
