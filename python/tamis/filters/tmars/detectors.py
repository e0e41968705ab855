"""From a word on the command line to a detector of text.

| detector                 | what                                                                |
|--------------------------|---------------------------------------------------------------------|
| `ppocr`                  | PP-OCRv4's detector, carried by rapidocr-onnxruntime; the default   |
| `PATH.onnx`              | any DB network, see :mod:`tamis.filters.tmars.db`                   |
| `fast:tiny`, `fast:base` | FAST through docTR, with `weights`; :mod:`tamis.filters.tmars.fast` |
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.filters.tmars.detector import Detector

DEFAULT_DETECTOR = "ppocr"
FAST = "fast:"


def open_detector(
    detector: str = DEFAULT_DETECTOR,
    *,
    side: int | None = None,
    enlarge: float | None = None,
    weights: Path | str | None = None,
    post: str | None = None,
    device: str = "auto",
) -> Detector:
    """Load a detector.

    Args:
        detector: a line of this module's table.
        side: the most pixels of the long side of what the network sees; None takes 512.
        enlarge: DB networks: how many times larger a smaller image may become; 1 by default.
        weights: FAST: the file of its weights.
        post: FAST: "doctr" (the default) or "paper".
        device: "auto", "cpu" or "cuda".

    Raises:
        AssetError: a file is missing or is not what was expected.
        MissingExtraError: a package is not installed; names the extra that brings it.
        ValueError: an unknown detector, or an option that it does not have.

    Example:
        >>> open_detector("east")
        Traceback (most recent call last):
        ValueError: expected a detector ppocr, PATH.onnx, fast:tiny or fast:base, got 'east'
    """
    given = {"side": side, "enlarge": enlarge, "post": post}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if detector.startswith(FAST):
        if weights is None:
            raise ValueError(f"{detector} needs weights: name docTR's file with --detector-weights")
        _refuse(detector, options, "enlarge")
        from tamis.filters.tmars.fast import FastDetector

        return FastDetector(detector.removeprefix(FAST), weights, device=device, **options)
    if detector != DEFAULT_DETECTOR and not detector.endswith(".onnx"):
        raise ValueError(
            f"expected a detector ppocr, PATH.onnx, fast:tiny or fast:base, got {detector!r}"
        )
    _refuse(
        detector, options | ({} if weights is None else {"weights": weights}), "post", "weights"
    )
    from tamis.filters.tmars.db import DbDetector

    model = None if detector == DEFAULT_DETECTOR else detector
    return DbDetector(model, device=device, **options)


def _refuse(detector: str, options: dict[str, Any], *names: str) -> None:
    for name in names:
        if name in options:
            raise ValueError(f"the detector {detector} has no {name}")
