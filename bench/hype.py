"""HYPE's scores from stored embeddings, beside numpy and torch, every answer checked.

    python bench/hype.py
    python bench/hype.py --quick --threads 2
    python bench/hype.py --case score --rows 100000 --references 10000

project: float16 rows of 512 numbers by an adapter's 512 x 512 head, exact in float64, beside
numpy's float64 and torch's float32 product (these get rows of their own precision). The bits must
be those of numpy's, whose sums are exact here too. Floor: 2 x rows x 512 x 512 operations; 2 bytes
a number read, 4 written.

specificity: images against reference texts through the scorer, from a `.npy` file of float16
tangent vectors of 512 numbers; standard errors, entailed shares and radii come with it. Beside it
the published formulas of MERU and HYPE in float32, a block of rows at a time, every step a matrix
of its own. Floor: 2 x rows x references x 512 float32 operations for the products and about 30 a
pair for the angle; 1,024 bytes a row read. numpy and torch move about 130 bytes a pair besides.

score: `tamis score hype` from two files of frozen embeddings and an adapter to `scores.parquet`,
both specificities, the distance and the diagnostics, with the reference set built beforehand.
Beside it the same steps in numpy and torch, which write the one column. Floor: 4 x rows x
references x 512 operations for the specificities, and for the two heads as above.

Answers are checked on 16 rows against sums of paired energies, which the tests hold against 50
digits: tamis within 1e-6 rad, the sum of three terms within 2e-6.
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

from bench import hype_published as published  # noqa: E402
from bench import timing  # noqa: E402  (loads nothing that starts threads)

DIM = 512
CHECKED = 16
Case = tuple[str, dict[str, Callable[[], Any]], Callable[[float], str], Callable[[Any], float]]


def main() -> int:
    """Exit code: 0, 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--budget", type=float, default=60, help="seconds for each case")
    parser.add_argument("--case", choices=["project", "specificity", "score"], help="only this one")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--references", type=int, default=2_000)
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    options = parser.parse_args()
    timing.pin_threads(options.threads)
    n, m = (300, 60) if options.quick else (options.rows, options.references)
    pause = 0.0 if options.quick else timing.PAUSE_S
    wrong = 0
    columns = f"{'median s':>9} {'best s':>9} {'CPU s':>9} {'rate':>18} {'largest error':>14}"
    print(f"{'case':28} {'contender':20} {columns}")
    with tempfile.TemporaryDirectory() as folder:
        for case, make, allowed in (
            ("project", project_case, 0.0),
            ("specificity", specificity_case, 1e-6),
            ("score", score_case, 2e-6),
        ):
            if options.case not in (None, case):
                continue
            name, calls, rate, error_of = make(n, m, Path(folder), options.threads)
            timings, answers = timing.measure(calls, budget_s=options.budget, pause_s=pause)
            for contender, answer in answers.items():
                error = error_of(answer)
                bad = not error <= (allowed if contender == "tamis" else 1e-2)
                wrong += bad
                seconds, cpu = timings[contender], median(timings[contender].cpu_s)
                told = f"{error:.1e}{' WRONG' if bad else ''}"
                figures = f"{seconds.median_s:9.3f} {seconds.best_s:9.3f} {cpu:9.3f}"
                print(f"{name:28} {contender:20} {figures} {rate(seconds.median_s):>18} {told:>14}")
    return int(wrong > 0)


