"""FAST: the published post-processing against its transcription; docTR by a stand-in."""

from __future__ import annotations

import math
import pickle
import sys
from collections import deque
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.conftest import Pin
from tests.filters.tmars.lettering import covered

from tamis.data.asset import AssetError
from tamis.errors import MissingExtraError
from tamis.filters.tmars import fast
from tamis.filters.tmars.detector import detect_images
from tamis.filters.tmars.detectors import open_detector
from tamis.filters.tmars.fast import DoctrRules
from tamis.filters.tmars.paper import PaperRules
from tamis.filters.tmars.polygons import BROKEN_MAP, Regions

torch = pytest.importorskip("torch")


def components(kernels: np.ndarray) -> np.ndarray:
    """Numbered from 1 in reading order, 8 neighbours; flood fill."""
    side = len(kernels)
    labels = np.zeros((side, side), int)
    for y in range(side):
        for x in range(side):
            if not kernels[y, x] or labels[y, x]:
                continue
            labels[y, x] = number = labels.max() + 1
            waiting = deque([(y, x)])
            while waiting:
                cy, cx = waiting.popleft()
                for ny in range(max(cy - 1, 0), min(cy + 2, side)):
                    for nx in range(max(cx - 1, 0), min(cx + 2, side)):
                        if kernels[ny, nx] and not labels[ny, nx]:
                            labels[ny, nx] = number
                            waiting.append((ny, nx))
    return labels


def nearest(values: np.ndarray, side: int) -> np.ndarray:
    old = len(values)
    return np.array(
        [[values[y * old // side, x * old // side] for x in range(side)] for y in range(side)]
    )


def max_pool(values: np.ndarray, window: int, padding: int) -> np.ndarray:
    side = len(values) + 2 * padding - window + 1
    result = np.empty((side, side), values.dtype)
    for y in range(side):
        for x in range(side):
            top, left = y - padding, x - padding
            result[y, x] = values[
                max(top, 0) : max(top + window, 0), max(left, 0) : max(left + window, 0)
            ].max()
    return result


def slow(logits: np.ndarray, pooling: int, min_area: int, min_score: float) -> list[Any]:
    """The steps one by one, pixel by pixel; returns (score, pixels) of each text that is kept."""
    side = 4 * len(logits)
    window, padding = pooling // 2 + 1, (pooling // 2) // 2
    labels = components(logits > 0)
    labels = nearest(max_pool(nearest(labels, side // 2), window, padding), side)
    score = max_pool(nearest(logits, side // 2), window, padding)
    score = np.array([[1 / (1 + math.exp(-z)) for z in row] for row in score.tolist()])
    score = nearest(score, side)
    found = []
    for number in range(1, labels.max() + 1):
        inside = labels == number
        if inside.sum() < min_area or score[inside].mean() < min_score:
            continue
        found.append((score[inside].mean(), inside))
    return found


def outline_fills(polygon: np.ndarray, inside: np.ndarray) -> bool:
    """Whether the polygon is the outer outline of one of the parts of these pixels."""
    drawn = np.zeros(inside.shape, np.uint8)
    cv2.fillPoly(drawn, [(polygon - 0.5).astype(np.int32)], 1)
    count, parts = cv2.connectedComponents(inside.astype(np.uint8))
    for part in range(1, count):
        holes = np.pad((parts == part).astype(np.uint8), 1)
        cv2.floodFill(holes, None, (0, 0), 2, flags=4)
        if ((holes[1:-1, 1:-1] != 2) == (drawn == 1)).all():
            return True
    return False


def soft_logits(seed: int, side: int, smooth: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = random.standard_normal((side, side)).astype(np.float32)
    return (cv2.blur(noise, (smooth, smooth)) * smooth * 4 - 1.5).astype(np.float32)


@given(
    st.integers(0, 10_000),
    st.sampled_from([6, 8, 13]),
    st.integers(1, 3),
    st.sampled_from([1, 2, 4, 5, 7, 9, 12]),
    st.sampled_from([1, 60, 200]),
    st.sampled_from([0.0, 0.6, 0.85]),
)
def test_the_published_post_processing(
    seed: int, side: int, smooth: int, pooling: int, min_area: int, min_score: float
) -> None:
    logits = soft_logits(seed, side, smooth)
    expected = slow(logits, pooling, min_area, min_score)
    found = PaperRules(pooling, min_area, min_score).regions(logits)
    assert found.scores.tolist() == pytest.approx([score for score, _ in expected], abs=1e-6)
    for polygon, (_, inside) in zip(found.polygons, expected, strict=True):
        assert outline_fills(polygon, inside)


def test_it_finds_something_at_its_own_size() -> None:
    """At 512 pixels, with the paper's own values."""
    logits = np.full((128, 128), -6, np.float32)
    logits[20:30, 20:90] = 6
    logits[60:62, 60:62] = 6  # too small
    logits[90:110, 10:60] = 0.5  # too unsure
    found = PaperRules().regions(logits)
    (polygon,) = found.polygons
    # Rows 20 to 29 are rows 40 to 59 of 256, of which the filter (4 wide, 1 before) makes 38 to 60
    # of 255, and those are rows 77 to 122 of 512.
    assert [*polygon.min(0).tolist(), *polygon.max(0).tolist()] == [77.5, 77.5, 363.5, 122.5]
    assert found.scores[0] > 0.99


@pytest.mark.parametrize("fill", [0.0, 9.0, -9.0, np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("rules", [PaperRules(), DoctrRules()], ids=["paper", "doctr"])
def test_any_logits_give_regions(fill: float, rules: Any) -> None:
    found = rules.regions(np.full((32, 32), fill, np.float32))
    assert len(found.polygons) == len(found.scores)
    assert found.reason == (None if np.isfinite(fill) else BROKEN_MAP)
    is_text = fill > 0 or (fill == 0 and isinstance(rules, DoctrRules))
    assert bool(found.polygons) == (is_text and found.reason is None)


@pytest.mark.parametrize(
    "wrong", [{"pooling": 0}, {"min_area": 0}, {"min_score": 1.5}, {"min_score": float("nan")}]
)
def test_rules_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PaperRules(**wrong)


class Stage(torch.nn.Module):  # type: ignore[misc]
    """Named stages of features, as torchvision's getter of layers returns them."""

    def forward(self, x: Any) -> Any:
        pooled = torch.nn.functional.avg_pool2d(x, 4)
        return {str(n): torch.nn.functional.avg_pool2d(pooled, 2**n) for n in range(4)}


class Neck(torch.nn.Module):  # type: ignore[misc]
    def forward(self, stages: Any) -> Any:
        assert [stage.shape[-1] for stage in stages] == sorted(
            (stage.shape[-1] for stage in stages), reverse=True
        )
        return stages[0].mean(1, keepdim=True)


class StandIn(torch.nn.Module):  # type: ignore[misc]
    """Dark is text: logits -bias where an image is black, and less elsewhere."""

    cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}  # noqa: RUF012 - as docTR has it

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.feat_extractor = Stage()
        self.neck = Neck()
        self.prob_head = torch.nn.Conv2d(1, 1, 1)
        torch.nn.init.constant_(self.prob_head.weight, -4 * scale)
        torch.nn.init.constant_(self.prob_head.bias, -4)
        self.merged = False


@pytest.fixture
def doctr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Modules that look like docTR's; returns weights for its tiny network."""

    def build(**options: Any) -> StandIn:
        assert options == {"pretrained": False, "pretrained_backbone": False}
        return StandIn(1.0)

    def reparameterize(network: StandIn) -> StandIn:
        assert not network.training
        network.merged = True
        return network

    detection, module = ModuleType("doctr.models.detection"), ModuleType("fast")
    vars(detection).update(fast_tiny=build, fast_base=build)
    vars(module).update(reparameterize=reparameterize)
    for name in ("doctr", "doctr.models"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "doctr.models.detection", detection)
    monkeypatch.setitem(sys.modules, "doctr.models.detection.fast", module)
    monkeypatch.setattr(fast.importlib.metadata, "version", lambda name: "1.0")
    torch.save(StandIn(1.0).state_dict(), tmp_path / "tiny.pt")
    return tmp_path / "tiny.pt"


def pages() -> list[Image.Image]:
    """White, with one black block each, at other places."""
    sizes = [(400, 200), (200, 400), (256, 256), (900, 333)]
    images = [Image.new("RGB", size, "white") for size in sizes]
    for image in images:
        width, height = image.size
        image.paste((0, 0, 0), (width // 4, height // 4, width // 2, height // 2))
    return images


def prints(found: list[Regions]) -> list[Any]:
    return [[p.tolist() for p in regions.polygons] for regions in found]


@pytest.mark.parametrize("post", ["paper", "doctr"])
def test_polygons_come_back_to_the_image(post: str, doctr: Path) -> None:
    detector = open_detector("fast:tiny", weights=doctr, post=post)
    images = pages()
    for image, regions in zip(images, detect_images(detector, images), strict=True):
        width, height = image.size
        (polygon,) = regions.polygons
        block = shapely.box(width / 4, height / 4, width / 2, height / 2)
        found = shapely.Polygon(polygon)
        assert found.intersection(block).area > 0.93 * block.area
        assert found.area < (1.4 if post == "paper" else 2.4) * block.area
        assert covered(regions, image.size)[height // 3, width // 3]


def test_rows_of_fast_depend_on_themselves_alone(doctr: Path, pinned: Pin) -> None:
    detector = open_detector("fast:tiny", weights=doctr, post="paper", side=256)
    images = pages()
    whole = prints(detect_images(detector, images))
    assert whole == [prints(detect_images(detector, [image]))[0] for image in images]
    assert whole == prints(detect_images(detector, images[::-1]))[::-1]
    with pinned(threads=1):
        assert whole == prints(detect_images(detector, images))


def test_odd_images(doctr: Path) -> None:
    detector = open_detector("fast:base", weights=doctr, post="paper", side=64)
    images = [Image.new("RGB", size, "white") for size in [(1, 1), (1, 90), (3000, 40)]]
    assert prints(detect_images(detector, images)) == [[], [], []]
    assert pickle.loads(pickle.dumps(detector.prepare_image)) == detector.prepare_image


def test_recipes_of_fast_tell_apart(doctr: Path, tmp_path: Path) -> None:
    torch.save(StandIn(2.0).state_dict(), tmp_path / "other.pt")
    recipes = [
        open_detector(word, weights=weights, **options).recipe()
        for word, weights, options in [
            ("fast:tiny", doctr, {}),
            ("fast:base", doctr, {}),
            ("fast:tiny", tmp_path / "other.pt", {}),
            ("fast:tiny", doctr, {"side": 256}),
            ("fast:tiny", doctr, {"post": "paper"}),
            ("fast:base", doctr, {"post": "paper"}),
        ]
    ]
    assert len({repr(sorted(recipe.items())) for recipe in recipes}) == len(recipes)
    assert [recipe["pooling"] for recipe in recipes[4:]] == [7, 9]
    assert [recipe["min_area"] for recipe in recipes[4:]] == [200, 250]


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("touched"),))


def test_weights_that_are_none(
    doctr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "junk.pt").write_bytes(b"junk")
    torch.save({"other": torch.zeros(3)}, tmp_path / "other.pt")
    for name in ("evil.pt", "junk.pt", "other.pt"):
        with pytest.raises(AssetError, match="does not fit docTR's fast_tiny"):
            open_detector("fast:tiny", weights=tmp_path / name)
    assert not (tmp_path / "touched").exists()
    with pytest.raises(AssetError, match="but there is no such file"):
        open_detector("fast:tiny", weights=tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("word", "options", "message"),
    [
        ("fast:tiny", {"weights": None}, "needs weights"),
        ("fast:huge", {}, "expected a size tiny or base, got huge"),
        ("fast:tiny", {"post": "db"}, "expected a post doctr or paper, got db"),
        ("fast:tiny", {"side": 100}, "multiple of 32"),
        ("fast:tiny", {"enlarge": 2.0}, "has no enlarge"),
        ("fast:tiny", {"device": "tpu"}, "expected one of auto, cpu, cuda"),
    ],
)
def test_wrong_options(word: str, options: dict[str, Any], message: str, doctr: Path) -> None:
    with pytest.raises(ValueError, match=message):
        open_detector(word, **{"weights": doctr, **options})


def test_without_doctr_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "doctr", None)
    (tmp_path / "w.pt").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"doctr.*is not installed.*tamis\[fast\]"):
        open_detector("fast:tiny", weights=tmp_path / "w.pt")
