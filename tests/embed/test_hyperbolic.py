"""Hyperbolic encoders agree with the published networks, and their rows keep their lengths."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tests.embed.hyperbolic_models import (
    CONTEXT,
    DIM,
    END,
    GRID,
    LOG_C,
    LOG_IMAGE,
    PATCH,
    Published,
    checkpoint,
    hype_state,
    meru_state,
)
from tests.embed.small import fingerprint, picture, rows_of, write_pool

from tamis.data.samples import open_samples
from tamis.embed.hyperbolic.encoder import HyperbolicEncoder
from tamis.embed.job import run_embed
from tamis.embed.models import encoder_name, open_encoder, sides_of

EPS = {"hype": float(np.finfo(np.float32).eps), "meru": 1e-5}
TEXTS = ["a drawing of a cat", "", "caf\u00e9 &amp; <b> tea " * 9, "\u732b", "x" * 30]
SIDE = PATCH * GRID


@pytest.fixture(scope="module", params=["hype", "meru"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def weights(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / f"{kind}.pt"
    torch.save(checkpoint(kind), path)
    return path


@pytest.fixture(scope="module")
def encoder(kind: str, weights: Path) -> Any:
    return open_encoder(kind, weights=weights, device="cpu")


@pytest.fixture(scope="module")
def published(kind: str) -> Published:
    state = hype_state() if kind == "hype" else meru_state()
    return Published(state, eps=EPS[kind], heads=2)


def images() -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = [(SIDE, SIDE), (40, 30), (9, 70), (SIDE, SIDE)]
    return [Image.fromarray(random.integers(0, 256, (h, w, 3), np.uint8)) for w, h in sizes]


def assert_close(rows: np.ndarray, expected: np.ndarray) -> None:
    """Float32 rows differ from float64 ones by 1e-6 of their lengths at most."""
    errors = np.linalg.norm(rows - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert errors.max() < 1e-6, errors


def prepared(image: Image.Image) -> torch.Tensor:
    """By hand: the shorter side to SIDE, bicubic, and the centre."""
    scale = SIDE / min(image.size)
    width, height = (SIDE if n == min(image.size) else int(n * scale) for n in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    image = image.crop((left, top, left + SIDE, top + SIDE))
    return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)


def test_images_as_published(kind: str, encoder: Any, published: Published) -> None:
    forward: Callable[..., torch.Tensor] = getattr(published, f"{kind}_image")
    rows = encoder.encode_images(np.stack([encoder.prepare_image(image) for image in images()]))
    expected = torch.stack([forward(prepared(image)) for image in images()]).numpy()
    assert rows.dtype == np.float32 and rows.shape == (4, DIM)
    assert np.abs(expected).max() > 0.5 and len(set(np.linalg.norm(expected, axis=1).round(3))) > 2
    assert_close(rows, expected)


def test_texts_as_published(kind: str, encoder: Any, published: Published) -> None:
    forward: Callable[..., torch.Tensor] = getattr(published, f"{kind}_text")
    tokens = np.stack([piece for (piece,) in encoder.prepare_texts(TEXTS)])
    assert tokens.shape == (len(TEXTS), CONTEXT) and encoder.buckets == (CONTEXT,)
    assert tokens[2, -1] == END and (tokens[:, 0] == END - 1).all()  # cut, with its end
    rows = encoder.encode_texts(tokens, np.full(len(TEXTS), CONTEXT))
    ended = [row[: row.argmax() + 1] for row in torch.from_numpy(tokens)]
    expected = torch.stack([forward(row) for row in ended]).numpy()
    assert rows.dtype == np.float32
    assert_close(rows, expected)


def test_a_small_meru_has_twelve_heads(tmp_path: Path) -> None:
    state = meru_state(width=384)
    torch.save({"model": state}, tmp_path / "small.pth")
    encoder = open_encoder("meru", weights=tmp_path / "small.pth", device="cpu")
    rows = encoder.encode_images(np.asarray(images()[0])[None])
    pixels = prepared(images()[0])
    twelve, six = (
        Published(state, eps=1e-5, heads=heads).meru_image(pixels).numpy() for heads in (12, 6)
    )
    assert_close(rows, twelve[None])
    assert np.abs(rows[0] - six).max() > 1e-3


def test_epsilons_are_pinned(kind: str, encoder: Any, published: Published) -> None:
    norms = [m for m in encoder._model.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert {norm.eps for norm in norms} == {EPS[kind]}
    assert len(norms) == 2 * (2 + 3) + (3 if kind == "hype" else 2)


def test_recipe(kind: str, encoder: Any, weights: Path) -> None:
    recipe = encoder.recipe()
    assert encoder.curvature == recipe["curvature"] == pytest.approx(np.exp(LOG_C), rel=1e-15)
    assert recipe["model"] == kind and recipe["precision"] == "fp32"
    assert len(recipe["weights"]) == 64
    assert json.loads(json.dumps(recipe)) == recipe
    assert encoder.dims == {"image": DIM, "text": DIM}
    assert (encoder.name, encoder_name(kind), sides_of(kind)) == (kind, kind, {"image", "text"})


def test_the_scalars_are_of_the_model(kind: str, encoder: Any, tmp_path: Path) -> None:
    names = ("curvature", "alpha_img") if kind == "hype" else ("curv", "visual_alpha")
    found = {encoder.recipe()["weights"]}
    for name in names:
        given = checkpoint(kind)
        state = given.get("model", given)
        state[name] = state[name] - 1
        torch.save(given, tmp_path / "other.pt")
        other = open_encoder(kind, weights=tmp_path / "other.pt", device="cpu")
        found.add(other.recipe()["weights"])
        blank = np.asarray(images()[0])[None]
        ratio = other.encode_images(blank) / encoder.encode_images(blank)
        change = 1.0 if name == names[0] else np.exp(LOG_IMAGE - 1) / np.exp(LOG_IMAGE)
        np.testing.assert_allclose(ratio, change, rtol=1e-6)
    assert len(found) == 3


def test_safetensors_and_half(kind: str, encoder: Any, tmp_path: Path) -> None:
    given = checkpoint(kind)
    state = given.get("model", given)
    save_file(state, tmp_path / "a.safetensors")
    same = open_encoder(kind, weights=tmp_path / "a.safetensors", device="cpu")
    assert same.recipe() == encoder.recipe()
    half = {k: v if v.dtype == torch.bool else v.half() for k, v in state.items()}
    save_file(half, tmp_path / "half.safetensors")
    rounded = open_encoder(kind, weights=tmp_path / "half.safetensors", device="cpu")
    assert rounded.recipe()["weights"] != encoder.recipe()["weights"]
    assert {p.dtype for p in rounded._model.parameters()} == {torch.float32}


def test_bf16_scales_in_float32(kind: str, encoder: Any, weights: Path) -> None:
    low = open_encoder(kind, weights=weights, device="cpu", precision="bf16")
    assert isinstance(low, HyperbolicEncoder) and low.recipe()["precision"] == "bf16"
    blank = np.asarray(images()[0])[None]
    rows, exact = low.encode_images(blank), encoder.encode_images(blank)
    assert 1e-5 < np.abs(rows - exact).max() < 0.2
    features = rows / np.float32(np.exp(LOG_IMAGE))
    nearest = torch.from_numpy(features).bfloat16().float().numpy()
    np.testing.assert_allclose(features, nearest, rtol=1e-6)  # only features were rounded to bf16


def test_auto_is_float32_on_a_gpu_too(
    kind: str, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[tuple[str, str]] = []

    def choose(device: str, precision: str) -> Any:
        chosen.append((device, precision))
        raise ValueError("enough")

    monkeypatch.setattr("tamis.embed.device.Device.choose", choose)
    for precision in ("auto", "fp16"):
        with pytest.raises(ValueError, match="enough"):
            open_encoder(kind, weights=weights, device="cuda", precision=precision)
    assert chosen == [("cuda", "fp32"), ("cuda", "fp16")]


def test_rows_depend_on_nothing_else(kind: str, encoder: Any, tmp_path: Path) -> None:
    n_rows = 19
    pictures = [picture(n, (20 + n, 14)) for n in range(n_rows)]
    texts = [f"text {n} " * (n % 5) for n in range(n_rows)]
    pool = open_samples(write_pool(tmp_path / "pool", pictures, texts))
    backwards = open_samples(write_pool(tmp_path / "back", pictures[::-1], texts[::-1]))
    found = {}
    for name, given, options in (
        ("one", pool, {"rows_per_unit": 5, "workers": 1}),
        ("two", pool, {"rows_per_unit": 7}),
        ("back", backwards, {"rows_per_unit": 7}),
    ):
        run_embed(given, tmp_path / name, encoder, batch_size=8, **options)
        folder = tmp_path / name / "embeddings" / kind
        found[name] = [rows_of(folder, side) for side in ("img_emb", "text_emb")]
    for side in (0, 1):
        first = found["one"][side]
        assert first.dtype == np.float32 and len(np.unique(first, axis=0)) > 4
        assert (first.view("u4") == found["two"][side].view("u4")).all()
        assert (first.view("u4") == found["back"][side][::-1].view("u4")).all()
    direct = encoder.encode_images(
        np.stack([encoder.prepare_image(image) for image in images()] * 2)
    )
    norms = np.linalg.norm(direct, axis=1)
    assert norms.max() / norms.min() > 1.01  # nothing normalises them


def test_parts_join(kind: str, encoder: Any, tmp_path: Path) -> None:
    pool = open_samples(write_pool(tmp_path / "pool", [picture(n) for n in range(9)], ["a"] * 9))
    options: dict[str, Any] = {"batch_size": 4, "rows_per_unit": 2}
    run_embed(pool, tmp_path / "one", encoder, **options)
    for part in ((2, 2), (1, 2)):
        run_embed(pool, tmp_path / "many", encoder, part=part, **options)
    run_embed(pool, tmp_path / "many", encoder, **options)
    steps = [tmp_path / name / "embeddings" / kind for name in ("one", "many")]
    assert fingerprint(steps[0]) == fingerprint(steps[1])
