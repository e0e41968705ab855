"""Captions from a network that continues a prompt, token by token."""

from __future__ import annotations

import hashlib
import importlib.metadata
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.embed.device import Device
from tamis.embed.encoder import short_name
from tamis.embed.weights import existing, load_failure, weights_hash
from tamis.errors import require
from tamis.filters.sieve.caption_transform import TRANSFORMS, ClipTransform, ModelTransform
from tamis.filters.sieve.captioner import RowKeys
from tamis.filters.sieve.sampling import CaptionSampler, caption_states

IMAGES_PER_PASS = 64
"""On a GPU. On a CPU every image is captioned by itself, several at a time."""
_BROKEN = -1


@dataclass(frozen=True)
class Decoding:
    """How captions are drawn; the defaults are SIEVE's.

    Attributes:
        prompt: what every caption continues; it is cut off.
        top_p: draw from the fewest tokens whose probabilities reach this sum.
        top_k: and from no more tokens than these; 0 for all. transformers takes 50 unless told
            otherwise, and nobody told it.
        min_tokens, max_tokens: length, the prompt's tokens included, as published.
        repetition_penalty: logits of tokens that are there already are divided by it, or multiplied
            where they are negative (Keskar et al. 2019).
        seed: of all draws.

    Raises:
        ValueError: a number out of its range.
    """

    prompt: str = "a picture of "
    top_p: float = 0.9
    top_k: int = 50
    min_tokens: int = 5
    max_tokens: int = 20
    repetition_penalty: float = 1.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.top_p <= 1:
            raise ValueError(f"expected top_p above 0 and up to 1, got {self.top_p}")
        if self.top_k < 0:
            raise ValueError(f"expected a top_k of 0 or more, got {self.top_k}")
        if not 0 <= self.min_tokens <= self.max_tokens:
            raise ValueError(
                f"expected 0 <= min_tokens <= max_tokens, got {self.min_tokens} and "
                f"{self.max_tokens}"
            )
        if not self.repetition_penalty > 0:
            raise ValueError(
                f"expected a repetition penalty above 0, got {self.repetition_penalty}"
            )


