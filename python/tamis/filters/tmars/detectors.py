"""From a word on the command line to a detector of text.

| detector                 | what                                                                |
|--------------------------|---------------------------------------------------------------------|
| `ppocr`                  | PP-OCRv4's detector, carried by rapidocr-onnxruntime; the default   |
| `PATH.onnx`              | any DB network, see :mod:`tamis.filters.tmars.db`                   |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tamis.filters.tmars.detector import Detector

DEFAULT_DETECTOR = "ppocr"


def open_detector(
    detector: str = DEFAULT_DETECTOR,
    *,
    side: int | None = None,
    enlarge: float = 1.0,
    device: str = "auto",
) -> Detector:
    """Load a detector.

    Args:
        detector: a line of this module's table.
        side: the most pixels of the long side of what the network sees; None takes the detector's
            own.
        enlarge: how many times larger a smaller image may become.
        device: "auto", "cpu" or "cuda".

    Raises:
        AssetError: a file is missing or is not what was expected.
        MissingExtraError: a package is not installed; names the extra that brings it.
        ValueError: an unknown detector, or an option that it does not have.
    """
    from tamis.filters.tmars.db import SIDE, DbDetector

    if detector != DEFAULT_DETECTOR and not detector.endswith(".onnx"):
        raise ValueError(f"expected a detector ppocr or PATH.onnx, got {detector!r}")
    model = None if detector == DEFAULT_DETECTOR else detector
    return DbDetector(model, side=SIDE if side is None else side, enlarge=enlarge, device=device)
