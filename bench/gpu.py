"""The CUDA kernels on one GPU: times, rates, peers, and every answer against the CPU's bits.

    python bench/gpu.py --out FOLDER
    python bench/gpu.py --rows "assign k=50000" near-copies
    python bench/gpu.py --rehearse           # toy sizes on the emulated device; needs no GPU

Rows run in a process of their own, which is started anew behind a row that failed or hung, so that
one does not take the others along. A row that failed while there was more than one mainloop is
measured again with the first one alone, and so is what follows. See bench/README.md.
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

PROGRAM = (sys.executable, str(Path(__file__).resolve()))
ROW_LIMIT_S = 75.0
START_LIMIT_S = 90.0  # libraries, context
MARK = "gpu-row: "


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 where an answer was wrong or a row failed. A missed bar is no error."""
    from bench.gpu_rows import ROWS
    from tamis.cuda.mainloop import MAINLOOPS

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
    parser.add_argument(
        "--mainloops",
        nargs="+",
        metavar="NAME",
        choices=MAINLOOPS,
        default=list(MAINLOOPS),
        help="those of the device that are measured, in this order (default: mma wgmma)",
    )
    options = parser.parse_args(arguments)
    names = options.rows or list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"no row is named {', '.join(unknown)}; there are {', '.join(ROWS)}")
    if options.list:
        print("\n".join(names))
        return 0
    if options.alone:
        try:
            return _alone(names, options)
        except Exception as error:
            _say({"fault": _in_short(error)})
            raise
    return Run(names, options).together()


def _alone(names: Sequence[str], options: argparse.Namespace) -> int:
    """In a process of its own: measure row after row, and say each as a line of JSON."""
    from bench.gpu_first import first_calls
    from bench.gpu_lab import open_lab
    from bench.gpu_result import FAILED, Row
    from bench.gpu_rows import TOY, Sizes, measured

    lab, why = open_lab(rehearse=options.rehearse, mainloops=options.mainloops)
    lab.says = lambda mainloop: _say({"uses": mainloop})
    _say({"about": lab.about(), "mainloops": lab.mainloops, "without": why})
    for first in () if options.rows_only else first_calls(lab):
        _say({"first_call": first})
    _say({"ceilings": lab.ceilings()})
    for name in names:
        _say({"begins": name})
        try:
            row = measured(lab, name, TOY if options.rehearse else Sizes())
        except Exception as error:  # noqa: BLE001 - whatever it was, the other rows go on
            row = Row(name, status=FAILED, note=_in_short(error))
        _say({"row": vars(row)})
        if row.status == FAILED:
            return 1  # the context may be gone; the rest gets a new one
    return 0


class Run:
    """Processes of rows, one behind the other, until every row is measured."""

    def __init__(self, names: Sequence[str], options: argparse.Namespace) -> None:
        from bench.gpu_report import Report

        self.options = options
        self.left = list(names)
        self.mainloops = list(options.mainloops)
        self.rows_only = False
        self.report = Report(options.out, judged=not options.rehearse)
        self._suspect = ""  # the row that failed with all mainloops
        self._start()

    def _start(self) -> None:
        self.begun = self.fault = self.uses = ""
        self.present: list[str] = []  # the mainloops of this process
        self.failed: Any = None  # a row

    def together(self) -> int:
        """The exit code."""
        from bench.gpu_result import FAILED, NOT_RUN, Row

        until = time.monotonic() + self.options.seconds
        while self.left:
            self._start()
            for said in spoken(self._words(), until):
                self._hear(said)
            if not self.left:
                break
            if time.monotonic() >= until:
                self._give_up(NOT_RUN, "out of time")
            elif self.failed is not None:
                self._judge(self.failed)
            elif self.begun:
                note = self.fault or "its process ended"
                self._judge(Row(self.begun, status=FAILED, note=note))
            elif not self.rows_only:  # a kernel that no row needs may have failed
                self.rows_only = True
                self.report.first_fault = self._said_of("the first call")
            else:  # before its first row: the next process would do no better
                self._give_up(FAILED, self.fault or "its process said nothing")
        self.report.finish()
        return 1 if self.report.bad else 0

    def _words(self) -> list[str]:
        words = [*PROGRAM, "--alone", "--rows", *self.left, "--mainloops", *self.mainloops]
        return words + ["--rehearse"] * self.options.rehearse + ["--rows-only"] * self.rows_only

    def _hear(self, said: dict[str, Any]) -> None:
        from bench.gpu_result import FAILED, Row

        if "about" in said:
            self.present = said["mainloops"]
            self.report.know(said)
        elif "first_call" in said:
            self.report.first_calls.append(said["first_call"])
        elif "ceilings" in said:
            self.report.ceilings = self.report.ceilings or said["ceilings"]
        elif "uses" in said:
            self.uses = said["uses"]
        elif "begins" in said:
            self.begun = said["begins"]
        elif "row" in said:
            row, self.begun = Row(**said["row"]), ""
            if row.status == FAILED:
                self.failed = row
            else:
                self._add(row)
        else:
            self.fault = self.fault or said["fault"]  # the first one is the cause

    def _add(self, row: Any) -> None:
        self.report.add(row)
        self.left.remove(row.name)

    def _judge(self, row: Any) -> None:
        """A row has failed: it is measured again where it may be the fault of a mainloop."""
        if len(self.present) > 1:
            self._suspect, self.mainloops = row.name, self.present[:1]
            why = f"{self.present[-1]}: FAILED in '{row.name}' ({row.note})"
            self.report.mainloop_fault = why
            print(f"{why}; from here on {self.mainloops[0]} alone", flush=True)
            return
        if row.name == self._suspect:  # it fails by itself
            self.mainloops, self.report.mainloop_fault = list(self.options.mainloops), ""
        self._add(row)

    def _give_up(self, status: str, note: str) -> None:
        from bench.gpu_result import Row

        for name in list(self.left):
            self._add(Row(name, status=status, note=note))

    def _said_of(self, what: str) -> str:
        by = f" by {self.uses}" if self.uses else ""
        return f"{what}{by}: {self.fault or 'its process said nothing'}"


def spoken(words: Sequence[str], until: float) -> Iterator[dict[str, Any]]:
    """What a process of rows says, as it comes; last a fault, if it has one.

    It is stopped where it says nothing for ROW_LIMIT_S, where the time of the whole run is over,
    and behind a row that failed: what is left of its context may hang.
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
    limit = START_LIMIT_S
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
                limit = ROW_LIMIT_S
                yield said
                if said.get("row", {}).get("status") == "FAILED":
                    return
            else:
                print(line, end="", file=sys.stderr)
        if process.wait():
            yield {"fault": f"its process ended with exit code {process.returncode}"}
    finally:
        process.kill()
        process.wait()
        reader.join(timeout=5)


def _say(said: dict[str, Any]) -> None:
    print(MARK + json.dumps(said, default=_plain), flush=True)


def _plain(value: Any) -> Any:
    """A number of NumPy's as one of Python's."""
    return value.item() if hasattr(value, "item") else str(value)


def _in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


if __name__ == "__main__":
    sys.exit(main())
