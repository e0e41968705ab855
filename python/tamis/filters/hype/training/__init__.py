"""Training of adapters: a hyperbolic model of a pool on top of its frozen embeddings.

Two linear maps without bias, two scales, a temperature and the curvature learn MERU's objective
(Desai et al., "Hyperbolic image-text representations", arXiv 2304.09172): matched pairs near in the
Lorentz model, images inside the entailment cones of their texts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.filters.hype.training.fitting import Trained, train
    from tamis.filters.hype.training.options import Options

__all__ = ["Options", "Trained", "train"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the command line needs the names of the options only.
    if name in __all__:
        home = "options" if name == "Options" else "fitting"
        return getattr(import_module(f"tamis.filters.hype.training.{home}"), name)
    raise AttributeError(f"module 'tamis.filters.hype.training' has no attribute {name!r}")
