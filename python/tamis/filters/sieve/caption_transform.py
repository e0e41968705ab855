"""What a captioner's network sees of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.embed.weights import load_failure
from tamis.errors import require

if TYPE_CHECKING:
    from PIL.Image import Image

TRANSFORMS = ("clip", "model")
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training images, per channel; BLIP uses the same."""


@dataclass(frozen=True)
class ClipTransform:
    """OpenAI CLIP's for validation, which SIEVE uses for BLIP too.

    The short side is scaled to `side` pixels, bicubic, and the centre is cut out.

    Example:
        >>> from PIL import Image
        >>> ClipTransform(224)(Image.new("RGB", (640, 480))).shape
        (224, 224, 3)
    """

    side: int

    def __call__(self, image: Image) -> npt.NDArray[np.uint8]:
        """Return uint8 (side, side, 3)."""
        from PIL.Image import Resampling

        width, height = image.size
        short = min(width, height)
        size = (self.side * width // short, self.side * height // short)
        scaled = image.resize(size, Resampling.BICUBIC)
        left, top = (round((length - self.side) / 2) for length in size)
        return np.asarray(scaled.crop((left, top, left + self.side, top + self.side)))

    def finish(self, batch: Any) -> Any:
        """Turn a tensor of bytes (n, side, side, 3) into the network's float (n, 3, side, side)."""
        import torch

        mean, std = (torch.tensor(value, device=batch.device) for value in (MEAN, STD))
        return ((batch.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


class ModelTransform:
    """The image processor that comes with a model of transformers.

    Args:
        source: the model's name or folder.
        local: whether only local files may be read.

    Raises:
        ValueError: it cannot be loaded.
    """

    def __init__(self, source: str, *, local: bool) -> None:
        transformers = require("transformers", extra="embed")
        try:
            self._processor = transformers.AutoImageProcessor.from_pretrained(
                source, local_files_only=local, trust_remote_code=False
            )
        except Exception as error:
            raise load_failure(f"the image processor of {source}", error, hub=not local) from error

    def __call__(self, image: Image) -> npt.NDArray[np.float32]:
        """Return float32 (3, height, width), as the network takes it."""
        pixels = self._processor(images=image, return_tensors="np")["pixel_values"]
        return np.asarray(pixels[0], np.float32)

    def finish(self, batch: Any) -> Any:
        """Nothing is left to do."""
        return batch
