"""A BLIP of a few thousand weights, at random, on disk with a tokenizer: a folder as real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PLAIN = (
    "a picture of the dog cat kite red blue small big on in with two house tree ##s ##ing run , ."
)
WORDS = [*SPECIAL, *PLAIN.split()]
SIDE = 32


def tiny_config(**text: Any) -> Any:
    from transformers import BlipConfig

    size = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    return BlipConfig(
        vision_config={**size, "num_hidden_layers": 2, "image_size": SIDE, "patch_size": 8},
        text_config={
            **size,
            "num_hidden_layers": 2,
            "encoder_hidden_size": 16,
            "vocab_size": len(WORDS) + 2,
            "max_position_embeddings": 32,
            "bos_token_id": len(WORDS),
            "eos_token_id": 2,
            "sep_token_id": WORDS.index("[SEP]"),
            "pad_token_id": WORDS.index("[PAD]"),
            **text,
        },
        projection_dim=16,
    )


def tiny_blip(seed: int = 0) -> Any:
    """In float32, with weights large enough that images and steps matter."""
    import torch
    from transformers import BlipForConditionalGeneration

    before = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = BlipForConditionalGeneration(tiny_config()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.35)
    torch.random.set_rng_state(before)
    return model


def tiny_tokenizer(folder: Path) -> Any:
    from transformers import BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return BertTokenizerFast(str(folder / "vocab.txt"))


def save_tiny_blip(folder: Path, seed: int = 0) -> Path:
    """Model, tokenizer and image processor, as `save_pretrained` writes them."""
    from transformers import BlipImageProcessor

    tiny_tokenizer(folder).save_pretrained(folder)
    BlipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    tiny_blip(seed).save_pretrained(folder)
    return folder
