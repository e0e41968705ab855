"""open_clip's CLIP with the weights of a hyperbolic checkpoint, all of them or an error."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tamis.data.samples.source import Side
from tamis.embed.hyperbolic.checkpoint import read_state
from tamis.embed.hyperbolic.layout import CLIP_MEAN, CLIP_STD, LAYOUTS, Layout
from tamis.errors import require

HEAD_WIDTH = 64
VOCABULARY = 49_408
"""Tokens of CLIP's vocabulary."""
LARGEST_IMAGE = 2048
LONGEST_CONTEXT = 4096
_SHOWN = 3
_AXES = {
    "visual.conv1.weight": 4,
    "visual.positional_embedding": 2,
    "visual.proj": 2,
    "text_projection": 2,
    "token_embedding.weight": 2,
    "positional_embedding": 2,
}
"""What sizes are taken from -> its number of axes in open_clip."""


@dataclass(frozen=True)
class Towers:
    """A loaded checkpoint.

    Attributes:
        network: open_clip's CLIP on the CPU, in float32; what its `encode_image` and `encode_text`
            give is not yet scaled. The scalars, and pixel statistics of its own, are among its
            buffers, so that :func:`tamis.embed.weights.weights_hash` covers them.
        curvature: c of the space.
        scales: side -> alpha, float32; a tangent vector is alpha times what the network gives.
        image_size: pixels of a side.
        context: tokens of a text.
        mean, std: of pixels from 0 to 1, by channel.
    """

    network: Any
    curvature: float
    scales: Mapping[Side, np.float32]
    image_size: int
    context: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def load_towers(layout: Layout, path: Path | str) -> Towers:
    """Load a checkpoint.

    Raises:
        ValueError: a tensor is missing, too many or of another shape than the others imply; a
            scalar has no usable value; or the file cannot be read. One sentence that names it.
        MissingExtraError: open_clip is not installed.
    """
    require("open_clip", extra="embed")
    return _Loading(layout, Path(path)).towers()


