"""`tamis dedup`: SemDeDup over a pool."""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tamis.cli.progress import Bars
from tamis.cli.summary import print_outline, print_summary
from tamis.run.progress import Quiet

EXAMPLE = """
Remove near-copies from a pool of embeddings (SemDeDup), explain every removal, write the subset.

POOL is a .npy, .npz or .parquet file, or a folder: .npy files, parquet with an embedding column,
clip-retrieval's img_emb/ + metadata/, or DataComp's X.parquet + X.npz.

[bold]Example[/bold]: tamis dedup pool/ --embedding l14_img --keep 0.5 --out run/
"""


def dedup(
    pool: Annotated[Path, typer.Argument(help="The embeddings.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run directory; the same command continues a run.", rich_help_panel="Files"
        ),
    ] = None,
    embedding: Annotated[
        str | None,
        typer.Option(
            help="npz key, parquet column or folder, where there are several.",
            rich_help_panel="Files",
        ),
    ] = None,
    ids: Annotated[
        str | None, typer.Option(help="Metadata column of the ids.", rich_help_panel="Files")
    ] = None,
    clusters: Annotated[
        str, typer.Option(help="How many, or auto (a cost model); 1 compares all pairs.")
    ] = "auto",
    eps: Annotated[
        float | None, typer.Option(help="Remove rows with an earlier row at cosine > 1 - eps.")
    ] = None,
    keep: Annotated[float | None, typer.Option(help="Or keep this fraction of the rows.")] = None,
    keep_rows: Annotated[int | None, typer.Option(help="Or keep this many rows.")] = None,
    which_to_keep: Annotated[
        str,
        typer.Option(
            help="hard, easy, random, or a metadata column: largest value first, "
            "COLUMN:asc smallest."
        ),
    ] = "hard",
    rule: Annotated[str, typer.Option(help="semdedup, greedy or components.")] = "semdedup",
    compare_rules: Annotated[
        bool, typer.Option("--compare-rules", help="Show how the three rules differ.")
    ] = False,
    probes: Annotated[
        int, typer.Option(help="Also compare with this many next-nearest clusters.")
    ] = 0,
    recall_sample: Annotated[
        int, typer.Option(help="Rows compared with all rows to measure recall.")
    ] = 2000,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    max_bad_fraction: Annotated[
        float, typer.Option(help="Stop (exit code 3) above this share of bad rows.")
    ] = 0.01,
    memory: Annotated[
        float, typer.Option(help="Budget in GB (10^9 bytes).", rich_help_panel="Machine")
    ] = 3.0,
    threads: Annotated[
        int | None, typer.Option(help="Default: all processors.", rich_help_panel="Machine")
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="cpu, cuda, cuda:1 ..., or auto: cpu. It changes no result.",
            rich_help_panel="Machine",
        ),
    ] = "auto",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the plan; write nothing.", rich_help_panel="Output"),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel="Output")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No bars, no summary.", rich_help_panel="Output")
    ] = False,
) -> None:
    from tamis._native import ordinal_of
    from tamis.filters.semdedup.job import Recipe, outline, run_job

    ordinal_of(device)  # which says why a GPU cannot be used
    if threads is not None:
        if threads < 1:
            raise typer.BadParameter("expected at least 1", param_hint="--threads")
        os.environ["TAMIS_NUM_THREADS"] = str(threads)
    if not 0 < memory < 1e6:
        raise typer.BadParameter("expected gigabytes above 0", param_hint="--memory")
    if not 0 <= max_bad_fraction <= 1:
        raise typer.BadParameter("expected a share from 0 to 1", param_hint="--max-bad-fraction")
    recipe = Recipe(
        embedding=embedding,
        ids=ids,
        clusters=_clusters(clusters),
        eps=eps,
        keep=keep,
        keep_rows=keep_rows,
        which_to_keep=which_to_keep,
        rule=_rule(rule),
        compare_rules=compare_rules,
        probes=probes,
        recall_sample=recall_sample,
        seed=seed,
    )
    memory_bytes = int(memory * 1e9)
    if dry_run:
        print_outline(outline(pool, recipe, memory_bytes=memory_bytes), as_json=as_json)
        return
    if out is None:
        raise typer.BadParameter("expected a folder for the run", param_hint="--out")
    started = time.perf_counter()
    silent = quiet or as_json
    with nullcontext(Quiet()) if silent else Bars() as progress:
        summary = run_job(
            pool,
            out,
            recipe,
            memory_bytes=memory_bytes,
            max_bad_fraction=max_bad_fraction,
            device=device,
            progress=progress,
        )
    if as_json:
        print(json.dumps(summary, indent=2, sort_keys=True))
    elif not quiet:
        print_summary(summary, out, time.perf_counter() - started)


def _clusters(text: str) -> Any:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected a whole number or auto, got {text}", param_hint="--clusters"
        ) from None


def _rule(text: str) -> Literal["semdedup", "greedy", "components"]:
    if text not in ("semdedup", "greedy", "components"):
        raise typer.BadParameter(
            f"expected semdedup, greedy or components, got {text}", param_hint="--rule"
        )
    return text  # type: ignore[return-value]


dedup.__doc__ = EXAMPLE
