"""The default detector: finds drawn text, little else, row by row; bad files are one sentence."""

from __future__ import annotations

import hashlib
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.conftest import Pin
from tests.filters.tmars.lettering import (
    covered,
    encoded,
    grown,
    lettered,
    needs_network,
    scenery,
)

import tamis
from tamis.data.asset import AssetError
from tamis.data.image import decode_image
from tamis.errors import MissingExtraError
from tamis.filters.tmars import db
from tamis.filters.tmars.db import DbDetector, Fit, packaged_model
from tamis.filters.tmars.db_regions import DbRules
from tamis.filters.tmars.detector import detect_images
from tamis.filters.tmars.detectors import open_detector
from tamis.filters.tmars.polygons import Regions

WORDS = ["Summer sale", "NO PARKING", "Lake Garden", "fresh coffee", "2024 edition", "Best price"]
SIZE = (480, 360)


@pytest.fixture(scope="module")
def detector() -> DbDetector:
    return DbDetector(side=320)


def fingerprint(found: list[Regions]) -> str:
    digest = hashlib.sha256()
    for regions in found:
        for polygon in regions.polygons:
            digest.update(polygon.tobytes())
        digest.update(regions.scores.tobytes() + b"\n")
    return digest.hexdigest()


def lettered_images(n: int) -> list[Image.Image]:
    images = [scenery(number, (200 + 40 * number, 260)) for number in range(n)]
    for number, image in enumerate(images):
        centre = image.width // 2, 130
        lettered(image, WORDS[number % len(WORDS)], centre, height=26 + number)
    return images


@needs_network
@pytest.mark.parametrize(
    ("height", "angle", "least"),
    [(16, 0, 0.9), (24, 0, 0.95), (48, 0, 0.97), (24, 15, 0.95), (36, -30, 0.95)],
    ids=["small", "middle", "large", "turned", "turned more"],
)
def test_drawn_text_is_found(height: int, angle: float, least: float) -> None:
    """Of the strokes, at least so many pixels are covered; far from them, next to none."""
    detector = DbDetector()
    recalls, wrong = [], []
    for number, word in enumerate(WORDS):
        image = scenery(number, SIZE)
        strokes = lettered(image, word, (240, 180), height=height, angle=angle)
        mask = covered(detect_images(detector, [image])[0], SIZE)
        recalls.append(mask[strokes].mean())
        wrong.append((mask & ~grown(strokes, height)).mean())
    assert np.mean(recalls) > least, recalls
    assert np.mean(wrong) < 0.002, wrong


@needs_network
@pytest.mark.parametrize(
    ("discs", "most_scenes", "most_area"), [(0, 0, 0.0), (4, 14, 0.06)], ids=["hills", "discs"]
)
def test_where_there_is_no_text(discs: int, most_scenes: int, most_area: float) -> None:
    """Of 24 scenes. A single disc passes for a letter at times, and this says how often."""
    scenes = [scenery(number, SIZE, discs=discs) for number in range(100, 124)]
    found = detect_images(DbDetector(), scenes)
    assert sum(bool(regions.polygons) for regions in found) <= most_scenes
    assert np.mean([covered(regions, SIZE).mean() for regions in found]) <= most_area


