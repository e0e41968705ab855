"""What must hold in a case: a bar compares the measured results of one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.results import Result


@dataclass(frozen=True)
class Bar:
    """Met where `value` is at least `least` (at most, where `at_most`)."""

    text: str
    least: float
    value: Callable[[Mapping[str, Result]], float | None]
    at_most: bool = False

    def judge(self, results: Mapping[str, Result]) -> str:
        """One line: PASS, MISS, or why there is no verdict."""
        value = self.value(results)
        sign = "<=" if self.at_most else ">="
        if value is None:
            return f"not measured: {self.text} {sign} {self.least:.3g}"
        met = value <= self.least if self.at_most else value >= self.least
        return f"{'PASS' if met else 'MISS'}: {self.text} = {value:.3g} ({sign} {self.least:.3g})"


def speed(name: str, against: str, least: float) -> Bar:
    """Useful arithmetic per second (where tasks are the same: the ratio of the times)."""

    def value(results: Mapping[str, Result]) -> float | None:
        if name not in results or against not in results:
            return None
        return results[name].gflops / results[against].gflops

    return Bar(f"{name} / {against}", least, value)


def share(name: str, least: float) -> Bar:
    """Part of the machine's measured peak."""

    def value(results: Mapping[str, Result]) -> float | None:
        return results[name].peak_share if name in results else None

    return Bar(f"{name} / peak", least, value)


def objective(name: str, against: str, excess: float) -> Bar:
    """The objective of k-means is no worse than a rival's, up to a relative excess."""

    def value(results: Mapping[str, Result]) -> float | None:
        if name not in results or against not in results:
            return None
        mine, theirs = results[name].objective, results[against].objective
        return None if mine is None or theirs is None else mine / theirs - 1

    return Bar(f"objective of {name} / {against} - 1", excess, value, at_most=True)
