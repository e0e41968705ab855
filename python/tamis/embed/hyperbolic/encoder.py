"""Encoders of checkpoints of MERU's and HYPE's kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.data.samples.source import Side
from tamis.embed.device import Device
from tamis.embed.encoder import Tokens
from tamis.embed.hyperbolic.layout import LAYOUTS
from tamis.embed.hyperbolic.towers import load_towers
from tamis.embed.open_clip import divided, tokenized, versions
from tamis.embed.weights import weights_hash
from tamis.errors import require


class HyperbolicEncoder:
    """A hyperbolic CLIP; its rows are tangent vectors at the origin, of any length.

    A row is alpha times the projected feature, float32 (MERU, arXiv 2304.09172, section 3). Images
    are resized to the towers' size by the shorter side, bicubic, and their centre is cropped; texts
    take CLIP's vocabulary, and are cut with their end token kept.

    Args:
        kind: "hype" or "meru".
        weights: a checkpoint of that kind, see :mod:`tamis.embed.hyperbolic.layout`.
        device: "auto", "cpu" or "cuda".
        precision: "auto" is fp32, on a GPU too: half precision makes another model of it.

    Attributes:
        curvature: c of the space, from the checkpoint.

    Raises:
        ValueError: weights that cannot be loaded; names what is wrong.
        MissingExtraError: open_clip is not installed.
    """

    def __init__(
        self,
        kind: str,
        *,
        weights: Path | str,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        self._device = Device.choose(device, "fp32" if precision == "auto" else precision)
        towers = load_towers(LAYOUTS[kind], weights)
        open_clip = require("open_clip", extra="embed")
        self.name = kind
        self.curvature = towers.curvature
        self._scales = towers.scales
        self._model = towers.network
        self._hash = weights_hash(self._model)
        self._model.to(self._device.kind)
        self._tokenizer = open_clip.SimpleTokenizer(context_length=towers.context)
        self.prepare_image, self._finish = divided(
            open_clip.image_transform(
                towers.image_size, is_train=False, mean=towers.mean, std=towers.std
            )
        )
        self.buckets = (towers.context,)
        dim = int(self._model.visual.proj.shape[1])
        self.dims: Mapping[Side, int] = {"image": dim, "text": dim}

    def recipe(self) -> dict[str, Any]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        return {
            "model": self.name,
            "weights": self._hash,
            "curvature": self.curvature,
            **self._device.recipe(),
            **versions(),
        }

    def encode_images(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        rows = self._device.run(lambda x: self._model.encode_image(self._finish(x)), batch)
        return self._scaled(rows, "image")

    def prepare_texts(self, texts: Sequence[str]) -> list[list[Tokens]]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        return tokenized(self._tokenizer, texts)

    def encode_texts(self, tokens: Tokens, lengths: Tokens) -> npt.NDArray[np.floating[Any]]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        return self._scaled(self._device.run(self._model.encode_text, tokens), "text")

    def _scaled(self, rows: npt.NDArray[Any], side: Side) -> npt.NDArray[np.float32]:
        # Outside of the network: what runs there may be rounded to half precision.
        with np.errstate(over="ignore"):
            return np.asarray(rows * self._scales[side], np.float32)
