"""BLIP in its original layout, there and back."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.filters.sieve.tiny_blip import SIDE, WORDS, tiny_blip, tiny_tokenizer

from tamis.filters.sieve.captioners import open_captioner
from tamis.filters.sieve.converter import convert_blip, renamed

HEAD_WIDTH = 8


def original_name(name: str) -> str:
    """From transformers to the authors' code, written down from the latter."""
    for pattern, replacement in (
        (r"^vision_model\.embeddings\.class_embedding$", "visual_encoder.cls_token"),
        (r"^vision_model\.embeddings\.position_embedding$", "visual_encoder.pos_embed"),
        (r"^vision_model\.embeddings\.patch_embedding", "visual_encoder.patch_embed.proj"),
        (r"^vision_model\.post_layernorm", "visual_encoder.norm"),
        (r"^vision_model\.encoder\.layers", "visual_encoder.blocks"),
        (r"layer_norm([12])", r"norm\1"),
        (r"self_attn\.projection", "attn.proj"),
        (r"self_attn\.qkv", "attn.qkv"),
    ):
        name = re.sub(pattern, replacement, name)
    return name


@pytest.fixture(scope="module")
def model() -> Any:
    found = tiny_blip(3)
    for module in found.vision_model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6  # the original's
    return found


@pytest.fixture
def stored(model: Any) -> dict[str, Any]:
    """What `model_base_14M.pth` holds under "model"."""
    weights = {original_name(name): value.clone() for name, value in model.state_dict().items()}
    weights["text_decoder.cls.predictions.bias"] = torch.zeros(len(WORDS))  # BERT's, unused
    weights["text_decoder.bert.embeddings.position_ids"] = torch.arange(32)[None]
    for name in ("visual_encoder_m.cls_token", "text_encoder.bert.x", "vision_proj.weight"):
        weights[name] = torch.ones(2)
    weights |= {"temp": torch.tensor(0.07), "queue_ptr": torch.zeros(1, dtype=torch.long)}
    return weights


@pytest.fixture
def words(tmp_path: Path) -> Path:
    tiny_tokenizer(tmp_path / "words").save_pretrained(tmp_path / "words")
    return tmp_path / "words"


def convert(stored: Any, words: Path, name: str = "blip") -> Path:
    checkpoint = words.parent / f"{name}.pth"
    torch.save(stored, checkpoint)
    return convert_blip(checkpoint, words.parent / name, tokenizer=words, head_width=HEAD_WIDTH)


def test_round_trip(model: Any, stored: dict[str, Any], words: Path) -> None:
    from transformers import BlipForConditionalGeneration

    state = torch.random.get_rng_state()
    folder = convert({"model": stored, "epoch": 19, "config": {"vit": "base"}}, words)
    assert (torch.random.get_rng_state() == state).all()
    back = BlipForConditionalGeneration.from_pretrained(folder).eval()
    pixels = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[len(WORDS), 5, 6, 7], [len(WORDS), 9, 11, 3]])
    with torch.inference_mode():
        found = back(pixel_values=pixels, input_ids=tokens).logits
        expected = model(pixel_values=pixels, input_ids=tokens).logits
    assert expected.std() > 0.1
    assert torch.equal(found, expected)
    assert back.config.vision_config.image_size == SIDE
    assert back.config.vision_config.layer_norm_eps == 1e-6
    assert not [name for name in os.listdir(words.parent) if name.startswith(".")]


