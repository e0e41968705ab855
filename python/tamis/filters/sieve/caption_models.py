"""Other captioners of transformers: what describes an image after a plain prompt.

Two kinds of model are known: those with an encoder of images and a decoder of texts
(VisionEncoderDecoder), whose images are encoded once for all their captions, and decoders that look
at pixels (GIT). Models that are spoken to through templates, or whose prompt has places for images
(LLaVA, BLIP-2 and other language models), are refused.
"""

from __future__ import annotations

from typing import Any

from tamis.filters.sieve.caption_decoding import DecodingCaptioner

_PLACES = ("image_token_id", "image_token_index")


class ModelCaptioner(DecodingCaptioner):
    """A captioner of `AutoModelForImageTextToText`.

    Lengths, penalty and draws are those of `Decoding`; what the model's own generation
    settings say is left aside, the tokens that begin and end a text apart.
    """

    kind = "transformers"

    def _load(self, transformers: Any, source: str, local: bool) -> Any:
        given = {"local_files_only": local, "trust_remote_code": False}
        config = transformers.AutoConfig.from_pretrained(source, **given)
        if any(getattr(config, name, None) is not None for name in _PLACES):
            raise ValueError(
                f"models of type {config.model_type} have places for images in their prompts, "
                "which is not supported"
            )
        network, report = transformers.AutoModelForImageTextToText.from_pretrained(
            source, **given, output_loading_info=True
        )
        if report["missing_keys"]:
            raise ValueError(f"the weights lack {', '.join(sorted(report['missing_keys'])[:3])}")
        settings = network.generation_config
        self._first = _one(settings.decoder_start_token_id, settings.bos_token_id)
        self._last = _one(settings.eos_token_id)
        if self._last is None:
            raise ValueError("the model has no token that ends a text")
        pad = _one(settings.pad_token_id)
        self._behind = self._last if pad is None else pad
        # Beams, penalties and the like of the model's own would change the draws.
        network.generation_config = transformers.GenerationConfig()
        return network

    def _side(self) -> int:
        config = self._model.config
        images = getattr(config, "vision_config", None) or getattr(config, "encoder", None)
        side = getattr(images, "image_size", None)
        if not isinstance(side, int):
            raise ValueError(
                f"{self._id} does not say which size of images it takes; use --transform model"
            )
        return side

    def _positions(self) -> int | None:
        text = getattr(self._model.config, "decoder", self._model.config)
        stated = getattr(text, "max_position_embeddings", None)
        return stated if isinstance(stated, int) else None

    def _prompt_tokens(self) -> list[int]:
        words = list(self._tokenizer(self._decoding.prompt, add_special_tokens=False)["input_ids"])
        if self._model.config.is_encoder_decoder:
            first = self._first
        else:
            # What the tokenizer puts before a text, such as [CLS], a decoder has learnt.
            first = self._tokenizer.cls_token_id
            first = self._tokenizer.bos_token_id if first is None else first
        if first is None and not words:
            raise ValueError("the model has no token that begins a text; give it a prompt")
        return words if first is None else [int(first), *words]

    @property
    def _ends(self) -> tuple[int, int]:
        assert self._last is not None
        return self._last, self._behind

    def _generate(self, pixels: Any, count: int, options: dict[str, Any]) -> Any:
        import torch

        prompt = torch.tensor([self._prompt], device=pixels.device).repeat(len(pixels) * count, 1)
        if not self._model.config.is_encoder_decoder:
            return self._model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                pixel_values=pixels.repeat_interleave(count, dim=0),
                **options,
            )
        from transformers.modeling_outputs import BaseModelOutput

        seen = self._model.get_encoder()(pixel_values=pixels).last_hidden_state
        return self._model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=seen.repeat_interleave(count, dim=0)),
            decoder_input_ids=prompt,
            decoder_attention_mask=torch.ones_like(prompt),
            decoder_start_token_id=self._prompt[0],
            **options,
        )


def _one(*tokens: Any) -> int | None:
    """The first token that is there; of several that end a text, the first."""
    for token in tokens:
        if token is not None:
            return int(token[0] if isinstance(token, list) else token)
    return None
