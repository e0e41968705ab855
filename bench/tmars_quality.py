"""How well text is found and filled, for `bench/tmars.py`."""

from __future__ import annotations

import argparse
from typing import Any

FILLS = ("ring-mean", "box-mean", "image-mean", "inpaint")
HEIGHTS = (8, 10, 12, 16, 24, 32)


def quality(options: argparse.Namespace) -> bool:
    """Recall, false area and what can still be read."""
    import numpy as np
    from tests.filters.tmars.labelled import bare_drawings, labelled
    from tests.filters.tmars.reader import Reader

    from tamis.filters.tmars.detector import detect_images
    from tamis.filters.tmars.detectors import open_detector
    from tamis.filters.tmars.fill import fill_text

    reader = Reader()
    finder = open_detector("ppocr")
    print(f"{'labelled drawings':24} {'recall':>8} {'far':>8}   read before, and after each fill")
    fine = True
    for height in (None,) if options.quick else (None, *HEIGHTS):
        cases = [labelled(number, height) for number in range(min(options.images, 64))]
        regions = detect_images(finder, [case.image for case in cases])
        figures = [_judged(case, its, reader) for case, its in zip(cases, regions, strict=True)]
        recall, far, *read = np.mean(figures, axis=0)
        fine &= height is not None or bool(recall > 0.9 and max(read[1:]) < 0.1)
        told = ", ".join(f"{kind} {share:.3f}" for kind, share in zip(FILLS, read[1:], strict=True))
        what = "16 to 36 px" if height is None else f"{height} px"
        print(f"{what:24} {recall:8.4f} {far:8.4f}   {read[0]:.3f}: {told}")
    bare = bare_drawings()[:: 8 if options.quick else 1]
    found = detect_images(finder, bare)
    areas = np.array(
        [fill_text(np.asarray(d), f.polygons).area for d, f in zip(bare, found, strict=True)]
    )
    print(
        f"{len(bare)} drawings without words: {areas.mean():.1%} of their pixels masked, "
        f"{(areas > 0).mean():.0%} of them have a region"
    )
    return fine


def _judged(case: Any, regions: Any, reader: Any) -> list[float]:
    import numpy as np
    from PIL import Image
    from tests.filters.tmars.reader import share_read

    from tamis.filters.tmars.fill import fill_text

    def read(image: Any) -> float:
        return share_read(reader.read(image.crop(case.box)), case.words)

    pixels = np.asarray(case.image)
    filled = {kind: fill_text(pixels, regions.polygons, fill=kind) for kind in FILLS}
    text = filled["ring-mean"].text
    left, top, right, bottom = case.box
    room = (bottom - top) // 2
    near = np.zeros_like(text)
    near[max(top - room, 0) : bottom + room, max(left - room, 0) : right + room] = True
    recall = (text & case.ink).sum() / max(case.ink.sum(), 1)
    after = [read(Image.fromarray(its.pixels)) for its in filled.values()]
    return [float(recall), float((text & ~near).mean()), read(case.image), *after]


def scenes(options: argparse.Namespace) -> bool:
    """Images of which nothing is known: what is masked, and what is read before and after."""
    if options.scenes is None:
        return True
    import numpy as np
    from PIL import Image
    from tests.filters.tmars.reader import Reader, share_read

    from tamis.data.image import ImageFault, decode_image
    from tamis.filters.tmars.detector import detect_images
    from tamis.filters.tmars.detectors import open_detector
    from tamis.filters.tmars.fill import fill_text

    finder, finer, reader = open_detector("ppocr"), open_detector("ppocr", side=1280), Reader()
    rows = []
    for path in sorted(p for p in options.scenes.rglob("*") if p.is_file())[: options.images]:
        try:
            image = decode_image(path.read_bytes())
        except ImageFault:
            continue
        regions, lines = (detect_images(d, [image])[0].polygons for d in (finder, finer))
        filled = fill_text(np.asarray(image), regions)
        blank = Image.fromarray(filled.pixels)
        boxes = [(*line.min(0).astype(int), *np.ceil(line.max(0)).astype(int)) for line in lines]
        wide = [b for b in boxes if b[2] - b[0] >= b[3] - b[1] > 4]  # lines that run across
        before = [reader.read(image.crop(box)) for box in wide]
        left = [
            share_read(reader.read(blank.crop(box)), words) * len(words)
            for box, words in zip(wide, before, strict=True)
            if words
        ]
        rows.append((filled.area, bool(regions), sum(map(len, before)), sum(left)))
    area, with_text, characters, still = np.array(rows, float).T
    share = still.sum() / max(characters.sum(), 1)
    print(
        f"{len(rows)} images in {options.scenes.name}: {with_text.mean():.0%} have a region, "
        f"{area.mean():.1%} of the pixels masked; {characters.sum():,.0f} characters read, of them "
        f"{share:.1%} after filling"
    )
    return True
