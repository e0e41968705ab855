"""`python slow_captions.py PAUSE POOL OUT`: a caption step in small units, with an image worker.

Prints "ready" when all is imported; sleeps PAUSE seconds before each file is made durable.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.filters.sieve.captioners import Toy

from tamis.data.samples import open_samples
from tamis.filters.sieve.captions import run_captions
from tamis.run import atomic


def work() -> None:
    pause = float(sys.argv[1])

    def sync(descriptor: int) -> None:
        time.sleep(pause)

    atomic._fsync = sync
    print("ready", flush=True)
    run_captions(
        open_samples(sys.argv[2]),
        Path(sys.argv[3]),
        Toy(),
        captions=3,
        rows_per_unit=2,
        batch_size=4,
        workers=1,
    )


if __name__ == "__main__":
    work()
