"""Checkpoints that are not what they should be: one sentence that names the tensor."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.embed.hyperbolic_models import CONTEXT, State, hype_state, meru_state

from tamis.embed.hyperbolic.checkpoint import read_state
from tamis.embed.hyperbolic.layout import LAYOUTS
from tamis.embed.hyperbolic.towers import load_towers
from tamis.embed.models import open_encoder

STATES: dict[str, State] = {}
SCALARS = [
    *(("hype", name) for name in ("curvature", "alpha_img", "alpha_txt", "logit_scale")),
    *(("meru", name) for name in ("curv", "visual_alpha", "textual_alpha", "logit_scale")),
]


def state_of(kind: str) -> State:
    if kind not in STATES:
        STATES[kind] = hype_state() if kind == "hype" else meru_state()
    return dict(STATES[kind])


def refused(kind: str, state: State, folder: Path) -> str:
    """What is said of a checkpoint whose scalars are wrong, and which lacks its vocabulary too."""
    path = folder / "ckpt.pt"
    torch.save({n: t for n, t in state.items() if "token_embed" not in n}, path)
    with pytest.raises(ValueError) as failure:  # noqa: PT011 - the callers match the sentence
        load_towers(LAYOUTS[kind], path)
    told = str(failure.value)
    assert "\n" not in told and str(path) in told and len(told) < 600
    return told


@pytest.mark.parametrize(("kind", "name"), SCALARS)
def test_scalars_have_no_defaults(kind: str, name: str, tmp_path: Path) -> None:
    state = state_of(kind)
    del state[name]
    told = refused(kind, state, tmp_path)
    assert f"lacks {name}; the four scalars have no defaults" in told


@pytest.mark.parametrize(("kind", "name"), SCALARS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scalars_are_finite(kind: str, name: str, value: float, tmp_path: Path) -> None:
    told = refused(kind, {**state_of(kind), name: torch.tensor(value)}, tmp_path)
    assert f"{name} holds NaN or infinity" in told


@pytest.mark.parametrize(("kind", "name"), [pair for pair in SCALARS if "logit" not in pair[1]])
@pytest.mark.parametrize("value", [1000.0, -1000.0, 89.0, -104.0])
def test_their_powers_are_positive(kind: str, name: str, value: float) -> None:
    told = f"{name}: expected the logarithm of a positive number, got {value:g}"
    with pytest.raises(ValueError, match=told):
        _Given(kind, {**state_of(kind), name: torch.tensor(value)}).load()


@pytest.mark.parametrize(("kind", "name"), SCALARS)
def test_scalars_are_scalars(kind: str, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}: expected the shape \(\), got \(1,\)"):
        _Given(kind, {**state_of(kind), name: torch.zeros(1)}).load()


@pytest.mark.parametrize("kind", ["hype", "meru"])
def test_every_tensor_is_needed(kind: str) -> None:
    """Each in turn: missing, and of another shape."""
    whole = state_of(kind)
    assert _Given(kind, whole).load().context == CONTEXT
    for name, tensor in whole.items():
        rest = {other: found for other, found in whole.items() if other != name}
        with pytest.raises(ValueError, match=rf"lacks .*{re.escape(name.rpartition('.')[0])}"):
            _Given(kind, rest).load()
        longer = {**whole, name: torch.cat([tensor.flatten(), tensor.flatten()])}
        with pytest.raises(ValueError, match=re.escape(name)):
            _Given(kind, longer).load()


class _Given:
    """A checkpoint that was read already."""

    def __init__(self, kind: str, state: State) -> None:
        self.kind, self.state = kind, state

    def load(self) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tamis.embed.hyperbolic.towers.read_state", lambda path: self.state)
            return load_towers(LAYOUTS[self.kind], "ckpt.pt")


def _with(**changes: torch.Tensor) -> Callable[[State], State]:
    return lambda state: {**state, **{name.replace("__", "."): t for name, t in changes.items()}}


def _without(prefix: str) -> Callable[[State], State]:
    return lambda state: {n: t for n, t in state.items() if not n.startswith(prefix)}


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("hype", _with(extra__weight=torch.zeros(2)), r"no known place: extra\.weight"),
        (
            "hype",
            _without("visual.transformer."),
            "expected blocks in the image tower, .* got 0 of width 128",
        ),
        ("hype", _without("transformer.resblocks.1."), r"lacks transformer\.resblocks\.1\."),
        (
            "meru",
            _without("visual.blocks.0.mlp"),
            r"lacks visual\.blocks\.0\.mlp\.fc1\.bias, .* more",
        ),
        (
            "hype",
            _with(visual__positional_embedding=torch.zeros(9, 128)),
            r"visual\.positional_embedding: expected .* square of patches.* got 9 .* of 4 pixels",
        ),
        (
            "hype",
            _with(token_embedding__weight=torch.zeros(100, 64)),
            r"token_embedding\.weight: expected CLIP's 49,408 tokens, got 100",
        ),
        (
            "meru",
            _with(visual_proj__weight=torch.zeros(24, 64)),
            r"visual_proj\.weight: .*\(24, 128\)",
        ),
        (
            "meru",
            _with(visual__cls_token=torch.zeros(128)),
            r"cls_token: expected .*\(1, 1, 128\)|axes",
        ),
        (
            "meru",
            _with(visual__pos_embed=torch.zeros(2, 10, 128)),
            r"pos_embed: expected 3 axes, the first",
        ),
        (
            "meru",
            _with(pixel_std=torch.zeros(3, 1, 1)),
            "pixel_std: expected three positive numbers",
        ),
        ("meru", _with(pixel_mean=torch.zeros(3)), r"pixel_mean: expected the shape \(3, 1, 1\)"),
        (
            "meru",
            _with(textual__attn_mask=torch.zeros(CONTEXT, CONTEXT, dtype=torch.bool)),
            "expected a causal mask",
        ),
        (
            "meru",
            _with(textual__attn_mask=torch.zeros(CONTEXT, CONTEXT)),
            "expected a causal mask",
        ),
        (
            "hype",
            _with(ln_final__bias=torch.zeros(64, dtype=torch.bool)),
            r"ln_final\.bias holds no floating-point numbers",
        ),
        ("hype", _with(ln_final__bias=torch.zeros(0)), r"ln_final\.bias: expected .* \(0,\)"),
        ("meru", _with(textual__posit_embed=torch.zeros(1, 64)), r"posit_embed: .* got 1$"),
        ("meru", _with(textual__posit_embed=torch.zeros(5000, 64)), "posit_embed: .* got 5,000"),
        ("meru", _with(visual__pos_embed=torch.zeros(1, 1, 128)), "pos_embed: .* got 1 positions"),
        (
            "hype",
            _with(visual__positional_embedding=torch.zeros(600**2 + 1, 128)),
            "at most 2048 pixels a side, got 360001 positions",
        ),
        (
            "hype",
            lambda state: {**state, "visual.proj": torch.zeros(0, 24)},
            r"visual\.proj: expected",
        ),
    ],
)
def test_what_does_not_fit(
    kind: str, change: Callable[[State], State], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=told):
        _Given(kind, change(state_of(kind))).load()


def test_the_other_kind_is_named() -> None:
    for kind, other in (("hype", "meru"), ("meru", "hype")):
        with pytest.raises(ValueError, match=f"--model {other} reads such a checkpoint"):
            _Given(kind, state_of(other)).load()


def test_widths_that_heads_do_not_divide() -> None:
    state = {
        name: tensor[..., :60] if tensor.shape[-1:] == (64,) else tensor
        for name, tensor in state_of("hype").items()
    }
    with pytest.raises(
        ValueError, match="blocks in the text tower, of a width that 64 divides, got 3 of width 60"
    ):
        _Given("hype", state).load()


def small(**changes: Any) -> dict[str, Any]:
    return {"a": torch.zeros(3), **changes}


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (small(b=torch.zeros(2, dtype=torch.int64)), "b holds int64; expected float32, float16"),
        (small(b=torch.zeros(2, dtype=torch.float64)), "b holds float64"),
        (small(b=torch.zeros(2, dtype=torch.complex64)), "b holds complex64"),
        (small(b=torch.zeros(2).to_sparse()), "b is no dense tensor"),
        (small(b=torch.zeros(2, device="meta")), "b is no dense tensor"),
        (small(b=3), "b is no tensor but int"),
        (small(b={"c": torch.zeros(2)}), "b is no tensor but dict"),
        (small(b=torch.tensor([0, np.nan])), "b holds NaN or infinity"),
        (small(b=torch.zeros(1).expand(1 << 40)), "claim 4,398,046,511,116 bytes"),
        ({"model": small(b=torch.tensor(np.inf))}, "b holds NaN or infinity"),
        ([torch.zeros(3)], "expected a dict of tensors"),
        ({}, "expected a dict of tensors"),
        (torch.zeros(3), "expected a dict of tensors"),
    ],
)
def test_contents(content: Any, told: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "ckpt.pt")
    with pytest.raises(ValueError, match=told) as failure:
        read_state(tmp_path / "ckpt.pt")
    assert str(tmp_path / "ckpt.pt") in str(failure.value)


def test_nothing_is_run(tmp_path: Path) -> None:
    for name, content in (
        ("a.pt", Evil(tmp_path / "touched")),
        ("b.pt", small(b=Evil(tmp_path / "touched"))),
    ):
        torch.save(content, tmp_path / name)
        with pytest.raises(
            ValueError, match=rf"cannot load .*{name}: it is damaged, or holds more"
        ):
            read_state(tmp_path / name)
    assert not (tmp_path / "touched").exists()


def test_files(tmp_path: Path) -> None:
    kind = "expected a checkpoint NAME.safetensors, or one of torch.save"
    pickled = tmp_path / "plain.pt"
    pickled.write_bytes(pickle.dumps({"a": 1}))
    text = tmp_path / "a.txt"
    text.write_text("no weights")
    for path in (pickled, text, tmp_path):
        with pytest.raises(ValueError, match=kind):
            read_state(path)
    with pytest.raises(ValueError, match="nothing is there"):
        read_state(tmp_path / "none.pt")
    save_file({"a": torch.zeros(1000)}, tmp_path / "cut.safetensors")
    content = (tmp_path / "cut.safetensors").read_bytes()
    for length in (0, 5, 100, len(content) - 1):
        (tmp_path / "cut.safetensors").write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"cannot load .*cut\.safetensors"):
            read_state(tmp_path / "cut.safetensors")


def test_compressed_archives(tmp_path: Path) -> None:
    """What would unpack to a thousand times its size is not unpacked."""
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1_000_000)}, buffer)
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(buffer) as given, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in given.namelist():
            bomb.writestr(name, given.read(name))
    assert path.stat().st_size < 40_000
    with pytest.raises(ValueError, match="compressed archive"):
        read_state(path)


def test_cut_archives(tmp_path: Path) -> None:
    torch.save(small(b=torch.zeros(1000)), tmp_path / "ckpt.pt")
    content = (tmp_path / "ckpt.pt").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        if random.random() < 0.3:
            damaged = damaged[: int(random.integers(len(damaged)))]
        else:
            for place in random.integers(0, len(damaged), 20):
                damaged[place] = random.integers(256)
        (tmp_path / "ckpt.pt").write_bytes(damaged)
        found = _read_or_told(tmp_path / "ckpt.pt")
        if isinstance(found, str):
            assert "\n" not in found and "ckpt.pt" in found
        else:
            assert all(tensor.isfinite().all() for tensor in found.values())


def _read_or_told(path: Path) -> State | str:
    try:
        return read_state(path)
    except ValueError as error:
        return str(error)


def test_weights_are_required() -> None:
    for kind in ("hype", "meru"):
        with pytest.raises(ValueError, match=f"{kind} has no weights of its own; name a checkpo"):
            open_encoder(kind, device="cpu")
