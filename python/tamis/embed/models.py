"""From a word on the command line to an encoder.

| model | encoder |
|---|---|
| `open_clip:MODEL/PRETRAINED` | images and texts, e.g. `open_clip:ViT-B-32/openai` |
| `open_clip:hf-hub:ORG/REPO`, `open_clip:local-dir:PATH` | the same, in open_clip's other words |
| `sentence:NAME` | texts, by sentence-transformers, e.g. `sentence:all-MiniLM-L6-v2` |
| `causal:NAME` | texts, a causal language model's last state; `causal` is facebook/opt-125m |
| `hype`, `meru` | images and texts, tangent vectors, by a checkpoint of that kind in `weights` |
| `demo` | images and texts, an offline stand-in for demonstrations |
"""

from __future__ import annotations

from pathlib import Path

from tamis.data.samples.source import Side
from tamis.embed.device import Device
from tamis.embed.encoder import Encoder, short_name
from tamis.embed.hyperbolic.layout import LAYOUTS

KINDS: dict[str, frozenset[Side]] = {
    "open_clip": frozenset({"image", "text"}),
    "sentence": frozenset({"text"}),
    "causal": frozenset({"text"}),
    "hype": frozenset({"image", "text"}),
    "meru": frozenset({"image", "text"}),
    "demo": frozenset({"image", "text"}),
}
"""Kind of encoder -> what it encodes."""

_NAMELESS = (*LAYOUTS, "demo")


def parse_model(model: str) -> tuple[str, str]:
    """Return (kind, name) of a model.

    Raises:
        ValueError: no kind of that name; lists those there are.

    Example:
        >>> parse_model("open_clip:ViT-B-32/openai"), parse_model("causal")
        (('open_clip', 'ViT-B-32/openai'), ('causal', 'facebook/opt-125m'))
    """
    from tamis.embed.causal import DEFAULT_MODEL

    kind, colon, name = model.partition(":")
    if kind == "causal" and not name:
        name = DEFAULT_MODEL
    if kind not in KINDS or (kind in _NAMELESS) != (not name) or (colon and not name):
        raise ValueError(
            "expected a model open_clip:MODEL/PRETRAINED, sentence:NAME, causal:NAME, hype, meru "
            f"or demo, got {model!r}"
        )
    return kind, name


def sides_of(model: str) -> frozenset[Side]:
    """Return what a model encodes, without loading it. Raises ValueError, see `parse_model`."""
    return KINDS[parse_model(model)[0]]


def check_weights(model: str, weights: Path | str | None) -> None:
    """Raise ValueError where a model needs weights that are not given."""
    if model in LAYOUTS and weights is None:
        raise _without_weights(model)


def encoder_name(model: str) -> str:
    """Return the name of a model's encoder, without loading it.

    Example:
        >>> encoder_name("open_clip:ViT-B-32/openai"), encoder_name("causal")
        ('open_clip-ViT-B-32-openai', 'causal-opt-125m')
    """
    kind, name = parse_model(model)
    if kind in _NAMELESS:
        return kind
    return short_name(kind, Path(name).name if kind in ("sentence", "causal") else name)


def open_encoder(
    model: str,
    *,
    weights: Path | str | None = None,
    device: str = "auto",
    precision: str = "auto",
    long: str | None = None,
) -> Encoder:
    """Load an encoder.

    Args:
        model: a line of this module's table.
        weights: a local checkpoint (open_clip; required by hype and meru) or folder (sentence,
            causal).
        device: "auto", "cpu" or "cuda".
        precision: "auto" (fp32 on a CPU and for hype and meru, else fp16 on a GPU), "fp32", "bf16"
            or "fp16".
        long: for causal models, "truncate" (the default) or "chunk-mean".

    Raises:
        ValueError: an unknown model, an option that it does not have, or weights that do not load.
        MissingExtraError: a package is not installed; names the extra that brings it.
    """
    kind, name = parse_model(model)
    if long is not None and kind != "causal":
        raise ValueError(f"--long is for causal models, {model} is none")
    if kind == "demo":
        if weights is not None or device == "cuda" or precision not in ("auto", "fp32"):
            raise ValueError("the demo encoder runs on the CPU, in fp32, with its own weights")
        from tamis.embed.demo import DemoEncoder

        return DemoEncoder()
    if kind in LAYOUTS:
        if weights is None:
            raise _without_weights(kind)
        from tamis.embed.hyperbolic.encoder import HyperbolicEncoder

        return HyperbolicEncoder(kind, weights=weights, device=device, precision=precision)
    where = Device.choose(device, precision)
    if kind == "open_clip":
        from tamis.embed.open_clip import OpenClipEncoder

        return OpenClipEncoder(name, weights=weights, device=where)
    if kind == "sentence":
        from tamis.embed.sentence import SentenceEncoder

        return SentenceEncoder(name, weights=weights, device=where)
    from tamis.embed.causal import CausalEncoder

    return CausalEncoder(name, weights=weights, device=where, long=long or "truncate")


def _without_weights(kind: str) -> ValueError:
    return ValueError(
        f"{kind} has no weights of its own; name a checkpoint of that kind as its weights "
        "(--weights)"
    )
