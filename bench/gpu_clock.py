"""The clock and the power of GPU 0, sampled while something is timed.

They are asked of the driver's management library (what nvidia-smi shows), several times a second,
since what is timed takes about one.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from statistics import median

EVERY_S = 0.2
LATEST = 4096  # samples that are kept
_CLOCK_OF_SMS = 1  # NVML_CLOCK_SM

Sample = tuple[float, float]  # MHz, watts


class Clock:
    """Samples in a thread of its own; none where there is nobody to ask."""

    def __init__(self, sample: Callable[[], Sample] | None) -> None:
        self._seen: deque[tuple[float, Sample]] = deque(maxlen=LATEST)
        if sample is not None:
            threading.Thread(target=self._watch, args=(sample,), daemon=True).start()

    def between(self, begin: float, end: float) -> dict[str, float]:
        """Medians of the samples between two times of time.perf_counter."""
        return medians(sample for at, sample in list(self._seen) if begin <= at <= end)

    def _watch(self, sample: Callable[[], Sample]) -> None:
        while True:
            try:
                self._seen.append((time.perf_counter(), sample()))
            except OSError:
                return
            time.sleep(EVERY_S)


def medians(samples: Iterable[Sample]) -> dict[str, float]:
    """{"sm_mhz", "watts"}, or nothing where there is no sample."""
    columns = list(zip(*samples, strict=True))
    return dict(zip(("sm_mhz", "watts"), map(median, columns), strict=False)) if columns else {}


def sampler() -> Callable[[], Sample] | None:
    """What asks the driver; None where it has no such library, or refuses."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        handle = ctypes.c_void_p()
        _call(library.nvmlInit_v2)
        _call(library.nvmlDeviceGetHandleByIndex_v2, 0, ctypes.byref(handle))
    except (OSError, AttributeError):
        return None

    def sample() -> Sample:
        mhz, milliwatts = ctypes.c_uint(), ctypes.c_uint()
        _call(library.nvmlDeviceGetClockInfo, handle, _CLOCK_OF_SMS, ctypes.byref(mhz))
        _call(library.nvmlDeviceGetPowerUsage, handle, ctypes.byref(milliwatts))
        return float(mhz.value), milliwatts.value / 1e3

    return sample


def _call(function: Callable[..., int], *arguments: object) -> None:
    code = function(*arguments)
    if code != 0:
        raise OSError(f"the management library answers {code}")
