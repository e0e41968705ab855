"""Trains the demo stand-in of a hyperbolic adapter on Debian's open clip art; see README.md.

    python examples/build_adapter.py --openclipart root

where ``root`` holds the unpacked Debian packages openclipart-png and openclipart-svg. Nothing is
downloaded. The same source, package versions and kind of CPU give the same bytes.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from adapterbuild.measure import (
    CLAMP_RADIUS,
    Measured,
    auc,
    auc_per_image,
    share_with_interval,
)
from adapterbuild.records import Record, read_record
from adapterbuild.series import folder_and_author, held_out, series
from adapterbuild.views import Views, training_views
from PIL import Image
from poolbuild.choose import MAX_TEXT_REPEATS, choose_pool
from poolbuild.encode import Encoders, Rows, small_image
from poolbuild.source import Drawing, find_openclipart, read_drawings
from poolbuild.write import write_json

from tamis.filters.hype.training import Options, Trained, train
from tamis.filters.hype.training.split import families

HERE = Path(__file__).parent
ADAPTER = HERE.parent / "python/tamis/filters/hype/demo_adapter.safetensors"
OPTIONS = Options(dim=168, epochs=12, batch_size=512, lr=1e-3, gain=6.0, validation=0.1, seed=0)
NOTE = (
    "A demo stand-in: trained on 2,300 drawings of the Open Clip Art Library (public domain), as "
    "EfficientNet-lite0 and all-MiniLM-L6-v2 see them. For trying tamis; do not judge a pool by it."
)
BOILERPLATE_REPEATS = 20

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Collection:
    """All usable drawings; `images` and `texts` are canonical rows, as in the sample pool."""

    drawings: Sequence[Drawing]
    records: Sequence[Record]
    images: Rows
    texts: Rows
    in_pool: Mask
    of_family: npt.NDArray[np.int64]
    held_out: Mask

    @property
    def once(self) -> Mask:
        """Whose text occurs once in the collection."""
        repeats = Counter(drawing.text for drawing in self.drawings)
        return np.array([repeats[drawing.text] == 1 for drawing in self.drawings])

    def uids(self, mask: Mask) -> list[str]:
        return sorted(self.drawings[row].uid for row in np.flatnonzero(mask))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo adapter on open clip art.")
    parser.add_argument("--openclipart", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=ADAPTER, metavar="FILE")
    parser.add_argument("--told", type=Path, default=HERE / "adapterbuild", metavar="DIR")
    arguments = parser.parse_args()
    build(find_openclipart(arguments.openclipart), arguments.out, arguments.told)


def build(source: Path, out: Path, told: Path) -> None:
    """Writes the adapter to `out`, held_out.json and numbers.json to `told`, prints the numbers."""
    encoders = Encoders()
    collection = read_collection(source, encoders)
    chosen = training_rows(collection)
    views = training_views(
        encoders,
        [collection.drawings[row] for row in chosen],
        [collection.records[row] for row in chosen],
    )
    trained = train_on(collection.of_family[chosen][views.drawing].tolist(), views)
    trained.adapter.save(out)
    collection = without_texts_of(views, collection)
    held = collection.in_pool & collection.held_out
    write_json(
        told / "held_out.json",
        {
            "what": "Rows of the sample pool whose family no training pair of the adapter has.",
            "held_out": collection.uids(held),
            "text_occurs_once": collection.uids(held & collection.once),
        },
    )
    numbers = measure(collection, chosen, trained, encoders)
    write_json(told / "numbers.json", numbers)
    print(json.dumps(numbers, indent=2, ensure_ascii=False))


def read_collection(source: Path, encoders: Encoders) -> Collection:
    """Reads and encodes all drawings; about five minutes on one core."""
    drawings, _ = read_drawings(source)
    records = [read_record(source, drawing) for drawing in drawings]
    images = encoders.images(small_image(drawing.file)[1] for drawing in drawings)
    texts = encoders.texts(drawing.text for drawing in drawings)
    pool = {drawing.path for drawing in choose_pool(drawings)}
    in_pool = np.array([drawing.path in pool for drawing in drawings])
    of_family = families(images, texts, near=OPTIONS.near, series=series(drawings, records))
    held = held_out(of_family, in_pool)
    return Collection(drawings, records, images, texts, in_pool, of_family, held)


def training_rows(collection: Collection) -> list[int]:
    """One drawing of byte-equal ones, no boilerplate text, none of a family that is held out."""
    repeats = Counter(drawing.text for drawing in collection.drawings)
    seen: set[str] = set()
    chosen = []
    for row, drawing in enumerate(collection.drawings):
        if collection.held_out[row] or repeats[drawing.text] > MAX_TEXT_REPEATS:
            continue
        if drawing.sha256 not in seen:
            seen.add(drawing.sha256)
            chosen.append(row)
    return chosen


def train_on(of_family: Sequence[int], views: Views) -> Trained:
    return train(
        views.images,
        views.texts,
        OPTIONS,
        series=of_family,
        origins={
            "image": {"embedding": "lite0_img", "dim": views.images.shape[1], "encoder": None},
            "text": {"embedding": "minilm_txt", "dim": views.texts.shape[1], "encoder": None},
        },
        note=NOTE,
    )


def without_texts_of(views: Views, collection: Collection) -> Collection:
    """Holds out no row whose text was shown: a drawing's keywords can be another's whole text."""
    shown = {text.tobytes() for text in views.texts}
    unseen = np.array([text.tobytes() not in shown for text in collection.texts])
    return replace(collection, held_out=collection.held_out & unseen)


def measure(
    collection: Collection, chosen: Sequence[int], trained: Trained, encoders: Encoders
) -> dict[str, Any]:
    """All numbers that README.md quotes. The references are the images and texts of the pool."""
    pool = np.flatnonzero(collection.in_pool)
    images, texts = collection.images[pool], collection.texts[pool]
    measured = Measured(trained.adapter, images, texts)
    radii = {
        "image": measured.radii(images, "image"),
        "text": measured.radii(texts, "text"),
    }
    return {
        "training": {
            "drawings": len(chosen),
            "pairs": trained.summary["pairs"],
            "train_pairs": trained.summary["train_pairs"],
            "epoch": trained.summary["epoch"],
            "validation": trained.summary["measured"],
            "curvature": round(trained.adapter.curvature, 4),
            "model": trained.adapter.model,
        },
        "held_out": _held_out_numbers(collection, chosen, measured),
        "trained_on_the_pool_alone": _pool_alone(collection, pool),
        "titles": _title_numbers(collection, measured, encoders),
        "pool": {
            "median_radius": {side: _rounded(np.median(r)) for side, r in radii.items()},
            "texts_at_the_aperture_clamp": _rounded((radii["text"] < CLAMP_RADIUS).mean()),
        },
        "oddities": _oddities(collection, pool, measured, encoders),
    }


def _held_out_numbers(
    collection: Collection, chosen: Sequence[int], measured: Measured
) -> dict[str, Any]:
    held = collection.in_pool & collection.held_out
    authors = folder_and_author(collection.drawings, collection.records)
    strange = held & ~np.isin(authors, authors[list(chosen)])
    found = {}
    for name, mask in (
        ("text_occurs_once", held & collection.once),
        ("all", held),
        ("text_occurs_once_and_author_unseen_in_folder", strange & collection.once),
    ):
        rows = np.flatnonzero(mask)
        scores = measured.neg_distances(collection.images[rows], collection.texts[rows])
        of_family = collection.of_family[rows]
        found[name] = {
            "rows": len(rows),
            "families": len(np.unique(of_family)),
            "auc": _rounded(auc(scores)),
            "auc_between_families": _rounded(auc(scores, of_family)),
            "auc_per_image": _rounded(auc_per_image(scores)),
        }
    return found


def _pool_alone(collection: Collection, pool: npt.NDArray[np.int64]) -> dict[str, Any]:
    """What 60 % of the pool's families teach about the others."""
    images, texts = collection.images[pool], collection.texts[pool]
    options = replace(OPTIONS, epochs=60, batch_size=64, validation=0.4)
    trained = train(images, texts, options, series=collection.of_family[pool].tolist())
    rows = trained.validation[collection.once[pool][trained.validation]]
    scores = Measured(trained.adapter, images, texts).neg_distances(images[rows], texts[rows])
    return {"train_pairs": len(trained.train), "rows": len(rows), "auc": _rounded(auc(scores))}


