"""`tamis score sieve`: captions where they are missing, then the score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamis.cli.embed import default_workers
from tamis.cli.score.command import Out, command
from tamis.cli.sides import PoolArgument

if TYPE_CHECKING:
    from tamis.filters.sieve.captioner import Captioner, GivenCaptions
    from tamis.filters.sieve.phrases import Mode
    from tamis.filters.sieve.scorer_captions import CaptionSource
    from tamis.score.scorer import Scorer

_COLUMNS, _CAPTIONS, _DECODING, _MACHINE = "Columns", "Captions", "Decoding", "Machine"
CAPTIONER = "labels"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sieve")(command(sieve))


def sieve(
    out: Out,
    pool: PoolArgument = None,
    captioner: Annotated[
        str | None,
        typer.Option(
            help="labels (names of ImageNet classes: an offline baseline, no captioner; the "
            "default), blip:NAME, transformers:NAME (a name on the hub or a folder), or captions "
            "that were made elsewhere: column:NAME, members, parquet:PATH.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    captions: Annotated[
        int | None,
        typer.Option(help="Captions for each image; default 8.", min=1, rich_help_panel=_CAPTIONS),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="A local copy of the captioner's folder, instead of the hub's.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    captions_from: Annotated[
        str | None,
        typer.Option(
            help="Captions that were made before: NAME in RUN/captions, or the folder of a "
            "caption step elsewhere.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of captions that are drawn; default 0.", rich_help_panel=_DECODING),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="What captions continue; default 'a picture of '.", rich_help_panel=_DECODING
        ),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Nucleus to draw from; default 0.9.", rich_help_panel=_DECODING),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            help="Most tokens to draw from, 0 for all; default 50.", rich_help_panel=_DECODING
        ),
    ] = None,
    min_tokens: Annotated[
        int | None,
        typer.Option(help="With the prompt's; default 5.", rich_help_panel=_DECODING),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(help="With the prompt's; default 20.", rich_help_panel=_DECODING),
    ] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option(help="Of tokens that are there; default 1.1.", rich_help_panel=_DECODING),
    ] = None,
    transform: Annotated[
        str | None,
        typer.Option(
            help="Of images: clip (as published, the default) or model (the model's own).",
            rich_help_panel=_DECODING,
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(help="Of sentences: sentence:NAME, or any model of tamis embed with texts."),
    ] = "sentence:all-MiniLM-L6-v2",
    mode: Annotated[
        str,
        typer.Option(
            help="How phrases are masked: sieve (as published, inside words too), word (whole "
            "words) or none."
        ),
    ] = "sieve",
    phrases: Annotated[
        Path | None,
        typer.Option(help="A file with one phrase on a line, instead of the published eight."),
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Column of images or paths.", rich_help_panel=_COLUMNS)
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Column of texts.", rich_help_panel=_COLUMNS)
    ] = None,
    ids: Annotated[
        str | None, typer.Option(help="Metadata column of the ids.", rich_help_panel=_COLUMNS)
    ] = None,
    name: Annotated[
        str, typer.Option(help="Of the table and its columns.", rich_help_panel="Files")
    ] = "sieve",
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that decode images; default: 0 with a model on the CPU, one per "
            "processor, at most 16, with one on a GPU.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_MACHINE)
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="fp32, bf16 or fp16; auto: fp32 on a CPU, fp16 on a GPU.",
            rich_help_panel=_MACHINE,
        ),
    ] = "auto",
) -> Scorer:
    """Similarity of the alt-text to captions of its image, medium phrases masked.

    Captions are made first where RUN lacks them, and kept in RUN/captions/NAME: another encoder or
    other phrases (and another --name) use them again. Parts caption their share; the command
    without --part joins the captions, and from then on parts score.

    [bold]Example[/bold]: tamis score sieve shards/ --captioner blip:blip-base/ --out run/
    """
    from tamis.data.samples import open_samples
    from tamis.embed.models import open_encoder
    from tamis.filters.sieve.captions import DEFAULT_CAPTIONS
    from tamis.filters.sieve.phrases import PHRASES, PhraseMask, read_phrases
    from tamis.filters.sieve.scorer import Sieve
    from tamis.filters.sieve.scorer_captions import CaptionStep
    from tamis.score.sides import noted_pool

    mask = PhraseMask(PHRASES if phrases is None else read_phrases(phrases), _mode(mode))
    columns = {"ids": ids, "image": image, "text": text}
    samples = open_samples(noted_pool(pool, out), image=image, text=text, ids=ids)
    making = {
        "weights": weights,
        "seed": seed,
        "prompt": prompt,
        "top_p": top_p,
        "top_k": top_k,
        "min_tokens": min_tokens,
        "max_tokens": max_tokens,
        "repetition_penalty": repetition_penalty,
        "transform": transform,
    }
    if captions_from is not None:
        given = {"captioner": captioner, "captions": captions, **making}
        found = _stored(out, captions_from, given)
    else:
        chosen = _captioner(captioner or CAPTIONER, device, precision, making)
        found = CaptionStep(
            samples,
            out,
            chosen,
            captions=captions or DEFAULT_CAPTIONS,
            columns=columns,
            workers=_workers(chosen) if workers is None else workers,
        )
    sentences = open_encoder(encoder, device=device, precision=precision)
    return Sieve(samples, found, sentences, mask=mask, name=name)


def _mode(mode: str) -> Mode:
    from tamis.filters.sieve.phrases import MODES

    for known in MODES:
        if mode == known:
            return known
    raise typer.BadParameter(f"expected {', '.join(MODES)}, got {mode}", param_hint="--mode")


def _stored(run: Path, place: str, making: Mapping[str, object]) -> CaptionSource:
    from tamis.filters.sieve.scorer_captions import StoredCaptions

    for option, value in making.items():
        if value is not None:
            hint = f"--{option.replace('_', '-')}"
            raise typer.BadParameter("not beside --captions-from", param_hint=hint)
    return StoredCaptions.open(run, place)


def _captioner(
    spec: str, device: str, precision: str, making: Mapping[str, Any]
) -> Captioner | GivenCaptions:
    from tamis.filters.sieve.captioners import open_captioner

    asked = {option: value for option, value in making.items() if value is not None}
    return open_captioner(spec, device=device, precision=precision, **asked)


def _workers(captioner: Captioner | GivenCaptions) -> int:
    return default_workers(captioner.recipe().get("device"))
