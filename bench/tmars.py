"""T-MARS stage by stage: how fast, what bounds it, and how well text is found and filled.

    python bench/tmars.py --model demo
    python bench/tmars.py --threads 2 --images 400 --scenes FOLDER

Images are drawings of the sample pool with known words on them, 320 x 320, as JPEG. `stages` runs
each stage alone, in one thread but for the encoder, on images that are in memory; `steps` are the
two steps as the command runs them. `detector` sets the detector (network input, network, regions)
beside bare calls of onnxruntime on the same arrays, with as many threads. `quality`: recall is the
share of the drawn pixels that the mask covers; far is the share of the image that is masked away
from the words; read is the share of their characters that the recogniser of rapidocr-onnxruntime
still reads, in the place where they are, once they are filled. `scenes` are images whose text is
not known: what the recogniser reads in the regions of a slower, finer detector, before and after.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # `bench` and `tests` as packages

from bench import timing  # noqa: E402  (loads nothing that starts threads)
from bench.tmars_quality import FILLS, quality, scenes  # noqa: E402

BAR = 1.3
SIDE = 320


def main() -> int:
    """Exit code: 0, 1 where words of a fair size are not found or can still be read."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--budget", type=float, default=20, help="seconds for each comparison")
    parser.add_argument("--scenes", type=Path, help="a folder of images with text, or without")
    parser.add_argument("--only", help="stages, detector, quality or scenes; default: all")
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    options = parser.parse_args()
    timing.pin_threads(options.threads)
    if options.quick:
        options.images, options.budget = 8, 0.0
    parts: dict[str, Callable[[argparse.Namespace], bool]] = {
        "stages": stages,
        "detector": detector,
        "quality": quality,
        "scenes": scenes,
    }
    fine = [part(options) for name, part in parts.items() if options.only in (None, name)]
    return int(not all(fine))


def _cases(n_images: int) -> list[Any]:
    from tests.filters.tmars.labelled import labelled

    return [labelled(number) for number in range(n_images)]


def _encoded(images: Sequence[Any]) -> list[bytes]:
    found = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        found.append(buffer.getvalue())
    return found


def stages(options: argparse.Namespace) -> bool:
    """Each stage alone, then the two steps."""
    from tamis.data.samples import open_samples
    from tamis.embed.models import open_encoder

    cases = _cases(options.images)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "pool")
        folder.mkdir()
        for row, (case, data) in enumerate(
            zip(cases, _encoded([case.image for case in cases]), strict=True)
        ):
            (folder / f"{row:06d}.jpg").write_bytes(data)
            (folder / f"{row:06d}.txt").write_text(case.words)
        pool = open_samples(folder)
        encoder = open_encoder(options.model)
        print(f"{len(cases)} images of 320 x 320, model {options.model}, {options.threads} threads")
        print(f"{'stage':34} {'ms/image':>9} {'CPU ms':>9} {'images/s':>9}  bound by")
        for its in [*_stages(pool, encoder), *_steps(pool, encoder, Path(name))]:
            each, cpu = its.wall_s / len(cases), its.cpu_s / len(cases)
            print(f"{its.what:34} {each * 1e3:9.2f} {cpu * 1e3:9.2f} {1 / each:9.0f}  {its.bound}")
    return True


@dataclass
class Stage:
    """What was done, what bounds it, and the seconds it took."""

    what: str
    bound: str
    wall_s: float = 0.0
    cpu_s: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall_s, self.cpu_s = time.perf_counter() - wall, time.process_time() - cpu