def _title_numbers(
    collection: Collection, measured: Measured, encoders: Encoders
) -> dict[str, Any]:
    lists = json.loads((HERE / "adapterbuild/title_pairs.json").read_text(encoding="utf-8"))
    found = {}
    for name in ("pool", "described"):
        pairs = lists[name]["pairs"]
        generic, detailed = (
            measured.text_specificity(encoders.texts(pair[kind] for pair in pairs))
            for kind in ("generic", "detailed")
        )
        found[name] = {
            **share_with_interval(detailed > generic),
            "mean_rise": _rounded((detailed - generic).mean()),
        }
    return found


def _oddities(
    collection: Collection, pool: npt.NDArray[np.int64], measured: Measured, encoders: Encoders
) -> dict[str, Any]:
    """Shuffled captions, blank images, boilerplate titles: reported, not asserted."""
    held = np.flatnonzero(collection.in_pool & collection.held_out & collection.once)
    scores = measured.neg_distances(collection.images[held], collection.texts[held])
    shuffled = np.roll(np.arange(len(held)), 1)
    texts = collection.texts[pool]
    of_texts = measured.text_specificity(texts)
    of_images = measured.image_specificity(collection.images[pool])
    repeats = Counter(collection.drawings[row].text for row in pool)
    first = {collection.drawings[row].text: place for place, row in reversed([*enumerate(pool)])}
    boilerplate = {
        text: _rank(of_texts, of_texts[first[text]])
        for text, count in repeats.most_common()
        if count >= BOILERPLATE_REPEATS
    }
    blank = encoders.images([_blank(255), _blank(0)])
    return {
        "mean_neg_distance": {
            "matched": _rounded(np.diag(scores).mean()),
            "shuffled": _rounded(scores[np.arange(len(held)), shuffled].mean()),
        },
        "rank_of_image_specificity": {
            name: _rank(of_images, value)
            for name, value in zip(
                ("white", "black"), measured.image_specificity(blank), strict=True
            )
        },
        "rank_of_boilerplate_text_specificity": boilerplate,
    }


def _rank(values: npt.NDArray[np.float64], value: float) -> float:
    """Share of `values` below `value`."""
    return _rounded((values < value).mean())


def _blank(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128), (level,) * 3).save(buffer, format="PNG")
    return buffer.getvalue()


def _rounded(value: Any) -> float:
    return round(float(value), 3)


if __name__ == "__main__":
    main()
