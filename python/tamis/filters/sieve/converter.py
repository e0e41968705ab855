"""BLIP checkpoints in their original layout -> a folder that `blip:FOLDER` opens.

BLIP's authors publish `.pth` files: SIEVE's is `model_base_14M.pth`; `model_base.pth` and the
captioners have the same layout. Which key becomes which:

| original                            | transformers                                   |
|-------------------------------------|------------------------------------------------|
| `visual_encoder.cls_token`          | `vision_model.embeddings.class_embedding`      |
| `visual_encoder.pos_embed`          | `vision_model.embeddings.position_embedding`   |
| `visual_encoder.patch_embed.proj.*` | `vision_model.embeddings.patch_embedding.*`    |
| `visual_encoder.blocks.N.norm1.*`   | `vision_model.encoder.layers.N.layer_norm1.*`  |
| `....norm2.*`, `....mlp.fc1.*`, ... | `....layer_norm2.*`, `....mlp.fc1.*`, ...      |
| `....attn.qkv.*`, `....attn.proj.*` | `....self_attn.qkv.*`, `...projection.*`       |
| `visual_encoder.norm.*`             | `vision_model.post_layernorm.*`                |
| `text_decoder.*`                    | the same                                       |

What only training needs is left out: the text encoder, projections, momentum copies, queues. The
sizes are read off the shapes; heads are 64 wide in every published model. Layer norms of the vision
model have the original's epsilon of 1e-6, where models that were converted elsewhere say 1e-5.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tamis.embed.weights import existing, load_failure
from tamis.errors import require

HEAD_WIDTH = 64
_DECODER = "text_decoder.cls.predictions.decoder"
_WORDS = "text_decoder.bert.embeddings.word_embeddings.weight"
_BIAS = "text_decoder.cls.predictions.bias"
_POSITION_IDS = "text_decoder.bert.embeddings.position_ids"
_RENAMED = (
    (r"visual_encoder\.cls_token", "vision_model.embeddings.class_embedding"),
    (r"visual_encoder\.pos_embed", "vision_model.embeddings.position_embedding"),
    (r"visual_encoder\.patch_embed\.proj\.", "vision_model.embeddings.patch_embedding."),
    (r"visual_encoder\.norm\.", "vision_model.post_layernorm."),
    (
        r"visual_encoder\.blocks\.(\d+)\.norm([12])\.",
        r"vision_model.encoder.layers.\1.layer_norm\2.",
    ),
    (
        r"visual_encoder\.blocks\.(\d+)\.attn\.qkv\.",
        r"vision_model.encoder.layers.\1.self_attn.qkv.",
    ),
    (
        r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.",
        r"vision_model.encoder.layers.\1.self_attn.projection.",
    ),
    (r"visual_encoder\.blocks\.(\d+)\.mlp\.", r"vision_model.encoder.layers.\1.mlp."),
)


def convert_blip(
    checkpoint: Path | str,
    folder: Path | str,
    *,
    tokenizer: Path | str,
    head_width: int = HEAD_WIDTH,
) -> Path:
    """Convert a checkpoint; write config, safetensors and tokenizer into a new folder.

    Args:
        checkpoint: the `.pth` file; it is loaded with `weights_only=True`, which is no security
            boundary.
        folder: the result; must not exist.
        tokenizer: of bert-base-uncased, which BLIP uses: a folder, or a name on the hub. BLIP has
            two tokens more, [DEC] and [ENC], behind those of the tokenizer.
        head_width: of attention.

    Returns:
        The folder.

    Raises:
        ValueError: the file is no BLIP checkpoint; names keys that are missing, unknown or of
            another shape. Nothing is written then.
        MissingExtraError: transformers is not installed.

    Example:
        >>> renamed("visual_encoder.blocks.11.attn.proj.bias")
        'vision_model.encoder.layers.11.self_attn.projection.bias'
    """
    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"expected a folder to be made, {folder} exists; choose another")
    words = _tokenizer(tokenizer)
    weights = _captioner_weights(_load(checkpoint), checkpoint)
    config = _config(weights, words, head_width, checkpoint)
    model = _model(config, weights, checkpoint)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        words.save_pretrained(unfinished)
        model.save_pretrained(unfinished)
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return folder


def renamed(key: str) -> str | None:
    """Return the name of a weight in transformers; None for one that captioning does not need.

    Raises:
        ValueError: a weight of the captioner that is not known.
    """
    if key == _POSITION_IDS or not key.startswith(("visual_encoder.", "text_decoder.")):
        return None
    if key.startswith("text_decoder."):
        return key
    for original, name in _RENAMED:
        found, count = re.subn(f"^{original}", name, key)
        if count:
            return found
    raise ValueError(f"unknown weight {key}")


def _load(checkpoint: Path | str) -> Mapping[str, Any]:
    torch = require("torch", extra="embed")
    path = existing(checkpoint, "a checkpoint (.pth)")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise load_failure(path, error, hub=False) from error
    found = loaded.get("model", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise ValueError(f"{path}: expected a dictionary of weights, or one under 'model'")
    return found


def _captioner_weights(stored: Mapping[str, Any], checkpoint: Path | str) -> dict[str, Any]:
    import torch

    weights = {}
    for key, value in stored.items():
        try:
            name = renamed(key)
        except ValueError as error:
            raise ValueError(f"{checkpoint}: {error}; it is no BLIP with a plain ViT") from None
        if name is not None:
            if not isinstance(value, torch.Tensor) or not value.is_floating_point():
                raise ValueError(f"{checkpoint}: expected {key} to be a tensor of floats")
            weights[name] = value.float()
    bias = weights.get(f"{_DECODER}.bias")
    if bias is not None:
        # The head adds this one. The other is what BERT had, before BLIP's two tokens were added.
        weights[_BIAS] = bias
    tied, words = weights.get(f"{_DECODER}.weight"), weights.get(_WORDS)
    if tied is not None and words is not None and not torch.equal(tied, words):
        raise ValueError(f"{checkpoint}: expected {_DECODER}.weight to equal {_WORDS}")
    return weights


def _config(weights: Mapping[str, Any], words: Any, head_width: int, checkpoint: Path | str) -> Any:
    """The sizes, from the shapes."""
    from transformers import BlipConfig

    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        if name not in weights:
            raise ValueError(f"{checkpoint}: no weight {name}; expected a BLIP captioner")
        if weights[name].ndim != dimensions or 0 in weights[name].shape:
            raise ValueError(f"{checkpoint}: {name} has shape {tuple(weights[name].shape)}")
        return tuple(weights[name].shape)

    width, _, patch, _ = shape("vision_model.embeddings.patch_embedding.weight", 4)
    side = math.isqrt(shape("vision_model.embeddings.position_embedding", 3)[1] - 1)
    n_words, text_width = shape(_WORDS, 2)
    if n_words != len(words) + 2:
        raise ValueError(
            f"{checkpoint} has {n_words} tokens, expected those of the tokenizer, {len(words)}, "
            "and two more; give the tokenizer of bert-base-uncased"
        )
    text = "text_decoder.bert"
    return BlipConfig(
        vision_config={
            "hidden_size": width,
            "intermediate_size": shape("vision_model.encoder.layers.0.mlp.fc1.weight", 2)[0],
            "num_hidden_layers": _layers(weights, r"vision_model\.encoder\.layers\.(\d+)\."),
            "num_attention_heads": max(1, width // head_width),
            "image_size": side * patch,
            "patch_size": patch,
            "layer_norm_eps": 1e-6,
        },
        text_config={
            "hidden_size": text_width,
            "encoder_hidden_size": width,
            "intermediate_size": shape(f"{text}.encoder.layer.0.intermediate.dense.weight", 2)[0],
            "num_hidden_layers": _layers(weights, r"text_decoder\.bert\.encoder\.layer\.(\d+)\."),
            "num_attention_heads": max(1, text_width // head_width),
            "max_position_embeddings": shape(f"{text}.embeddings.position_embeddings.weight", 2)[0],
            "vocab_size": n_words,
            "bos_token_id": len(words),
            "sep_token_id": words.sep_token_id,
            "pad_token_id": words.pad_token_id,
        },
    )


def _layers(weights: Mapping[str, Any], pattern: str) -> int:
    # Counted: a single name must not say how much is built.
    found = [re.match(pattern, name) for name in weights]
    return len({match[1] for match in found if match})


def _model(config: Any, weights: dict[str, Any], checkpoint: Path | str) -> Any:
    import torch
    from transformers import BlipForConditionalGeneration

    with torch.random.fork_rng(devices=[]):  # weights are drawn before they are replaced
        model: Any = BlipForConditionalGeneration(config)
    model.eval()
    expected = model.state_dict()
    missing = sorted(set(expected) - set(weights))
    unknown = sorted(set(weights) - set(expected))
    for what, names in (("lacks", missing), ("has the unknown", unknown)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ValueError(f"{checkpoint} {what} {', '.join(names[:3])}{more}")
    for name, value in expected.items():
        if value.shape != weights[name].shape:
            raise ValueError(
                f"{checkpoint}: expected {name} of shape {tuple(value.shape)}, got "
                f"{tuple(weights[name].shape)}"
            )
    model.load_state_dict(weights)
    return model


def _tokenizer(source: Path | str) -> Any:
    transformers = require("transformers", extra="embed")
    local = Path(source).exists()
    try:
        found = transformers.AutoTokenizer.from_pretrained(
            str(source), local_files_only=local, trust_remote_code=False
        )
    except Exception as error:
        raise load_failure(f"the tokenizer {source}", error, hub=not local) from error
    if found.sep_token_id is None or found.pad_token_id is None:
        raise ValueError(f"expected a tokenizer of BERT, {source} has no [SEP] or no [PAD]")
    return found
