"""A reader of single lines: PP-OCRv4's recogniser, which rapidocr-onnxruntime carries.

Its package is not imported. The network sees BGR, 48 pixels high, values from -1 to 1, and gives
for every few columns the probability of each character; repeats are merged, and number 0 is none.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from tamis.filters.tmars.db import packaged_model

HEIGHT = 48


class Reader:
    """Reads the words of a line."""

    def __init__(self, model: Path | None = None) -> None:
        path = model or packaged_model().with_name("ch_PP-OCRv4_rec_infer.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        known = self._session.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._characters = ["", *known, " "]

    def read(self, line: Image.Image) -> str:
        """Return what stands there, without spaces."""
        width = max(HEIGHT, round(line.width * HEIGHT / line.height))
        pixels = np.asarray(line.convert("RGB").resize((width, HEIGHT), Image.Resampling.BILINEAR))
        values = (pixels[:, :, ::-1].astype(np.float32) / 255 - 0.5) / 0.5
        given = {self._session.get_inputs()[0].name: values.transpose(2, 0, 1)[None]}
        best: npt.NDArray[np.int64] = self._session.run(None, given)[0][0].argmax(-1)
        merged = best[np.append(True, best[1:] != best[:-1])]
        return "".join(self._characters[n] for n in merged if n).replace(" ", "")


def share_read(read: str, words: str) -> float:
    """The share of the characters of `words`, spaces apart, that stand in `read` in their order."""
    wanted = words.replace(" ", "").casefold()
    blocks = SequenceMatcher(None, wanted, read.casefold(), autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(wanted)
