"""What is learned: where it starts, and within what ranges it stays."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from tests.filters.hype.training.learnable import SMALL

torch = pytest.importorskip("torch")

from tamis.filters.hype.training.heads import Heads  # noqa: E402 - torch first

DIMS = {"image": 24, "text": 16}


def heads(**changed: object) -> Heads:
    return Heads(DIMS, dataclasses.replace(SMALL, **changed), "cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("start", [1.0, 0.3])
@pytest.mark.parametrize("far", [-50.0, 50.0])
def test_the_scalars_stay_in_their_ranges(start: float, far: float) -> None:
    made = heads(curvature_init=start)
    scalars = {name: tensor for name, tensor in made.parameters.items() if name.startswith("log_")}
    assert len(scalars) == 4
    with torch.no_grad():
        for tensor in scalars.values():
            tensor.fill_(far)
    made.clamp()
    found = {name: tensor.item() for name, tensor in scalars.items()}
    edge = start * 10.0 ** math.copysign(1, far)
    assert math.exp(found["log_curvature"]) == pytest.approx(edge, rel=1e-12)
    assert found["log_temperature"] == pytest.approx(min(far, math.log(100)), rel=1e-12)
    for side in DIMS:
        assert found[f"log_scale.{side}"] == min(far, 0.0)


def test_the_scalars_at_the_start() -> None:
    adapter = heads(gain=3.0, curvature_init=0.3).adapter()
    assert adapter.curvature == pytest.approx(0.3, rel=1e-12)
    assert adapter.logit_scale == pytest.approx(math.log(1 / 0.07), rel=1e-12)
    for side in ("image", "text"):
        assert adapter.scales[side] == pytest.approx(3 * SMALL.dim**-0.5, rel=1e-12)  # type: ignore
        lengths = np.linalg.norm(adapter.weights[side].astype(np.float64), axis=1)  # type: ignore
        assert lengths.min() > 0.6 and lengths.max() < 1.4


def test_a_curvature_that_is_fixed_is_not_learned() -> None:
    for fixed in (False, True):
        made = heads(fixed_curvature=fixed)
        learned = {name for name, tensor in made.parameters.items() if tensor.requires_grad}
        assert {*made.parameters} - learned == ({"log_curvature"} if fixed else set())
