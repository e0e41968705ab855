"""What a person reads at the end of a command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tamis.cli.facts import facts_table

if TYPE_CHECKING:
    from tamis.filters.semdedup.job import Outline

FOUND = "of the sampled rows with a duplicate, found"
LEFT = "of sampled kept rows have a kept duplicate"


def print_outline(plan: Outline, *, as_json: bool) -> None:
    """The plan of a run that was not started."""
    if as_json:
        content = {
            "pool": {
                "kind": plan.pool.kind,
                "rows": plan.pool.n_rows,
                "dim": plan.pool.dim,
                "dtype": str(plan.pool.dtype),
                "files": [str(file) for file in plan.pool.files],
            },
            "clusters": plan.clusters.as_dict(),
            "memory": dataclasses.asdict(plan.memory),
        }
        print(json.dumps(content, indent=2, sort_keys=True))
        return
    clusters, memory = plan.clusters, plan.memory
    table = facts_table("plan (nothing was written)")
    table.add_row("pool", plan.pool.describe())
    table.add_row("clusters", _clusters(clusters.as_dict()))
    table.add_row("training rows", f"{clusters.n_train:,}")
    cost = clusters.train_cost + clusters.assign_cost + clusters.pair_cost
    table.add_row(
        "multiply-adds",
        f"{cost:.3g} (k-means {clusters.train_cost:.2g}, assignment {clusters.assign_cost:.2g}, "
        f"pairs {clusters.pair_cost:.2g})",
    )
    table.add_row(
        "memory",
        f"{memory.budget_bytes / 1e9:.3g} GB: {memory.rows_per_unit:,} rows read at a time, "
        f"{memory.rows_per_batch:,} compared at a time",
    )
    Console().print(table)


def print_summary(summary: dict[str, Any], out: Path, seconds: float) -> None:
    """The result of `tamis dedup`."""
    table = facts_table("SemDeDup")
    _add_counts(table, summary)
    table.add_row("clusters", _clusters(summary["clusters"]))
    if summary["kept"] is not None:
        orphans = summary["orphans"]
        table.add_row("orphans", f"{orphans:,} removed rows without a kept row within eps")
    _add_share(table, "recall", summary.get("recall"), FOUND)
    _add_share(table, "left over", summary.get("residual"), LEFT)
    for rule, found in summary.get("rules", {}).items():
        others = ", ".join(f"{other} removes {n:,}" for other, n in found["removed_by"].items())
        table.add_row(f"rule {rule}", f"keeps {found['kept']:,}, of which {others}")
    table.add_row("time", f"{seconds:.1f} s")
    for label, name in (
        ("subset", "subset.npy"),
        ("subset", "subset.parquet"),
        ("groups", "groups.parquet"),
        ("eps curve", "eps_curve.parquet"),
    ):
        if (out / name).exists():
            table.add_row(label, str(out / name))
    Console().print(table)


def print_selection(summary: dict[str, Any]) -> None:
    """The result of `tamis select`."""
    table = facts_table("selection")
    _add_counts(table, summary)
    _add_share(table, "recall", summary.get("recall"), FOUND)
    if "subset" in summary:
        table.add_row("subset", summary["subset"])
    Console().print(table)


def _add_counts(table: Table, summary: dict[str, Any]) -> None:
    table.add_row("rows in", f"{summary['rows_in']:,}")
    if summary["kept"] is None:
        table.add_row("kept", "no threshold was given: scores and curve only")
    else:
        share = summary["kept"] / summary["rows_in"]
        table.add_row("kept", f"{summary['kept']:,} ({share:.1%})")
        table.add_row("removed", f"{summary['removed']:,}")
    table.add_row("quarantined", f"{summary['quarantined']:,}")
    if summary["kept"] is not None:
        ties = summary["ties_at_cut"]
        told = f" ({ties:,} ties at the cut)" if ties else ""
        table.add_row("eps", f"{summary['eps']:.6g}{told}")


def _clusters(plan: dict[str, Any]) -> str:
    chosen = " (chosen by the cost model)" if plan["auto"] else ""
    probes = plan["n_probes"]
    return f"{plan['n_clusters']:,}{chosen}" + (f", {probes} probes" if probes else "")


def _add_share(table: Table, name: str, share: dict[str, Any] | None, text: str) -> None:
    if share is None:
        return
    if share["share"] is None:
        table.add_row(name, f"no sampled row {text}")
        return
    low, high = share["interval95"]
    table.add_row(
        name,
        f"{share['share']:.1%} {text} ({share['count']:,} of {share['of']:,}; "
        f"95% interval {low:.1%} to {high:.1%})",
    )
