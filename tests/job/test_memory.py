"""A run keeps its peak memory within the stated budget, however large the pool is."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import environment

N_ROWS, DIM = 200_000, 128
ROW_BYTES = 2 * DIM
BUDGET = 262_000_000
"""Not much more than a run of this pool needs at least (see `tamis.run.plan`)."""

# Prints what is resident at the start (all modules loaded) and at most, in bytes.
MEASURE = """
import json, sys
from tamis.filters.semdedup.job import Recipe, run_job
from tamis.run.peak import peak_memory_bytes
import pyarrow.parquet
start = peak_memory_bytes()
run_job(sys.argv[1], sys.argv[2], Recipe(**json.loads(sys.argv[3])), memory_bytes=int(sys.argv[4]))
print(start, peak_memory_bytes())
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mixture of 300 groups, a tenth of the rows near-copies: 51 MB."""
    path = tmp_path_factory.mktemp("pool") / "rows.npy"
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((300, DIM), dtype=np.float32)
    rows = np.lib.format.open_memmap(path, "w+", np.float16, (N_ROWS, DIM))
    for start in range(0, N_ROWS, 20_000):
        part = centres[rng.integers(300, size=20_000)]
        part += 0.7 * rng.standard_normal(part.shape, dtype=np.float32)
        part[::10] = part[5::10] + 0.01
        rows[start : start + 20_000] = part
    rows.flush()
    return path


def measure(pool: Path, out: Path, budget: int = BUDGET, **recipe: object) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, pool, out, json.dumps(recipe), str(budget)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        check=True,
    )
    start, peak = map(int, done.stdout.split())
    return start, peak


RECIPES = {
    "auto": {"keep": 0.7},
    "probes": {"clusters": 140, "probes": 2, "keep": 0.7},
    "greedy": {"clusters": 140, "eps": 0.3, "rule": "greedy", "compare_rules": True},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_peak_is_within_the_budget(recipe: str, pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    start, peak = measure(pool, out, **RECIPES[recipe])
    assert peak <= 1.05 * BUDGET
    assert peak - start < N_ROWS * DIM * 8  # the rows are never all there in float64
    plan = json.loads((out / "manifest.json").read_text())["plan"]
    assert plan["budget_bytes"] == BUDGET
    assert plan["rows_per_unit"] < N_ROWS and plan["rows_per_batch"] < N_ROWS


def test_the_log_records_the_peak(pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _, peak = measure(pool, out, clusters=100, recall_sample=0)
    events = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["open", "complete"]
    assert events[0]["peak_memory_bytes"] <= events[1]["peak_memory_bytes"] <= peak
    assert peak - events[1]["peak_memory_bytes"] < 2**20
    assert resource.getpagesize() <= events[0]["peak_memory_bytes"]


def test_a_budget_that_cannot_do_is_refused_before_any_work(pool: Path, tmp_path: Path) -> None:
    from tamis.errors import RunError
    from tamis.filters.semdedup.job import Recipe, run_job

    with pytest.raises(RunError, match=r"need at least 0\.21 GB of memory, the budget is 0\.15 GB"):
        run_job(pool, tmp_path / "run", Recipe(clusters=100), memory_bytes=150_000_000)
    with pytest.raises(RunError, match="raise --memory or lower --clusters"):
        run_job(pool, tmp_path / "run", Recipe(clusters=700), memory_bytes=230_000_000)
    assert list(tmp_path.iterdir()) == []
