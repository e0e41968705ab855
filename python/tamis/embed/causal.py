"""Causal language models: the last layer's state of the last token.

SemDeDup embeds documents so, with OPT-125M on C4 (Abbas et al. 2023, section 5.1). The paper does
not say what it does with documents beyond the model's length; here that is a parameter.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.data.samples.source import Side
from tamis.embed.device import Device
from tamis.embed.encoder import Tokens, short_name
from tamis.embed.padding import buckets_up_to
from tamis.embed.weights import existing, load_failure, weights_hash
from tamis.errors import require

DEFAULT_MODEL = "facebook/opt-125m"
LONG = ("truncate", "chunk-mean")
MOST_TOKENS = 2048


class CausalEncoder:
    """A causal language model of transformers.

    Args:
        model: its name on the hub, or a local folder.
        weights: a local copy of the folder, instead of the hub's.
        device: where it runs.
        long: what becomes of a document that is longer than the model, or than 2,048 tokens:
            "truncate" takes its beginning; "chunk-mean" cuts it into the fewest pieces, equally
            long but for a token, each with the model's own first token, and takes the mean of
            their states.

    Raises:
        ValueError: the model cannot be loaded, or `long` is another word.
        MissingExtraError: transformers is not installed.
    """

    prepare_image = None
    curvature = None

    def __init__(
        self, model: str, *, weights: Path | str | None, device: Device, long: str = "truncate"
    ) -> None:
        if long not in LONG:
            raise ValueError(f"expected --long {' or '.join(LONG)}, got {long}")
        self._id = model
        self._device = device
        self._long = long
        self._model, self._tokenizer = _load(model, weights)
        self._hash = weights_hash(self._model)
        self._model.to(device.kind)
        self._prefix, self._suffix = _added_tokens(self._tokenizer)
        stated = getattr(self._model.config, "max_position_embeddings", None)
        self._longest = min(int(stated or MOST_TOKENS), MOST_TOKENS)
        self.buckets = buckets_up_to(self._longest)
        self.name = short_name("causal", Path(model).name)
        self.dims: Mapping[Side, int] = {
            "text": self.encode_texts(np.ones((1, 1), np.int64), np.array([1])).shape[1]
        }

    def recipe(self) -> dict[str, Any]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        return {
            "model": f"causal:{Path(self._id).name}",
            "weights": self._hash,
            "long": self._long,
            "max_tokens": self._longest,
            **self._device.recipe(),
            **{name: importlib.metadata.version(name) for name in ("tokenizers", "transformers")},
        }

    def encode_images(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
        """Not possible: the model has texts only."""
        raise ValueError(f"{self._id} encodes texts only")

    def prepare_texts(self, texts: Sequence[str]) -> list[list[Tokens]]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        if not texts:
            return []
        bare = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [self._pieces(tokens) for tokens in bare]

    def encode_texts(self, tokens: Tokens, lengths: Tokens) -> npt.NDArray[np.floating[Any]]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        # Padding stands behind the last token, which a causal model cannot see from there.
        return self._device.run(self._forward, tokens, lengths)

    def _forward(self, tokens: Any, lengths: Any) -> Any:
        import torch

        positions = torch.arange(tokens.shape[1], device=tokens.device)
        mask = (positions < lengths[:, None]).long()
        states = self._model(input_ids=tokens, attention_mask=mask).last_hidden_state
        return states[torch.arange(len(tokens), device=tokens.device), lengths - 1]

    def _pieces(self, tokens: list[int]) -> list[Tokens]:
        room = self._longest - len(self._prefix) - len(self._suffix)
        if self._long == "truncate":
            tokens = tokens[:room]
        count = max(1, -(-len(tokens) // room))
        bounds = [len(tokens) * piece // count for piece in range(count + 1)]
        pieces = [
            [*self._prefix, *tokens[start:stop], *self._suffix]
            for start, stop in zip(bounds, bounds[1:], strict=False)
        ]
        return [np.array(piece, np.int64) for piece in pieces if piece]


def _load(model: str, weights: Path | str | None) -> tuple[Any, Any]:
    transformers = require("transformers", extra="embed")
    transformers.utils.logging.disable_progress_bar()
    source = model if weights is None else str(existing(weights, "the folder of a model"))
    local = Path(source).exists()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, local_files_only=local)
        network, found = transformers.AutoModel.from_pretrained(
            source, local_files_only=local, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:
        raise load_failure(source, error, hub=not local) from error
    if missing := sorted(found["missing_keys"]):
        raise ValueError(
            f"cannot load {source}: {len(missing)} of its weights are missing, the "
            f"first is {missing[0]}"
        )
    network.config.use_cache = False
    return network.float().eval(), tokenizer


def _added_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and behind every text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    raise ValueError("expected a tokenizer that adds tokens only before and behind a text")
