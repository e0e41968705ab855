"""What decides a training, the embeddings apart."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Keep: TypeAlias = Literal["best", "last"]
LARGEST_DIM = 512
USUAL_BATCHES = 16
"""Of an epoch of few pairs; more pairs make larger batches, and then more of them."""
SMALLEST_BATCH, LARGEST_BATCH = 32, 512


@dataclass(frozen=True)
class Options:
    """How an adapter is trained.

    Attributes:
        dim: of the tangent vectors; None takes that of the image embeddings, 512 at most.
        epochs: passes over the training pairs.
        batch_size: pairs that are told from one another; a rest that fills no batch waits for the
            next epoch. None takes a sixteenth of the training pairs, but at least 32 (or all, where
            there are fewer) and 512 at most.
        lr: the highest learning rate of AdamW (betas 0.9 and 0.98).
        weight_decay: of the maps.
        warmup: share of the steps in which the rate rises, before it falls as a cosine.
        entailment_weight: of the entailment loss beside the contrastive one.
        curvature_init: c at the start; it stays within a factor of 10.
        fixed_curvature: c is not learned.
        validation: share of the pairs that the curves are measured on.
        gain: the length that a row enters the maps with; a larger one starts at larger radii and
            learns, and overfits, faster.
        near: images with a cosine above this are copies, see :mod:`.split`.
        keep: "best" keeps the epoch of the lowest validation loss, the first of equals; "last" the
            last epoch.
        seed: of every random choice.

    Raises:
        ValueError: a value that cannot be meant.

    Example:
        >>> Options(epochs=3).dim_for(1280), Options().batch_for(927), Options().batch_for(10**6)
        (512, 57, 512)
    """

    dim: int | None = None
    epochs: int = 30
    batch_size: int | None = None
    lr: float = 1e-3
    weight_decay: float = 0.2
    warmup: float = 0.1
    entailment_weight: float = 0.2
    curvature_init: float = 1.0
    fixed_curvature: bool = False
    validation: float = 0.1
    gain: float = 6.0
    near: float = 0.95
    keep: Keep = "best"
    seed: int = 0

    def __post_init__(self) -> None:
        whole = {
            "dim": (self.dim, 2),
            "epochs": (self.epochs, 1),
            "batch_size": (self.batch_size, 2),
        }
        for name, (value, least) in whole.items():
            if value is not None and value < least:
                raise ValueError(f"{name}: expected at least {least}, got {value}")
        bounds = {
            "lr": (0.0, 1.0),
            "curvature_init": (0.0, 1e6),
            "validation": (0.0, 0.5),
            "gain": (0.0, 1e3),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low < value <= high:
                raise ValueError(
                    f"{name}: expected a number above 0, {high:g} at most, got {value}"
                )
        for name, high in (("weight_decay", 10.0), ("warmup", 1.0), ("entailment_weight", 1e6)):
            value = getattr(self, name)
            if not 0 <= value <= high:
                raise ValueError(f"{name}: expected a number from 0 to {high:g}, got {value}")
        if not -1 <= self.near <= 1:
            raise ValueError(f"near: expected a cosine, -1 to 1, got {self.near}")
        if self.keep not in ("best", "last"):
            raise ValueError(f"keep: expected best or last, got {self.keep}")

    def dim_for(self, image_dim: int) -> int:
        """Return the dimension of the tangent vectors."""
        return self.dim if self.dim is not None else min(LARGEST_DIM, image_dim)

    def batch_for(self, train_pairs: int) -> int:
        """Return the pairs of a batch."""
        if self.batch_size is not None:
            return self.batch_size
        share = train_pairs // USUAL_BATCHES
        return min(max(share, SMALLEST_BATCH), LARGEST_BATCH, train_pairs)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, from 0, of `steps`."""
        rising = self.warmup * steps
        if step + 1 < rising:
            return self.lr * (step + 1) / rising
        left = (step + 1 - rising) / max(steps - rising, 1)
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(left, 1.0)))

    def recipe(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return asdict(self)