@needs_network
@pytest.mark.parametrize("size", [(1000, 400), (300, 700), (90, 60), (340, 40)])
def test_polygons_are_in_pixels_of_the_original(size: tuple[int, int]) -> None:
    """The last one is scaled by 1.06 in x and 1.25 in y."""
    image = scenery(3, size)
    height = max(min(size) // 4, 16)
    strokes = lettered(image, "Menu", (2 * size[0] // 3, size[1] // 2), height=height)
    found = covered(detect_images(DbDetector(side=320), [image])[0], size)
    assert found[strokes].mean() > 0.9
    assert (found & ~grown(strokes, height)).mean() < 0.002


@needs_network
def test_rows_depend_on_themselves_alone(detector: DbDetector, pinned: Pin) -> None:
    images = lettered_images(9)
    whole = detect_images(detector, images)
    assert sum(len(regions.polygons) for regions in whole) >= 9
    alone = [detect_images(detector, [image])[0] for image in images]
    turned = detect_images(detector, images[::-1])[::-1]
    with pinned(threads=1):
        one_thread = detect_images(detector, images)
    with pinned(threads=3):
        three_threads = detect_images(detector, images)
    prints = {fingerprint(found) for found in (whole, alone, turned, one_thread, three_threads)}
    assert len(prints) == 1


@needs_network
def test_batches_of_one_size_do_not_mix_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where several images of one shape are computed together."""
    detector = DbDetector(side=160)
    monkeypatch.setattr(detector, "batch", 4)
    images = [scenery(number, (160, 96 if number % 3 else 160)) for number in range(10)]
    for number, image in enumerate(images):
        lettered(image, WORDS[number % len(WORDS)], (80, 40), height=22)
    inputs = detector.network_input(np.stack([detector.prepare_image(images[1])]))
    assert inputs.shape == (4, 3, 96, 160) and not inputs[1:].any()
    whole = detect_images(detector, images)
    assert sum(len(regions.polygons) for regions in whole) >= 10
    assert fingerprint(whole[3:]) == fingerprint(detect_images(detector, images[3:]))
    assert fingerprint(whole[::-1]) == fingerprint(detect_images(detector, images[::-1]))


def rgba(alpha: int) -> Image.Image:
    return Image.new("RGBA", (64, 48), (0, 0, 0, alpha))


def animation() -> bytes:
    """Two frames, the second one with text."""
    frames = [scenery(1, (160, 120)), scenery(1, (160, 120))]
    lettered(frames[1], "SALE", (80, 60), height=50)
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return buffer.getvalue()


@needs_network
@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.new("RGB", (1, 1), "red")),
        encoded(Image.new("L", (1, 64), 255)),
        encoded(Image.new("RGB", (3000, 31), "white")),
        encoded(rgba(0)),
        encoded(rgba(255)),
        encoded(Image.new("I;16", (40, 30), 40_000)),
        encoded(Image.new("P", (33, 33), 3)),
        animation(),
    ],
    ids=["1x1", "1x64", "wide", "transparent", "black", "16 bits", "palette", "animated"],
)
def test_odd_images_have_no_text(data: bytes, detector: DbDetector) -> None:
    assert detect_images(detector, [decode_image(data)])[0].polygons == []


def test_fit_never_enlarges_unless_told() -> None:
    small, large = Image.new("RGB", (100, 50)), Image.new("RGB", (2000, 1000))
    for fit, used in ((Fit(640), [96, 64]), (Fit(640, 2.0), [192, 96]), (Fit(640, 16), [640, 320])):
        frame = fit(small)
        assert frame["used"].tolist() == used and frame["size"].tolist() == [100, 50]
        assert fit(large)["used"].tolist() == [640, 320]
    assert Fit(32)(large)["used"].tolist() == [32, 32]


@pytest.mark.parametrize("size", [(1, 1), (1, 9000), (31, 33), (641, 640), (48, 80)])
def test_fit_stays_inside_the_frame(size: tuple[int, int]) -> None:
    fit = pickle.loads(pickle.dumps(Fit(640)))
    frame = fit(Image.new("RGB", size, "white"))
    width, height = frame["used"].tolist()
    assert 32 <= width <= 640 and 32 <= height <= 640
    assert (frame["pixels"][:height, :width] == 255).all()
    assert not frame["pixels"][height:].any() and not frame["pixels"][:, width:].any()


@needs_network
def test_the_network_sees_blue_first_from_minus_one_to_one(detector: DbDetector) -> None:
    image = Image.new("RGB", (64, 32), (255, 51, 0))
    batch = detector.network_input(np.stack([detector.prepare_image(image)]))
    assert batch.shape == (1, 3, 32, 64) and batch.dtype == np.float32
    assert batch[0, :, 5, 5].tolist() == pytest.approx([-1, -0.6, 1])


@needs_network
def test_the_package_is_not_imported() -> None:
    code = (
        "import sys; from PIL import Image; from tamis.filters.tmars.detectors import *\n"
        "from tamis.filters.tmars.detector import detect_images\n"
        "assert not {'onnxruntime', 'cv2', 'shapely'} & set(sys.modules)\n"
        "detect_images(open_detector(side=32), [Image.new('RGB', (8, 8))])\n"
        "assert 'rapidocr_onnxruntime' not in sys.modules and 'onnxruntime' in sys.modules"
    )
    folder = str(Path(tamis.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": folder})


@needs_network
def test_any_network_by_its_path(tmp_path: Path, detector: DbDetector) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(packaged_model().read_bytes())
    mine = open_detector(str(path), side=320)
    assert mine.recipe() == detector.recipe()
    (image,) = lettered_images(1)
    assert fingerprint(detect_images(mine, [image])) == fingerprint(
        detect_images(detector, [image])
    )
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(AssetError, match=r"mine\.onnx"):
        open_detector(str(path))


@needs_network
@pytest.mark.parametrize("kind", ["rec", "cls"])
def test_a_network_of_another_kind(kind: str) -> None:
    other = next(packaged_model().parent.glob(f"*_{kind}_infer.onnx"))
    with pytest.raises(AssetError, match=r"(DB network|cannot be run)"):
        detect_images(DbDetector(other, side=64), [Image.new("RGB", (64, 64))])


def test_recipes_tell_detectors_apart() -> None:
    pytest.importorskip("onnxruntime")
    options: list[dict[str, Any]] = [
        {},
        {"side": 320},
        {"enlarge": 2.0},
        {"rules": DbRules(unclip=2)},
        {"rules": DbRules(shape="polygon")},
    ]
    recipes = [repr(sorted(DbDetector(**given).recipe().items())) for given in options]
    assert len(set(recipes)) == len(recipes)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(AssetError, match="expected a text detection network in ONNX at"):
            DbDetector(path)
    broken = tmp_path / "broken.onnx"
    for content in (b"", b"junk", bytes(1000)):
        broken.write_bytes(content)
        with pytest.raises(AssetError, match=r"broken.onnx"):
            detect_images(DbDetector(broken), [Image.new("RGB", (8, 8))])


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "any.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"onnxruntime is not installed.*tamis\[tmars\]"):
        DbDetector(tmp_path / "any.onnx")
    monkeypatch.setattr(db, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"tamis\[tmars\]"):
        DbDetector()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"side": 100}, "multiple of 32"),
        ({"side": 0}, "multiple of 32"),
        ({"side": 8192}, "multiple of 32"),
        ({"enlarge": 0.5}, "enlarge"),
        ({"enlarge": float("nan")}, "enlarge"),
        ({"device": "tpu"}, "expected one of"),
        ({"weights": "w.pt"}, "has no weights"),
        ({"post": "paper"}, "has no post"),
    ],
)
def test_wrong_options(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_detector(**wrong)


@pytest.mark.parametrize("word", ["", "east", "fast", "PPOCR", "model.onnx.gz"])
def test_an_unknown_detector(word: str) -> None:
    with pytest.raises(ValueError, match="expected a detector ppocr"):
        open_detector(word)


@needs_network
def test_a_gpu_that_is_not_there() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is one")
    with pytest.raises(ValueError, match="no GPU"):
        open_detector(device="cuda")
