"""`tamis info`: what this installation is and can do."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table


def show_info(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show version, instruction sets, threads, optional packages, and GPUs or why there are none.

    [bold]Example[/bold]: tamis info
    """
    from tamis._info import info

    facts = info()
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    cpu = facts["cpu"]
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("tamis", f"{facts['version']} on Python {facts['python']}")
    table.add_row("instructions", f"{cpu['level']} in use, of {', '.join(cpu['levels'])}")
    table.add_row("threads", str(cpu["threads"]))
    table.add_row("CUDA", _cuda(facts["cuda"]))
    for package, present in facts["extras"].items():
        table.add_row(package, "present" if present else f"missing: pip install {package}")
    Console().print(table)


def _cuda(facts: dict[str, Any]) -> str:
    built = f"built for {', '.join(facts['architectures'])}"
    if not facts["available"]:
        return f"no: {facts['reason']}" + (f" ({built})" if facts["built"] else "")
    lines = [f"{built}, driver for CUDA {facts['driver']}"]
    for device in facts["devices"]:
        state = f"no: {device['reason']}" if device["reason"] else f"{device['sms']} processors"
        lines.append(f"cuda:{device['ordinal']}, capability {device['capability']}, {state}")
    return "\n".join(lines)
