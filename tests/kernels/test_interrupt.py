"""Long calls let other Python threads run, and Ctrl-C ends them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

import cases
import tamis

# Rows of x, rows of y, and a call that would run for minutes.
LONG_CALLS = {
    "kmeans": (400_000, 0, "tamis.kmeans(x, 20_000, max_iter=1000, max_points_per_centroid=None)"),
    "assign": (600_000, 500_000, "tamis.assign(x, y)"),
    "max_cosine": (600_000, 0, "tamis.max_cosine(x)"),
    "pairs_above": (600_000, 0, "list(tamis.pairs_above(x, None, 0.99))"),
}
PROGRAM = """
import numpy as np, tamis

def rows(n):
    rng = np.random.default_rng(n)
    return tamis.canonical(rng.integers(1, 255, size=(n, 128), dtype=np.uint8) - np.float16(128))[0]

x, y = rows({n}), rows({m})
before = tamis.max_cosine(x[:3000])[1]
print("begun", flush=True)
try:
    {call}
except KeyboardInterrupt:
    assert np.array_equal(tamis.max_cosine(x[:3000])[1], before)
    print("went on", flush=True)
    raise
"""


@pytest.mark.parametrize("name", LONG_CALLS)
def test_ctrl_c_ends_a_long_call(name: str) -> None:
    n, m, call = LONG_CALLS[name]
    program = PROGRAM.format(n=n, m=m, call=call)
    command = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline() == "begun\n", process.stderr.read()
            time.sleep(2)  # into the middle of the call
            assert process.poll() is None, "the call was not long"
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=25)
        finally:
            process.kill()
    assert process.returncode != 0
    assert output == "went on\n", errors
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_other_python_threads_run_during_a_call() -> None:
    x = cases.unit_rows(20_000, 256)
    ticks = 0
    stop = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not stop.is_set():
            time.sleep(0.001)
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        for call in (
            lambda: tamis.max_cosine(x),
            lambda: tamis.assign(x, x[:5000]),
            lambda: tamis.kmeans(x, 2000, max_iter=2),
        ):
            while ticks == 0:
                time.sleep(0.001)
            before = ticks
            call()
            assert ticks - before >= 10
    finally:
        stop.set()
        thread.join()


def test_calls_from_several_python_threads_do_not_mix() -> None:
    inputs = [cases.mixture(1500, 40, seed) for seed in range(4)]
    expected = [tamis.max_cosine(x)[1].tolist() for x in inputs]
    found: list[list[int]] = [[] for _ in inputs]

    def work(number: int) -> None:
        for _ in range(5):
            found[number] = tamis.max_cosine(inputs[number])[1].tolist()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected
