"""Text detection by FAST, the detector of T-MARS, through docTR's `fast_tiny` and `fast_base`.

docTR (python-doctr, Apache-2.0) brings the networks; their weights are a file of yours: docTR's
`fast_tiny-1acac421.pt` and `fast_base-688a8b34.pt`, or what was trained with docTR. T-MARS's own
checkpoint has other names and five outputs; docTR cannot load it.

An image is centred on a white square and scaled to `side` pixels (512 in T-MARS; docTR's weights
were trained at 1024), and normalised as the network's configuration says. Its logits, at a quarter
of that size, become regions in one of two ways:

- "doctr": enlarged bilinearly, filtered by the maximum of 3 x 3, and treated as a DB map with
  threshold 0.1, score 0.1 and unclip 1.0, which docTR finds better where there is much text;
- "paper": see :mod:`tamis.filters.tmars.paper`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tamis.data.asset import AssetError, asset
from tamis.embed.device import Device
from tamis.embed.weights import weights_hash
from tamis.errors import require
from tamis.filters.tmars.db_regions import DbRules
from tamis.filters.tmars.detector import Detector, Frames
from tamis.filters.tmars.paper import SHRUNK, PaperRules, sigmoid
from tamis.filters.tmars.polygons import Regions
from tamis.filters.tmars.square import OnSquare, from_square

if TYPE_CHECKING:
    from PIL import Image

EXTRA = "fast"
SIDE = 512
STRIDE = 32
MOST_SIDE = 4096
SIZES = ("tiny", "base")
Post: TypeAlias = Literal["doctr", "paper"]
POSTS: tuple[Post, ...] = ("doctr", "paper")
GPU_BATCH = 16


@dataclass(frozen=True)
class DoctrRules:
    """docTR's way from logits to regions.

    Attributes:
        rules: how the enlarged and filtered map becomes regions.
    """

    rules: DbRules = field(
        default_factory=lambda: DbRules(threshold=0.1, min_score=0.1, unclip=1.0)
    )

    def recipe(self) -> dict[str, Any]:
        """The attributes, as JSON can hold them."""
        return {"post": "doctr", **self.rules.recipe()}

    def regions(self, logits: npt.NDArray[np.float32]) -> Regions:
        """Find the regions of logits (S/4, S/4), polygons in pixels of S.

        Raises:
            MissingExtraError: OpenCV or shapely is not installed.
        """
        cv2 = require("cv2", extra=EXTRA)
        side = SHRUNK * len(logits)
        large = cv2.resize(logits, (side, side), interpolation=cv2.INTER_LINEAR)
        grown = cv2.dilate(large, np.ones((3, 3), np.uint8))
        return self.rules.regions(sigmoid(grown).astype(np.float32))


RULES: dict[Post, dict[str, DoctrRules | PaperRules]] = {
    "doctr": dict.fromkeys(SIZES, DoctrRules()),
    "paper": {"tiny": PaperRules(), "base": PaperRules(pooling=9, min_area=250)},
}
"""Post-processing -> size of the network -> its rules."""


class FastDetector(Detector):
    """FAST with docTR's networks.

    Args:
        size: "tiny" or "base".
        weights: a state dict that docTR saved; loaded with torch's weights_only=True, which is a
            safety net and no security boundary.
        post: "doctr" or "paper".
        side: pixels of the square that the network sees, a multiple of 32.
        device: "auto", "cpu" or "cuda".

    Raises:
        AssetError: there is no such file, or its weights do not fit the network.
        MissingExtraError: python-doctr or torch is not installed.
        ValueError: an unknown word or side.
    """

    def __init__(
        self,
        size: str,
        weights: Path | str,
        *,
        post: Post = "doctr",
        side: int = SIDE,
        device: str = "auto",
    ) -> None:
        for what, word, known in (("size", size, SIZES), ("post", post, POSTS)):
            if word not in known:
                raise ValueError(f"expected a {what} {' or '.join(known)}, got {word}")
        if side % STRIDE or not STRIDE <= side <= MOST_SIDE:
            raise ValueError(
                f"expected a side that is a multiple of {STRIDE}, {MOST_SIDE} at most, got {side}"
            )
        asset(weights, "detector", expected="weights of docTR's FAST")
        self.size = size
        self.side = side
        self.rules = RULES[post][size]
        self._device = Device.choose(device, "fp32")
        self._network, self._weights = _network(size, Path(weights))
        self._network.to(self._device.kind)
        self._mean, self._deviation = (
            np.array(self._network.cfg[key], np.float32) for key in ("mean", "std")
        )

    @property
    def name(self) -> str:
        return f"fast-{self.size}"

    @property
    def prepare_image(self) -> Callable[[Image.Image], npt.NDArray[Any]]:
        return OnSquare(self.side)

    def recipe(self) -> dict[str, Any]:
        versions = ("python-doctr", "opencv-python", "pillow")
        return {
            "detector": self.name,
            "model": self._weights,
            "side": self.side,
            **self.rules.recipe(),
            **self._device.recipe(),
            **{name: importlib.metadata.version(name) for name in versions},
        }

    def detect(self, frames: Frames) -> list[Regions]:
        batch = GPU_BATCH if self._device.kind == "cuda" else max(len(frames), 1)
        found = []
        for start in range(0, len(frames), batch):
            some = frames[start : start + batch]
            filled = np.resize(some, batch)["pixels"]
            logits = self._device.run(self._logits, filled, rows_per_piece=1)
            for frame, its in zip(some, logits, strict=False):
                found.append(self._regions(its, *frame["size"].tolist()))
        return found

    def _logits(self, pixels: Any) -> Any:
        """uint8 (n, S, S, 3) to float32 (n, S/4, S/4), both torch's."""
        import torch

        mean, deviation = (
            torch.from_numpy(values).to(pixels.device) for values in (self._mean, self._deviation)
        )
        x = ((pixels.float() / 255 - mean) / deviation).permute(0, 3, 1, 2)
        stages = self._network.feat_extractor(x)
        ordered = [stages[str(number)] for number in range(len(stages))]
        return self._network.prob_head(self._network.neck(ordered))[:, 0]

    def _regions(self, logits: npt.NDArray[np.float32], width: int, height: int) -> Regions:
        found = self.rules.regions(logits)
        polygons = [
            from_square(polygon, self.side, width, height).astype(np.float32)
            for polygon in found.polygons
        ]
        return replace(found, polygons=polygons)


def _network(size: str, weights: Path) -> tuple[Any, str]:
    """The network, and the hash of its weights before layers are merged."""
    torch = require("torch", extra=EXTRA)
    detection = require("doctr.models.detection", extra=EXTRA)
    fast = require("doctr.models.detection.fast", extra=EXTRA)
    build = getattr(detection, f"fast_{size}")
    network = build(pretrained=False, pretrained_backbone=False)
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except Exception as error:  # torch and pickle fail on other files in every way
        first = (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".:")
        raise AssetError(f"{weights} does not fit docTR's fast_{size}: {first}") from error
    network.eval()
    digest = weights_hash(network)
    return fast.reparameterize(network).eval(), digest
