"""`tamis reference`: the sets of points that HYPE's specificities are measured against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.console import Console

from tamis.cli.facts import facts_table, plain
from tamis.cli.sides import (
    AdapterFile,
    Curvature,
    Embeddings,
    IdColumn,
    Image,
    Model,
    PointKind,
    PoolArgument,
    Text,
    TextEmbeddings,
)

if TYPE_CHECKING:
    from tamis.filters.hype.reference import Reference

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace another file.", rich_help_panel="Files")
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print as JSON.", rich_help_panel="Output")
]
Silent: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing.", rich_help_panel="Output")
]

app = typer.Typer(
    name="reference",
    help="Make, take over or look at a reference: the points that specificity is measured against."
    "\n\n[bold]Example[/bold]: tamis reference build run/ --embeddings clip --adapter demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command("build")
def build(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    pool: PoolArgument = None,
    rows: Annotated[int, typer.Option(help="Rows of the pool, all where there are fewer.")] = 10000,
    seed: Annotated[int, typer.Option(help="Of the choice of rows.")] = 0,
    only: Annotated[
        str | None, typer.Option(help="image or text leaves the other side out.")
    ] = None,
    image: Image = None,
    text: Text = None,
    embeddings: Embeddings = None,
    text_embeddings: TextEmbeddings = None,
    adapter: AdapterFile = None,
    curvature: Curvature = None,
    kind: PointKind = "tangent",
    model: Model = None,
    ids: IdColumn = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The file, .safetensors; default: RUN/reference.safetensors.",
            show_default=False,
            rich_help_panel="Files",
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Silent = False,
) -> None:
    """Choose rows of a pool at random and keep their points.

    [bold]Example[/bold]: tamis reference build run/ --embeddings clip --adapter demo --seed 0
    """
    from tamis.filters.hype.reference import FILE
    from tamis.filters.hype.reference_build import build_reference
    from tamis.filters.hype.reference_file import save_reference
    from tamis.filters.hype.sides import open_sides
    from tamis.run.pool_link import pool_of, remember_pool

    images, texts = open_sides(
        run,
        only=only,  # type: ignore[arg-type]
        pool=pool,
        image=image,
        text=text,
        embeddings=embeddings,
        text_embeddings=text_embeddings,
        adapter=adapter,
        curvature=curvature,
        kind=kind,  # type: ignore[arg-type]
        model=model,
        ids=ids,
    )
    if pool is not None:
        remember_pool(run, pool)
    made = build_reference(images, texts, rows=rows, seed=seed, pool=pool_of(run))
    path = out or run / FILE
    save_reference(made, path, overwrite=overwrite)
    if not quiet:
        _tell(made, path, as_json)


@app.command("import")
def take_over(
    file: Annotated[
        Path,
        typer.Argument(
            help="Rows called img, txt or both: .pt (loaded with weights_only=True, which is no "
            "security boundary), .safetensors or .npz.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="The file, .safetensors.", show_default=False, rich_help_panel="Files"
        ),
    ],
    curvature: Annotated[
        float,
        typer.Option(help="c > 0 of the space of curvature -c; the model's.", show_default=False),
    ],
    kind: PointKind = "tangent",
    model: Model = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Silent = False,
) -> None:
    """Take over a reference that was made elsewhere, such as HYPE's reference.pt.

    [bold]Example[/bold]: tamis reference import reference.pt --curvature 0.1 --kind tangent
    --out hype.safetensors
    """
    from tamis.filters.hype.reference_file import save_reference
    from tamis.filters.hype.reference_import import import_reference

    made = import_reference(file, curvature=curvature, kind=kind, model=model)  # type: ignore[arg-type]
    save_reference(made, out, overwrite=overwrite)
    if not quiet:
        _tell(made, out, as_json)


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="A reference, .safetensors.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Print where the points come from, how far out they lie, and how many are at a clamp.

    [bold]Example[/bold]: tamis reference show run/reference.safetensors
    """
    from tamis.filters.hype.reference_file import open_reference

    _tell(open_reference(file), file, as_json)


def _tell(reference: Reference, path: Path, as_json: bool) -> None:
    if as_json:
        told = {
            **reference.manifest(),
            "digest": reference.digest,
            "radii": {name: _quantiles(reference, name) for name in reference.count},
        }
        print(json.dumps(told, indent=2, sort_keys=True))
        return
    table = facts_table(str(path))
    for name, value in _facts(reference).items():
        table.add_row(name, plain(value))
    Console().print(table)


def _facts(reference: Reference) -> dict[str, str]:
    from tamis.filters.hype.reference import SIDES

    space, count = reference.space, reference.count
    facts = {}
    for name, points in count.items():
        asked = reference.rows
        fewer = asked is not None and points < asked
        facts[f"{SIDES[name]}s"] = f"{points:,}" + (
            f" of {asked:,} asked: the pool has no more usable rows" if fewer else ""
        )
    facts["space"] = f"curvature {space.curvature:g}, {space.kind} rows of {space.dim} numbers"
    facts["model"] = space.model or "not known"
    if reference.seed is not None:
        facts["seed"] = str(reference.seed)
    facts |= _told_source(reference.source)
    for name in count:
        spread = ", ".join(
            f"{_label(q)} {radius:.4f}" for q, radius in _quantiles(reference, name).items()
        )
        beyond = reference.beyond_limit[name]
        facts[f"{SIDES[name]} radii"] = spread + (f"; {beyond:,} set to the limit" * (beyond > 0))
    if reference.texts_at_clamp is not None:
        share = reference.texts_at_clamp / count["txt"]
        facts["aperture"] = (
            f"mean {reference.mean_half_aperture:.6f} rad; {reference.texts_at_clamp:,} texts "
            f"({share:.1%}) at its clamp, pi/2, for K = {reference.min_radius:g}; scores that are "
            "made with another --min-radius have others"
        )
    facts["digest"] = reference.digest
    return facts


def _told_source(source: Any) -> dict[str, str]:
    facts = {}
    if "imported" in source:
        facts["imported"] = f"{source['imported']}, sha256 {source.get('sha256')}"
    if source.get("pool") is not None:
        facts["pool"] = str(source["pool"])
    passed: dict[str, int] = dict(source.get("passed_over") or {})
    for name, states in dict(source.get("left_out") or {}).items():
        passed |= {f"{name} {state.replace('_', ' ')}": rows for state, rows in states.items()}
    if passed:
        facts["passed over"] = "; ".join(f"{why}: {rows:,}" for why, rows in passed.items())
    return facts


def _quantiles(reference: Reference, name: Any) -> dict[str, float]:
    import numpy as np

    radii = np.quantile(reference.radii[name].radius, QUANTILES)
    return {f"{q:g}": float(radius) for q, radius in zip(QUANTILES, radii, strict=True)}


def _label(quantile: str) -> str:
    return {"0": "min", "1": "max"}.get(quantile, f"{float(quantile):.0%}")
