"""What a person reads at the end of `tamis score`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tamis.cli.facts import facts_table

_BARS = "▁▂▃▄▅▆▇█"


def print_scores(summary: dict[str, Any], folder: Path, seconds: float) -> None:
    """The result of one scorer, or of a part of its work."""
    table = facts_table(folder.name)
    if "part" in summary:
        table.add_row("part", "{} of {}; the command without --part joins".format(*summary["part"]))
    table.add_row("rows in", f"{summary['rows_in']:,}")
    table.add_row("scored", f"{summary['scored']:,}")
    for what in ("language", "captioner", "encoder"):
        maker = summary.get("recipe", {}).get(what)
        if isinstance(maker, dict):
            maker = maker.get("model")
        if maker is not None:
            table.add_row(what, f"by {maker}" if what == "language" else maker)
    against = summary.get("recipe", {}).get("reference", {}).get("count", {})
    if against:
        kinds = {"txt": "texts", "img": "images"}
        table.add_row("reference", ", ".join(f"{n:,} {kinds[of]}" for of, n in against.items()))
    if summary["unscored"]:
        told = "; ".join(f"{reason}: {rows:,}" for reason, rows in summary["reasons"].items())
        table.add_row("unscored", f"{summary['unscored']:,} ({told})")
    if summary["true"] is not None:
        share = summary["true"] / max(summary["rows_in"], 1)
        table.add_row("kept", f"{summary['true']:,} ({share:.1%})")
    elif summary["mean"] is not None:
        table.add_row("mean", f"{summary['mean']:.4f}")
        shown = {"min": summary["min"], **summary["quantiles"], "max": summary["max"]}
        names = {"min": "min", "0.05": "5%", "0.25": "25%", "0.5": "50%", "0.75": "75%"}
        names |= {"0.95": "95%", "max": "max"}
        table.add_row("spread", ", ".join(f"{told} {shown[q]:.4f}" for q, told in names.items()))
    diagnostics = summary.get("diagnostics", {})
    for what, told in _diagnosed(diagnostics):
        table.add_row(what, told)
    table.add_row("time", f"{seconds:.1f} s")
    if (folder / "scores.parquet").exists():
        table.add_row("scores", str(folder / "scores.parquet"))
    console = Console()
    console.print(table)
    if len(diagnostics.get("correlations", {}).get("terms", ())) > 1:
        console.print(_correlations(diagnostics["correlations"]))
    for warning in diagnostics.get("warnings", []):
        console.print(Text(f"warning: {warning}"))


def _diagnosed(diagnostics: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What HYPE says of its model and its reference."""
    apexes = diagnostics.get("apexes", {})
    shares = [
        f"{counts['at_clamp'] / max(counts['rows'], 1):.1%} of the {told}"
        for what, told in (("text", "texts"), ("reference_text", "reference texts"))
        if (counts := apexes.get(what)) is not None
    ]
    if shares:
        yield "at the aperture clamp", f"{', '.join(shares)} (r <= {apexes['clamp_radius']:.3f})"
    radii = diagnostics.get("radii", {})
    for side in [name for name in radii if name != "width"]:
        found, beyond = radii[side], diagnostics["clamped_radii"].get(side, 0)
        told = f"{_bars(found['counts'])} 0 to {radii['width'] * len(found['counts']):g}"
        if found["mean"] is not None:
            told += f", {_middle(found, '.3f')}"
        yield f"radii, {side.replace('_', ' ')}", told + (f", {beyond:,} clamped" if beyond else "")
    for side, found in diagnostics.get("standard_errors", {}).items():
        if found["mean"] is not None:
            yield f"standard error, {side}", f"{_middle(found, '.2g')}, max {found['max']:.2g}"


def _middle(found: dict[str, Any], form: str) -> str:
    names = {"0.05": "5%", "0.5": "50%", "0.95": "95%"}
    return ", ".join(f"{told} {found['quantiles'][q]:{form}}" for q, told in names.items())


def _bars(counts: list[int]) -> str:
    """One character for each bin, the fullest a whole block; a bin with rows is never blank."""
    most = max(counts, default=0)
    return "".join("·" if n == 0 else _BARS[(n * len(_BARS) - 1) // most] for n in counts)


def _correlations(found: dict[str, Any]) -> Table:
    title = f"correlation of the terms, {found['rows']:,} rows"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("term", style="bold")
    for number in range(1, len(found["terms"]) + 1):
        table.add_column(str(number), justify="right")
    for number, (term, row) in enumerate(zip(found["terms"], found["matrix"], strict=True), 1):
        shown = ["-" if value is None else f"{value:.3f}" for value in row[:number]]
        table.add_row(f"{number} {term}", *shown)
    return table
