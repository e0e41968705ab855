"""One line of the GPU table, its bars, and the table itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

OK, WRONG, FAILED, NOT_RUN = "ok", "WRONG", "FAILED", "not run"
COLUMNS = (
    *("work", "kernel", "spread", "whole call", "TFLOP/s", "of matmul", "labels alone", "clock"),
    *("peak GB", "float64/row", "rescanned", "checked", "peers", "bar"),
)


@dataclass
class Row:
    """What was measured of one piece of work. Times in milliseconds; useful arithmetic only."""

    name: str
    about: str = ""
    status: str = OK
    note: str = ""
    times_ms: list[float] = field(default_factory=list)
    """Device time of the kernels alone, by events."""
    call_ms: float | None = None
    """The public function, with its checks and what it makes for the caller."""
    flops: float = 0.0
    peak_bytes: int | None = None
    rescored_per_row: float | None = None
    rescanned: float | None = None
    checked: int = 0
    mismatches: int = 0
    peers: dict[str, str] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)
    kernels: dict[str, dict[str, float]] = field(default_factory=dict)
    """Milliseconds of each kernel of a piece of work, where they were traced."""

    @property
    def ms(self) -> float | None:
        return median(self.times_ms) if self.times_ms else self.call_ms

    @property
    def tflops(self) -> float | None:
        return self.flops / self.ms / 1e9 if self.flops and self.ms else None

    @property
    def bad(self) -> bool:
        return self.status in (WRONG, FAILED)

    def notes(self, sentence: str) -> None:
        """Say something beside what was said."""
        self.note = "; ".join(filter(None, (self.note, sentence)))

    def wrong(self, sentence: str) -> None:
        """Be WRONG, and say why."""
        self.status = WRONG
        self.notes(sentence)

    def rest_on(self, other: Row, name: str) -> None:
        """Take over the faults of another measurement that this one is compared with."""
        self.mismatches += other.mismatches
        if other.bad:
            self.wrong(f"{name}: {other.note}")

    def judged(self) -> Row:
        """Itself; WRONG where answers differ, or where none was checked."""
        if self.status == OK and (self.mismatches or not self.checked):
            self.status = WRONG
        return self


@dataclass(frozen=True)
class Bar:
    """A number of a row that must be reached: its TFLOP/s, its milliseconds, or an extra."""

    quantity: str
    most: float | None = None
    least: float | None = None

    def judge(self, row: Row) -> str:
        value = getattr(row, self.quantity, None)
        if value is None:
            value = row.extra.get(self.quantity)
        if value is None or row.status in (FAILED, NOT_RUN):
            return f"not measured ({self.wanted()})"
        reached = value <= self.most if self.most is not None else value >= (self.least or 0)
        return f"{'PASS' if reached else 'MISS'}: {_short(value)} ({self.wanted()})"

    def wanted(self) -> str:
        sign, limit = ("<=", self.most) if self.most is not None else (">=", self.least)
        unit = {"tflops": " TFLOP/s", "ms": " ms"}.get(self.quantity, f" {self.quantity}")
        return f"{sign} {limit:g}{unit}"


def table(
    rows: Sequence[Row],
    bars: Mapping[str, Sequence[Bar]],
    ceilings: Mapping[str, float],
    *,
    judged: bool,
) -> str:
    """The rows in markdown; `judged` is off where times say nothing."""
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    for row in rows:
        verdicts = [bar.judge(row) for bar in bars.get(row.name, ())] if judged else []
        lines.append(_line(_cells(row, verdicts, ceilings.get("matmul_tflops"))))
    return "\n".join(lines) + "\n"


def as_json(row: Row) -> dict[str, Any]:
    """A row with what follows from it."""
    return asdict(row) | {"median_ms": row.ms, "tflops": row.tflops}


def _cells(row: Row, verdicts: Sequence[str], matmul: float | None) -> list[str]:
    checked = f"{row.mismatches} of {row.checked} differ" if row.checked else ""
    status = [] if row.status == OK else [f"**{row.status}**"]
    said = [*status, *([row.note] if row.note else []), *verdicts]
    times = sorted(row.times_ms)
    return [
        row.name,
        f"{_short(median(times))} ms" if times else "",
        f"{_short(times[0])} to {_short(times[-1])}, {len(times)} rounds" if times else "",
        "" if row.call_ms is None else f"{_short(row.call_ms)} ms",
        "" if row.tflops is None else _short(row.tflops),
        "" if row.tflops is None or not matmul else f"{row.tflops / matmul:.0%}",
        _labels_alone(row),
        _clock(row.extra),
        "" if row.peak_bytes is None else f"{row.peak_bytes / 1e9:.2f}",
        "" if row.rescored_per_row is None else f"{row.rescored_per_row:.2f}",
        "" if row.rescanned is None else f"{row.rescanned:.3%}",
        checked,
        "; ".join(f"{name}: {value}" for name, value in row.peers.items()),
        "; ".join(said),
    ]


def _labels_alone(row: Row) -> str:
    ms = row.extra.get("labels_ms")
    return f"{_short(ms)} ms, {_short(row.flops / ms / 1e9)} TFLOP/s" if ms else ""


def _clock(extra: Mapping[str, float]) -> str:
    return f"{extra['sm_mhz']:.0f} MHz, {extra['watts']:.0f} W" if "sm_mhz" in extra else ""


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