class _Loading:
    def __init__(self, layout: Layout, path: Path) -> None:
        self._layout = layout
        self._path = path
        self._state = read_state(path)
        self._places = layout.places(self._state)

    def towers(self) -> Towers:
        self._check_names()
        layout = self._layout
        curvature = self._positive(layout.curvature)
        image, text = self._positive(layout.image_scale), self._positive(layout.text_scale)
        self._float("logit_scale", ())
        placed = {place.name: self._placed(name) for name, place in self._places.items()}
        network = self._network(placed)
        context = len(network.positional_embedding)
        self._check_mask(context)
        mean, std = self._pixels(network)
        for name, own in (
            ("curvature", layout.curvature),
            ("image_scale", layout.image_scale),
            ("text_scale", layout.text_scale),
        ):
            network.register_buffer(name, self._float(own, ()))
        return Towers(
            network.eval().requires_grad_(False),
            curvature,
            {"image": np.float32(image), "text": np.float32(text)},
            network.visual.image_size[0],
            context,
            mean,
            std,
        )

    def _check_names(self) -> None:
        layout, found = self._layout, self._state.keys()
        lacking = [name for name in layout.scalars if name not in found]
        expected = self._places.keys() | layout.apart
        missing = lacking or sorted(expected - found)
        if missing:
            scalar = "; the four scalars have no defaults" if lacking else ""
            raise self._error(f"lacks {_listed(missing)}{scalar}{self._hint()}")
        if found - expected:
            raise self._error(f"has tensors of no known place: {_listed(found - expected)}")

    def _hint(self) -> str:
        others = [word for word, other in LAYOUTS.items() if set(other.scalars) <= set(self._state)]
        return f"; --model {others[0]} reads such a checkpoint" if others else ""

    def _positive(self, name: str) -> float:
        log = float(self._float(name, ()))
        value = math.exp(log) if log < 80 else math.inf  # float32 ends at exp(88.7)
        if not np.finfo(np.float32).tiny <= value < math.inf:
            raise self._error(f"{name}: expected the logarithm of a positive number, got {log:g}")
        return value

    def _float(self, name: str, shape: tuple[int, ...]) -> Any:
        tensor = self._state[name]
        self._check_shape(name, shape)
        if not tensor.is_floating_point():
            raise self._error(f"{name} holds {str(tensor.dtype).removeprefix('torch.')}")
        return tensor.float()

    def _check_shape(self, name: str, expected: tuple[int, ...]) -> None:
        found = tuple(self._state[name].shape)
        if found != expected:
            raise self._error(f"{name}: expected the shape {expected}, got {found}")

    def _placed(self, name: str) -> Any:
        """A tensor as open_clip has it."""
        tensor, place = self._state[name], self._places[name]
        axes = _AXES.get(place.name, tensor.ndim - place.lead)
        if (
            tensor.ndim != axes + place.lead
            or any(length != 1 for length in tensor.shape[: place.lead])
            or 0 in tensor.shape
        ):
            wanted = axes + place.lead
            raise self._error(
                f"{name}: expected {wanted} axes{', the first of length 1' * bool(place.lead)}, "
                f"got the shape {tuple(tensor.shape)}"
            )
        tensor = self._float(name, tuple(tensor.shape))
        tensor = tensor.reshape(tensor.shape[place.lead :])
        return (tensor.T if place.transposed else tensor).contiguous()

    def _network(self, placed: Mapping[str, Any]) -> Any:
        import torch

        with torch.device("meta"):  # shapes first: nothing is allocated, and nothing drawn
            network = self._empty(placed)
        expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        for name, place in self._places.items():
            self._check_shape(name, place.published(expected[place.name]))
        network.load_state_dict(dict(placed), strict=True, assign=True)
        # The one buffer that open_clip does not save.
        context = len(network.positional_embedding)
        network.attn_mask = torch.full((context, context), -math.inf).triu_(1)
        return network

    def _empty(self, placed: Mapping[str, Any]) -> Any:
        torch, open_clip = require("torch", extra="embed"), require("open_clip", extra="embed")
        width, _, patch, _ = placed["visual.conv1.weight"].shape
        patches = len(placed["visual.positional_embedding"]) - 1
        grid = math.isqrt(patches)
        if grid < 1 or grid * grid != patches or grid * patch > LARGEST_IMAGE:
            raise self._error(
                f"{self._published('visual.positional_embedding')}: expected a square of patches "
                f"of at most {LARGEST_IMAGE} pixels a side, and one more, got {patches} + 1 of "
                f"{patch} pixels"
            )
        tokens, text_width = placed["token_embedding.weight"].shape
        context = len(placed["positional_embedding"])
        if tokens != VOCABULARY or not 2 <= context <= LONGEST_CONTEXT:
            raise self._error(
                f"expected the {VOCABULARY:,} tokens of CLIP and texts of 2 to "
                f"{LONGEST_CONTEXT:,}, got {tokens:,} and {context:,}"
            )
        layout = self._layout
        heads = layout.heads.get(width) or self._heads(width, "image")
        blocks = [tower.count(self._places) for tower in (layout.image_blocks, layout.text_blocks)]
        if 0 in blocks:
            raise self._error("has no blocks in one of its towers")
        norm = {"norm_kwargs": {"eps": layout.eps}}
        network = open_clip.CLIP(
            placed["visual.proj"].shape[1],
            {
                "image_size": grid * patch,
                "patch_size": patch,
                "width": width,
                "head_width": width // heads,
                "layers": blocks[0],
                "no_ln_pre": not layout.starts_with_norm,
                **norm,
            },
            {
                "context_length": context,
                "vocab_size": tokens,
                "width": text_width,
                "heads": self._heads(text_width, "text"),
                "layers": blocks[1],
                **norm,
            },
        )
        if not layout.starts_with_norm:
            network.visual.conv1 = torch.nn.Conv2d(3, width, patch, stride=patch)
        return network

    def _heads(self, width: int, tower: str) -> int:
        if width % HEAD_WIDTH:
            raise self._error(
                f"expected a width of the {tower} tower that {HEAD_WIDTH} divides, the width of a "
                f"head, got {width}"
            )
        return width // HEAD_WIDTH

    def _check_mask(self, context: int) -> None:
        import torch

        if self._layout.mask is None:
            return
        self._check_shape(self._layout.mask, (context, context))
        causal = torch.ones(context, context, dtype=torch.bool).triu(1)
        if not torch.equal(self._state[self._layout.mask], causal):
            raise self._error(
                f"{self._layout.mask}: expected a causal mask, true above the diagonal"
            )

    def _pixels(self, network: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if self._layout.pixels is None:
            return CLIP_MEAN, CLIP_STD
        mean, std = (self._float(name, (3, 1, 1)) for name in self._layout.pixels)
        if not (std > 0).all():
            raise self._error(f"{self._layout.pixels[1]}: expected three positive numbers")
        network.register_buffer("pixel_mean", mean)
        network.register_buffer("pixel_std", std)
        return tuple(mean.flatten().tolist()), tuple(std.flatten().tolist())

    def _published(self, own: str) -> str:
        return next(name for name, place in self._places.items() if place.name == own)

    def _error(self, told: str) -> ValueError:
        return ValueError(f"{self._path} is no checkpoint of the kind {self._layout.word}: {told}")


def _listed(names: Collection[str]) -> str:
    shown = sorted(names)[:_SHOWN]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")
