"""mode="paper" against the published formulas, written down once more, literally."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tamis import lorentz

F = np.float32
EPS = F(1e-8)


def geometry(n: int, seed: int = 0) -> tuple[Any, Any]:
    """Texts and images as MERU has them: near the origin, cosines about 0.7."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(64)
    texts = shared + 0.6 * rng.standard_normal((n, 64))
    images = shared + 0.6 * rng.standard_normal((n, 64))
    texts *= rng.uniform(0.2, 0.3, (n, 1)) / np.linalg.norm(texts, axis=1, keepdims=True)
    images *= rng.uniform(0.5, 1.0, (n, 1)) / np.linalg.norm(images, axis=1, keepdims=True)
    return texts.astype(np.float32), images.astype(np.float32)


def exp_map0(x: Any, curv: Any, eps: Any = EPS) -> Any:
    rc_xnorm = curv**0.5 * np.linalg.norm(x, axis=-1, keepdims=True)
    sinh_input = np.clip(rc_xnorm, eps, F(np.arcsinh(2**15)))
    return np.sinh(sinh_input) * x / np.maximum(rc_xnorm, eps)


def pairwise_inner(x: Any, y: Any, curv: Any) -> Any:
    x_time = np.sqrt(1 / curv + np.sum(x**2, axis=-1, keepdims=True))
    y_time = np.sqrt(1 / curv + np.sum(y**2, axis=-1, keepdims=True))
    return x @ y.T - x_time @ y_time.T


def pairwise_oxy_angle(x: Any, y: Any, curv: Any, eps: Any = EPS) -> Any:
    x_time = np.sqrt(1 / curv + np.sum(x**2, axis=-1, keepdims=True))
    y_time = np.sqrt(1 / curv + np.sum(y**2, axis=-1, keepdims=True))
    c_xyl = curv * pairwise_inner(x, y, curv)
    numer = y_time.T + c_xyl * x_time
    denom = np.sqrt(np.maximum(c_xyl**2 - 1, eps))
    cos = numer / (np.linalg.norm(x, axis=-1, keepdims=True) * denom + eps)
    return np.arccos(np.clip(cos, -1 + eps, 1 - eps))


def half_aperture(x: Any, curv: Any, eps: Any = EPS) -> Any:
    ratio = F(2 * 0.1) / (np.linalg.norm(x, axis=-1) * curv**0.5 + eps)
    return np.arcsin(np.clip(ratio, -1 + eps, 1 - eps))


@pytest.mark.parametrize("curvature", [0.1, 1.0])
def test_the_published_formulas(curvature: float) -> None:
    texts, images = geometry(40)
    curv = F(curvature)
    x, y = exp_map0(texts, curv), exp_map0(images, curv)
    paper: Any = {"curvature": curvature, "mode": "paper"}
    close: Any = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(lorentz.lift(texts, **paper), x, rtol=1e-6)
    inner = lorentz.inner(texts, images, all_pairs=True, **paper)
    np.testing.assert_allclose(inner, pairwise_inner(x, y, curv), rtol=1e-6)
    cosh = np.maximum(-curv * pairwise_inner(x, y, curv), F(1 + 1e-8))
    found = lorentz.distance(texts, images, all_pairs=True, **paper)
    np.testing.assert_allclose(found, np.arccosh(cosh) / np.sqrt(curv), **close)
    angle = pairwise_oxy_angle(x, y, curv)
    found = lorentz.exterior_angle(texts, images, all_pairs=True, **paper)
    np.testing.assert_allclose(found, angle, **close)
    aper = half_aperture(x, curv)
    np.testing.assert_allclose(lorentz.half_aperture(texts, **paper), aper, **close)
    energy = lorentz.entailment(texts, images, **paper)
    np.testing.assert_allclose(energy, np.diag(angle) - aper, **close)
    # eps_i: reference texts are the apexes; eps_t: the text is the apex.
    scores = lorentz.specificity(images, texts, **paper).mean
    np.testing.assert_allclose(scores, (angle - aper[:, None]).mean(axis=0), **close)
    scores = lorentz.specificity(texts, images, apex="rows", **paper).mean
    np.testing.assert_allclose(scores, angle.mean(axis=1) - aper, **close)


@pytest.mark.parametrize("apex", ["references", "rows"])
def test_both_modes_agree_where_the_published_one_keeps_its_digits(apex: Any) -> None:
    texts, images = geometry(80)
    rows, references = (images, texts) if apex == "references" else (texts, images)
    stable = lorentz.specificity(rows, references, apex=apex)
    paper = lorentz.specificity(rows, references, apex=apex, mode="paper")
    for field in ("mean", "standard_error", "entailed", "clamped_mean"):
        np.testing.assert_allclose(getattr(stable, field), getattr(paper, field), atol=2e-5)


def test_where_the_published_formulas_lose_theirs() -> None:
    x = geometry(500)[0]
    # MERU's clamp makes coincident points 0 or more apart, never NaN; near the apex acos has no
    # digits left.
    found = lorentz.distance(x, x, mode="paper")
    assert (found >= 0).all() and (found > 1e-4).any()
    assert (lorentz.distance(x, x) == 0).all()
    behind = lorentz.exterior_angle(x, np.float32(1.001) * x, mode="paper")
    assert np.abs(behind).max() > 1e-2
    assert lorentz.exterior_angle(x, np.float32(1.001) * x).max() < 1e-3


def test_the_known_geometry_of_a_text_and_an_image() -> None:
    text, image = np.array([[0.25, 0.0]]), 0.75 * np.array([[0.69, np.sqrt(1 - 0.69**2)]])
    angle, aper = lorentz.exterior_angle(text, image), lorentz.half_aperture(text)
    assert angle.item() == pytest.approx(1.17, abs=0.03)
    assert aper.item() == pytest.approx(0.91, abs=0.06)
    assert lorentz.specificity(image, text).mean.item() == pytest.approx((angle - aper).item())


def test_log_map_in_paper_mode_is_the_inverse() -> None:
    v = geometry(20)[1].astype(np.float64)
    for curvature in (0.3, 1.0):
        space = lorentz.lift(v, curvature=curvature, mode="paper")
        back = lorentz.log_map(space, curvature=curvature, mode="paper")
        np.testing.assert_allclose(back, v, rtol=1e-7)
