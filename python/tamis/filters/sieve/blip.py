"""BLIP (Li et al., "BLIP: Bootstrapping language-image pre-training", 2022), SIEVE's captioner.

SIEVE takes the base model at 224 pixels, trained on 14 million pairs and not finetuned:
`model_base_14M.pth`, which :mod:`tamis.filters.sieve.converter` turns into a folder for this class.
Those of the hub, such as Salesforce/blip-image-captioning-base, are finetuned on COCO, at 384.
"""

from __future__ import annotations

from typing import Any

from tamis.filters.sieve.caption_decoding import DecodingCaptioner


class BlipCaptioner(DecodingCaptioner):
    """A BLIP captioner in the layout of transformers.

    The image is encoded once for all its captions.
    """

    kind = "blip"

    def _load(self, transformers: Any, source: str, local: bool) -> Any:
        config = transformers.AutoConfig.from_pretrained(
            source, local_files_only=local, trust_remote_code=False
        )
        if config.model_type != "blip":
            raise ValueError(f"expected a model of type blip, it is {config.model_type}")
        network, report = transformers.BlipForConditionalGeneration.from_pretrained(
            source, local_files_only=local, output_loading_info=True
        )
        if report["missing_keys"]:
            raise ValueError(f"the weights lack {', '.join(sorted(report['missing_keys'])[:3])}")
        # Beams, penalties and the like of the model's own would change the draws.
        network.text_decoder.generation_config = transformers.GenerationConfig()
        return network

    def _side(self) -> int:
        return int(self._model.config.vision_config.image_size)

    def _positions(self) -> int:
        return int(self._model.config.text_config.max_position_embeddings)

    def _prompt_tokens(self) -> list[int]:
        words = self._tokenizer(self._decoding.prompt, add_special_tokens=False)["input_ids"]
        return [int(self._model.config.text_config.bos_token_id), *words]

    @property
    def _ends(self) -> tuple[int, int]:
        config = self._model.config.text_config
        return int(config.sep_token_id), int(config.pad_token_id)

    def _generate(self, pixels: Any, count: int, options: dict[str, Any]) -> Any:
        import torch

        seen = self._model.vision_model(pixel_values=pixels).last_hidden_state
        seen = seen.repeat_interleave(count, dim=0)
        prompt = torch.tensor([self._prompt], device=pixels.device).repeat(len(seen), 1)
        return self._model.text_decoder.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
            **options,
        )
