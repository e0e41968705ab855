"""`python slow_training.py PAUSE POOL RUN OUT`: a training that saves after every step.

Prints "ready" when all is imported; sleeps PAUSE seconds before each file is made durable.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.filters.hype.training.learnable import SMALL

from tamis.filters.hype.training import loop  # noqa: F401 - before "ready"
from tamis.filters.hype.training.job import run_training
from tamis.run import atomic


def work() -> None:
    pause, pool, run, out = float(sys.argv[1]), *sys.argv[2:]

    def sync(descriptor: int) -> None:
        time.sleep(pause)

    atomic._fsync = sync
    print("ready", flush=True)
    run_training(
        Path(run),
        Path(out),
        SMALL,
        pool=pool,
        image="img_emb",
        text="text_emb",
        device="cpu",
        checkpoint_seconds=0.0,
    )


if __name__ == "__main__":
    work()
