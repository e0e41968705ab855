"""How long each kernel of a piece of work takes, as the driver traces it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import tamis
from bench.gpu_lab import Lab
from bench.gpu_mainloops import each
from bench.gpu_result import NOT_RUN, Row
from bench.gpu_work import Assignment, Comparison, Int64

TRACED = {"kernel", "gpu_memset", "gpu_memcpy"}
UPDATES = 2


def profile(
    lab: Lab, row: Row, rows: Any, centroids: Any, init: Any, offsets: Int64, title: str
) -> None:
    """Fill a row with the kernels of assign, labels alone, k-means and max cosine."""
    first: dict[str, bytes] = {}
    for mainloop in each(lab):
        work, compared = Assignment(rows, centroids), Comparison(rows, offsets)
        calls = {
            f"assign, {title}": work.run,
            f"labels alone, {title}": work.labels_alone,
            f"max cosine, {len(offsets) - 1} segments": compared.run,
            f"k-means, k = {len(init)}, {UPDATES} updates": lambda: tamis.kmeans(
                rows, len(init), init=init, max_iter=UPDATES, max_points_per_centroid=None
            ),
        }
        for name, call in calls.items():
            try:
                row.kernels[f"{name}, {mainloop}"] = lab.kernels(call)
            except Exception as error:  # noqa: BLE001 - whatever a tracer may raise
                lab.wait()  # raises where it was the work that failed, not the tracing of it
                row.status, row.note = NOT_RUN, f"no trace ({type(error).__name__}: {error})"
                return
        for what, array in (("labels", work.labels), ("indices", compared.index)):
            found = work.device.download(array)
            row.checked += len(found)
            if first.setdefault(what, found.tobytes()) != found.tobytes():
                row.wrong(f"{mainloop}: other {what} than the first mainloop gives")
    if not any(row.kernels.values()):
        row.status, row.note = NOT_RUN, "the trace has no kernel"


def kernel_ms(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Milliseconds of each kernel of a trace, those of one name together, longest first."""
    total: Counter[str] = Counter()
    for event in events:
        if event.get("cat") in TRACED:
            total[short_name(event["name"])] += event.get("dur", 0) / 1e3
    return dict(total.most_common())


def short_name(kernel: str) -> str:
    """A demangled name without its namespaces and arguments; names of others may be clipped."""
    words = kernel.replace("(anonymous namespace)::", "").removeprefix("void ")
    words = re.sub(r"\(\w+\)(?=\d)", "", words)  # of "(bool)1"
    return re.sub(r"\b\w+::", "", words.split("(")[0]).strip()[:60]


def described(kernels: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A line of markdown for each piece of work; what takes a thousandth of it is left out."""
    lines = []
    for name, times in kernels.items():
        total = float(np.sum(list(times.values())))
        shown = [f"{k} {ms:.3g}" for k, ms in times.items() if ms >= total / 1000]
        lines.append(f"- {name}: {', '.join(shown)}; {total:.4g} ms together")
    return lines
