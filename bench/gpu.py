"""The CUDA kernels on one GPU: times, rates, peers, and every answer against the CPU's bits.

    python bench/gpu.py --out FOLDER
    python bench/gpu.py --rows "assign k=50000" near-copies
    python bench/gpu.py --rehearse           # toy sizes on the emulated device; needs no GPU

Rows run in a process of their own, which is started anew behind a row that failed or hung, so that
one does not take the others along. See bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # `bench` as a package
sys.path.append(str(ROOT / "tests"))  # cases.py, the inputs that tests and benchmarks share

ROW_LIMIT_S = 75.0
START_LIMIT_S = 90.0  # libraries, context, self-check
MARK = "gpu-row: "


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 where an answer was wrong or a row failed. A missed bar is no error."""
    parser = argparse.ArgumentParser(
        prog="bench/gpu.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, help="folder for gpu.json and gpu.md")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these (--list names them)")
    parser.add_argument("--seconds", type=float, default=240.0, help="for all (default: 240)")
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    parser.add_argument("--rehearse", action="store_true", help="toy sizes, emulated device")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rows-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    from bench.gpu_rows import ROWS

    names = options.rows or list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"no row is named {', '.join(unknown)}; there are {', '.join(ROWS)}")
    if options.list:
        print("\n".join(names))
        return 0
    if options.alone:
        return _alone(names, options)
    return _together(names, options)


def _alone(names: Sequence[str], options: argparse.Namespace) -> int:
    """In a process of its own: measure row after row, and say each as a line of JSON."""
    from bench.gpu_lab import open_lab
    from bench.gpu_result import FAILED, Row
    from bench.gpu_rows import TOY, Sizes, first_calls, measured

    lab = open_lab(rehearse=options.rehearse)
    first = {} if options.rows_only else first_calls(lab)
    _say({"about": lab.about(), "first_calls": first, "ceilings": lab.ceilings()})
    for name in names:
        _say({"begins": name})
        try:
            row = measured(lab, name, TOY if options.rehearse else Sizes())
        except Exception as error:  # noqa: BLE001 - whatever it was, the other rows go on
            row = Row(name, status=FAILED, note=f"{type(error).__name__}: {_first_line(error)}")
        _say({"row": vars(row)})
        if row.status == FAILED:
            return 1  # the context may be gone; the rest gets a new one
    return 0


def _together(names: Sequence[str], options: argparse.Namespace) -> int:
    from bench.gpu_result import FAILED, NOT_RUN, Row

    until = time.monotonic() + options.seconds
    report = Report(options)
    left, rows_only = list(names), False
    while left:
        begun, fault, failed = "", "", False
        words = [sys.executable, str(Path(__file__).resolve()), "--alone", "--rows", *left]
        words += ["--rehearse"] * options.rehearse + ["--rows-only"] * rows_only
        for said in spoken(words, until):
            if "about" in said:
                report.know(said)
            elif "begins" in said:
                begun = said["begins"]
            elif "row" in said:
                report.add(Row(**said["row"]))
                left.remove(said["row"]["name"])
                begun, failed = "", report.rows[-1].status == FAILED
            else:
                fault = said["fault"]
        if not left:
            break
        if time.monotonic() >= until:
            for name in left:
                report.add(Row(name, status=NOT_RUN, note="out of time"))
            break
        if begun:
            report.add(Row(begun, status=FAILED, note=fault or "its process ended"))
            left.remove(begun)
        elif not failed and not rows_only:  # a kernel that no row needs may have failed
            rows_only, report.first_fault = True, fault or "its process said nothing"
        elif not failed:  # before its first row: the next process would do no better
            for name in left:
                report.add(Row(name, status=FAILED, note=fault or "its process said nothing"))
            break
    report.finish()
    return 1 if report.first_fault or any(row.bad for row in report.rows) else 0


