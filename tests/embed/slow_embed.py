"""`python slow_embed.py PAUSE POOL OUT`: one embed step in small units, with one image worker.

Prints "ready" when all is imported; sleeps PAUSE seconds before each file is made durable.
"""

from __future__ import annotations

import sys
import time

from tests.embed.small import embed

from tamis.data.samples import open_samples
from tamis.run import atomic


def work() -> None:
    pause = float(sys.argv[1])

    def sync(descriptor: int) -> None:
        time.sleep(pause)

    atomic._fsync = sync
    print("ready", flush=True)
    embed(open_samples(sys.argv[2]), sys.argv[3], rows_per_unit=3, workers=1)


if __name__ == "__main__":
    work()