def test_what_was_converted_captions(stored: dict[str, Any], words: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    keys = np.arange(2, dtype=np.uint64)
    plain = open_captioner(f"blip:{convert(stored, words, 'plain')}", device="cpu")
    found = plain.caption(images, keys, 3)  # type: ignore[union-attr]
    assert len({text for row in found for text in row}) > 3
    stored["visual_encoder.blocks.0.attn.qkv.weight"] *= 2
    other = open_captioner(f"blip:{convert(stored, words, 'other')}", device="cpu")
    assert other.caption(images, keys, 3) != found  # type: ignore[union-attr]


def test_the_heads_bias_is_the_decoders(stored: dict[str, Any], words: Path) -> None:
    stored["text_decoder.cls.predictions.decoder.bias"] = torch.arange(len(WORDS) + 2).float()
    from safetensors.torch import load_file

    weights = load_file(convert(stored, words) / "model.safetensors")
    found = [value for name, value in weights.items() if name.endswith("bias") and value.ndim == 1]
    assert any(torch.equal(value, torch.arange(len(WORDS) + 2).float()) for value in found)


NORM = "visual_encoder.norm.weight"
QUERY = "text_decoder.bert.encoder.layer.1.crossattention.self.query.weight"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({NORM: None}, r"lacks vision_model\.post_layernorm\.weight"),
        ({QUERY: None}, "lacks text_decoder.*crossattention"),
        ({"visual_encoder.pos_embed": None}, "no weight vision_model.*position_embedding"),
        ({NORM: torch.ones(15)}, r"post_layernorm.weight of shape \(16,\), got \(15,\)"),
        ({"visual_encoder.pos_embed": torch.ones(16)}, r"position_embedding has shape \(16,\)"),
        ({"visual_encoder.pos_embed": torch.ones(1, 20, 16)}, "position_embedding of shape"),
        ({"visual_encoder.blocks.0.adapter.weight": torch.ones(1)}, "unknown weight visual_enc"),
        ({"text_decoder.extra": torch.ones(1)}, "has the unknown text_decoder.extra"),
        ({"visual_encoder.pos_embed": torch.ones(1, 0, 16)}, r"has shape \(1, 0, 16\)"),
        (
            {"visual_encoder.blocks.99999999.norm1.bias": torch.ones(16)},
            r"lacks vision_model\.encoder\.layers\.2",
        ),
        ({NORM: "text"}, "to be a tensor of floats"),
        ({NORM: torch.ones(16, dtype=torch.long)}, "to be a tensor of floats"),
        (
            {"text_decoder.bert.embeddings.word_embeddings.weight": torch.ones(31, 16)},
            "to equal text_decoder",
        ),
    ],
)
def test_checkpoints_that_are_none(
    change: dict[str, Any], told: str, stored: dict[str, Any], words: Path
) -> None:
    for name, value in change.items():
        if value is None:
            del stored[name]
        else:
            stored[name] = value
    with pytest.raises(ValueError, match=told):
        convert(stored, words)
    assert not (words.parent / "blip").exists()


class Hostile:
    def __reduce__(self) -> Any:
        return (os.mkdir, ("harm",))


def test_files_that_are_no_checkpoints(
    stored: dict[str, Any], words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(words.parent)
    with pytest.raises(ValueError, match=r"cannot load .*blip\.pth"):
        convert({"model": stored, "config": Hostile()}, words)
    assert not Path("harm").exists()
    for content in ([1, 2], {"model": 3}, {1: 2}):
        with pytest.raises(ValueError, match="expected a dictionary of weights"):
            convert(content, words)
    with pytest.raises(ValueError, match=r"expected a checkpoint \(.pth\) at none.pth"):
        convert_blip("none.pth", "out", tokenizer=words)
    with pytest.raises(ValueError, match="cannot load the tokenizer no/words"):
        convert_blip("blip.pth", "out", tokenizer="no/words")
    with pytest.raises(ValueError, match=f"expected a folder to be made, {words} exists"):
        convert_blip("blip.pth", words, tokenizer=words)


def test_a_tokenizer_of_another_model(stored: dict[str, Any], words: Path) -> None:
    (words / "vocab.txt").write_text("\n".join([*WORDS, "more"]) + "\n")
    (words / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="has 29 tokens, expected those of the tokenizer, 28"):
        convert(stored, words)


def test_names() -> None:
    assert renamed("text_decoder.cls.predictions.bias") == "text_decoder.cls.predictions.bias"
    assert renamed("visual_encoder_m.norm.weight") is None
    assert renamed("text_encoder.embeddings.word_embeddings.weight") is None
