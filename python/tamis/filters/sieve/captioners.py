"""From a word on the command line to a captioner.

| captioner | captions |
|---|---|
| `labels` | names of ImageNet classes; an offline baseline, no captioner |
| `blip:NAME` | BLIP of transformers, a name on the hub or a local folder |
| `transformers:NAME` | another image-to-text model of transformers, likewise |
| `column:NAME` | made elsewhere: a metadata column of the pool |
| `members`, `members:SUFFIX` | made elsewhere: tar members KEY.caption.txt, a caption a line |
| `parquet:PATH`, `parquet:PATH#COLUMN` | made elsewhere: a table that is joined by id |
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tamis.embed.device import Device
from tamis.filters.sieve.captioner import Captioner, GivenCaptions

KINDS = (
    "labels",
    "blip:NAME",
    "transformers:NAME",
    "column:NAME",
    "members",
    "members:SUFFIX",
    "parquet:PATH",
)
_DECODING = ("prompt", "top_p", "top_k", "min_tokens", "max_tokens", "repetition_penalty", "seed")


def parse_captioner(spec: str) -> tuple[str, str]:
    """Return (kind, name) of a captioner.

    Raises:
        ValueError: no kind of that name; lists those there are.

    Example:
        >>> parse_captioner("blip:Salesforce/blip-image-captioning-base")
        ('blip', 'Salesforce/blip-image-captioning-base')
    """
    kind, colon, name = spec.partition(":")
    for known in KINDS:
        word, takes, _ = known.partition(":")
        if kind == word and bool(takes) == bool(name) and bool(colon) == bool(name):
            return kind, name
    raise ValueError(f"expected a captioner {', '.join(KINDS)}, got {spec!r}")


def captioner_from(folder: Path, spec: str) -> str:
    """Return a captioner whose path, where it has one, is relative to a folder.

    A model's name is a path where something lies there, else a name on the hub.

    Raises:
        ValueError: no kind of that name.

    Example:
        >>> captioner_from(Path("recipes"), "parquet:said.parquet#captions")
        'parquet:recipes/said.parquet#captions'
        >>> captioner_from(Path("recipes"), "blip:Salesforce/blip-image-captioning-base")
        'blip:Salesforce/blip-image-captioning-base'
    """
    kind, name = parse_captioner(spec)
    is_path = kind == "parquet" and "://" not in name
    is_model = kind in ("blip", "transformers") and (folder / name).exists()
    return f"{kind}:{folder / name}" if is_path or is_model else spec


def open_captioner(
    spec: str,
    *,
    weights: Path | str | None = None,
    device: str = "auto",
    precision: str = "auto",
    **options: Any,
) -> Captioner | GivenCaptions:
    """Load a captioner.

    Args:
        spec: a line of this module's table.
        weights: a local copy of a model's folder, instead of the hub's.
        device: "auto", "cpu" or "cuda".
        precision: "auto" (fp32 on a CPU, fp16 on a GPU), "fp32", "bf16" or "fp16".
        options: of models: the fields of `caption_decoding.Decoding`, `transform`,
            `images_per_pass`.

    Raises:
        ValueError: an unknown captioner, an option that it does not have, or a model that does not
            load.
        MissingExtraError: a package is not installed; names the extra that brings it.
    """
    kind, name = parse_captioner(spec)
    if kind in ("blip", "transformers"):
        from tamis.filters.sieve.blip import BlipCaptioner
        from tamis.filters.sieve.caption_decoding import Decoding
        from tamis.filters.sieve.caption_models import ModelCaptioner

        drawn = {key: options.pop(key) for key in _DECODING if key in options}
        made = BlipCaptioner if kind == "blip" else ModelCaptioner
        where = Device.choose(device, precision)
        return made(name, weights=weights, device=where, decoding=Decoding(**drawn), **options)
    if options or weights is not None:
        raise ValueError(f"{spec} takes no {', '.join([*options, 'weights'][:1])}")
    if kind == "labels":
        from tamis.filters.sieve.labels import LabelCaptioner

        return LabelCaptioner()
    from tamis.filters.sieve.caption_given import CaptionColumn, CaptionMembers, CaptionTable

    if kind == "column":
        return CaptionColumn(name)
    if kind == "members":
        return CaptionMembers(name) if name else CaptionMembers()
    path, mark, column = name.rpartition("#")
    return CaptionTable(path, column) if mark else CaptionTable(name)
