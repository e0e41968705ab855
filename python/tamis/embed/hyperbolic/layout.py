"""The names that published checkpoints give their tensors, and where open_clip's CLIP has them.

| | `hype` (naver-ai/hype) | `meru` (facebookresearch/meru) |
|---|---|---|
| towers | CLIP's, named as OpenAI and open_clip do | timm's ViT, and CLIP's text transformer |
| before the blocks of the image tower | LayerNorm | nothing; the patches have a bias |
| LayerNorm's epsilon | float32's machine epsilon, 2^-23 | 1e-5 |
| heads | width / 64 | width / 64; 12 of width 384 (MoCo v3) |
| pixels | CLIP's mean and deviation | those that it stores |
| log of curvature c | `curvature` | `curv` |
| log of scales alpha | `alpha_img`, `alpha_txt` | `visual_alpha`, `textual_alpha` |

Both use exact GELU, the first token of an image, the token with the largest number of a text, and
linear heads without bias, and neither normalises. HYPE's epsilon is that of the dtype that it runs
in; other precisions than float32 would make another model of it, so float32's is meant here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_BLOCK = ("ln_1", "attn.out_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
_TIMM_BLOCK = ("norm1", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")


@dataclass(frozen=True)
class Place:
    """Where a tensor belongs in open_clip's CLIP.

    Attributes:
        name: there.
        lead: axes of length 1 that the published tensor has in front.
        transposed: the published tensor is the transpose.
    """

    name: str
    lead: int = 0
    transposed: bool = False

    def published(self, shape: Iterable[int]) -> tuple[int, ...]:
        """Return the published shape of what has this shape in open_clip.

        Example:
            >>> Place("visual.proj", transposed=True).published((64, 32))
            (32, 64)
        """
        own = tuple(shape)
        return (1,) * self.lead + (own[::-1] if self.transposed else own)


@dataclass(frozen=True)
class Blocks:
    """The transformer blocks of a tower.

    Attributes:
        prefix: in front of a block's number, in the checkpoint.
        place: the same in open_clip.
        names: within a block, in the checkpoint -> in open_clip.
    """

    prefix: str
    place: str
    names: Mapping[str, str]

    def count(self, names: Iterable[str]) -> int:
        """Return how many different blocks there are among names.

        Example:
            >>> HYPE.text_blocks.count(["transformer.resblocks.0.ln_1.bias", "ln_final.bias"])
            1
        """
        inside = (name.removeprefix(self.prefix) for name in names if name.startswith(self.prefix))
        return len({rest.partition(".")[0] for rest in inside})

    def places(self, count: int) -> dict[str, Place]:
        """Return name -> place of `count` blocks."""
        return {
            f"{self.prefix}{number}.{name}": Place(f"{self.place}{number}.{own}")
            for number in range(count)
            for name, own in self.names.items()
        }


@dataclass(frozen=True)
class Layout:
    """How one kind of checkpoint is laid out.

    Attributes:
        word: the model on the command line.
        outer: name -> place, of all that is outside blocks and has one.
        image_blocks, text_blocks: the rest of both towers.
        curvature, image_scale, text_scale: names of the scalars that CLIP has no place for, all of
            them logarithms. `logit_scale` is the fourth.
        pixels: names of the stored mean and deviation; None for CLIP's.
        mask: name of the stored causal mask.
        eps: of every LayerNorm.
        heads: width of the image tower -> heads, where that is not width / 64.
        starts_with_norm: the image tower has a LayerNorm before its blocks, its patches no bias.
    """

    word: str
    outer: Mapping[str, Place]
    image_blocks: Blocks
    text_blocks: Blocks
    curvature: str
    image_scale: str
    text_scale: str
    pixels: tuple[str, str] | None
    mask: str | None
    eps: float
    heads: Mapping[int, int]
    starts_with_norm: bool

    @property
    def scalars(self) -> tuple[str, str, str, str]:
        """The names of the four scalars."""
        return self.curvature, self.image_scale, self.text_scale, "logit_scale"

    @property
    def apart(self) -> frozenset[str]:
        """All names that have no place in open_clip's CLIP."""
        pixels = self.pixels or ()
        mask = () if self.mask is None else (self.mask,)
        return frozenset((*self.scalars[:3], *pixels, *mask))

    def places(self, names: Iterable[str]) -> dict[str, Place]:
        """Return name -> place of all tensors that a checkpoint with as many blocks must have."""
        known = list(names)
        blocks = (self.image_blocks, self.text_blocks)
        inner = [tower.places(tower.count(known)) for tower in blocks]
        return {**self.outer, **inner[0], **inner[1]}


