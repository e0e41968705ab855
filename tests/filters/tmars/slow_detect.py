"""`python slow_detect.py PAUSE POOL OUT [I/N]`: a detect step in small units, with a worker.

Prints "ready" when all is imported; sleeps PAUSE seconds before each file is made durable.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.filters.tmars.lettering import detect

from tamis.data.samples import open_samples
from tamis.run import atomic
from tamis.run.parts import parse_part


def work() -> None:
    pause = float(sys.argv[1])

    def sync(descriptor: int) -> None:
        time.sleep(pause)

    atomic._fsync = sync
    print("ready", flush=True)
    part = parse_part(sys.argv[4]) if len(sys.argv) > 4 else None
    detect(open_samples(sys.argv[2]), Path(sys.argv[3]), workers=1, part=part)


if __name__ == "__main__":
    work()