def spoken(words: Sequence[str], until: float) -> Iterator[dict[str, Any]]:
    """What a process of rows says, as it comes; last a fault, if it has one.

    It is stopped where it says nothing for ROW_LIMIT_S, or the time of the whole run is over.
    """
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for line in stream:
                lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    limit, row_failed = START_LIMIT_S, False
    try:
        while True:
            left = min(limit, until - time.monotonic())
            try:
                line = lines.get(timeout=max(0.0, left))
            except queue.Empty:
                over = "the time of the whole run" if left < limit else f"{limit:g} s"
                yield {"fault": f"stopped after {over}"}
                return
            if line is None:
                break
            if line.startswith(MARK):
                said = json.loads(line.removeprefix(MARK))
                row_failed = said.get("row", {}).get("status") == "FAILED"
                limit = ROW_LIMIT_S
                yield said
            else:
                print(line, end="", file=sys.stderr)
        if process.wait() and not row_failed:
            yield {"fault": f"its process ended with exit code {process.returncode}"}
    finally:
        process.kill()
        process.wait()
        reader.join(timeout=5)


class Report:
    """The results so far, on the screen and in files."""

    def __init__(self, options: argparse.Namespace) -> None:
        from bench import machine
        from tamis._native import facts

        self.options = options
        self.rows: list[Any] = []
        self.ceilings: dict[str, float] = {}
        self.about: dict[str, Any] = machine.conditions(int(facts()["threads"]))
        self.first_calls: list[dict[str, float]] = []
        self.first_fault = ""

    def know(self, said: dict[str, Any]) -> None:
        """The machine, as a process of rows found it."""
        if said["first_calls"]:
            self.first_calls.append(said["first_calls"])
        if not self.ceilings:
            self.about |= said["about"]
            self.ceilings = said["ceilings"]

    def add(self, row: Any) -> None:
        """One more; what is written by now holds if the next one never ends."""
        self.rows.append(row)
        rate = "" if row.tflops is None else f", {row.tflops:.0f} TFLOP/s"
        ms = "" if row.ms is None else f", {row.ms:.4g} ms"
        print(f"{row.name}: {row.status}{ms}{rate} {row.note}".rstrip(), flush=True)
        self._write()

    def finish(self) -> None:
        """The table, last."""
        print("\n" + self.text(), flush=True)

    def text(self) -> str:
        from bench.gpu_model import cost_model
        from bench.gpu_result import table
        from bench.gpu_rows import BARS

        judged = not self.options.rehearse
        about = self.about
        first, check = (
            ", ".join(
                [f"{call[name]:.0f} ms" for call in self.first_calls]
                + ([f"**FAILED** ({self.first_fault})"] if self.first_fault else [])
            )
            or "never came so far"
            for name in ("first_call_ms", "self_check_ms")
        )
        lines = [
            f"{about.get('device', 'no device')}, {about['date']}, commit {about['commit']}, "
            f"torch {about.get('torch', '-')}, installed: {', '.join(about.get('installed', []))}.",
            f"First call of each process, self-check included: {first} (bar: 1000 ms); self-check "
            f"alone, kernels loaded: {check} (bar: 50 ms).",
            "Ceilings: " + ", ".join(f"{k} {v:.4g}" for k, v in self.ceilings.items()) + ".",
            "",
            table(self.rows, BARS, self.ceilings, judged=judged),
        ]
        if not judged:
            return "REHEARSAL: the times say nothing.\n" + "\n".join(lines)
        model = cost_model({row.name: row for row in self.rows}, self.ceilings)
        return "\n".join([*lines, "440M x 768, k = 50,000, one GPU:", *(f"- {m}" for m in model)])

    def _write(self) -> None:
        from bench.gpu_result import as_json

        folder: Path | None = self.options.out
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "conditions": self.about,
            "first_calls": self.first_calls,
            "first_fault": self.first_fault,
            "ceilings": self.ceilings,
            "rows": [as_json(row) for row in self.rows],
        }
        (folder / "gpu.json").write_text(json.dumps(content, indent=1, default=str) + "\n")
        (folder / "gpu.md").write_text(self.text() + "\n")


def _say(said: dict[str, Any]) -> None:
    print(MARK + json.dumps(said, default=_plain), flush=True)


def _plain(value: Any) -> Any:
    """A number of NumPy's as one of Python's."""
    return value.item() if hasattr(value, "item") else str(value)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]


if __name__ == "__main__":
    sys.exit(main())
