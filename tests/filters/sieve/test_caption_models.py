"""Other models of transformers, tiny and at random, through the path that real ones take."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.filters.sieve.captioners import picture, write_images
from tests.filters.sieve.tiny_blip import SIDE, WORDS, save_tiny_blip, tiny_tokenizer

from tamis.data.samples import open_samples
from tamis.filters.sieve.caption_models import ModelCaptioner
from tamis.filters.sieve.caption_store import CaptionStore
from tamis.filters.sieve.captioners import open_captioner
from tamis.filters.sieve.captions import run_captions

SIZE = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
END, PAD = WORDS.index("[SEP]"), WORDS.index("[PAD]")


def git() -> Any:
    from transformers import GitConfig, GitForCausalLM

    vision = {**SIZE, "num_hidden_layers": 1, "image_size": SIDE, "patch_size": 8}
    config = GitConfig(
        vision_config=vision,
        **SIZE,
        num_hidden_layers=2,
        vocab_size=len(WORDS),
        max_position_embeddings=64,
        pad_token_id=PAD,
        bos_token_id=WORDS.index("[CLS]"),
        eos_token_id=END,
    )
    return GitForCausalLM(config)


def encoder_decoder() -> Any:
    from transformers import (
        BertConfig,
        BertLMHeadModel,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTModel,
    )

    encoder = ViTModel(ViTConfig(**SIZE, num_hidden_layers=1, image_size=SIDE, patch_size=8))
    decoder = BertConfig(
        **SIZE,
        num_hidden_layers=2,
        vocab_size=len(WORDS),
        max_position_embeddings=64,
        is_decoder=True,
        add_cross_attention=True,
    )
    model = VisionEncoderDecoderModel(encoder=encoder, decoder=BertLMHeadModel(decoder))
    model.generation_config.decoder_start_token_id = WORDS.index("[CLS]")
    model.generation_config.eos_token_id = [END, WORDS.index(".")]
    model.generation_config.pad_token_id = PAD
    model.generation_config.num_beams = 3  # is left aside
    return model


MODELS: dict[str, Callable[[], Any]] = {"git": git, "encoder-decoder": encoder_decoder}


@pytest.fixture(scope="module", params=sorted(MODELS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPImageProcessor

    made: Path = tmp_path_factory.mktemp("model") / request.param
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        model = MODELS[request.param]().eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.35)
    tiny_tokenizer(made).save_pretrained(made)
    size = {"height": SIDE, "width": SIDE}
    CLIPImageProcessor(size=size, crop_size=size).save_pretrained(made)
    model.save_pretrained(made)
    return made


def opened(folder: Path, **options: Any) -> ModelCaptioner:
    captioner = open_captioner(f"transformers:{folder}", device="cpu", **options)
    assert isinstance(captioner, ModelCaptioner)
    return captioner


IMAGES = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
KEYS = np.arange(5, dtype=np.uint64)


def test_captions_are_the_rows_own(folder: Path) -> None:
    captioner = opened(folder)
    expected = captioner.caption(IMAGES, KEYS, 3)
    assert [len(row) for row in expected] == [3] * 5
    assert len({text for row in expected for text in row}) > 10
    for size in (1, 3):
        parts = [
            captioner.caption(IMAGES[start : start + size], KEYS[start : start + size], 3)
            for start in range(0, 5, size)
        ]
        assert [row for part in parts for row in part] == expected
    order = [3, 0, 4, 1, 2]
    assert captioner.caption(IMAGES[order], KEYS[order], 3) == [expected[row] for row in order]
    assert opened(folder, seed=2).caption(IMAGES, KEYS, 3) != expected
    assert captioner.caption(IMAGES[order], KEYS, 3) != expected


def test_best_tokens_are_the_librarys(folder: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    greedy = opened(folder, top_k=1)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer("a picture of", return_tensors="pt").input_ids[:, :-1].repeat(5, 1)
    name = "decoder_input_ids" if model.config.is_encoder_decoder else "input_ids"
    tokens = model.generate(
        pixel_values=greedy.prepare_image.finish(torch.from_numpy(IMAGES)),
        **{name: prompt},
        do_sample=False,
        num_beams=1,
        min_length=5,
        max_length=20,
        repetition_penalty=1.1,
        eos_token_id=END,
    )
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in tokens]
    assert all(text.startswith("a picture of") for text in texts)
    found = greedy.caption(IMAGES, KEYS, 2)
    assert [row[0] for row in found] == [text[len("a picture of ") :] for text in texts]


def test_a_limit_of_the_model(folder: Path) -> None:
    with pytest.raises(ValueError, match="max_tokens of at most 64"):
        opened(folder, max_tokens=65)


def test_a_step(folder: Path, tmp_path: Path) -> None:
    pool = open_samples(write_images(tmp_path / "pool", [picture(n, (40, 30)) for n in range(3)]))
    captioner = opened(folder, transform="model")
    run_captions(pool, tmp_path / "run", captioner, captions=2)
    store = CaptionStore.open(tmp_path / "run", f"transformers-{folder.name}")
    assert [len(row) for row in store.read(0, 3).to_lists()] == [2, 2, 2]
    assert store.recipe["captioner"]["model"] == f"transformers:{folder.name}"


def test_models_with_places_for_images(tmp_path: Path) -> None:
    (tmp_path / "llava").mkdir()
    tiny_tokenizer(tmp_path / "llava").save_pretrained(tmp_path / "llava")
    config = {"model_type": "llava", "image_token_id": 5}
    (tmp_path / "llava" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="type llava have places for images in their prompts"):
        opened(tmp_path / "llava")
    path = save_tiny_blip(tmp_path / "bert")
    (path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match=r"cannot load .*bert"):
        opened(path)
