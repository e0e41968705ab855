"""`tamis embed`: images and texts to rows."""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tamis.cli.progress import Bars
from tamis.run.progress import Quiet

if TYPE_CHECKING:
    from tamis.data.samples import Side

EXAMPLE = """
Embed the images and texts of a pool into RUN/embeddings/NAME, in clip-retrieval's layout.

POOL is a folder of webdataset tars, parquet with captions and image paths, a folder of images, a
text pool (parquet or jsonl), or the URL of one.

Models: open_clip:MODEL/PRETRAINED, sentence:NAME (texts), causal:NAME (texts, last token's state),
hype and meru (hyperbolic, with a checkpoint of that kind in --weights; rows are tangent vectors),
demo (a small offline stand-in for CLIP).

The same command continues a run. In a job array, give every job its --part I/N, and run the command
without it at the end.

[bold]Example[/bold]: tamis embed shards/ --model open_clip:ViT-B-32/openai --out run/
"""
FILES, MACHINE, OUTPUT = "Files", "Machine", "Output"
MOST_WORKERS = 16
SIDES = ("image", "text")


def embed(
    pool: Annotated[str, typer.Argument(help="The samples.", show_default=False)],
    model: Annotated[str, typer.Option(help="The encoder.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="The run directory.", rich_help_panel=FILES)
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the embeddings; after the model by default.", rich_help_panel=FILES),
    ] = None,
    sides: Annotated[
        str | None, typer.Option(help="image, text or image,text; default: all there are.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="A local checkpoint (open_clip, hype, meru; safetensors preferred) or model "
            "folder. Other "
            "checkpoints load with weights_only=True, which is no security boundary.",
            rich_help_panel=FILES,
        ),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Mirror images left to right.")] = False,
    long: Annotated[
        str | None,
        typer.Option(help="Documents too long for a causal model: truncate or chunk-mean."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Rows that the model sees at a time.")] = 256,
    rows_per_unit: Annotated[
        int, typer.Option(help="Rows written at a time; none across two files.")
    ] = 10_000,
    max_bad_fraction: Annotated[
        float, typer.Option(help="Stop (exit code 3) above this share of rows without embedding.")
    ] = 0.01,
    part: Annotated[
        str | None, typer.Option(help="I/N: every N-th unit, beside the other parts.")
    ] = None,
    ids: Annotated[
        str | None, typer.Option(help="Metadata column of the ids.", rich_help_panel=FILES)
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Column of images or paths.", rich_help_panel=FILES)
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Column of texts.", rich_help_panel=FILES)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that decode images; default: 0 with a model on the CPU, one per "
            f"processor, at most {MOST_WORKERS}, with one on a GPU.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Default: all processors.", rich_help_panel=MACHINE)
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=MACHINE)
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="fp32, bf16 or fp16; auto: fp32 on a CPU and for hype and meru, else fp16.",
            rich_help_panel=MACHINE,
        ),
    ] = "auto",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the plan; write nothing.", rich_help_panel=OUTPUT),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No bars, no summary.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    from tamis.data.samples import open_samples
    from tamis.embed.job import (
        STAGE,
        check_sizes,
        chosen_sides,
        default_name,
        run_embed,
        step_folder,
    )
    from tamis.embed.models import check_weights, encoder_name, open_encoder, sides_of
    from tamis.run.parts import parse_part
    from tamis.run.status import RunStatus

    check_sizes(batch_size, rows_per_unit, max_bad_fraction)
    asked = None if sides is None else _sides(sides)
    share = None if part is None else parse_part(part)
    encodes = sides_of(model)
    check_weights(model, weights)
    if threads is not None:
        if threads < 1:
            raise typer.BadParameter("expected at least 1", param_hint="--threads")
        os.environ["TAMIS_NUM_THREADS"] = str(threads)
    columns = {"ids": ids, "image": image, "text": text}
    samples = open_samples(pool, image=image, text=text, ids=ids)
    if dry_run:
        plan: dict[str, Any] = {
            "pool": samples.describe(),
            "model": model,
            "name": name or default_name(encoder_name(model), flip=flip),
            "sides": sorted(chosen_sides(samples.sides, encodes, asked)),
            "rows": samples.n_rows,
            "units": len(samples.units(rows_per_unit)),
            "rows_per_unit": rows_per_unit,
            "batch_size": batch_size,
        }
        if out is not None:
            done = RunStatus.of(step_folder(out, plan["name"])).units
            plan["units_done"] = done.get(STAGE, 0)
        _print_plan(plan, as_json=as_json)
        return
    if out is None:
        raise typer.BadParameter("expected a folder for the run", param_hint="--out")
    encoder = open_encoder(model, weights=weights, device=device, precision=precision, long=long)
    started = time.perf_counter()
    with nullcontext(Quiet()) if quiet or as_json else Bars() as progress:
        summary = run_embed(
            samples,
            out,
            encoder,
            name=name,
            sides=asked,
            columns=columns,
            batch_size=batch_size,
            rows_per_unit=rows_per_unit,
            workers=default_workers(encoder.recipe().get("device")) if workers is None else workers,
            flip=flip,
            part=share,
            progress=progress,
            max_bad_fraction=max_bad_fraction,
        )
    if as_json:
        print(json.dumps(summary, indent=2, sort_keys=True))
    elif not quiet:
        _print_summary(summary, out, time.perf_counter() - started, part)


def _sides(text: str) -> list[Side]:
    named = [side.strip() for side in text.split(",")]
    if not set(named) <= set(SIDES):
        raise typer.BadParameter(
            f"expected image, text or image,text, got {text}", param_hint="--sides"
        )
    return named  # type: ignore[return-value]


def default_workers(kind: str | None) -> int:
    """Processes that decode images for a network on this kind of processor."""
    # A network on the CPU keeps every processor busy; decoding beside it gains nothing.
    return 0 if kind != "cuda" else min(MOST_WORKERS, len(os.sched_getaffinity(0)))


def _print_plan(plan: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(plan, indent=2, sort_keys=True))
        return
    done = f", {plan['units_done']:,} of them done" if "units_done" in plan else ""
    table = _table("plan (nothing was written)")
    table.add_row("pool", plan["pool"])
    table.add_row("model", plan["model"])
    table.add_row("name", plan["name"])
    table.add_row("sides", ", ".join(plan["sides"]))
    table.add_row(
        "work", f"{plan['units']:,} units of at most {plan['rows_per_unit']:,} rows{done}"
    )
    table.add_row("batches", f"{plan['batch_size']:,} rows")
    Console().print(table)


def _print_summary(summary: dict[str, Any], out: Path, seconds: float, part: str | None) -> None:
    table = _table("embeddings" if part is None else f"embeddings, part {part}")
    table.add_row("model", summary["encoder"]["model"])
    table.add_row("rows in", f"{summary['rows_in']:,}")
    for side, counts in summary["sides"].items():
        table.add_row(f"{side} rows", f"{counts['embedded']:,} x {counts['dim']}")
        for reason, count in counts["reasons"].items():
            table.add_row("", f"{count:,} quarantined: {reason}")
    table.add_row("time", f"{seconds:.1f} s")
    table.add_row("written to", str(out / "embeddings" / summary["name"]))
    Console().print(table)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


embed.__doc__ = EXAMPLE
