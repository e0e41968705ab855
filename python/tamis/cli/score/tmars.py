"""`tamis score tmars`: the text in images found and filled, and the images scored again."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tamis.cli.embed import MOST_WORKERS, default_workers
from tamis.cli.progress import Bars
from tamis.cli.score.command import Out, command
from tamis.cli.sides import PoolArgument
from tamis.run.progress import Quiet

if TYPE_CHECKING:
    from tamis.score.scorer import Scorer

TEXT, FILES, MACHINE, OUTPUT = "Text in images", "Files", "Machine", "Output"
MODEL = "open_clip:ViT-B-32/openai"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tmars")(command(tmars))


def tmars(
    out: Out,
    pool: PoolArgument = None,
    model: Annotated[str, typer.Option(help="The encoder, as for tamis embed.")] = MODEL,
    detector: Annotated[
        str | None,
        typer.Option(
            help="What finds text: ppocr, PATH.onnx, fast:tiny or fast:base; default: what made "
            "RUN's masks, else ppocr.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    side_len: Annotated[
        int | None,
        typer.Option(
            help="Pixels of the long side of what the detector sees.", rich_help_panel=TEXT
        ),
    ] = None,
    enlarge: Annotated[
        float | None,
        typer.Option(
            help="How many times larger it may see a smaller image; 1 by default.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    detector_weights: Annotated[
        Path | None,
        typer.Option(help="The file of FAST's weights.", rich_help_panel=TEXT),
    ] = None,
    post: Annotated[
        str | None,
        typer.Option(help="FAST's rules: doctr (the default) or paper.", rich_help_panel=TEXT),
    ] = None,
    masks: Annotated[
        str,
        typer.Option(
            help="NAME in RUN/masks/NAME, or the PATH of masks made elsewhere (with a slash, or "
            ".parquet).",
            rich_help_panel=TEXT,
        ),
    ] = "text",
    coordinates: Annotated[
        str,
        typer.Option(
            help="Of masks made elsewhere: pixels, or square512, those of T-MARS's own code.",
            rich_help_panel=TEXT,
        ),
    ] = "pixels",
    fill: Annotated[
        str,
        typer.Option(help="ring-mean, box-mean, image-mean or inpaint.", rich_help_panel=TEXT),
    ] = "ring-mean",
    region: Annotated[
        str, typer.Option(help="What is filled: polygon or box.", rich_help_panel=TEXT)
    ] = "polygon",
    ring: Annotated[
        float,
        typer.Option(
            help="Width of the ring, as a share of the text's height.", rich_help_panel=TEXT
        ),
    ] = 0.25,
    batch_size: Annotated[int, typer.Option(help="Rows that the model sees at a time.")] = 64,
    max_bad_fraction: Annotated[
        float, typer.Option(help="Stop (exit code 3) above this share of rows without a score.")
    ] = 1.0,
    name: Annotated[
        str, typer.Option(help="Of the table and its columns.", rich_help_panel=FILES)
    ] = "tmars",
    weights: Annotated[
        Path | None,
        typer.Option(help="A local checkpoint of the model.", rich_help_panel=FILES),
    ] = None,
    ids: Annotated[
        str | None, typer.Option(help="Metadata column of the ids.", rich_help_panel=FILES)
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Column of images or paths.", rich_help_panel=FILES)
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Column of captions.", rich_help_panel=FILES)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that decode and fill images; default: 0 with a model on the CPU, one "
            f"per processor, at most {MOST_WORKERS}, with one on a GPU.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    rows_per_unit: Annotated[
        int,
        typer.Option(
            help="Rows that are redone after an interruption, at most.", rich_help_panel=MACHINE
        ),
    ] = 2000,
    part: Annotated[
        str | None,
        typer.Option(
            help="I/N: every N-th unit from the I-th on; the command without it joins.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=MACHINE)
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="fp32, bf16 or fp16; auto: fp32 on a CPU, fp16 on a GPU.", rich_help_panel=MACHINE
        ),
    ] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No bars, no summary.", rich_help_panel=OUTPUT)
    ] = False,
) -> Scorer:
    """T-MARS: the CLIP score of the image once the text in it is filled.

    Finds the text first, into RUN/masks/NAME, unless it is there; another model needs no second
    detection. Then tamis select RUN "top(tmars, 0.5)", and tamis show tmars RUN to judge by eye.

    [bold]Example[/bold]: tamis score tmars shards/ --model open_clip:ViT-B-32/openai --out run/
    """
    from tamis.data.samples import open_samples
    from tamis.embed.models import open_encoder
    from tamis.filters.tmars.fill import check_fill
    from tamis.filters.tmars.rescore import Filling
    from tamis.filters.tmars.scorer_steps import open_tmars
    from tamis.run.parts import parse_part
    from tamis.score.sides import noted_pool

    check_fill(fill, region, ring)
    share = None if part is None else parse_part(part)
    samples = open_samples(noted_pool(pool, out), image=image, text=text, ids=ids)
    encoder = open_encoder(model, weights=weights, device=device, precision=precision)
    told = {"side": side_len, "enlarge": enlarge, "weights": detector_weights, "post": post}
    busy = default_workers(encoder.recipe().get("device"))
    with nullcontext(Quiet()) if quiet or as_json else Bars() as progress:
        return open_tmars(
            samples,
            out,
            encoder,
            detector=detector,
            detector_options={key: value for key, value in told.items() if value is not None},
            device=device,
            masks=masks,
            coordinates=coordinates,  # type: ignore[arg-type]
            filling=Filling(fill, region, ring),  # type: ignore[arg-type]
            columns={"ids": ids, "image": image, "text": text},
            batch_size=batch_size,
            rows_per_unit=rows_per_unit,
            workers=busy if workers is None else workers,
            part=share,
            progress=progress,
            max_bad_fraction=max_bad_fraction,
            name=name,
        )
