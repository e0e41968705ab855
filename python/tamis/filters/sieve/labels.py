"""`labels`: names of ImageNet classes as captions; offline, deterministic, a cheap baseline.

EfficientNet-lite0 classifies the image, and its k best classes become "a photo of a {label}". No
captioner's weights are needed: the network comes in a package of the extra "demo", the names of the
classes in open_clip. It knows 1,000 things, mostly animals and objects in photographs, and says
nothing about what happens in a picture. Say so wherever such a score is shown.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.embed.demo import image_net, on_white_square
from tamis.embed.device import Device
from tamis.embed.weights import weights_hash
from tamis.errors import require
from tamis.filters.sieve.captioner import RowKeys

TEMPLATE = "a photo of a {}"


class LabelCaptioner:
    """The k best classes of EfficientNet-lite0 (ImageNet), on the CPU.

    Classes are ordered by logit, descending; equal ones by class number. Images are centred on a
    white square and scaled to 224 x 224.

    Raises:
        MissingExtraError: a package of the extra "demo" is not installed.
    """

    name = "labels"

    def __init__(self) -> None:
        self.prepare_image = on_white_square
        self._device = Device("cpu", "fp32")
        self._network = image_net()
        self._hash = weights_hash(self._network)
        names = require("open_clip.zero_shot_metadata", extra="demo").IMAGENET_CLASSNAMES
        self._captions = [TEMPLATE.format(name) for name in names]

    def recipe(self) -> dict[str, Any]:
        """See :class:`tamis.filters.sieve.captioner.Captioner`."""
        return {
            "model": "labels: ImageNet classes of EfficientNet-lite0, no captioner",
            "weights": self._hash,
            "labels": hashlib.sha256("\n".join(self._captions).encode()).hexdigest(),
            **self._device.recipe(),
            "pillow": importlib.metadata.version("pillow"),
        }

    def caption(self, images: npt.NDArray[Any], keys: RowKeys, count: int) -> list[list[str]]:
        """See :class:`tamis.filters.sieve.captioner.Captioner`.

        Raises:
            ValueError: more captions are asked for than there are classes.
        """
        if count > len(self._captions):
            raise ValueError(
                f"expected at most {len(self._captions)} captions, one for each class, got {count}"
            )
        logits = self._device.run(self._logits, images, rows_per_piece=1)
        best = np.argsort(-logits, axis=1, kind="stable")[:, :count]
        return [[self._captions[place] for place in row] for row in best.tolist()]

    def _logits(self, pixels: Any) -> Any:
        return self._network(((pixels.float() - 127) / 128).permute(0, 3, 1, 2).contiguous())
