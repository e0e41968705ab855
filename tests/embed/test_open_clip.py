"""open_clip, by a tiny model that takes the path of real ones."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tests.embed.small import embed, plain_pool, rows_of, step

from tamis.data.pool import open_pool
from tamis.embed.models import open_encoder
from tamis.embed.open_clip import OpenClipEncoder

MODEL = "tamis-tiny"
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registered model, and its state as safetensors."""
    folder = tmp_path_factory.mktemp("open_clip")
    (folder / f"{MODEL}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    model = open_clip.create_model(MODEL)
    save_file(model.state_dict(), folder / "weights.safetensors")
    torch.save(model.state_dict(), folder / "weights.pt")
    return folder / "weights.safetensors"


@pytest.fixture(scope="module")
def encoder(weights: Path) -> Any:
    return open_encoder(f"open_clip:{MODEL}/mine", weights=weights, device="cpu")


def test_the_same_rows_as_by_hand(encoder: Any, weights: Path) -> None:
    model, _, transforms = open_clip.create_model_and_transforms(MODEL, str(weights))
    random = np.random.default_rng(0)
    sizes = [(40, 30), (32, 32), (9, 70), (200, 21)]
    images = [Image.fromarray(random.integers(0, 256, (h, w, 3), np.uint8)) for w, h in sizes]
    texts = ["a drawing of a cat", "", "caf\u00e9 &amp; \x00 tea " * 9, "x"]
    with torch.inference_mode():
        expected = model.encode_image(torch.stack([transforms(image) for image in images]))
        words = model.encode_text(open_clip.get_tokenizer(MODEL)(texts))
    prepared = np.stack([encoder.prepare_image(image) for image in images])
    assert prepared.dtype == np.uint8
    rows = encoder.encode_images(prepared)
    assert rows.dtype == np.float32 and rows.shape == (4, 24)
    np.testing.assert_allclose(rows, expected.numpy(), rtol=0, atol=1e-5)
    tokens = np.concatenate(
        [piece for pieces in encoder.prepare_texts(texts) for piece in [pieces]]
    )
    assert tokens.shape == (4, 16) and encoder.buckets == (16,)
    found = encoder.encode_texts(tokens, np.full(4, 16))
    np.testing.assert_allclose(found, words.numpy(), rtol=0, atol=1e-5)
    assert encoder.dims == {"image": 24, "text": 24}


def test_a_pool_by_workers(encoder: Any, tmp_path: Path) -> None:
    pool = plain_pool(tmp_path / "pool", 21)
    for workers in (0, 1):
        embed(pool, tmp_path / str(workers), encoder=encoder, workers=workers)
    name = "open_clip-tamis-tiny-mine"
    first, second = (step(tmp_path / str(workers), name) for workers in (0, 1))
    for side in ("img_emb", "text_emb"):
        rows = rows_of(first, side)
        assert (rows.view("u2") == rows_of(second, side).view("u2")).all()
        assert open_pool(first, embedding=side).dim == 24
        assert len(np.unique(rows, axis=0)) == 21
    recipe = json.loads((first / "manifest.json").read_text())["recipe"]["encoder"]
    assert recipe["model"] == "open_clip:tamis-tiny/mine"
    assert recipe["open_clip_torch"] == open_clip.__version__
    assert len(recipe["weights"]) == 64


def test_other_checkpoints(encoder: Any, weights: Path, tmp_path: Path) -> None:
    model = f"open_clip:{MODEL}/mine"
    same = open_encoder(model, weights=weights.with_suffix(".pt"), device="cpu")
    assert same.recipe() == encoder.recipe()

    class Evil:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "touched"), "w"))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match=r"cannot load .*evil\.pt"):
        open_encoder(model, weights=tmp_path / "evil.pt", device="cpu")
    assert not (tmp_path / "touched").exists()
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"cannot load .*cut\.safetensors") as failure:
        open_encoder(model, weights=tmp_path / "cut.safetensors", device="cpu")
    assert "hub" not in str(failure.value)
    state = torch.load(weights.with_suffix(".pt"), weights_only=True)
    torch.save(state | {"text_projection": torch.zeros(3, 3)}, tmp_path / "shape.pt")
    with pytest.raises(ValueError, match=r"shape\.pt: .*size mismatch for text_projection"):
        open_encoder(model, weights=tmp_path / "shape.pt", device="cpu")


def test_weights_are_never_random(encoder: Any, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}))
    with pytest.raises(ValueError, match=r"local-dir:.* could not be loaded"):
        open_encoder(f"open_clip:local-dir:{tmp_path}", device="cpu")
    (tmp_path / "open_clip_model.safetensors").write_bytes(weights.read_bytes())
    found = open_encoder(f"open_clip:local-dir:{tmp_path}", device="cpu")
    assert found.recipe()["weights"] == encoder.recipe()["weights"]


def test_a_file_that_is_called_like_a_tag(
    encoder: Any, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tag").write_bytes(weights.with_suffix(".pt").read_bytes())
    monkeypatch.chdir(tmp_path)
    tag = {"url": "http://localhost:9/no-such"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, MODEL, {"tag": tag})
    found = open_encoder(f"open_clip:{MODEL}/mine", weights="tag", device="cpu")
    assert found.recipe() == encoder.recipe()


def test_the_activation_of_a_tag_is_used(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip itself only warns where model and tag differ."""
    tag = {"url": "", "quick_gelu": True, "mean": (0.5, 0.5, 0.5), "interpolation": "bilinear"}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda model, tag_name: tag)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = open_encoder(f"open_clip:{MODEL}/tagged", weights=weights, device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    kinds = {type(module).__name__ for module in encoder._model.modules()}
    assert "QuickGELU" in kinds and "GELU" not in kinds
    assert encoder._model.visual.preprocess_cfg["mean"] == (0.5, 0.5, 0.5)
    assert encoder._model.visual.preprocess_cfg["interpolation"] == "bilinear"


def test_a_long_text_takes_no_time(encoder: Any) -> None:
    short = encoder.prepare_texts(["word " * 700])[0][0]
    assert (encoder.prepare_texts([("word" + " " * 1000) * 700])[0][0] == short).all()
    assert encoder.prepare_texts(["z" * 1_000_000])[0][0].shape == (16,)
    assert encoder.prepare_texts([]) == []


@pytest.mark.parametrize(
    ("model", "weights", "told"),
    [
        ("open_clip:no-such/openai", None, "open_clip has no model 'no-such'"),
        ("open_clip:ViT-B-32/mine", None, "with one of openai, laion400m_e31"),
        ("open_clip:ViT-B-32", None, "got no pretrained tag"),
        ("open_clip:ViT-B-32/openai", "/no/file", "nothing is there"),
        ("open_clip:hf-hub:a/b", "/no/file", "brings its own weights"),
        ("open_clip:local-dir:/no/folder", None, "cannot load local-dir:/no/folder"),
    ],
)
def test_names(model: str, weights: str | None, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        open_encoder(model, weights=weights, device="cpu")