def project_case(n: int, m: int, folder: Path, threads: int) -> Case:
    """Rows in memory by one head."""
    import numpy as np

    adapter, rows = _adapter(), _rows(n, 0)
    weight = adapter.weights["image"].astype("f8") * adapter.scales["image"]
    wide = rows.astype("f8")
    exact = adapter.weights["image"].astype("f8") @ wide[:: max(1, n // 1000)].T
    truth = (exact.T * adapter.scales["image"]).astype("f4")
    calls: dict[str, Callable[[], Any]] = {
        "tamis": lambda: adapter.project(rows, "image"),
        "numpy (f64)": lambda: wide @ weight.T,
    }
    torch = _torch(threads)
    if torch is not None:
        x, w = (torch.from_numpy(part.astype("f4")) for part in (wide, weight))
        calls["torch (f32)"] = lambda: (x @ w.T).numpy()

    def error_of(found: Any) -> float:
        error: float = np.abs(found[:: max(1, n // 1000)] - truth).max()
        return error

    return f"project {n}x{DIM}x{DIM}", calls, _gflops(2.0 * n * DIM * DIM), error_of


def specificity_case(n: int, m: int, folder: Path, threads: int) -> Case:
    """Images against reference texts."""
    import numpy as np

    from tamis.filters.hype.points import open_points
    from tamis.filters.hype.reference_build import build_reference
    from tamis.filters.hype.scorer import Hype

    images, texts = _tangents(n, 0.5, 1.0, 1), _tangents(m, 0.2, 0.3, 2)
    np.save(folder / "tangent_images.npy", images)
    np.save(folder / "tangent_texts.npy", texts)

    def opened(side: Any, name: str) -> Any:
        return open_points(side, folder / "run", pool=str(folder / name), curvature=1.0)

    reference = build_reference(None, opened("text", "tangent_texts.npy"), rows=m)
    used = reference.txt

    def tamis() -> Any:
        scorer = Hype(opened("image", "tangent_images.npy"), None, reference)
        found = [scorer.score(unit).columns["hype"] for unit in scorer.units(1 << 16)]
        return np.concatenate(found)

    calls: dict[str, Callable[[], Any]] = {
        "tamis": tamis,
        "numpy, published": lambda: published.numpy_specificity(
            images, used, rows_are_apexes=False
        ),
    }
    torch = _torch(threads)
    if torch is not None:
        calls["torch, published"] = lambda: published.torch_specificity(
            torch, images, used, rows_are_apexes=False
        )
    sample = _sample(n)
    truth = _paired_specificity(images[sample], used, rows_are_apexes=False)

    def error_of(found: Any) -> float:
        error: float = np.abs(found[sample] - truth).max()
        return error

    return f"specificity {n}x{m}x{DIM}", calls, _pairs(n * m), error_of


def score_case(n: int, m: int, folder: Path, threads: int) -> Case:
    """The command, from two files to a table."""
    import numpy as np
    import pyarrow.parquet as pq

    from tamis import lorentz
    from tamis.filters.hype.points import open_points
    from tamis.filters.hype.reference_build import build_reference
    from tamis.filters.hype.scorer import Hype
    from tamis.score.job import run_scorer

    adapter = _adapter()
    paths = {side: folder / f"{side}s.npy" for side in ("image", "text")}
    rows = {side: _rows(n, seed) for seed, side in enumerate(paths)}
    for side, path in paths.items():
        np.save(path, rows[side])

    def points(run: Path) -> list[Any]:
        return [
            open_points(side, run, pool=str(path), adapter=adapter)  # type: ignore[arg-type]
            for side, path in paths.items()
        ]

    reference = build_reference(*points(folder / "run"), rows=m)

    def tamis() -> Any:
        with tempfile.TemporaryDirectory() as run:
            run_scorer(Hype(*points(Path(run)), reference), run)
            table = pq.read_table(Path(run) / "scores/hype/scores.parquet", columns=["hype"])
            return table.column(0).to_numpy()

    def plain(product: Any, specificity: Any) -> Any:
        found = {side: product(np.load(path), side) for side, path in paths.items()}
        score = specificity(found["image"], reference.txt, rows_are_apexes=False)
        score += specificity(found["text"], reference.img, rows_are_apexes=True)
        score -= published.distance(found["image"], found["text"])
        np.save(folder / "plain.npy", score)
        return score

    heads = {side: adapter.weights[side].astype("f4") for side in paths}  # type: ignore[index]

    def numpy_product(loaded: Any, side: Any) -> Any:
        return loaded.astype("f4") @ heads[side].T * np.float32(adapter.scales[side])

    calls: dict[str, Callable[[], Any]] = {
        "tamis": tamis,
        "numpy, published": lambda: plain(numpy_product, published.numpy_specificity),
    }
    torch = _torch(threads)
    if torch is not None:

        def torch_specificity(*given: Any, rows_are_apexes: bool) -> Any:
            return published.torch_specificity(torch, *given, rows_are_apexes=rows_are_apexes)

        calls["torch, published"] = lambda: plain(numpy_product, torch_specificity)
    sample = _sample(n)
    image, text = (adapter.project(rows[side][sample], side) for side in ("image", "text"))
    truth = _paired_specificity(image, reference.txt, rows_are_apexes=False)
    truth += _paired_specificity(text, reference.img, rows_are_apexes=True)
    truth -= lorentz.distance(image, text)

    def error_of(found: Any) -> float:
        error: float = np.abs(found[sample] - truth).max()
        return error

    return (
        f"score {n}, {m} references",
        calls,
        lambda seconds: f"{n / seconds / 1e3:.1f} k rows/s",
        error_of,
    )


def _adapter() -> Any:
    """Random heads, c = 1, that put images and texts where MERU's are: radii about 1 and 0.5."""
    import numpy as np

    from tamis.filters.hype.adapter import Adapter

    rng = np.random.default_rng(7)
    head = rng.standard_normal((DIM, DIM)) / DIM**0.5
    weights = {
        side: (head + 0.3 * rng.standard_normal((DIM, DIM)) / DIM**0.5).astype(np.float16)
        for side in ("image", "text")
    }
    return Adapter(
        weights=weights,  # type: ignore[arg-type]
        scales={"image": 1.0, "text": 0.5},
        curvature=1.0,
        logit_scale=float(np.log(100.0)),
    )


def _rows(n: int, seed: int) -> Any:
    """Canonical rows of one side of pairs, cosines around 0.3."""
    import numpy as np

    from cases import canonical16, unit_rows

    shared = unit_rows(n, DIM, 0).astype(np.float32)
    return canonical16(shared + 1.5 * unit_rows(n, DIM, seed + 1).astype(np.float32))


def _tangents(n: int, low: float, high: float, seed: int) -> Any:
    """float16 tangent vectors around one direction, with radii between low and high."""
    from bench.lorentz import points

    return points(n, DIM, low, high, seed)


def _sample(n: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(n, size=CHECKED)


def _paired_specificity(rows: Any, references: Any, *, rows_are_apexes: bool) -> Any:
    """By the paired energies, whose error is below 1e-9 rad."""
    import numpy as np

    from tamis import lorentz

    m = len(references)
    own = np.repeat(rows, m, axis=0).astype("f8")
    other = np.tile(references, (len(rows), 1)).astype("f8")
    pair = (own, other) if rows_are_apexes else (other, own)
    return lorentz.entailment(*pair).reshape(len(rows), m).mean(axis=1)


def _torch(threads: int) -> Any:
    try:
        import torch
    except ImportError:
        print("torch is not installed: left out", file=sys.stderr)
        return None
    torch.set_num_threads(threads)
    return torch


def _gflops(flops: float) -> Callable[[float], str]:
    return lambda seconds: f"{flops / seconds / 1e9:.0f} GFLOP/s"


def _pairs(pairs: int) -> Callable[[float], str]:
    return lambda seconds: f"{seconds / pairs * 1e9:.2f} ns a pair"


if __name__ == "__main__":
    sys.exit(main())
