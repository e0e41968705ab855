"""One line of a results file, the same in JSON, CSV and the tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bench.check import Verdict
from bench.contenders import Contender
from bench.timing import Timing


@dataclass(frozen=True)
class Result:
    """A contender in a case. Units: seconds; GFLOP/s of useful arithmetic (GOP/s for int8)."""

    op: str
    case: str
    contender: str
    arithmetic: str
    rounds: int
    median_s: float
    best_s: float
    worst_s: float
    cpu_s: float
    """Median processor time, all threads: on a busy machine it moves less than the wall clock."""
    gflops: float
    """Useful arithmetic / median_s; rows / median_s / 1e9 where a task counts none."""
    peak_gflops: float | None
    peak_share: float | None
    rescored_per_row: float | None
    """Float64 rescorings per row; 1 is the least, the winner's own score."""
    climbed: float | None
    """Share of rows whose shortlist the lowest rung could not bring down."""
    checked: int
    mismatches: int
    wrong: bool
    objective: float | None
    note: str


def make_result(
    case: str, contender: Contender, timing: Timing, verdict: Verdict, peaks: Mapping[str, float]
) -> Result:
    """Put together what was measured."""
    task = contender.task
    gflops = (task.flops or len(task.rows)) / timing.median_s / 1e9
    peak = peaks.get(contender.peak or "")
    if peak is None and contender.peak == "avx512":
        peak = peaks.get("avx2")  # a rival's float32 on a machine without AVX-512
    effort = contender.effort() if contender.effort else {}
    return Result(
        op=task.op,
        case=case,
        contender=contender.name,
        arithmetic=contender.arithmetic,
        rounds=len(timing.wall_s),
        median_s=timing.median_s,
        best_s=timing.best_s,
        worst_s=timing.worst_s,
        cpu_s=sorted(timing.cpu_s)[len(timing.cpu_s) // 2],
        gflops=gflops,
        peak_gflops=peak if task.flops else None,
        peak_share=gflops / peak if peak and task.flops else None,
        rescored_per_row=effort.get("rescored_per_row"),
        climbed=effort.get("climbed"),
        checked=verdict.checked,
        mismatches=verdict.mismatches,
        wrong=verdict.wrong,
        objective=verdict.objective,
        note=verdict.note,
    )


def write_results(path: Path, conditions: Mapping[str, Any], results: Sequence[Result]) -> None:
    """`path` with .json (conditions and results) and with .csv (results)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [asdict(result) for result in results]
    text = json.dumps({"conditions": dict(conditions), "results": lines}, indent=1)
    path.with_name(path.name + ".json").write_text(text + "\n")
    with path.with_name(path.name + ".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Result)])
        writer.writeheader()
        writer.writerows(lines)


def read_results(path: Path) -> tuple[dict[str, Any], list[Result]]:
    """The conditions and results of a .json file.

    Raises:
        ValueError: the file was not written by `write_results`.
    """
    try:
        content = json.loads(path.read_text())
        return content["conditions"], [Result(**line) for line in content["results"]]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a results file of bench/run.py ({error})") from error
