"""Tables in markdown: one for each case, printed as it ends and written beside the JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.cases import Case
from bench.results import Result

COLUMNS = (
    *("contender", "arithmetic", "median", "spread", "CPU s", "rate", "of peak"),
    *("tamis is", "float64/row", "climbed", "mismatches", "objective", "note"),
)


def heading(conditions: Mapping[str, Any], peaks: Mapping[str, float], no_peaks: str) -> str:
    """What the numbers were measured on."""
    listed = ", ".join(f"{name} {rate:.0f}" for name, rate in peaks.items())
    lines = [
        f"# {conditions['machine']}",
        "",
        f"{conditions['cpu']}, {conditions['threads']} threads, {conditions['date']}, commit "
        f"{conditions['commit']}, load average before: {conditions['load_before']:.2f}.",
        f"Peaks, GFLOP/s: {listed}." if peaks else f"Peaks {no_peaks}.",
        f"Libraries: {', '.join(conditions['libraries'])}. BLAS: {conditions['blas']}.",
    ]
    if conditions["openblas_variables"]:
        named = " ".join(f"{n}={v}" for n, v in sorted(conditions["openblas_variables"].items()))
        lines.append(f"Environment: {named}.")
    if conditions["slow_blas"]:
        lines += ["", f"**{conditions['slow_blas']}.**"]
    if conditions["load_before"] > 0.3 * conditions["threads"]:
        lines += ["", "**The machine was busy: these numbers compare with nothing.**"]
    return "\n".join(lines) + "\n"


def table(case: Case, results: Sequence[Result], *, judged: bool) -> str:
    """The table of a case and, where `judged`, the verdicts of its bars."""
    tamis = results[0]
    lines = [f"## {case.name}", "", f"{case.about}.", "", _line(COLUMNS)]
    lines.append(_line(["---"] * len(COLUMNS)))
    lines += [_line(_cells(result, tamis)) for result in results]
    by_name = {result.contender: result for result in results}
    if judged and case.bars:
        lines += ["", *(f"- {bar.judge(by_name)}" for bar in case.bars)]
    return "\n".join(lines) + "\n"


def _cells(result: Result, tamis: Result) -> list[str]:
    rate = f"{result.gflops:.0f} GFLOP/s"
    if result.op == "end_to_end":
        rate = f"{result.gflops * 1e6:.0f} k rows/s"
    elif result.gflops < 10:
        rate = f"{result.gflops:.2f} GFLOP/s"
    faster = "" if result is tamis else f"{result.median_s / tamis.median_s:.2f}x as fast"
    if faster and result.gflops and result.contender.startswith("tamis,"):
        faster = f"{tamis.gflops / result.gflops:.2f}x its rate"  # another input
    checked = f"{result.mismatches} of {result.checked}" if result.checked else ""
    return [
        result.contender,
        result.arithmetic,
        _seconds(result.median_s),
        f"{_seconds(result.best_s)} to {_seconds(result.worst_s)}, {result.rounds} rounds",
        f"{result.cpu_s:.2f}",
        rate,
        "" if result.peak_share is None else f"{result.peak_share:.0%}",
        faster,
        "" if result.rescored_per_row is None else f"{result.rescored_per_row:.2f}",
        "" if result.climbed is None else f"{result.climbed:.1%}",
        f"**WRONG** {checked}" if result.wrong else checked,
        "" if result.objective is None else f"{result.objective:.6f}",
        result.note,
    ]


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
