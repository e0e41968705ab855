"""Lorentz kernels beside numpy, torch and the machine's copy bandwidth, every answer checked.

    python bench/lorentz.py
    python bench/lorentz.py --quick --threads 2

all-pairs: mean exterior angle - half-aperture of each row with all references, as HYPE scores them
(4096 x 2048 pairs). numpy and torch use the polar formula in float32 on unit rows made beforehand,
in blocks that stay in cache, and numpy the published formula of MERU and HYPE too, on points lifted
beforehand; tamis gets float16 rows and does everything inside the timed call.
torch.compile needs a C++ compiler; without one its row is missing. paired: distance and energy of
rows of two arrays, in bytes read per second, beside copying (bytes read and written per second).

Times are the processor time of a call divided by the threads, the least of its rounds: on a machine
with other work it says what a quiet one takes. Wall times are printed beside it. Errors are against
paired energies, which the tests hold against 50 digits.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # `bench` as a package

from bench import timing  # noqa: E402  (loads nothing that starts threads)

BLOCK = 512  # rows that numpy and torch take at a time
TOLERANCE = 1e-6


def main() -> int:
    """Exit code: 0, 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    options = parser.parse_args()
    timing.pin_threads(options.threads)
    scale = 16 if options.quick else 1
    wrong = 0
    for d in (512, 768):
        wrong += all_pairs(4096 // scale, 2048 // scale, d, options)
    for d in (512, 768):
        for dtype in ("float16", "float32"):
            wrong += paired(200_000 // scale, d, dtype, options)
    return min(wrong, 1)


def points(n: int, d: int, low: float, high: float, seed: int) -> Any:
    """Tangent vectors around one direction, with radii between low and high."""
    import numpy as np

    rng = np.random.default_rng(seed)
    v = np.random.default_rng(9).standard_normal(d) + rng.standard_normal((n, d))
    v *= rng.uniform(low, high, (n, 1)) / np.linalg.norm(v, axis=1, keepdims=True)
    return v.astype(np.float16)


def all_pairs(n: int, m: int, d: int, options: Any) -> int:
    """Print a row for each contender; 1 where tamis is off."""
    import numpy as np

    from tamis import lorentz

    images, texts = points(n, d, 0.5, 1.0, 1), points(m, d, 0.2, 0.3, 2)
    calls: dict[str, Callable[[], Any]] = {
        "tamis": lambda: lorentz.specificity(images, texts).mean,
        "numpy": _numpy(images, texts),
        "numpy, published": _published(images, texts),
        **_torch(images, texts, options.threads),
    }
    for call in calls.values():
        call()
    times, answers = timing.measure(calls, budget_s=60, rounds=options.rounds)
    sample = np.random.default_rng(0).integers(n, size=16)
    apexes, seen = np.tile(texts, (16, 1)), np.repeat(images[sample], m, axis=0)
    truth = lorentz.entailment(apexes, seen).reshape(16, m).mean(axis=1)
    own = _least(times["tamis"], options.threads)
    errors = {name: np.abs(np.asarray(v)[sample] - truth).max() for name, v in answers.items()}
    for name, found in times.items():
        seconds = _least(found, options.threads)
        print(
            f"all-pairs {n} x {m} x {d}  {name:16} {seconds / n / m * 1e9:6.2f} ns a pair "
            f"(wall {found.median_s / n / m * 1e9:6.2f}), tamis x {seconds / own:4.2f}, "
            f"error {errors[name]:.1e} rad"
        )
    return int(errors["tamis"] > TOLERANCE)


def paired(n: int, d: int, dtype: str, options: Any) -> int:
    """Print rows for distance and energy; 1 where they are off."""
    import numpy as np

    from tamis import lorentz

    x, y = (points(n, d, *r).astype(dtype) for r in ((0.2, 0.3, 1), (0.5, 1.0, 2)))
    calls: dict[str, Callable[[], Any]] = {
        "distance": lambda: lorentz.distance(x, y),
        "energy": lambda: lorentz.entailment(x, y),
        "copy": _copy(x, options.threads),
    }
    for call in calls.values():
        call()
    times, answers = timing.measure(calls, budget_s=60, rounds=2 * options.rounds)
    rates = {
        name: 2 * x.nbytes / _least(found, options.threads) / 1e9 for name, found in times.items()
    }
    truth = _oracle(x[:64].astype(np.float64), y[:64].astype(np.float64))
    for name in ("distance", "energy"):
        error = np.abs(answers[name][:64] - truth[name]).max()
        print(
            f"paired {n} x {d} {dtype}  {name:9} {rates[name]:5.1f} GB/s, copy "
            f"{rates['copy']:5.1f} GB/s, ratio {rates['copy'] / rates[name]:4.2f}, "
            f"{n / _least(times[name], options.threads) / 1e6:5.1f} M pairs/s, error {error:.1e}"
        )
        if error > TOLERANCE:
            return 1
    return 0


def _least(found: timing.Timing, threads: int) -> float:
    return min(found.cpu_s) / threads


def _copy(x: Any, threads: int) -> Callable[[], None]:
    """Copies x: as many bytes read and written as a paired call reads of two such arrays."""
    import numpy as np

    target = np.empty_like(x)
    parts = [slice(i * len(x) // threads, (i + 1) * len(x) // threads) for i in range(threads)]

    def copy() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: np.copyto(target[part], x[part]), parts))

    return copy


def _oracle(x: Any, y: Any) -> dict[str, Any]:
    """The textbook formulas in float64, good to 1e-9 for these radii."""
    import numpy as np

    rx, ry = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    g = (x * y).sum(axis=1) / rx / ry
    cosh = np.cosh(rx) * np.cosh(ry) - np.sinh(rx) * np.sinh(ry) * g
    angle = np.arctan2(np.sqrt(1 - g * g) / np.cosh(rx), g - np.tanh(rx) / np.tanh(ry))
    aper = np.arcsin(np.minimum(1, 0.2 / np.sinh(rx)))
    return {"distance": np.arccosh(cosh), "energy": angle - aper}


def _unit(v: Any) -> tuple[Any, Any]:
    import numpy as np

    wide = v.astype(np.float32)
    radius = np.linalg.norm(wide, axis=1)
    return wide / radius[:, None], radius


def _numpy(images: Any, texts: Any) -> Callable[[], Any]:
    import numpy as np

    (w, ry), (u, rx) = _unit(images), _unit(texts)
    aper = np.arcsin(np.minimum(1, np.float32(0.2) / np.sinh(rx))).mean(dtype=np.float64)
    a, b, k = 1 / np.cosh(rx), np.tanh(rx), 1 / np.tanh(ry)

    def score() -> Any:
        sums = np.empty(len(w))
        for start in range(0, len(w), BLOCK):
            part = slice(start, start + BLOCK)
            g = w[part] @ u.T
            np.clip(g, -1, 1, out=g)
            s = np.sqrt((1 - g) * (1 + g))
            s *= a
            g -= k[part, None] * b
            sums[part] = np.arctan2(s, g, out=s).sum(axis=1, dtype=np.float64)
        return sums / len(u) - aper

    return score


def _published(images: Any, texts: Any) -> Callable[[], Any]:
    """The acos form with its clamps, c = 1, in float32 and in blocks."""
    import numpy as np

    (y, y0), (x, x0) = _lifted(images), _lifted(texts)
    norm = np.linalg.norm(x, axis=1)
    aper = np.arcsin(np.clip(0.2 / (norm + 1e-8), -1, 1)).mean(dtype=np.float64)

    def score() -> Any:
        sums = np.empty(len(y))
        for start in range(0, len(y), BLOCK):
            part = slice(start, start + BLOCK)
            q = y[part] @ x.T
            q -= y0[part, None] * x0
            above = y0[part, None] + x0 * q
            below = norm * np.sqrt(np.maximum(q * q - 1, 1e-8)) + 1e-8
            angle = np.arccos(np.clip(above / below, -1, 1))
            sums[part] = angle.sum(axis=1, dtype=np.float64)
        return sums / len(x) - aper

    return score


def _lifted(v: Any) -> tuple[Any, Any]:
    import numpy as np

    unit, radius = _unit(v)
    return unit * np.sinh(radius)[:, None], np.cosh(radius)


def _torch(images: Any, texts: Any, threads: int) -> dict[str, Callable[[], Any]]:
    """Eager and compiled, where torch and a compiler are."""
    try:
        import torch
    except ModuleNotFoundError:
        return {}
    import numpy as np

    torch.set_num_threads(threads)
    (w, ry), (u, rx) = ([torch.from_numpy(t) for t in _unit(v)] for v in (images, texts))
    aper = float(np.arcsin(np.minimum(1, 0.2 / np.sinh(rx.numpy().astype(np.float64)))).mean())
    a, b, k = 1 / torch.cosh(rx), torch.tanh(rx), 1 / torch.tanh(ry)

    def block(rows: Any, scale: Any) -> Any:
        g = (rows @ u.T).clamp(-1, 1)
        angle = torch.atan2(a * torch.sqrt((1 - g) * (1 + g)), g - scale[:, None] * b)
        return angle.sum(dim=1)

    def score(of_block: Callable[[Any, Any], Any]) -> Any:
        with torch.inference_mode():
            sums = [of_block(*p) for p in zip(w.split(BLOCK), k.split(BLOCK), strict=True)]
            return torch.cat(sums).double().numpy() / len(u) - aper

    calls: dict[str, Callable[[], Any]] = {"torch eager": lambda: score(block)}
    if any(map(shutil.which, ("g++", "clang++", "c++"))):
        compiled = torch.compile(block, dynamic=False)
        calls["torch compiled"] = lambda: score(compiled)
    return calls


if __name__ == "__main__":
    sys.exit(main())
