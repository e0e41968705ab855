"""Print the hashes of a fixed set of kernel results; every build on every machine prints the same.

    python tests/packaging/hashes.py               the installed kernels
    python tests/packaging/hashes.py --reference   the NumPy reference

After a deliberate change of a definition, redirect the output into golden_hashes.json.
"""

from __future__ import annotations

import hashlib
import json
import sys
from types import ModuleType
from typing import Any

import numpy as np

import tamis
from tamis.kernels import reference, sample

OFFSETS = np.array([0, 0, 1, 40, 41, 300, 900])  # an empty segment, single rows, two large ones


def numbers(n: int, d: int, seed: int) -> Any:
    """Values in [-4/3, 4/3), bell-shaped, from integers: no library changes them."""
    keys = sample.keys(seed, sample.ORDER, range(n * d)).reshape(n, d)
    shifts = np.arange(0, 64, 16, dtype=np.uint64)[:, None, None]
    parts = (keys >> shifts) & np.uint64(0xFFFF)
    return (parts.sum(axis=0).astype(np.float64) / 2**15 - 4) / 3


def rows(d: int, seed: int) -> Any:
    """900 rows: families of near-copies, copies, and one loud dimension."""
    values = numbers(900, d, seed)
    values[100:500] = values[:10].repeat(40, axis=0) + values[100:500] / 32
    values[500:520] = values[:20]
    values[:, d // 2] *= 8
    keys = sample.keys(seed, sample.INIT, range(900)).tolist()
    return values[sorted(range(900), key=keys.__getitem__)]


def digest(*arrays: Any) -> str:
    state = hashlib.sha256()
    for array in map(np.asarray, arrays):
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def clustering(result: Any) -> str:
    return digest(result.centroids, result.labels, result.scores, result.inertia, result.n_iter)


def hashes(kernels: ModuleType, exact: ModuleType) -> dict[str, str]:
    found: dict[str, str] = {}
    for d in (1, 17, 256):
        raw = rows(d, seed=d)
        for kind in (np.float16, np.float32, np.float64):
            name = f"canonical {np.dtype(kind).name} d={d}"
            found[name] = digest(*kernels.canonical(raw.astype(kind)))
        x = kernels.canonical(raw)[0]
        centroids = kernels.canonical(numbers(70, d, seed=99))[0]
        plain = numbers(70, d, seed=98).astype(np.float32)
        pairs = [
            np.concatenate(part)
            for part in zip(*kernels.pairs_above(x, OFFSETS, 0.99), strict=True)
        ]
        found |= {
            f"assign d={d}": digest(*kernels.assign(x, centroids)),
            f"assign top d={d}": digest(*kernels.assign(x, centroids, top=5)),
            f"assign euclidean d={d}": digest(*kernels.assign(x, plain, metric="euclidean")),
            f"kmeans d={d}": clustering(kernels.kmeans(x, 25, max_iter=6, seed=3)),
            f"kmeans sampled d={d}": clustering(
                kernels.kmeans(x, 25, max_iter=6, max_points_per_centroid=11)
            ),
            f"kmeans euclidean d={d}": clustering(
                kernels.kmeans(raw, 25, max_iter=6, spherical=False, allow_rounding=True)
            ),
            f"max_cosine d={d}": digest(*kernels.max_cosine(x, OFFSETS)),
            f"max_cosine others d={d}": digest(*kernels.max_cosine(x, side="others")),
            f"max_cosine other d={d}": digest(*kernels.max_cosine(x, other=centroids)),
            f"pairs_above d={d}": digest(*pairs),
            f"greedy_keep d={d}": digest(exact.greedy_keep(x, OFFSETS, 0.99)),
            f"components d={d}": digest(exact.components(x, OFFSETS, 0.99)),
            f"assign64 d={d}": digest(*exact.assign64(x, centroids)),
            f"max_cosine64 d={d}": digest(*exact.max_cosine64(x, OFFSETS)),
        }
    return found


if __name__ == "__main__":
    if "--reference" in sys.argv:
        found = hashes(reference, reference)
    else:
        from tamis.kernels import exact

        found = hashes(tamis, exact)
    json.dump(found, sys.stdout, indent=2)
    print()
