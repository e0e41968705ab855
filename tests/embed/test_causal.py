"""Causal language models, by a tiny OPT that is saved and loaded like the real one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.embed.small import embed, plain_pool, step
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import OPTConfig, OPTModel, PreTrainedTokenizerFast

from tamis.data.pool import open_pool
from tamis.embed.models import open_encoder

LONGEST = 24
FIRST = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 24 positions, and a tokenizer of bytes that puts </s> before every text."""
    path = tmp_path_factory.mktemp("causal") / "tiny-opt"
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=300,
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LONGEST,
        dropout=0.0,
    )
    OPTModel(config).save_pretrained(path)
    names = ["<pad>", "<unk>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="</s> $A", special_tokens=[("</s>", FIRST)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="</s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Any:
    return open_encoder("causal:some/tiny-opt", weights=folder, device="cpu")


def last_state(folder: Path, tokens: list[int]) -> np.ndarray:
    """By hand: the text alone, without padding."""
    model = OPTModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([tokens])).last_hidden_state
    return np.asarray(states[0, -1])


def encoded(encoder: Any, pieces: list[np.ndarray], bucket: int) -> np.ndarray:
    tokens = np.zeros((len(pieces), bucket), np.int64)
    for place, piece in enumerate(pieces):
        tokens[place, : len(piece)] = piece
    lengths = np.array([len(piece) for piece in pieces])
    rows: np.ndarray = encoder.encode_texts(tokens, lengths)
    return rows


def test_the_last_layer_s_last_token(encoder: Any, folder: Path) -> None:
    texts = ["a cat", "", "thirteen char"]
    pieces = [piece for (piece,) in encoder.prepare_texts(texts)]
    assert [len(piece) for piece in pieces] == [6, 1, 14]
    assert all(piece[0] == FIRST for piece in pieces)
    rows = encoded(encoder, pieces, 16)
    for piece, row in zip(pieces, rows, strict=True):
        expected = last_state(folder, piece.tolist())
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-5)
    assert encoder.buckets == (16, LONGEST) and encoder.dims == {"text": 32}


def test_long_documents(encoder: Any, folder: Path) -> None:
    document = "".join(chr(97 + n % 26) for n in range(100))
    ((cut,),) = encoder.prepare_texts([document])
    assert len(cut) == LONGEST
    chunks = open_encoder("causal:tiny-opt", weights=folder, device="cpu", long="chunk-mean")
    (pieces,) = chunks.prepare_texts([document])
    assert [len(piece) for piece in pieces] == [21] * 5  # 20 letters and the first token each
    assert (pieces[0][:21] == cut[:21]).all()
    letters = np.concatenate([piece[1:] for piece in pieces])
    assert (letters[26:52] == letters[:26]).all() and len(letters) == 100
    (short,) = chunks.prepare_texts(["b" * (LONGEST - 1)])
    assert len(short) == 1 and len(short[0]) == LONGEST
    assert chunks.recipe()["long"] == "chunk-mean"
    assert chunks.recipe()["weights"] == encoder.recipe()["weights"]


def test_the_mean_of_a_document_s_pieces(folder: Path, tmp_path: Path) -> None:
    chunks = open_encoder("causal:tiny-opt", weights=folder, device="cpu", long="chunk-mean")
    pool = plain_pool(tmp_path / "pool", 9)
    summary = embed(pool, tmp_path / "run", encoder=chunks)
    assert summary["sides"]["text"]["embedded"] == 9
    opened = open_pool(step(tmp_path / "run", "causal-tiny-opt"))
    rows = opened.read_embeddings(opened.units(100)[0]).astype("f8")
    for text, row in zip(pool.read(pool.units(100)[0]), rows, strict=True):
        assert text.text is not None
        (pieces,) = chunks.prepare_texts([text.text])
        mean = np.mean([last_state(folder, piece.tolist()) for piece in pieces], axis=0)
        assert row @ mean / np.linalg.norm(mean) / np.linalg.norm(row) > 1 - 1e-6


def test_what_cannot_be_loaded(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected --long truncate or chunk-mean, got cut"):
        open_encoder("causal:x", weights=folder, device="cpu", long="cut")
    shutil.copytree(folder, tmp_path / "cut")
    state = load_file(folder / "model.safetensors")
    del state["decoder.layers.1.fc1.bias"]
    save_file(state, tmp_path / "cut" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 of its weights are missing, the first is .*fc1\.bias"):
        open_encoder("causal:x", weights=tmp_path / "cut", device="cpu")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="cannot load"):
        open_encoder("causal:x", weights=tmp_path, device="cpu")
