"""Tiny checkpoints in the published layouts, and what the published networks make of them.

The forward passes are written out from the descriptions of the models, in plain torch, one sample
at a time and in float64; they share nothing with open_clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import conv2d, gelu, layer_norm

State = dict[str, torch.Tensor]
VOCABULARY, END = 49408, 49407
IMAGE_WIDTH, TEXT_WIDTH, DIM = 128, 64, 24
IMAGE_LAYERS, TEXT_LAYERS = 2, 3
PATCH, GRID, CONTEXT = 4, 3, 12
LOG_C, LOG_IMAGE, LOG_TEXT = 0.25, -1.5, -0.75


def hype_state(seed: int = 0) -> State:
    """A checkpoint as HYPE's is laid out."""
    fill = _Fill(seed)
    state = {
        "visual.conv1.weight": fill(IMAGE_WIDTH, 3, PATCH, PATCH),
        "visual.class_embedding": fill(IMAGE_WIDTH),
        "visual.positional_embedding": fill(GRID**2 + 1, IMAGE_WIDTH),
        "visual.proj": fill(IMAGE_WIDTH, DIM),
        "token_embedding.weight": fill(VOCABULARY, TEXT_WIDTH),
        "positional_embedding": fill(CONTEXT, TEXT_WIDTH),
        "text_projection": fill(TEXT_WIDTH, DIM),
        "logit_scale": torch.tensor(2.659),
        "curvature": torch.tensor(LOG_C),
        "alpha_img": torch.tensor(LOG_IMAGE),
        "alpha_txt": torch.tensor(LOG_TEXT),
    }
    for norm, width in (
        ("visual.ln_pre", IMAGE_WIDTH),
        ("visual.ln_post", IMAGE_WIDTH),
        ("ln_final", TEXT_WIDTH),
    ):
        state |= fill.affine(norm, width)
    for layer in range(IMAGE_LAYERS):
        state |= fill.clip_block(f"visual.transformer.resblocks.{layer}", IMAGE_WIDTH)
    for layer in range(TEXT_LAYERS):
        state |= fill.clip_block(f"transformer.resblocks.{layer}", TEXT_WIDTH)
    return state


def meru_state(seed: int = 0, width: int = IMAGE_WIDTH) -> State:
    """A checkpoint's "model" as MERU's is laid out."""
    fill = _Fill(seed)
    state = {
        "visual.cls_token": fill(1, 1, width),
        "visual.pos_embed": fill(1, GRID**2 + 1, width),
        "visual.patch_embed.proj.weight": fill(width, 3, PATCH, PATCH),
        "visual.patch_embed.proj.bias": fill(width),
        "visual_proj.weight": fill(DIM, width),
        "textual.token_embed.weight": fill(VOCABULARY, TEXT_WIDTH),
        "textual.posit_embed": fill(CONTEXT, TEXT_WIDTH),
        "textual.attn_mask": torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).triu(1),
        "textual_proj.weight": fill(DIM, TEXT_WIDTH),
        "logit_scale": torch.tensor(2.659),
        "curv": torch.tensor(LOG_C),
        "visual_alpha": torch.tensor(LOG_IMAGE),
        "textual_alpha": torch.tensor(LOG_TEXT),
        "pixel_mean": torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1),
        "pixel_std": torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
    }
    state |= fill.affine("visual.norm", width) | fill.affine("textual.ln_final", TEXT_WIDTH)
    for layer in range(IMAGE_LAYERS):
        block = f"visual.blocks.{layer}"
        state |= fill.affine(f"{block}.norm1", width) | fill.affine(f"{block}.norm2", width)
        state |= fill.linear(f"{block}.attn.qkv", width, 3 * width)
        state |= fill.linear(f"{block}.attn.proj", width, width)
        state |= fill.linear(f"{block}.mlp.fc1", width, 4 * width)
        state |= fill.linear(f"{block}.mlp.fc2", 4 * width, width)
    for layer in range(TEXT_LAYERS):
        state |= fill.clip_block(f"textual.resblocks.{layer}", TEXT_WIDTH)
    return state