def _stages(pool: Any, encoder: Any) -> list[Stage]:
    import numpy as np
    from PIL import Image

    from tamis.data.image import decode_image
    from tamis.filters.tmars.detectors import open_detector
    from tamis.filters.tmars.fill import fill_text

    found: list[Stage] = []

    def timed(what: str, bound: str, call: Callable[[], Any]) -> Any:
        found.append(Stage(what, bound))
        with found[-1].timed():
            return call()

    finder = open_detector("ppocr", side=SIDE)
    unit = pool.units(1 << 30)[0]
    samples = timed("read", "system calls, page cache", lambda: pool.read(unit))
    images = timed("decode", "libjpeg", lambda: [decode_image(sample.image) for sample in samples])
    frames = timed(
        "detect: scale", "resampling", lambda: np.stack([*map(finder.prepare_image, images)])
    )
    arrays = timed(
        "detect: network input",
        "memory",
        lambda: [finder.network_input(frames[row : row + 1]) for row in range(len(frames))],
    )
    maps = timed(
        f"detect: network at {SIDE} px",
        "convolutions of onnxruntime",
        lambda: [finder.probability(array)[0] for array in arrays],
    )
    timed("detect: regions", "OpenCV contours", lambda: [finder.rules.regions(m) for m in maps])
    masks = finder.detect(frames)
    pixels = [np.asarray(image) for image in images]
    filled = {
        kind: timed(
            f"fill: {kind}",
            "Telea, per pixel" if kind == "inpaint" else "NumPy calls per region",
            lambda kind=kind: [
                fill_text(image, its.polygons, fill=kind).pixels
                for image, its in zip(pixels, masks, strict=True)
            ],
        )
        for kind in FILLS
    }
    prepare = encoder.prepare_image
    views = timed(
        "encode: prepare",
        "resampling",
        lambda: [prepare(Image.fromarray(image)) for image in filled["ring-mean"]],
    )
    timed("encode: one image", "the network", lambda: _encode(encoder, np.stack(views)))
    return found


def _encode(encoder: Any, views: Any, batch: int = 64) -> None:
    import numpy as np

    for start in range(0, len(views), batch):
        part = views[start : start + batch]
        full = np.concatenate([part, np.repeat(part[:1], batch - len(part), axis=0)])
        encoder.encode_images(full)


def _steps(pool: Any, encoder: Any, folder: Path) -> list[Stage]:
    from tamis.filters.tmars.detect import run_detect, step_folder
    from tamis.filters.tmars.detectors import open_detector
    from tamis.filters.tmars.rescore_masks import DetectedMasks
    from tamis.filters.tmars.scorer import Tmars
    from tamis.score.job import run_scorer

    detecting = Stage("step: detect, all of it", "the network")
    with detecting.timed():
        run_detect(pool, folder / "run", open_detector("ppocr", side=SIDE))
    masks = DetectedMasks(step_folder(folder / "run"), pool)
    scoring = Stage("step: fill, encode twice, score", "the network")
    with scoring.timed():
        run_scorer(Tmars(pool, masks, encoder), folder / "run")
    return [detecting, scoring]


def detector(options: argparse.Namespace) -> bool:
    """Detection beside bare calls of the network."""
    import numpy as np

    from tamis.filters.tmars.detectors import open_detector

    finder = open_detector("ppocr", side=SIDE)
    images = [case.image for case in _cases(min(options.images, 100))]
    frames = np.stack([finder.prepare_image(image) for image in images])
    arrays = [finder.network_input(frames[row : row + 1]) for row in range(len(frames))]
    name = finder.session.get_inputs()[0].name
    for threads in sorted({1, options.threads}):
        os.environ["TAMIS_NUM_THREADS"] = str(threads)

        def bare(threads: int = threads) -> int:
            with ThreadPoolExecutor(threads) as workers:
                return len([*workers.map(lambda x: finder.session.run(None, {name: x}), arrays)])

        calls = {"bare": bare, "tamis": lambda: len(finder.detect(frames))}
        timings, _ = timing.measure(calls, budget_s=options.budget)
        bare_s, tamis_s = (timings[contender].median_s for contender in calls)
        cpu = median(timings["tamis"].cpu_s) / median(timings["bare"].cpu_s)
        print(
            f"detector at {SIDE} px, threads: {threads}; bare {bare_s / len(images) * 1e3:.2f} "
            f"ms/image, tamis {tamis_s / len(images) * 1e3:.2f}; {tamis_s / bare_s:.2f}x by the "
            f"clock, {cpu:.2f}x by processor time; bar {BAR}: "
            f"{'PASS' if tamis_s <= BAR * bare_s else 'MISS'}"
        )
    return True


if __name__ == "__main__":
    sys.exit(main())
