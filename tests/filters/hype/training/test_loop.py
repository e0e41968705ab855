"""The steps of a training: which pairs they see, what decays, and which epoch is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from tests.filters.hype.training.learnable import SMALL, learnable

torch = pytest.importorskip("torch")

from tamis.filters.hype.training import Options, Trained, loop, train  # noqa: E402 - torch first
from tamis.filters.hype.training.curves import measure  # noqa: E402
from tamis.filters.hype.training.heads import Heads  # noqa: E402


def test_every_epoch_sees_other_batches_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray[Any, Any]] = []
    losses = Heads.losses

    def recorded(heads: Heads, images: Any, texts: Any) -> Any:
        seen.append(images.numpy().copy())
        return losses(heads, images, texts)

    monkeypatch.setattr(Heads, "losses", recorded)
    train(*learnable(), dataclasses.replace(SMALL, epochs=2))
    epochs = [np.concatenate(seen[:5]), np.concatenate(seen[5:])]
    assert len(seen) == 10 and not np.array_equal(*epochs)
    whole, again = ({row.tobytes() for row in epoch} for epoch in epochs)
    assert whole == again and len(whole) == 320


def test_only_the_maps_decay() -> None:
    """Two steps of all pairs, the last of which has the rate 0."""
    usual = dataclasses.replace(SMALL, batch_size=320, epochs=2, warmup=0.0)
    none, much = (
        train(*learnable(), dataclasses.replace(usual, weight_decay=decay)).adapter
        for decay in (0.0, 10.0)
    )
    assert (none.curvature, none.logit_scale) == (much.curvature, much.logit_scale)
    assert none.scales == much.scales and none.curvature != 1.0
    for side in none.weights:
        lengths = [np.linalg.norm(made.weights[side].astype(float)) for made in (none, much)]
        assert lengths[1] < 0.95 * lengths[0]


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine() -> None:
    options = Options(lr=0.5, warmup=0.25)
    rates = [options.rate(step, 80) for step in range(80)]
    np.testing.assert_allclose(rates[:20], 0.5 * np.arange(1, 21) / 20, rtol=1e-12)
    falling = 0.25 * (1 + np.cos(np.pi * np.arange(1, 61) / 60))
    np.testing.assert_allclose(rates[20:], falling, rtol=1e-12, atol=1e-16)
    assert [Options(lr=0.5, warmup=1.0).rate(step, 4) for step in range(4)] == [
        *(0.125, 0.25, 0.375, 0.5)
    ]


def test_which_epoch_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(keep: Any) -> Trained:
        losses = iter([0.5, 3.0, 1.0, 2.0, 1.0])  # from before the first step on

        def measured(*given: Any, **options: Any) -> dict[str, Any]:
            return {**measure(*given, **options), "loss": next(losses)}

        monkeypatch.setattr(loop, "measure", measured)
        return train(*learnable(), dataclasses.replace(SMALL, keep=keep))

    for found, epoch in ((told("best"), 2), (told("last"), 4)):
        assert found.summary["epoch"] == epoch
        assert found.summary["measured"] == found.curves[epoch]
        of_epoch = [record["curvature"] for record in found.curves]
        assert of_epoch.index(found.adapter.curvature) == epoch