class _Fill:
    """Random tensors of the size that trained ones have."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, scale: float = 0.5) -> torch.Tensor:
        return torch.randn(shape, generator=self._generator) * scale

    def affine(self, name: str, width: int) -> State:
        return {f"{name}.weight": 1 + self(width, scale=0.2), f"{name}.bias": self(width)}

    def linear(self, name: str, inputs: int, outputs: int) -> State:
        weight = self(outputs, inputs, scale=inputs**-0.5)
        return {f"{name}.weight": weight, f"{name}.bias": self(outputs)}

    def clip_block(self, name: str, width: int) -> State:
        within = self.linear("", width, 3 * width)
        return {
            **self.affine(f"{name}.ln_1", width),
            **self.affine(f"{name}.ln_2", width),
            f"{name}.attn.in_proj_weight": within[".weight"],
            f"{name}.attn.in_proj_bias": within[".bias"],
            **self.linear(f"{name}.attn.out_proj", width, width),
            **self.linear(f"{name}.mlp.c_fc", width, 4 * width),
            **self.linear(f"{name}.mlp.c_proj", 4 * width, width),
        }


class Published:
    """The published networks, a sample at a time: pixels from 0 to 1, tokens up to the end."""

    def __init__(self, state: Mapping[str, torch.Tensor], *, eps: float, heads: int = 0) -> None:
        self._state = {name: tensor.double() for name, tensor in state.items()}
        self._eps = eps
        self._heads = heads

    def hype_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """(3, h, w) -> (DIM,), a tangent vector."""
        s = self._state
        mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).double()
        std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).double()
        normal = (pixels.double() - mean[:, None, None]) / std[:, None, None]
        patches = conv2d(normal[None], s["visual.conv1.weight"], stride=PATCH)[0].flatten(1).T
        x = torch.cat([s["visual.class_embedding"][None], patches])
        x = self._norm("visual.ln_pre", x + s["visual.positional_embedding"])
        for layer in range(IMAGE_LAYERS):
            x = self._clip_block(f"visual.transformer.resblocks.{layer}", x, causal=False)
        return s["alpha_img"].exp() * (self._norm("visual.ln_post", x[0]) @ s["visual.proj"])

    def hype_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """(length,) of token numbers -> (DIM,)."""
        s = self._state
        x = s["token_embedding.weight"][tokens] + s["positional_embedding"][: len(tokens)]
        for layer in range(TEXT_LAYERS):
            x = self._clip_block(f"transformer.resblocks.{layer}", x, causal=True)
        end = self._norm("ln_final", x)[tokens.argmax()]
        return s["alpha_txt"].exp() * (end @ s["text_projection"])

    def meru_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """(3, h, w) -> (DIM,), before the lift."""
        s = self._state
        normal = (pixels.double() - s["pixel_mean"]) / s["pixel_std"]
        name = "visual.patch_embed.proj"
        patches = conv2d(normal[None], s[f"{name}.weight"], s[f"{name}.bias"], stride=PATCH)
        x = (
            torch.cat([s["visual.cls_token"][0], patches[0].flatten(1).T])
            + s["visual.pos_embed"][0]
        )
        for layer in range(IMAGE_LAYERS):
            block = f"visual.blocks.{layer}"
            q, k, v = self._linear(f"{block}.attn.qkv", self._norm(f"{block}.norm1", x)).chunk(3, 1)
            x = x + self._linear(f"{block}.attn.proj", _attended(q, k, v, self._heads))
            inner = self._linear(f"{block}.mlp.fc1", self._norm(f"{block}.norm2", x))
            x = x + self._linear(f"{block}.mlp.fc2", gelu(inner))
        features = s["visual_proj.weight"] @ self._norm("visual.norm", x)[0]
        return features * s["visual_alpha"].exp()

    def meru_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """(length,) of token numbers -> (DIM,), before the lift."""
        s = self._state
        x = s["textual.token_embed.weight"][tokens] + s["textual.posit_embed"][: len(tokens)]
        for layer in range(TEXT_LAYERS):
            x = self._clip_block(f"textual.resblocks.{layer}", x, causal=True)
        end = self._norm("textual.ln_final", x)[tokens.argmax()]
        return (s["textual_proj.weight"] @ end) * s["textual_alpha"].exp()

    def _clip_block(self, name: str, x: torch.Tensor, *, causal: bool) -> torch.Tensor:
        s = self._state
        inner = self._norm(f"{name}.ln_1", x)
        joint = inner @ s[f"{name}.attn.in_proj_weight"].T + s[f"{name}.attn.in_proj_bias"]
        q, k, v = joint.chunk(3, 1)
        heads = x.shape[1] // 64
        x = x + self._linear(f"{name}.attn.out_proj", _attended(q, k, v, heads, causal=causal))
        inner = gelu(self._linear(f"{name}.mlp.c_fc", self._norm(f"{name}.ln_2", x)))
        return x + self._linear(f"{name}.mlp.c_proj", inner)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ self._state[f"{name}.weight"].T + self._state[f"{name}.bias"]

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._state[f"{name}.weight"], self._state[f"{name}.bias"]
        return layer_norm(x, x.shape[-1:], weight, bias, self._eps)


def _attended(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *, causal: bool = False
) -> torch.Tensor:
    """Softmax attention head by head, (tokens, width)."""
    length, width = q.shape
    outputs = []
    for part in torch.arange(width).chunk(heads):
        logits = q[:, part] @ k[:, part].T / (width / heads) ** 0.5
        if causal:
            above = torch.ones(length, length, dtype=torch.bool).triu(1)
            logits = logits.masked_fill(above, -torch.inf)
        outputs.append(logits.softmax(1) @ v[:, part])
    return torch.cat(outputs, 1)


def checkpoint(kind: str, **options: Any) -> Any:
    """What the published file of a kind holds."""
    if kind == "hype":
        return hype_state(**options)
    return {"model": meru_state(**options), "iteration": 120_000, "optimizer": {"state": {}}}
