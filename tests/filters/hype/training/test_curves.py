"""The numbers of an epoch against loops over pairs, and the file against the parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.filters.hype.training.learnable import SMALL, learnable

from tamis import canonical, lorentz
from tamis.filters.hype.adapter import Adapter
from tamis.filters.hype.training.curves import BATCH, ValidationPairs, auc, measure
from tamis.filters.hype.training.split import Index


def random_adapter(seed: int) -> Adapter:
    random = np.random.default_rng(seed)
    weights = [(0.3 * random.normal(size=(5, dim))).astype(np.float16) for dim in (24, 16)]
    return Adapter({"image": weights[0], "text": weights[1]}, {"image": 0.7, "text": 0.4}, 0.8, 1.5)


def validation(n: int, families: Index) -> ValidationPairs:
    images, texts = (canonical(rows)[0] for rows in learnable(n))
    return ValidationPairs.of(images, texts, families, np.arange(n), seed=0)


def test_other_members_of_a_family_are_no_rivals() -> None:
    pairs = validation(60, np.random.default_rng(0).integers(0, 12, 60))
    adapter = random_adapter(1)
    images = adapter.project(pairs.images, "image")
    texts = adapter.project(pairs.texts, "text")
    apart = lorentz.distance(images, texts, curvature=0.8, all_pairs=True).astype(np.float64)
    right, loss = [0, 0], 0.0
    for i, family in enumerate(pairs.families):
        rivals = np.flatnonzero(pairs.families != family)
        for axis, row in enumerate((apart[i], apart[:, i])):
            right[axis] += row[i] <= row[rivals].min()
            logits = -math.exp(1.5) * row[[i, *rivals]]
            loss -= math.log(math.exp(logits[0]) / np.exp(logits).sum()) / 120
    found = measure(adapter, pairs)
    assert found["accuracy_image_to_text"] == right[0] / 60
    assert found["accuracy_text_to_image"] == right[1] / 60
    assert found["contrastive_loss"] == pytest.approx(loss, rel=1e-9)
    entailment = found["entailment_loss"]
    assert found["loss"] == pytest.approx(loss + 0.2 * entailment, rel=1e-9)
    assert (pairs.families[pairs.partners] != pairs.families).all()


def test_pairs_are_compared_in_fixed_batches() -> None:
    n = BATCH + 100
    pairs = validation(n, np.arange(n))
    found = measure(random_adapter(2), pairs)
    parts = []
    for part in (slice(None, BATCH), slice(BATCH, None)):
        sides = (side[part] for side in (pairs.images, pairs.texts, pairs.families))
        alone = ValidationPairs(*sides, partners=np.zeros_like(pairs.partners[part]))
        parts.append(measure(random_adapter(2), alone))
    for name in ("accuracy_image_to_text", "contrastive_loss"):
        expected = (parts[0][name] * BATCH + parts[1][name] * 100) / n
        assert found[name] == pytest.approx(expected, rel=1e-12)


def test_auc_is_the_share_of_ordered_pairs() -> None:
    random = np.random.default_rng(3)
    matched, amiss = random.integers(0, 9, 50), random.integers(3, 12, 40)
    below = (matched[:, None] < amiss).mean() + (matched[:, None] == amiss).mean() / 2
    assert auc(matched, amiss) == pytest.approx(below, rel=1e-12)


def test_the_file_holds_the_parameters() -> None:
    torch = pytest.importorskip("torch")
    from tamis.filters.hype.training.heads import Heads

    heads = Heads({"image": 24, "text": 16}, SMALL, "cpu")
    with torch.no_grad():
        heads.parameters["weight.image"] *= 1000  # rows longer than a file may hold
        heads.parameters["log_scale.text"] += 0.3
        heads.parameters["log_curvature"] += 0.2
    adapter = heads.adapter()
    assert adapter.curvature == pytest.approx(math.exp(0.2))
    assert adapter.logit_scale == pytest.approx(math.log(1 / 0.07))
    rows = [canonical(side)[0] for side in learnable(50)]
    for side, block in zip(("image", "text"), rows, strict=True):
        with torch.no_grad():
            unit, _ = heads.polar(torch.from_numpy(block), side)
        tangent = adapter.project(block, side)
        direction = tangent / np.linalg.norm(tangent, axis=1, keepdims=True)
        np.testing.assert_allclose(direction, unit.numpy(), atol=2e-3)
    with torch.no_grad():
        radius = heads.polar(torch.from_numpy(rows[1]), "text").radius.numpy()
    found = lorentz.radii(adapter.project(rows[1], "text"), curvature=adapter.curvature).radius
    np.testing.assert_allclose(found, radius, rtol=2e-3)
    length = np.linalg.norm(adapter.project(rows[0], "image").astype(float), axis=1)
    weight = heads.parameters["weight.image"].detach().numpy().astype(float)
    expected = np.linalg.norm(rows[0].astype(float) @ weight.T, axis=1)
    np.testing.assert_allclose(length, expected * SMALL.gain * 8**-0.5, rtol=2e-3)
