"""What a person reads at the end of `tamis score`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def print_scores(summary: dict[str, Any], folder: Path, seconds: float) -> None:
    """The result of one scorer, or of a part of its work."""
    table = Table(
        title=folder.name, title_justify="left", show_header=False, box=None, pad_edge=False
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
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
    table.add_row("time", f"{seconds:.1f} s")
    if (folder / "scores.parquet").exists():
        table.add_row("scores", str(folder / "scores.parquet"))
    Console().print(table)
