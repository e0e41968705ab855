"""The differentiable formulas are those of tamis.lorentz, and their gradients are finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tamis import lorentz

torch = pytest.importorskip("torch")

from tamis.filters.hype.training.objective import (  # noqa: E402 - torch first
    contrastive_loss,
    distances,
    entailment_loss,
    exterior_angle,
    half_aperture,
    polar,
)

Vectors = npt.NDArray[np.float64]


def vectors(n: int, seed: int, dim: int = 5) -> Vectors:
    """Tangent vectors of lengths from 1e-3 to 10."""
    random = np.random.default_rng(seed)
    directions = random.normal(size=(n, dim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(directions * np.exp(random.uniform(-6.9, 2.3, (n, 1))))


def polars(curvature: float, *rows: Vectors) -> list[Any]:
    c = torch.tensor(curvature, dtype=torch.float64)
    return [polar(torch.tensor(side), c) for side in rows]


@pytest.mark.parametrize("curvature", [0.1, 1.0, 7.5])
def test_values_are_those_of_the_kernels(curvature: float) -> None:
    x, y = vectors(300, 1), vectors(300, 2)
    ours, theirs = polars(curvature, x, y)
    c = torch.tensor(curvature, dtype=torch.float64)
    apart = distances(ours, theirs, c).numpy()
    paired = lorentz.distance(x, y, curvature=curvature)
    np.testing.assert_allclose(apart.diagonal(), paired, rtol=1e-6, atol=1e-6)
    row = np.arange(300)
    for k in (1, 7):
        other = lorentz.distance(x, y[row - k], curvature=curvature)
        np.testing.assert_allclose(apart[row, row - k], other, rtol=1e-6, atol=1e-6)
    angle = lorentz.exterior_angle(x, y, curvature=curvature)
    np.testing.assert_allclose(exterior_angle(ours, theirs).numpy(), angle, atol=1e-6)
    cone = lorentz.half_aperture(x, curvature=curvature)
    np.testing.assert_allclose(half_aperture(ours).numpy(), cone, atol=1e-6)


def test_near_copies_and_opposites() -> None:
    x = vectors(200, 3)
    random = np.random.default_rng(4)
    aside = 0.1 * np.linalg.norm(x, axis=1, keepdims=True) * random.normal(size=x.shape)
    for y in (1.1 * x, -x, x + aside, 0.3 * x, 3 * x):
        ours, theirs = polars(0.5, x, y)
        angle = lorentz.exterior_angle(x, y, curvature=0.5)
        # Large radii magnify the least angle that is told from none, see _root.
        near = torch.maximum(ours.radius, theirs.radius).numpy() < 3
        np.testing.assert_allclose(
            exterior_angle(ours, theirs).numpy()[near], angle[near], atol=2e-6
        )


def test_losses_are_meru_s() -> None:
    images, texts = vectors(40, 5), vectors(40, 6)
    c = torch.tensor(0.7, dtype=torch.float64)
    seen, told = polars(0.7, images, texts)
    logits = -3.5 * np.stack(
        [lorentz.distance(np.tile(row, (40, 1)), texts, curvature=0.7) for row in images]
    )
    rows, columns = (
        (np.log(np.exp(logits - logits.max(axis, keepdims=True)).sum(axis)) + logits.max(axis))
        - logits.diagonal()
        for axis in (1, 0)
    )
    expected = (rows.mean() + columns.mean()) / 2
    found = contrastive_loss(seen, told, c, torch.tensor(3.5, dtype=torch.float64).log())
    assert found.item() == pytest.approx(expected, abs=1e-6)
    energy = lorentz.entailment(texts, images, curvature=0.7)
    assert entailment_loss(seen, told).item() == pytest.approx(
        np.maximum(energy, 0).mean(), abs=1e-6
    )


def both_losses(images: Any, texts: Any, log_curvature: Any, log_temperature: Any) -> Any:
    c = log_curvature.exp()
    seen, told = polar(images, c), polar(texts, c)
    return contrastive_loss(seen, told, c, log_temperature) + 0.2 * entailment_loss(seen, told)


def test_gradients_are_those_of_the_values() -> None:
    random = np.random.default_rng(7)
    rows = [torch.tensor(random.normal(size=(6, 3)), requires_grad=True) for _ in range(2)]
    scalars = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.3, 1.2)]
    assert torch.autograd.gradcheck(both_losses, (*rows, *scalars), atol=1e-6)


CASES: dict[str, Callable[[Vectors], tuple[Vectors, Vectors]]] = {
    "coincident": lambda x: (x, x.copy()),
    "opposite": lambda x: (x, -x),
    "behind": lambda x: (x, 2 * x),
    "in front": lambda x: (2 * x, x),
    "zero images": lambda x: (0 * x, x),
    "zero texts": lambda x: (x, 0 * x),
    "all zero": lambda x: (0 * x, 0 * x),
    "tiny": lambda x: (1e-30 * x, 1e-9 * x),
    "beyond the clamp": lambda x: (1e3 * x, 1e6 * x),
    "at the aperture's clamp": lambda x: (
        x,
        x / np.linalg.norm(x, axis=1, keepdims=True) * np.arcsinh(0.2),
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_no_gradient_is_infinite(case: str, dtype: Any) -> None:
    images, texts = CASES[case](vectors(20, 8))
    leaves = [torch.tensor(rows, dtype=dtype, requires_grad=True) for rows in (images, texts)]
    leaves += [torch.tensor(value, dtype=dtype, requires_grad=True) for value in (0.0, 2.6)]
    loss = both_losses(*leaves)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves)
