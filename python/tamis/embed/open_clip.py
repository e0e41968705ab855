"""Encoders of open_clip: any of its models, with its own transforms and tokenizer."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.data.samples.source import Side
from tamis.embed.device import Device
from tamis.embed.encoder import Tokens, short_name
from tamis.embed.weights import existing, load_failure, weights_hash
from tamis.errors import require

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_TEXT = 4096
"""Characters of a text that are looked at; models see 77 tokens or fewer. Of longer texts
white space is folded first, so that only words are counted."""

_SCHEMES = ("hf-hub:", "local-dir:")


@dataclass(frozen=True)
class Steps:
    """Transforms, one after the other; what is an image at the end becomes an array."""

    steps: tuple[Callable[[Any], Any], ...]

    def __call__(self, image: Image) -> npt.NDArray[Any]:
        """Return uint8 (height, width, 3), or float32 (3, height, width) of a normalised image."""
        value: Any = image
        for step in self.steps:
            value = step(value)
        return np.asarray(value)


class OpenClipEncoder:
    """A model of open_clip.

    Args:
        model: `MODEL/PRETRAINED` in open_clip's words, `hf-hub:ORG/REPO` or `local-dir:PATH`.
        weights: a local checkpoint instead of the download: safetensors, or any other that torch
            loads with `weights_only=True`, which is no security boundary. What open_clip knows of
            the pretrained tag (transforms, activation) holds for it too.
        device: where it runs.

    Raises:
        ValueError: an unknown model or tag, or weights that cannot be loaded.
        MissingExtraError: open_clip is not installed.
    """

    curvature = None

    def __init__(self, model: str, *, weights: Path | str | None, device: Device) -> None:
        self._id = model
        self._device = device
        self._model, transforms = _load(model, weights)
        self._hash = weights_hash(self._model)
        self._model.to(device.kind)
        self._tokenizer = _tokenizer(model)
        self.name = short_name("open_clip", model)
        self.prepare_image, self._finish = divided(transforms)
        length = int(getattr(self._tokenizer, "context_length", None) or 77)
        self.buckets = (length,)
        self.dims: Mapping[Side, int] = {
            "image": self._image_dim(),
            "text": self.encode_texts(np.ones((1, length), np.int64), np.array([length])).shape[1],
        }

    def recipe(self) -> dict[str, Any]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        return {
            "model": f"open_clip:{self._id}",
            "weights": self._hash,
            **self._device.recipe(),
            **versions(),
        }

    def encode_images(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        return self._device.run(lambda x: self._model.encode_image(self._finish(x)), batch)

    def prepare_texts(self, texts: Sequence[str]) -> list[list[Tokens]]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        return tokenized(self._tokenizer, texts)

    def encode_texts(self, tokens: Tokens, lengths: Tokens) -> npt.NDArray[np.floating[Any]]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        return self._device.run(self._model.encode_text, tokens)

    def _image_dim(self) -> int:
        from PIL import Image

        blank = self.prepare_image(Image.new("RGB", (8, 8)))
        return int(self.encode_images(blank[None]).shape[1])


def _load(name: str, weights: Path | str | None) -> tuple[Any, Any]:
    """The model on the CPU in float32, and its transforms."""
    open_clip = require("open_clip", extra="embed")
    arguments: dict[str, Any] = {}
    model, pretrained = name, None
    if not name.startswith(_SCHEMES):
        model, pretrained = _known(open_clip, name, free_tag=weights is not None)
        tag = open_clip.get_pretrained_cfg(model, pretrained or "") or {}
        # open_clip only warns where a tag was trained with another activation than the model's.
        arguments["force_quick_gelu"] = bool(tag.get("quick_gelu", False))
        for key in ("mean", "std", "interpolation", "resize_mode"):
            arguments[f"image_{key}"] = tag.get(key)
        if weights is not None:
            # By its full path: open_clip takes a bare name for a tag first.
            file = existing(weights, "weights (safetensors, or a torch checkpoint)")
            pretrained = str(file.absolute())
    elif weights is not None:
        raise ValueError(f"{name} brings its own weights; leave --weights away")
    try:
        # open_clip only warns where it finds no weights, and leaves them random.
        network, _, transforms = open_clip.create_model_and_transforms(
            model, pretrained, weights_only=True, require_pretrained=True, **arguments
        )
    except Exception as error:
        raise load_failure(weights or name, error, hub=_from_hub(name, weights)) from error
    return network.eval(), transforms


def _known(open_clip: Any, name: str, *, free_tag: bool) -> tuple[str, str | None]:
    """Split MODEL/PRETRAINED, and refuse what open_clip does not know."""
    model, _, tag = name.rpartition("/") if "/" in name else (name, "", "")
    if model not in open_clip.list_models():
        raise ValueError(
            f"open_clip has no model {model!r}; python -c 'import open_clip; "
            "print(open_clip.list_models())' lists those that it has"
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not free_tag and tag not in tags:
        raise ValueError(
            f"expected open_clip:{model}/PRETRAINED with one of {', '.join(tags) or '(none)'}, or "
            f"weights of your own by --weights; got {tag or 'no pretrained tag'}"
        )
    return model, tag or None


def _from_hub(name: str, weights: Path | str | None) -> bool:
    return weights is None and not name.startswith("local-dir:")


def _tokenizer(name: str) -> Any:
    open_clip = require("open_clip", extra="embed")
    model = name if name.startswith(_SCHEMES) or "/" not in name else name.rpartition("/")[0]
    try:
        return open_clip.get_tokenizer(model)
    except Exception as error:
        hub = _from_hub(name, None)
        raise load_failure(f"the tokenizer of {model}", error, hub=hub) from error


def divided(transforms: Any) -> tuple[Steps, Callable[[Any], Any]]:
    """Divide open_clip's transforms into what workers do and what the device does.

    Pixels cross to this process as bytes, a quarter of the size; their conversion to numbers and
    normalisation give the same bits here.
    """
    steps = tuple(transforms.transforms)
    if [type(step).__name__.removeprefix("Maybe") for step in steps[-2:]] != [
        "ToTensor",
        "Normalize",
    ]:
        return Steps(steps), lambda x: x
    normalize = steps[-1]
    return Steps(steps[:-2]), lambda x: normalize(x.permute(0, 3, 1, 2).contiguous().float() / 255)


def tokenized(tokenizer: Any, texts: Sequence[str]) -> list[list[Tokens]]:
    """Return one piece per text by a tokenizer of open_clip, which cuts and pads."""
    if not texts:
        return []
    short = [text if len(text) <= LONGEST_TEXT else _folded(text) for text in texts]
    return [[row] for row in tokenizer(short).numpy().astype(np.int64)]


def versions() -> dict[str, str]:
    """The versions of the packages that make a row out of a sample, torch's apart."""
    packages = ("open_clip_torch", "pillow", "torchvision")
    return {name: importlib.metadata.version(name).partition("+")[0] for name in packages}


def _folded(text: str) -> str:
    return " ".join(text.split())[:LONGEST_TEXT]
