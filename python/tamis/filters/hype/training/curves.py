"""The numbers of one epoch: the validation pairs, through the adapter as a file holds it.

Everything here is `Adapter.project` and `tamis.lorentz`: whoever has the file and the pairs gets
the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis import lorentz
from tamis.data.samples.source import Side
from tamis.filters.hype.adapter import Adapter
from tamis.filters.hype.training.split import Index, Rows, partners
from tamis.kernels import sample

BATCH = 1024
"""Pairs that are told from one another; fixed, so that curves of all trainings compare."""
QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class ValidationPairs:
    """Pairs in a random order.

    Attributes:
        images, texts: float16 (n, d), canonical.
        families: int64 (n,).
        partners: int64 (n,), whose text makes a mismatched pair of each image.
    """

    images: Rows
    texts: Rows
    families: Index
    partners: Index

    @classmethod
    def of(
        cls, images: Rows, texts: Rows, families: Index, rows: Index, seed: int
    ) -> ValidationPairs:
        """Order pairs by the MISMATCH keys of their rows in the pool; then match them amiss."""
        order = np.argsort(sample.keys(seed, sample.MISMATCH, rows), kind="stable")
        ordered = families[order]
        return cls(images[order], texts[order], ordered, partners(ordered))


def measure(
    adapter: Adapter, pairs: ValidationPairs, *, entailment_weight: float = 0.2
) -> dict[str, Any]:
    """Measure an adapter.

    Returns:
        accuracy_image_to_text, accuracy_text_to_image: share of the pairs no other text (image) of
            which is nearer, among the pairs of a fixed batch of 1,024 and without those of its
            family.
        auc: probability that a matched pair is nearer than a mismatched one, ties by half.
        entailed: share of the pairs whose image is in the cone of its text (e <= 0).
        contrastive_loss, entailment_loss: as in training, over those fixed batches, without the
            others of a family; loss: their weighted sum.
        image_radius, text_radius: mean and quantiles of sqrt(c) |v|.
        curvature, image_scale, text_scale, temperature: of the adapter.

    Raises:
        ValueError: a number is not finite.
    """
    curvature = adapter.curvature
    images = adapter.project(pairs.images, "image")
    texts = adapter.project(pairs.texts, "text")
    matched = lorentz.distance(images, texts, curvature=curvature)
    mismatched = lorentz.distance(images, texts[pairs.partners], curvature=curvature)
    energy = lorentz.entailment(texts, images, curvature=curvature)
    temperature = math.exp(adapter.logit_scale)
    by_image, by_text, contrastive = _retrieval(images, texts, pairs.families, adapter, temperature)
    entailment = float(np.maximum(energy, 0).mean())
    found: dict[str, Any] = {
        "accuracy_image_to_text": by_image,
        "accuracy_text_to_image": by_text,
        "auc": auc(matched, mismatched),
        "entailed": float((energy <= 0).mean()),
        "contrastive_loss": contrastive,
        "entailment_loss": entailment,
        "loss": contrastive + entailment_weight * entailment,
        "curvature": curvature,
        "temperature": temperature,
    }
    rows: dict[Side, npt.NDArray[np.float32]] = {"image": images, "text": texts}
    for side, vectors in rows.items():
        found[f"{side}_scale"] = adapter.scales[side]
        found[f"{side}_radius"] = _spread(lorentz.radii(vectors, curvature=curvature).radius)
    if not all(math.isfinite(value) for value in _numbers(found)):
        raise ValueError(
            "the training has diverged: a curve is not finite; lower the learning rate"
        )
    return found


def auc(matched: npt.NDArray[Any], mismatched: npt.NDArray[Any]) -> float:
    """Return the probability that a matched distance is below a mismatched one, ties by half.

    Example:
        >>> auc(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
        0.875
    """
    ordered = np.sort(mismatched)
    below = np.searchsorted(ordered, matched, side="left")
    up_to = np.searchsorted(ordered, matched, side="right")
    return float((len(ordered) - (below + up_to) / 2).mean() / len(ordered))


def _retrieval(
    images: npt.NDArray[np.float32],
    texts: npt.NDArray[np.float32],
    families: Index,
    adapter: Adapter,
    temperature: float,
) -> tuple[float, float, float]:
    """Accuracy by image and by text, and the contrastive loss, over fixed batches."""
    right = np.zeros(2, np.int64)
    loss = 0.0
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        apart = lorentz.distance(
            images[part], texts[part], curvature=adapter.curvature, all_pairs=True
        ).astype(np.float64)
        own = apart.diagonal().copy()
        apart[families[part, None] == families[part]] = np.inf
        np.fill_diagonal(apart, own)
        for axis in (1, 0):
            right[1 - axis] += (own <= apart.min(axis=axis)).sum()
            nearest = apart.min(axis=axis, keepdims=True)
            weight = np.exp(-temperature * (apart - nearest)).sum(axis=axis)
            loss += float((np.log(weight) - temperature * (nearest.reshape(-1) - own)).sum())
    by_image, by_text = (right / len(images)).tolist()
    return by_image, by_text, loss / (2 * len(images))


def _spread(radius: npt.NDArray[np.float64]) -> dict[str, float]:
    at = np.quantile(radius, QUANTILES)
    named = {f"{share:g}": float(value) for share, value in zip(QUANTILES, at, strict=True)}
    return {"mean": float(radius.mean()), **named}


def _numbers(found: dict[str, Any]) -> list[float]:
    return [
        number
        for value in found.values()
        for number in (value.values() if isinstance(value, dict) else [value])
    ]
