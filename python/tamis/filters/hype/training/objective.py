"""MERU's objective in torch: distances and cones of the Lorentz model that can be differentiated.

The formulas are the stable polar forms of :mod:`tamis.lorentz`, on tangent vectors. What would have
an infinite or undefined slope is clamped just before it, so that every gradient is finite: lengths
at 1e-8, arguments of square roots at the epsilon of the dtype. In float64 the values are those of
`tamis.lorentz` within 1e-6, points apart that nearly coincide: distances are 3e-8 at least, and an
exterior angle is off by 1.5e-8 over the relative distance of its points.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tamis.kernels.lorentz_rows import LARGEST_RADIUS

MIN_RADIUS = 0.1
"""K of the half-aperture."""
_SHORTEST = 1e-8

Tensor = Any


class Polar(NamedTuple):
    """Tangent vectors by direction and radius.

    Attributes:
        unit: (n, D), of length 1.
        radius: (n,), sqrt(c) |v|, clamped at 11.09 as everywhere.
    """

    unit: Tensor
    radius: Tensor


def polar(vectors: Tensor, curvature: Tensor) -> Polar:
    """Return unit vectors and radii of tangent vectors (n, D), where c is a tensor of shape ()."""
    length = vectors.square().sum(-1).clamp(min=_SHORTEST**2).sqrt()
    radius = (curvature.sqrt() * length).clamp(max=LARGEST_RADIUS)
    return Polar(vectors / length[:, None], radius)


def distances(x: Polar, y: Polar, curvature: Tensor) -> Tensor:
    """Return all distances (n, m): (2 / sqrt c) asinh sqrt(sinh^2(D/2) + sinh r_x sinh r_y w/2)."""
    half_chord = (1 - x.unit @ y.unit.T).clamp(min=0) / 2
    apart = ((x.radius[:, None] - y.radius) / 2).sinh().square()
    square = apart + x.radius.sinh()[:, None] * y.radius.sinh() * half_chord
    return 2 / curvature.sqrt() * _root(square).asinh()


def exterior_angle(apex: Polar, point: Polar) -> Tensor:
    """Return the angles (n,) of paired rows: atan2(s / cosh r_x, sinh D / (cosh r_x sinh r_y) - w).

    With w = |u_x - u_y|^2 / 2 and s = |u_x - u_y| |u_x + u_y| / 2.
    """
    w = (apex.unit - point.unit).square().sum(-1) / 2
    s = _root(w * (apex.unit + point.unit).square().sum(-1) / 2)
    cosh = apex.radius.cosh()
    beyond = (point.radius - apex.radius).sinh() / (cosh * point.radius.sinh())
    angle: Tensor = (s / cosh).atan2(beyond - w)
    return angle


def half_aperture(apex: Polar, min_radius: float = MIN_RADIUS) -> Tensor:
    """Return asin min(1, 2 K / sinh r), (n,)."""
    sinh, edge = apex.radius.sinh(), 2 * min_radius
    rest = _root((sinh - edge).clamp(min=0) * (sinh + edge))
    return rest.new_tensor(edge).atan2(rest)


def contrastive_loss(
    images: Polar, texts: Polar, curvature: Tensor, log_temperature: Tensor
) -> Tensor:
    """Return the symmetric cross entropy of -d exp(log_temperature), rows of both sides paired."""
    logits = -distances(images, texts, curvature) * log_temperature.exp()
    own = logits.diagonal()
    by_image, by_text = logits.logsumexp(1) - own, logits.logsumexp(0) - own
    return (by_image.mean() + by_text.mean()) / 2


def entailment_loss(images: Polar, texts: Polar) -> Tensor:
    """Return the mean of max(0, e), by how much an image is outside the cone of its text."""
    return (exterior_angle(texts, images) - half_aperture(texts)).clamp(min=0).mean()


def _root(square: Tensor) -> Tensor:
    import torch

    return square.clamp(min=torch.finfo(square.dtype).eps).sqrt()