class DecodingCaptioner(ABC):
    """A captioner of transformers.

    On a CPU the captions of one image are one pass of fixed shape, so they depend on nothing else;
    on a GPU `images_per_pass` images are, which is a part of the recipe, and a last pass is filled
    up. A caption whose logits are not numbers (an overflow of fp16) is left out.

    Args:
        model: its name on the hub, or a local folder.
        weights: a local copy of the folder, instead of the hub's.
        device: where it runs.
        decoding: how captions are drawn.
        transform: "clip", as published, or "model", the processor that comes with the model.
        images_per_pass: on a GPU, images that the network sees at a time.

    Raises:
        ValueError: the model cannot be loaded, or cannot be used with this decoding.
        MissingExtraError: transformers is not installed.
    """

    kind: str

    def __init__(
        self,
        model: str,
        *,
        weights: Path | str | None = None,
        device: Device,
        decoding: Decoding = Decoding(),
        transform: str = "clip",
        images_per_pass: int = IMAGES_PER_PASS,
    ) -> None:
        if transform not in TRANSFORMS:
            raise ValueError(f"expected --transform {' or '.join(TRANSFORMS)}, got {transform}")
        if images_per_pass < 1:
            raise ValueError(f"expected images per pass of 1 or more, got {images_per_pass}")
        transformers = require("transformers", extra="embed")
        transformers.utils.logging.disable_progress_bar()
        source = model if weights is None else str(existing(weights, "the folder of a model"))
        local = Path(source).exists()
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(
                source, local_files_only=local, trust_remote_code=False
            )
            self._model = self._load(transformers, source, local).float().eval()
        except Exception as error:
            raise load_failure(source, error, hub=not local) from error
        self.name = short_name(self.kind, Path(model).name)
        self._id = Path(model).name if Path(model).exists() else model
        self._device = device
        self._decoding = decoding
        self._transform = transform
        self._images_per_pass = images_per_pass if device.kind == "cuda" else 1
        self._hash = weights_hash(self._model)
        self._model.to(device.kind)
        self.prepare_image: ClipTransform | ModelTransform = (
            ClipTransform(self._side())
            if transform == "clip"
            else ModelTransform(source, local=local)
        )
        self._prompt = self._prompt_tokens()
        self._check_lengths()

    def recipe(self) -> dict[str, Any]:
        """See :class:`tamis.filters.sieve.captioner.Captioner`."""
        vocabulary = sorted(self._tokenizer.get_vocab().items())
        passes = {"images_per_pass": self._images_per_pass} if self._device.kind == "cuda" else {}
        return {
            "model": f"{self.kind}:{self._id}",
            "weights": self._hash,
            "vocabulary": hashlib.sha256(repr(vocabulary).encode()).hexdigest(),
            "decoding": asdict(self._decoding),
            "transform": self._transform,
            **passes,
            **self._device.recipe(),
            **{
                name: importlib.metadata.version(name)
                for name in ("pillow", "tokenizers", "transformers")
            },
        }

    def caption(self, images: npt.NDArray[Any], keys: RowKeys, count: int) -> list[list[str]]:
        """See :class:`tamis.filters.sieve.captioner.Captioner`."""
        size = self._images_per_pass if self._device.kind == "cuda" else len(images)
        # The texts of one pass are put together while the network is at the next.
        with ThreadPoolExecutor(1) as behind:
            texts = [
                behind.submit(self._texts, rows)
                for start in range(0, len(images), size)
                for rows in self._tokens(
                    images[start : start + size], keys[start : start + size], count, size
                )
            ]
            return [found.result() for found in texts]

    def _tokens(
        self, images: npt.NDArray[Any], keys: RowKeys, count: int, size: int
    ) -> npt.NDArray[np.int64]:
        """Return (n, count, max_tokens); the network sees `size` images, the first one again."""
        n_rows = len(images)
        if n_rows < size:
            images = np.concatenate([images, np.repeat(images[:1], size - n_rows, 0)])
            keys = np.concatenate([keys, np.repeat(keys[:1], size - n_rows)])
        tokens = self._device.run(
            lambda pixels, rows: self._pass(pixels, rows, count),
            images,
            keys.view(np.int64),
            rows_per_piece=1,
        )
        return tokens[:n_rows].astype(np.int64).reshape(n_rows, count, -1)

    def _check_lengths(self) -> None:
        most = self._decoding.max_tokens
        if len(self._prompt) >= most:
            raise ValueError(
                f"expected max_tokens above the {len(self._prompt)} tokens of the prompt, got "
                f"{most}"
            )
        positions = self._positions()
        if positions is not None and positions < most:
            raise ValueError(
                f"expected max_tokens of at most {positions}, the model's own limit, got {most}"
            )

    @abstractmethod
    def _load(self, transformers: Any, source: str, local: bool) -> Any:
        """Return the network."""

    @abstractmethod
    def _side(self) -> int:
        """Return the side of the square image that the network takes, pixels."""

    @abstractmethod
    def _positions(self) -> int | None:
        """Return the most tokens that the network can see, None where that is not known."""

    @abstractmethod
    def _prompt_tokens(self) -> list[int]:
        """Return the tokens that every caption begins with."""

    @property
    @abstractmethod
    def _ends(self) -> tuple[int, int]:
        """The token that ends a caption, and the one that stands behind it."""

    @abstractmethod
    def _generate(self, pixels: Any, count: int, options: dict[str, Any]) -> Any:
        """Return tokens (n * count, length), the prompt's included.

        Args:
            pixels: (n, 3, height, width).
            count: captions for each image.
            options: for the library's `generate`.
        """

    def _pass(self, pixels: Any, rows: Any, count: int) -> Any:
        """Return float64 (n, count * max_tokens), exact: whole numbers."""
        import torch

        end, pad = self._ends
        decoding = self._decoding
        states = caption_states(decoding.seed, rows.cpu().numpy().view(np.uint64), count)
        sampler = CaptionSampler(
            states.to(pixels.device),
            prompt_tokens=len(self._prompt),
            end_token=end,
            top_k=decoding.top_k,
            top_p=decoding.top_p,
        )
        options = {
            "do_sample": False,  # the sampler has drawn
            "num_beams": 1,
            "min_length": decoding.min_tokens,
            "max_length": decoding.max_tokens,
            "repetition_penalty": decoding.repetition_penalty,
            "eos_token_id": end,
            "pad_token_id": pad,
            "logits_processor": [sampler],
        }
        tokens = self._generate(self.prepare_image.finish(pixels), count, options)
        padded = torch.nn.functional.pad(
            tokens, (0, decoding.max_tokens - tokens.shape[1]), value=pad
        )
        padded[sampler.broken] = _BROKEN
        return padded.reshape(len(pixels), -1).double()

    def _texts(self, captions: npt.NDArray[np.int64]) -> list[str]:
        """The texts of one image, those without a number left out."""
        whole = [row.tolist() for row in captions if row[0] != _BROKEN]
        prompt = self._decoding.prompt
        texts = []
        for tokens in whole:
            text = self._tokenizer.decode(tokens, skip_special_tokens=True)
            if not text.lower().startswith(prompt.rstrip().lower()):
                # The tokenizer does not give the prompt back as it was.
                text = prompt + self._tokenizer.decode(
                    tokens[len(self._prompt) :], skip_special_tokens=True
                )
            texts.append(text[len(prompt) :])
        return texts
