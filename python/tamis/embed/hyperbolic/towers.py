"""A hyperbolic checkpoint as open_clip's CLIP: every tensor in its place, or an error."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tamis.data.samples.source import Side
from tamis.embed.hyperbolic.checkpoint import read_state
from tamis.embed.hyperbolic.layout import CLIP_MEAN, CLIP_STD, LAYOUTS, Layout, Place
from tamis.embed.hyperbolic.network import AXES, MisfitError, Sizes, empty_network, fill
from tamis.errors import require

_SHOWN = 3


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
    state = read_state(path)
    try:
        return _towers(layout, state)
    except MisfitError as misfit:
        raise ValueError(f"{path} is no checkpoint of the kind {layout.word}: {misfit}") from misfit


def _towers(layout: Layout, state: Mapping[str, Any]) -> Towers:
    places = layout.places(state)
    _check_names(layout, places, state)
    curvature = _positive(state, layout.curvature)
    scales: dict[Side, np.float32] = {
        "image": np.float32(_positive(state, layout.image_scale)),
        "text": np.float32(_positive(state, layout.text_scale)),
    }
    _floats(state, "logit_scale", ())
    placed = {place.name: _placed(state, name, place) for name, place in places.items()}
    sizes = Sizes.of(
        placed,
        {place.name: name for name, place in places.items()},
        image_layers=layout.image_blocks.count(state),
        text_layers=layout.text_blocks.count(state),
    )
    network = empty_network(layout, sizes)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name, place in places.items():
        _check_shape(state, name, place.published(shapes[place.name]))
    fill(network, placed)
    if layout.mask is not None:
        _check_mask(state, layout.mask, sizes.context)
    mean, std = _pixels(layout, network, state)
    for buffer, name in (
        ("curvature", layout.curvature),
        ("image_scale", layout.image_scale),
        ("text_scale", layout.text_scale),
    ):
        network.register_buffer(buffer, _floats(state, name, ()))
    network.eval().requires_grad_(False)
    side = sizes.grid * sizes.patch
    return Towers(network, curvature, scales, side, sizes.context, mean, std)


def _check_names(layout: Layout, places: Collection[str], state: Mapping[str, Any]) -> None:
    expected = {*places, *layout.apart}
    scalars = [name for name in layout.scalars if name not in state]
    missing = scalars or expected - state.keys()
    if missing:
        told = f"it lacks {_listed(missing)}"
        if scalars:
            told += "; the four scalars have no defaults"
        for word, other in LAYOUTS.items():
            if set(other.scalars) <= state.keys():
                told += f"; --model {word} reads such a checkpoint"
        raise MisfitError(told)
    if state.keys() - expected:
        raise MisfitError(f"it has tensors of no known place: {_listed(state.keys() - expected)}")


def _positive(state: Mapping[str, Any], name: str) -> float:
    """The power of a scalar that is stored as a logarithm."""
    log = float(_floats(state, name, ()))
    value = math.exp(log) if log < 88 else math.inf  # float32 ends at exp(88.7)
    if not np.finfo(np.float32).tiny <= value < math.inf:
        raise MisfitError(f"{name}: expected the logarithm of a positive number, got {log:g}")
    return value


def _floats(state: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Any:
    """A tensor of that shape, as float32."""
    _check_shape(state, name, shape)
    if not state[name].is_floating_point():
        raise MisfitError(f"{name} holds no floating-point numbers")
    return state[name].float()


def _check_shape(state: Mapping[str, Any], name: str, expected: tuple[int, ...]) -> None:
    found = tuple(state[name].shape)
    if found != expected:
        raise MisfitError(f"{name}: expected the shape {expected}, got {found}")


def _placed(state: Mapping[str, Any], name: str, place: Place) -> Any:
    """A tensor as open_clip has it; its lengths are checked later."""
    shape = tuple(state[name].shape)
    axes = AXES.get(place.name, len(shape) - place.lead) + place.lead
    if len(shape) != axes or 0 in shape or set(shape[: place.lead]) - {1}:
        lead = f", the first {place.lead} of length 1" if place.lead else ""
        raise MisfitError(f"{name}: expected {axes} axes{lead}, got the shape {shape}")
    tensor = _floats(state, name, shape).reshape(shape[place.lead :])
    return (tensor.T if place.transposed else tensor).contiguous()


def _check_mask(state: Mapping[str, Any], name: str, context: int) -> None:
    import torch

    _check_shape(state, name, (context, context))
    if not torch.equal(state[name], torch.ones(context, context, dtype=torch.bool).triu(1)):
        raise MisfitError(f"{name}: expected a causal mask, true above the diagonal")


def _pixels(
    layout: Layout, network: Any, state: Mapping[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the deviation of pixels; those of the checkpoint become the network's too."""
    if layout.pixels is None:
        return CLIP_MEAN, CLIP_STD
    mean, std = (_floats(state, name, (3, 1, 1)) for name in layout.pixels)
    if not (std > 0).all():
        raise MisfitError(f"{layout.pixels[1]}: expected three positive numbers")
    network.register_buffer("pixel_mean", mean)
    network.register_buffer("pixel_std", std)
    return tuple(mean.flatten().tolist()), tuple(std.flatten().tolist())


def _listed(names: Collection[str]) -> str:
    shown = sorted(names)[:_SHOWN]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")
