"""Builds the sample pool `examples/pool/` from Debian's open clip art; see examples/README.md.

    python examples/build_pool.py --openclipart root

where ``root`` holds the unpacked Debian packages openclipart-png and openclipart-svg
(``apt-get download openclipart-png openclipart-svg; for f in *.deb; do dpkg -x $f root; done``).
Nothing is downloaded. The same source, package versions and kind of CPU give the same bytes.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from poolbuild.choose import choose_fit, choose_pool
from poolbuild.encode import Encoders, Rows, image_size, small_image, versions
from poolbuild.linear_map import LinearMap, auc, recall_at_1, scores_of_pairs
from poolbuild.source import Drawing, find_openclipart, read_drawings
from poolbuild.write import Sample, write_checksums, write_json, write_npz, write_shard

SHARD_SIZES = (601, 429)
SCORE = "lite0_minilm_similarity_score"

Scores = npt.NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the sample pool from open clip art.")
    parser.add_argument("--openclipart", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pool", metavar="DIR")
    arguments = parser.parse_args()
    if arguments.out.exists() and not (arguments.out / "SHA256SUMS").is_file():
        parser.error(f"{arguments.out} exists and is not a pool of this script; move it away")
    build(find_openclipart(arguments.openclipart), arguments.out)


def build(source: Path, out: Path) -> None:
    """Writes the pool to `out` and the linear map beside it, and prints the pool's numbers."""
    drawings, skipped = read_drawings(source)
    pool = choose_pool(drawings)
    fit, held_out = choose_fit(drawings, pool)
    encoders = Encoders()

    pool_files = [small_image(drawing.file) for drawing in pool]
    images = encoders.images(data for _, data in pool_files)
    texts = encoders.texts(drawing.text for drawing in pool)
    seen = {data for _, data in pool_files}
    fit_images, fit_texts = _features(encoders, fit, seen)
    held_images, held_texts = _features(encoders, held_out, seen)
    linear = LinearMap.fit(fit_images, fit_texts)
    mapped, held_mapped = linear.apply(images), linear.apply(held_images)

    shutil.rmtree(out, ignore_errors=True)
    samples = [_sample(d, *file) for d, file in zip(pool, pool_files, strict=True)]
    scores = scores_of_pairs(mapped, texts)
    embeddings = {"lite0_img": images, "minilm_txt": texts, "lite0_minilm_img": mapped}
    _write_shards(out, samples, scores, embeddings)
    write_npz(out.parent / "lite0_to_minilm.npz", {"weight": linear.weight, "bias": linear.bias})
    numbers = {
        "source": {
            "pairs": len(drawings),
            "skipped": vars(skipped),
            "copies": copy_numbers([drawing.sha256 for drawing in drawings]),
        },
        "pool": _pool_numbers(samples, images),
        "linear_map": {
            "fit_pairs": len(fit_images),
            "held_out_pairs": len(held_images),
            "held_out_auc": round(auc(held_mapped, held_texts), 3),
            "held_out_recall_at_1": round(recall_at_1(held_mapped, held_texts), 3),
            "pool_auc": round(auc(mapped, texts), 3),
        },
        "versions": versions(),
    }
    write_json(out / "numbers.json", numbers)
    write_checksums(out)
    print(json.dumps(numbers, indent=2, ensure_ascii=False))


def _features(
    encoders: Encoders, drawings: Sequence[Drawing], seen: set[bytes]
) -> tuple[Rows, Rows]:
    """Image and text rows of the drawings whose small image is not among `seen`."""
    files = [(small_image(drawing.file)[1], drawing.text) for drawing in drawings]
    files = [(data, text) for data, text in files if data not in seen]
    return encoders.images(data for data, _ in files), encoders.texts(text for _, text in files)


def _sample(drawing: Drawing, extension: str, data: bytes) -> Sample:
    width, height = image_size(data)
    return Sample(
        uid=drawing.uid,
        url=drawing.url,
        text=drawing.text,
        original_width=drawing.width,
        original_height=drawing.height,
        width=width,
        height=height,
        sha256=drawing.sha256,
        extension=extension,
        image=data,
    )


def _write_shards(
    out: Path, samples: Sequence[Sample], scores: Scores, embeddings: Mapping[str, Rows]
) -> None:
    start = 0
    for shard, size in enumerate(SHARD_SIZES):
        rows = slice(start, start + size)
        members = {name: values[rows] for name, values in embeddings.items()}
        write_shard(out, shard, samples[rows], SCORE, scores[rows], members)
        start += size


def _pool_numbers(samples: Sequence[Sample], images: Rows) -> dict[str, object]:
    texts = Counter(sample.text for sample in samples)
    nearest = nearest_cosines(images)
    copies = Counter(sample.image for sample in samples)
    distinct = np.array([copies[sample.image] == 1 for sample in samples])
    return {
        "pairs": len(samples),
        "extensions": dict(sorted(Counter(s.extension for s in samples).items())),
        "source_copies": copy_numbers([s.sha256 for s in samples]),
        "image_copies": copy_numbers([s.image for s in samples]),
        "distinct_texts": len(texts),
        "texts_outside_ascii": sum(not s.text.isascii() for s in samples),
        "most_frequent_texts": dict(texts.most_common(6)),
        "lite0_img_rows_with_nearest_above": _counts_above(nearest),
        "lite0_img_rows_without_copy_with_nearest_above": _counts_above(nearest[distinct]),
    }


def nearest_cosines(rows: Rows) -> npt.NDArray[np.float64]:
    """Largest cosine of each row to another row."""
    x = rows.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosine = x @ x.T
    np.fill_diagonal(cosine, -1)
    return cosine.max(1)


def _counts_above(cosine: npt.NDArray[np.float64]) -> dict[str, int]:
    return {str(bound): int((cosine > bound).sum()) for bound in (0.999, 0.99, 0.95, 0.9, 0.8)}


def copy_numbers(values: Sequence[object]) -> dict[str, int]:
    """Sizes of the families of equal values.

    Example:
        >>> copy_numbers("aabc")
        {'families': 1, 'members': 2, 'largest': 2}
    """
    sizes = [size for size in Counter(values).values() if size > 1]
    return {"families": len(sizes), "members": sum(sizes), "largest": max(sizes, default=0)}


if __name__ == "__main__":
    main()
