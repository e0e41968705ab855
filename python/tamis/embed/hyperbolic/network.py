"""open_clip's CLIP in the sizes that a checkpoint's tensors have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tamis.embed.hyperbolic.layout import Layout
from tamis.errors import require

HEAD_WIDTH = 64
VOCABULARY = 49_408
"""Tokens of CLIP's vocabulary."""
LARGEST_IMAGE = 2048
LONGEST_CONTEXT = 4096
AXES = {
    "visual.conv1.weight": 4,
    "visual.positional_embedding": 2,
    "visual.proj": 2,
    "token_embedding.weight": 2,
    "positional_embedding": 2,
    "text_projection": 2,
}
"""What sizes are taken from -> its number of axes in open_clip."""


class MisfitError(Exception):
    """A checkpoint is not of the kind that it was taken for; the text says why."""


@dataclass(frozen=True)
class Sizes:
    """Of both towers; `dim` is of a row, `grid` counts patches along a side."""

    dim: int
    image_width: int
    image_layers: int
    patch: int
    grid: int
    text_width: int
    text_layers: int
    context: int

    @classmethod
    def of(
        cls,
        tensors: Mapping[str, Any],
        names: Mapping[str, str],
        *,
        image_layers: int,
        text_layers: int,
    ) -> Sizes:
        """Take the sizes from a checkpoint.

        Args:
            tensors: named and shaped as open_clip's, see `AXES`.
            names: open_clip's -> the checkpoint's.
            image_layers, text_layers: the blocks of both towers.

        Raises:
            MisfitError: no towers have these sizes.
        """
        positions, words = "visual.positional_embedding", "token_embedding.weight"
        image_width, _, patch, _ = tensors["visual.conv1.weight"].shape
        grid = math.isqrt(len(tensors[positions]) - 1)
        if not grid or grid**2 + 1 != len(tensors[positions]) or grid * patch > LARGEST_IMAGE:
            raise MisfitError(
                f"{names[positions]}: expected one token and a square of patches, of at most "
                f"{LARGEST_IMAGE} pixels a side, got {len(tensors[positions])} positions and "
                f"patches of {patch} pixels"
            )
        tokens, text_width = tensors[words].shape
        if tokens != VOCABULARY:
            raise MisfitError(
                f"{names[words]}: expected CLIP's {VOCABULARY:,} tokens, got {tokens:,}"
            )
        context = len(tensors["positional_embedding"])
        if not 2 <= context <= LONGEST_CONTEXT:
            raise MisfitError(
                f"{names['positional_embedding']}: expected texts of 2 to {LONGEST_CONTEXT:,} "
                f"tokens, got {context:,}"
            )
        for tower, width, layers in (
            ("image", image_width, image_layers),
            ("text", text_width, text_layers),
        ):
            if width % HEAD_WIDTH or not layers:
                raise MisfitError(
                    f"expected blocks in the {tower} tower, of a width that {HEAD_WIDTH} divides, "
                    f"got {layers} of width {width}"
                )
        dim = tensors["visual.proj"].shape[1]
        return cls(dim, image_width, image_layers, patch, grid, text_width, text_layers, context)


def empty_network(layout: Layout, sizes: Sizes) -> Any:
    """Return open_clip's CLIP on torch's "meta" device: shapes without memory, nothing drawn."""
    torch, open_clip = require("torch", extra="embed"), require("open_clip", extra="embed")
    width = sizes.image_width
    norm = {"norm_kwargs": {"eps": layout.eps}}
    vision = {
        "image_size": sizes.grid * sizes.patch,
        "patch_size": sizes.patch,
        "width": width,
        "head_width": width // layout.heads.get(width, width // HEAD_WIDTH),
        "layers": sizes.image_layers,
        "no_ln_pre": not layout.starts_with_norm,
        **norm,
    }
    text = {
        "context_length": sizes.context,
        "vocab_size": VOCABULARY,
        "width": sizes.text_width,
        "heads": sizes.text_width // HEAD_WIDTH,
        "layers": sizes.text_layers,
        **norm,
    }
    with torch.device("meta"):
        network = open_clip.CLIP(sizes.dim, vision, text)
        if not layout.starts_with_norm:
            network.visual.conv1 = torch.nn.Conv2d(3, width, sizes.patch, stride=sizes.patch)
    return network


def fill(network: Any, tensors: Mapping[str, Any]) -> None:
    """Give an empty network its tensors, all of them, as they are."""
    import torch

    network.load_state_dict(dict(tensors), strict=True, assign=True)
    # The one buffer that open_clip does not save.
    context = len(network.positional_embedding)
    network.attn_mask = torch.full((context, context), -math.inf).triu_(1)
