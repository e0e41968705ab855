"""`tamis train-adapter`: a hyperbolic model of a pool, from its frozen embeddings."""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tamis.cli.facts import facts_table
from tamis.cli.progress import Bars
from tamis.cli.sides import Embeddings, IdColumn, TextEmbeddings
from tamis.filters.hype.training import Options
from tamis.run.progress import Quiet

EXAMPLE = """
Train an adapter: two linear maps that take a pool's frozen embeddings to hyperbolic space.

They learn MERU's objective in minutes: matched pairs near, images inside the cones of their texts.
No near-copy, caption or series is on both sides of the validation. tamis score hype takes the
result, and it is yours.

RUN is where the work lies; the same command continues it.

[bold]Example[/bold]: tamis train-adapter run/ --pool pool/ --image-embedding l14_img
--text-embedding l14_txt --out adapter.safetensors
"""
FILES, MACHINE, OUTPUT = "Files", "Machine", "Output"
USUAL = Options()


def train_adapter(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The adapter, .safetensors.", show_default=False)],
    pool: Annotated[
        str | None, typer.Option(help="The pool; where RUN knows its pool, that.")
    ] = None,
    image_embedding: Annotated[
        str | None, typer.Option(help="Of images, in the pool: npz key, parquet column or folder.")
    ] = None,
    text_embedding: Annotated[
        str | None, typer.Option(help="Of texts, of any other dimension.")
    ] = None,
    embeddings: Embeddings = None,
    text_embeddings: TextEmbeddings = None,
    rows: Annotated[int, typer.Option(help="Pairs at most, a sample of the pool's.")] = 200_000,
    dim: Annotated[
        int | None, typer.Option(help="Of the space; the images' by default, 512 at most.")
    ] = USUAL.dim,
    epochs: Annotated[int, typer.Option(help="Passes over the pairs.")] = USUAL.epochs,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Pairs that are told from one another; default: a sixteenth, from 32 to 512."
        ),
    ] = USUAL.batch_size,
    lr: Annotated[float, typer.Option(help="Highest learning rate.")] = USUAL.lr,
    weight_decay: Annotated[float, typer.Option(help="Of the maps.")] = USUAL.weight_decay,
    warmup: Annotated[
        float, typer.Option(help="Share of the steps in which the rate rises.")
    ] = USUAL.warmup,
    entailment_weight: Annotated[
        float, typer.Option(help="Of the entailment loss.")
    ] = USUAL.entailment_weight,
    curvature_init: Annotated[float, typer.Option(help="c at the start.")] = USUAL.curvature_init,
    fixed_curvature: Annotated[
        bool, typer.Option("--fixed-curvature", help="Do not learn c.")
    ] = False,
    validation: Annotated[
        float, typer.Option(help="Share of the pairs that is measured, not learned.")
    ] = USUAL.validation,
    gain: Annotated[
        float, typer.Option(help="Length of the rows that enter; a larger one learns faster.")
    ] = USUAL.gain,
    near: Annotated[
        float, typer.Option(help="Images with a cosine above this are copies.")
    ] = USUAL.near,
    series: Annotated[
        str | None, typer.Option(help="Metadata column; pairs of one value stay together.")
    ] = None,
    keep: Annotated[
        str, typer.Option(help="best: the epoch of the lowest validation loss; or last.")
    ] = USUAL.keep,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = USUAL.seed,
    name: Annotated[
        str | None,
        typer.Option(
            help="Of the work in RUN/adapters/NAME; that of --out by default.",
            rich_help_panel=FILES,
        ),
    ] = None,
    ids: IdColumn = None,
    note: Annotated[str, typer.Option(help="Kept in the file.", rich_help_panel=FILES)] = "",
    memory: Annotated[
        float, typer.Option(help="For the pairs, GB (10^9 bytes).", rich_help_panel=MACHINE)
    ] = 3.0,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Of the kernels; torch takes one, so that none changes a bit.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=MACHINE)
    ] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No bars, no summary.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    from tamis.filters.hype.training.job import run_training, step_folder

    if threads is not None:
        if threads < 1:
            raise typer.BadParameter("expected at least 1", param_hint="--threads")
        os.environ["TAMIS_NUM_THREADS"] = str(threads)
    if not 0 < memory < 1e6:
        raise typer.BadParameter("expected gigabytes above 0", param_hint="--memory")
    if embeddings is not None and (image_embedding or text_embedding) is not None:
        raise typer.BadParameter(
            "expected either --embeddings or --image-embedding and --text-embedding"
        )
    if text_embeddings is not None and text_embedding is not None:
        raise typer.BadParameter("expected either --text-embeddings or --text-embedding")
    options = Options(
        dim=dim,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        warmup=warmup,
        entailment_weight=entailment_weight,
        curvature_init=curvature_init,
        fixed_curvature=fixed_curvature,
        validation=validation,
        gain=gain,
        near=near,
        keep=keep,  # type: ignore[arg-type]
        seed=seed,
    )
    started = time.perf_counter()
    with nullcontext(Quiet()) if quiet or as_json else Bars() as progress:
        summary = run_training(
            run,
            out,
            options,
            name=name,
            pool=pool,
            image=image_embedding,
            text=text_embedding,
            image_step=embeddings,
            text_step=text_embeddings or embeddings,
            ids=ids,
            series=series,
            rows=rows,
            note=note,
            device=device,
            memory_bytes=int(memory * 1e9),
            progress=progress,
        )
    if as_json:
        print(json.dumps(summary, indent=2, sort_keys=True))
    elif not quiet:
        curves = json.loads((step_folder(run, name or out.stem) / "curves.json").read_bytes())
        _print(summary, curves["curves"], out, time.perf_counter() - started)


def _print(
    summary: dict[str, Any], curves: list[dict[str, Any]], out: Path, seconds: float
) -> None:
    counts = facts_table("adapter")
    counts.add_row(
        "pairs",
        f"{summary['train_pairs']:,} learned, {summary['validation_pairs']:,} measured (in "
        f"{summary['validation_families']:,} of {summary['families']:,} families)",
    )
    for reason, skipped in summary["skipped"].items():
        counts.add_row("", f"{skipped:,} skipped: {reason}")
    counts.add_row("kept", f"epoch {summary['epoch']}: {summary['kept']}")
    found = summary["measured"]
    counts.add_row(
        "space", f"curvature {found['curvature']:.4f}, temperature {found['temperature']:.2f}"
    )
    counts.add_row("time", f"{seconds:.1f} s")
    counts.add_row("written to", str(out))
    console = Console()
    console.print(counts)
    console.print(_curves_table(curves, summary["epoch"]))


def _curves_table(curves: list[dict[str, Any]], kept: int) -> Table:
    """Five epochs or fewer: before training, a third of the way, the kept one, the last."""
    last = len(curves) - 1
    table = Table(box=None, pad_edge=False)
    for head in (
        "epoch",
        "loss",
        "image>text",
        "text>image",
        "AUC",
        "entailed",
        "r images",
        "r texts",
    ):
        table.add_column(head, justify="right")
    for epoch in sorted({0, last // 3, 2 * last // 3, kept, last}):
        record = curves[epoch]
        table.add_row(
            f"{epoch}{'*' if epoch == kept else ''}",
            f"{record['loss']:.4f}",
            f"{record['accuracy_image_to_text']:.1%}",
            f"{record['accuracy_text_to_image']:.1%}",
            f"{record['auc']:.4f}",
            f"{record['entailed']:.1%}",
            f"{record['image_radius']['mean']:.3f}",
            f"{record['text_radius']['mean']:.3f}",
        )
    return table


train_adapter.__doc__ = EXAMPLE
