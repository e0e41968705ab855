"""`python small_units.py PAUSE ARGUMENTS`: `tamis ARGUMENTS` in many small units.

Prints "ready" when all is imported, so that a test can kill the work and not the start; sleeps
PAUSE seconds before each file is made durable.
"""

from __future__ import annotations

import sys
import time

from tamis.cli.main import main
from tamis.filters.semdedup.job import stages
from tamis.run import atomic, plan


def work() -> None:
    pause = float(sys.argv.pop(1))

    def sync(descriptor: int) -> None:
        time.sleep(pause)

    atomic._fsync = sync
    plan.USUAL_ROWS_PER_UNIT = 128
    stages.LARGEST_BATCH = 200
    print("ready", flush=True)
    main()


if __name__ == "__main__":
    work()
