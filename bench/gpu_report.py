"""What a run on a GPU found: on the screen row by row, and in two files after every row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import machine
from bench.gpu_model import cost_model
from bench.gpu_profile import described
from bench.gpu_result import Row, as_json, table
from bench.gpu_rows import BARS
from tamis._native import facts


class Report:
    """The results so far, on the screen and in files."""

    def __init__(self, folder: Path | None, *, judged: bool) -> None:
        self.folder, self.judged = folder, judged
        self.rows: list[Row] = []
        self.ceilings: dict[str, float] = {}
        self.about: dict[str, Any] = machine.conditions(int(facts()["threads"]))
        self.mainloops: list[str] = []
        self.without = ""
        self.first_calls: list[dict[str, Any]] = []
        self.first_fault = self.mainloop_fault = ""

    @property
    def bad(self) -> bool:
        """Whether an answer was wrong, or something failed."""
        faults = [self.first_fault, self.mainloop_fault, *(c["why"] for c in self.first_calls)]
        return any(faults) or any(row.bad for row in self.rows)

    def know(self, said: dict[str, Any]) -> None:
        """The machine, as the first process of rows found it."""
        if not self.mainloops:
            self.about |= said["about"]
            self.mainloops, self.without = said["mainloops"], said["without"]

    def add(self, row: Row) -> None:
        """One more; what is written by now holds if the next one never ends."""
        self.rows.append(row)
        rate = "" if row.tflops is None else f", {row.tflops:.0f} TFLOP/s"
        ms = "" if row.ms is None else f", {row.ms:.4g} ms"
        print(f"{row.name}: {row.status}{ms}{rate} {row.note}".rstrip(), flush=True)
        self._write()

    def finish(self) -> None:
        """The table, last."""
        self._write()
        print("\n" + self.text(), flush=True)

    def text(self) -> str:
        """In markdown."""
        about = self.about
        lines = [
            f"{about.get('device', 'no device')}, {about['date']}, commit {about['commit']}, "
            f"torch {about.get('torch', '-')}, installed: {', '.join(about.get('installed', []))}.",
            *self._first_calls(),
            self._mainloops(),
            "Ceilings: " + ", ".join(f"{k} {v:.4g}" for k, v in self.ceilings.items()) + ".",
            "",
            table(self.rows, BARS, self.ceilings, judged=self.judged),
        ]
        for row in self.rows:
            if row.kernels:
                lines += ["Milliseconds of each kernel, traced:", *described(row.kernels), ""]
        if not self.judged:
            return "REHEARSAL: the times say nothing.\n" + "\n".join(lines)
        model = cost_model({row.name: row for row in self.rows}, self.ceilings)
        return "\n".join([*lines, "440M x 768, k = 50,000, one GPU:", *(f"- {m}" for m in model)])

    def _first_calls(self) -> list[str]:
        said = [
            f"{call['mainloop']} {call['first_call_ms']:.0f} ms, then "
            f"{call['self_check_ms']:.0f} ms" + f" (**{call['why']}**)" * bool(call["why"])
            for call in self.first_calls
        ]
        said += [f"**FAILED** ({self.first_fault})"] if self.first_fault else []
        return [
            "First call, self-check included (bar: 1000 ms, of the first in a process), then the "
            f"self-check alone (bar: 50 ms): {'; '.join(said) or 'never came so far'}."
        ]

    def _mainloops(self) -> str:
        said = f"Mainloops: {', '.join(self.mainloops)}."
        said += f" Others are not there: {self.without}." if self.without else ""
        return said + (f" **{self.mainloop_fault}**." if self.mainloop_fault else "")

    def _write(self) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {
            "conditions": self.about,
            "mainloops": self.mainloops,
            "mainloop_fault": self.mainloop_fault,
            "first_calls": self.first_calls,
            "first_fault": self.first_fault,
            "ceilings": self.ceilings,
            "rows": [as_json(row) for row in self.rows],
        }
        (self.folder / "gpu.json").write_text(json.dumps(content, indent=1, default=str) + "\n")
        (self.folder / "gpu.md").write_text(self.text() + "\n")
