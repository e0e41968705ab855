"""Scores from embeddings beside plain numpy and torch, every answer checked against float64.

    python bench/score.py
    python bench/score.py --quick --threads 2

clip: cosines of paired rows, millions of rows a second. clip-step: the same from two `.npy` files
into a score table. negcliploss: the sums of exponentials of one batch; useful arithmetic is its
n x n x d products, 2 operations each, once. numpy and torch hold the n x n matrix (float32), tamis
holds a tile of it (float64, exact products).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # `bench` as a package
sys.path.append(str(ROOT / "tests"))  # cases.py, the inputs that tests and benchmarks share

from bench import timing  # noqa: E402  (loads nothing that starts threads)

TEMPERATURE = 0.01


def main() -> int:
    """Exit code: 0, 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--budget", type=float, default=20, help="seconds for each case")
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    options = parser.parse_args()
    timing.pin_threads(options.threads)
    n_rows, batch = (2000, 300) if options.quick else (200_000, 16384)
    pause = 0.0 if options.quick else timing.PAUSE_S
    wrong = 0
    columns = f"{'median s':>9} {'CPU s':>9} {'rate':>16} {'largest error':>14}"
    print(f"{'case':24} {'contender':20} {columns}")
    for make, size in ((clip_case, n_rows), (step_case, n_rows), (batch_case, batch)):
        name, calls, rate, truth, allowed = make(size)
        timings, answers = timing.measure(calls, budget_s=options.budget, pause_s=pause)
        for contender, answer in answers.items():
            error = float(abs(answer.astype("f8") - truth).max())
            bad = error > (allowed if contender == "tamis" else 1e-4)
            wrong += bad
            seconds, cpu = timings[contender].median_s, median(timings[contender].cpu_s)
            told = f"{error:.1e}{' WRONG' if bad else ''}"
            figures = f"{seconds:9.4f} {cpu:9.4f} {rate(seconds):>16} {told:>14}"
            print(f"{name:24} {contender:20} {figures}")
    return int(wrong > 0)


Case = tuple[str, dict[str, Callable[[], Any]], Callable[[float], str], Any, float]


def _pairs(n_rows: int, dim: int) -> tuple[Any, Any]:
    """Canonical rows, cosines of pairs around 0.3."""
    import numpy as np

    from cases import canonical16, unit_rows

    images = unit_rows(n_rows, dim, 0)
    noise = unit_rows(n_rows, dim, 1).astype(np.float32)
    return images, canonical16(images.astype(np.float32) + 3 * noise)


def _cosines(x: Any, y: Any) -> Any:
    """float64, rounded to float32 as tamis states it."""
    import numpy as np

    wide_x, wide_y = x.astype("f8"), y.astype("f8")
    norms = [np.sqrt(np.square(wide).sum(axis=1)) for wide in (wide_x, wide_y)]
    found: Any = ((wide_x * wide_y).sum(axis=1) / (norms[0] * norms[1])).astype("f4").astype("f8")
    return found


def clip_case(n_rows: int, dim: int = 512) -> Case:
    """Rows in memory."""
    import numpy as np

    from tamis.kernels.exact import paired_cosine64

    x, y = _pairs(n_rows, dim)
    index = np.arange(n_rows)
    wide = x.astype("f4"), y.astype("f4")
    calls = {
        "tamis": lambda: paired_cosine64(x, index, y, index).astype("f4"),
        "numpy einsum (f16)": lambda: np.einsum("ij,ij->i", x, y, dtype="f4"),
        "numpy einsum (f32)": lambda: np.einsum("ij,ij->i", *wide),
    }
    return f"clip {n_rows}x{dim}", calls, _rows(n_rows), _cosines(x, y), 0.0


def step_case(n_rows: int, dim: int = 512) -> Case:
    """From two files to `scores.parquet`, with ids, resumable."""
    import numpy as np
    import pyarrow.parquet as pq

    from tamis.data.pool import open_pool
    from tamis.filters.clip import Clip
    from tamis.score.job import run_scorer

    x, y = _pairs(n_rows, dim)
    folder = tempfile.TemporaryDirectory()
    paths = [Path(folder.name) / name for name in ("images.npy", "texts.npy")]
    for path, rows in zip(paths, (x, y), strict=True):
        np.save(path, rows)

    def tamis() -> Any:
        assert folder  # the files live as long as the call does
        with tempfile.TemporaryDirectory() as run:
            run_scorer(Clip(*map(open_pool, paths)), run)
            table = pq.read_table(Path(run) / "scores/clip/scores.parquet", columns=["clip"])
            return table.column(0).to_numpy()

    def numpy() -> Any:
        images, texts = map(np.load, paths)
        found = np.einsum("ij,ij->i", images, texts, dtype="f4")
        np.save(paths[0].with_name("scores.npy"), found)
        return found

    calls = {"tamis": tamis, "numpy load, einsum": numpy}
    return f"clip-step {n_rows}x{dim}", calls, _rows(n_rows), _cosines(x, y), 0.0


def batch_case(n_rows: int, dim: int = 512) -> Case:
    """One batch of s-CLIPLoss."""
    import numpy as np

    from tamis.filters.negcliploss.loss import batch_penalty

    x, y = _pairs(n_rows, dim)
    wide = x.astype("f4"), y.astype("f4")

    def numpy() -> Any:
        scores = wide[0] @ wide[1].T / np.float32(TEMPERATURE)
        return TEMPERATURE / 2 * (_log_sum(scores, 1) + _log_sum(scores, 0))

    calls: dict[str, Callable[[], Any]] = {
        "tamis": lambda: batch_penalty(x, y, TEMPERATURE),
        "numpy (f32, n x n)": numpy,
    }
    try:
        import torch
    except ImportError:
        print("torch is not installed: left out", file=sys.stderr)
    else:
        tensors = [torch.from_numpy(rows) for rows in wide]

        def torch_call() -> Any:
            scores = tensors[0] @ tensors[1].T / TEMPERATURE
            found = TEMPERATURE / 2 * (scores.logsumexp(1) + scores.logsumexp(0))
            return found.numpy()

        calls["torch (f32, n x n)"] = torch_call
    flops = 2.0 * n_rows * n_rows * dim
    rate = _gflops(flops)
    return f"negcliploss {n_rows}x{dim}", calls, rate, _penalty(x, y), 1e-12


def _log_sum(scores: Any, axis: int) -> Any:
    import numpy as np

    largest = scores.max(axis=axis, keepdims=True)
    sums = np.exp(scores - largest).sum(axis=axis)
    return np.squeeze(largest, axis) + np.log(sums)


def _penalty(x: Any, y: Any) -> Any:
    """In float64, some rows of the matrix at a time."""
    import numpy as np

    f, g = (
        rows.astype("f8") / np.linalg.norm(rows.astype("f8"), axis=1, keepdims=True)
        for rows in (x, y)
    )
    down = np.zeros(len(f))
    along = np.zeros(len(f))
    for start in range(0, len(f), 1000):
        part = np.exp((f[start : start + 1000] @ g.T - 1) / TEMPERATURE)
        along[start : start + 1000] = part.sum(axis=1)
        down += part.sum(axis=0)
    return 1 + TEMPERATURE / 2 * (np.log(along) + np.log(down))


def _rows(n_rows: int) -> Callable[[float], str]:
    return lambda seconds: f"{n_rows / seconds / 1e6:.2f} M rows/s"


def _gflops(flops: float) -> Callable[[float], str]:
    return lambda seconds: f"{flops / seconds / 1e9:.0f} GFLOP/s"


if __name__ == "__main__":
    sys.exit(main())
