"""What SemDeDup of a large pool would take on one GPU, from rates measured in the same run."""

from __future__ import annotations

from collections.abc import Mapping

from bench.gpu_result import Row

ROWS, DIM, CLUSTERS = 440_000_000, 768, 50_000
TRAINED = 256 * CLUSTERS  # rows that train the centroids
UPDATES = 20


def cost_model(rows: Mapping[str, Row], ceilings: Mapping[str, float]) -> list[str]:
    """Sentences; each names what it multiplies. A rate that was not measured leaves its line out.

    The update of the centroids is that of the k-means row, whose rate counts assignments only: it
    holds as far as an update takes the same share of the time at both sizes.
    """
    lines: list[str] = []
    total = 0.0

    def add(what: str, flops: float, row: str) -> None:
        nonlocal total
        rate = rows[row].tflops if row in rows and not rows[row].bad else None
        if rate is None:
            lines.append(f"{what}: unknown, `{row}` has no rate")
            return
        seconds = flops / rate / 1e12
        total += seconds
        lines.append(f"{what}: {flops:.3g} FLOP at {rate:.0f} TFLOP/s (`{row}`) = {seconds:.0f} s")

    per_pass = 2.0 * DIM * CLUSTERS
    add(
        f"training, {UPDATES} updates on {TRAINED / 1e6:.1f}M rows",
        per_pass * TRAINED * (UPDATES + 1),
        "kmeans",
    )
    add("labels of all rows", per_pass * ROWS, "assign k=50000")
    add(
        f"cosines within clusters of {ROWS // CLUSTERS}",
        float(ROWS) * (ROWS / CLUSTERS) * DIM,
        "max cosine ~8.7k",
    )
    lines.append(f"together: {total:.0f} s of kernels, of what is known")
    if "to_device_gb_s" in ceilings:
        rate = ceilings["to_device_gb_s"]
        seconds = ROWS * DIM * 2 / rate / 1e9
        lines.append(
            f"the rows cross the bus twice, each time {seconds:.0f} s at {rate:.0f} GB/s, hidden "
            "behind the kernels where those take longer"
        )
    return lines