def _affine(*names: tuple[str, str]) -> dict[str, str]:
    return {f"{name}.{part}": f"{own}.{part}" for name, own in names for part in ("weight", "bias")}


def _same(*names: str) -> dict[str, Place]:
    return {name: Place(name) for name in names}


_OWN_BLOCK = {
    **_affine(*zip(_BLOCK, _BLOCK, strict=True)),
    "attn.in_proj_weight": "attn.in_proj_weight",
    "attn.in_proj_bias": "attn.in_proj_bias",
}

HYPE = Layout(
    word="hype",
    outer=_same(
        *("visual.conv1.weight", "visual.class_embedding", "visual.positional_embedding"),
        *("visual.ln_pre.weight", "visual.ln_pre.bias"),
        *("visual.ln_post.weight", "visual.ln_post.bias", "visual.proj"),
        *("token_embedding.weight", "positional_embedding"),
        *("ln_final.weight", "ln_final.bias", "text_projection", "logit_scale"),
    ),
    image_blocks=Blocks(
        "visual.transformer.resblocks.", "visual.transformer.resblocks.", _OWN_BLOCK
    ),
    text_blocks=Blocks("transformer.resblocks.", "transformer.resblocks.", _OWN_BLOCK),
    curvature="curvature",
    image_scale="alpha_img",
    text_scale="alpha_txt",
    pixels=None,
    mask=None,
    eps=2.0**-23,
    heads={},
    starts_with_norm=True,
)

MERU = Layout(
    word="meru",
    outer={
        "visual.patch_embed.proj.weight": Place("visual.conv1.weight"),
        "visual.patch_embed.proj.bias": Place("visual.conv1.bias"),
        "visual.cls_token": Place("visual.class_embedding", lead=2),
        "visual.pos_embed": Place("visual.positional_embedding", lead=1),
        "visual.norm.weight": Place("visual.ln_post.weight"),
        "visual.norm.bias": Place("visual.ln_post.bias"),
        "visual_proj.weight": Place("visual.proj", transposed=True),
        "textual.token_embed.weight": Place("token_embedding.weight"),
        "textual.posit_embed": Place("positional_embedding"),
        "textual.ln_final.weight": Place("ln_final.weight"),
        "textual.ln_final.bias": Place("ln_final.bias"),
        "textual_proj.weight": Place("text_projection", transposed=True),
        "logit_scale": Place("logit_scale"),
    },
    image_blocks=Blocks(
        "visual.blocks.",
        "visual.transformer.resblocks.",
        {
            **_affine(*zip(_TIMM_BLOCK, _BLOCK, strict=True)),
            "attn.qkv.weight": "attn.in_proj_weight",
            "attn.qkv.bias": "attn.in_proj_bias",
        },
    ),
    text_blocks=Blocks("textual.resblocks.", "transformer.resblocks.", _OWN_BLOCK),
    curvature="curv",
    image_scale="visual_alpha",
    text_scale="textual_alpha",
    pixels=("pixel_mean", "pixel_std"),
    mask="textual.attn_mask",
    eps=1e-5,
    heads={384: 12},
    starts_with_norm=False,
)

LAYOUTS: Mapping[str, Layout] = {layout.word: layout for layout in (HYPE, MERU)}
