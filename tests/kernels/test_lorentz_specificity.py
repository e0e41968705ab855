"""Specificity against 50 digits and against paired energies; one hash for threads and blocks."""

from __future__ import annotations

import ctypes
from typing import Any

import mpmath
import numpy as np
import pytest

import tamis._array
from bits import assert_same_bits, sha256
from tamis import lorentz

TOLERANCE = 1e-6
FIELDS = ("mean", "standard_error", "entailed", "clamped_mean")


def cloud(n: int, d: int, seed: int, *, low: float = 0.1, high: float = 2.0) -> Any:
    rng = np.random.default_rng(seed)
    v = rng.standard_normal((n, d)) + 1.5 * np.random.default_rng(7).standard_normal(d)
    return v / np.linalg.norm(v, axis=1, keepdims=True) * rng.uniform(low, high, (n, 1))


def energies(rows: Any, references: Any, apex: str, **options: Any) -> Any:
    """Paired energies, (rows, references)."""
    left = np.repeat(rows, len(references), axis=0)
    right = np.tile(references, (len(rows), 1))
    pair = (left, right) if apex == "rows" else (right, left)
    return lorentz.entailment(*pair, **options).reshape(len(rows), len(references))


def check(rows: Any, references: Any, apex: Any, **options: Any) -> Any:
    found = lorentz.specificity(rows, references, apex=apex, **options)
    expected = energies(rows, references, apex, **options)
    count = expected.shape[1]
    np.testing.assert_allclose(found.mean, expected.mean(axis=1), atol=TOLERANCE)
    clamped = np.maximum(expected, 0).mean(axis=1)
    np.testing.assert_allclose(found.clamped_mean, clamped, atol=TOLERANCE)
    deviation = expected.std(axis=1, ddof=1) / np.sqrt(count)
    np.testing.assert_allclose(found.standard_error, deviation, atol=TOLERANCE)
    clear = (np.abs(expected) > 1e-5).all(axis=1)
    shares = (expected <= 0).mean(axis=1)
    np.testing.assert_allclose(found.entailed[clear], shares[clear], atol=1e-12)
    return found


@pytest.mark.parametrize("apex", ["references", "rows"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("n", "m", "d"), [(50, 200, 512), (7, 48, 33), (97, 49, 1), (3, 2, 65)])
def test_means_of_paired_energies(
    n: int, m: int, d: int, dtype: str, apex: Any, levels: tuple[str, ...], pinned: Any
) -> None:
    rows, references = cloud(n, d, 1).astype(dtype), cloud(m, d, 2).astype(dtype)
    for isa in levels[:3]:
        with pinned(isa=isa):
            check(rows, references, apex)


@pytest.mark.parametrize("kind", ["space", "lorentz", "poincare"])
def test_every_kind(kind: Any) -> None:
    rows, references = cloud(20, 16, 1), cloud(60, 16, 2)
    root = np.sqrt(0.4)

    def of(v: Any) -> Any:
        size = np.linalg.norm(v, axis=1, keepdims=True)
        space = np.sinh(root * size) * v / size / root
        if kind == "poincare":
            return np.tanh(root * size / 2) * v / size / root
        return np.c_[np.cosh(root * size) / root, space] if kind == "lorentz" else space

    found = check(of(rows), of(references), "references", curvature=0.4, kind=kind)
    expected = lorentz.specificity(rows, references, curvature=0.4)
    np.testing.assert_allclose(found.mean, expected.mean, atol=TOLERANCE)


@pytest.mark.parametrize("radius", [1e-6, 1e-3, 0.1987, 3.0, 8.0, 11.0])
@pytest.mark.parametrize("separation", [0.0, 1e-3, 1e-2])
def test_references_beside_the_rows(radius: float, separation: float) -> None:
    rng = np.random.default_rng(5)
    rows = cloud(60, 64, 3, low=radius * 0.9, high=radius)
    aside = rng.standard_normal(rows.shape)
    aside *= separation * np.linalg.norm(rows, axis=1, keepdims=True)
    references = rows + aside / np.linalg.norm(rng.standard_normal(rows.shape), axis=1)[:, None]
    for dtype in ("float32", "float16", "float64"):
        for apex in ("references", "rows"):
            found = check(rows.astype(dtype), references.astype(dtype), apex)
            if separation == 0:
                assert found.redone >= 60


def test_a_mean_of_fifty_digits() -> None:
    rows, references = cloud(3, 9, 1).astype(np.float16), cloud(60, 9, 2).astype(np.float16)
    references[0] = rows[0]
    with mpmath.workdps(50):
        for row, found in zip(rows, lorentz.specificity(rows, references).mean, strict=True):
            total = mpmath.mpf(0)
            for apex in references:
                if (apex == row).all():
                    continue
                x, y = ([mpmath.mpf(float(v)) for v in w] for w in (apex, row))
                rx, ry = mpmath.norm(x), mpmath.norm(y)
                g = mpmath.fdot(x, y) / rx / ry
                up = mpmath.sqrt((1 - g) * (1 + g)) * mpmath.sinh(ry)
                right = g * mpmath.cosh(rx) * mpmath.sinh(ry) - mpmath.sinh(rx) * mpmath.cosh(ry)
                total += mpmath.atan2(up, right)
            for apex in references:
                rx = mpmath.norm([mpmath.mpf(float(v)) for v in apex])
                total -= mpmath.asin(min(mpmath.mpf(1), mpmath.mpf(0.2) / mpmath.sinh(rx)))
            assert abs(float(total / 60) - found) < TOLERANCE


def test_the_bound_of_one_angle_from_float32_products() -> None:
    # Pairs about the limit where float32 is still used, and rows whose products cancel.
    rng = np.random.default_rng(0)
    for d in (16, 512, 1500):
        x = rng.standard_normal((96, d)) * 10.0 ** rng.uniform(-2, 2, (1, d))
        y = x + rng.uniform(0.02, 0.4, (96, 1)) * rng.standard_normal((96, d)) * np.abs(x)
        x *= rng.uniform(0.05, 9, (96, 1)) / np.linalg.norm(x, axis=1, keepdims=True)
        y *= rng.uniform(0.05, 9, (96, 1)) / np.linalg.norm(y, axis=1, keepdims=True)
        found = lorentz.exterior_angle(x, y, all_pairs=True)
        exact = lorentz.exterior_angle(np.repeat(x, 96, axis=0), np.tile(y, (96, 1)))
        error = np.abs(found.ravel() - exact).max()
        assert error <= 8 * (min(d, 64) + -(-d // 64) + 8) * 2.0**-24 + 3e-7
        assert error > 0  # a float32 pass


def test_marked_rows_and_references() -> None:
    rows, references = cloud(30, 8, 1), cloud(70, 8, 2)
    clean = lorentz.specificity(rows, references)
    more = np.insert(references, [0, 10, 70], [[np.nan] * 8, [np.inf] * 8, [-np.inf] * 8], axis=0)
    rows[4, 1] = np.nan
    found = lorentz.specificity(rows, more)
    assert found.n_references == 70 and found.reference_counts == {"ok": 70, "not_finite": 3}
    assert found.counts == {"ok": 29, "not_finite": 1}
    for field in FIELDS:
        value = getattr(found, field)
        assert np.isnan(value[4])
        np.testing.assert_array_equal(np.delete(value, 4), np.delete(getattr(clean, field), 4))


def test_rows_and_references_at_the_origin() -> None:
    rows, references = cloud(5, 8, 1), cloud(60, 8, 2)
    rows[1], references[2], references[50] = 0, 0, 0
    expected = energies(rows, references, "references")
    found = lorentz.specificity(rows, references)
    np.testing.assert_allclose(found.mean, expected.mean(axis=1), atol=TOLERANCE)
    assert found.counts == {"ok": 4, "zero": 1} and found.reference_counts["zero"] == 2
    assert (lorentz.specificity(np.zeros((1, 8)), references, apex="rows").entailed == 1).all()


@pytest.mark.parametrize("apex", ["references", "rows"])
@pytest.mark.parametrize("m", [1, 2, 47])
def test_few_references_leave_no_error_to_average(m: int, apex: Any) -> None:
    rows, references = cloud(40, 64, 1), cloud(m, 64, 2)
    found = lorentz.specificity(rows, references, apex=apex)
    expected = energies(rows, references, apex)
    np.testing.assert_allclose(found.mean, expected.mean(axis=1), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.entailed, (expected <= 0).mean(axis=1))


def test_one_reference_has_no_standard_error() -> None:
    found = lorentz.specificity(cloud(4, 5, 1), cloud(1, 5, 2))
    assert np.isnan(found.standard_error).all() and not np.isnan(found.mean).any()
    assert lorentz.specificity(np.zeros((0, 5)), cloud(3, 5, 2)).mean.shape == (0,)


@pytest.mark.parametrize("apex", ["references", "rows"])
@pytest.mark.parametrize("m", [11, 130])
def test_one_hash_for_any_threads_and_blocks(
    apex: Any, m: int, levels: tuple[str, ...], pinned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.r_[cloud(400, 40, 1), cloud(30, 40, 2)].astype(np.float32)
    references = np.r_[cloud(m - 10, 40, 2), rows[:10]].astype(np.float32)

    def values() -> Any:
        found = lorentz.specificity(rows, references, apex=apex)
        every = lorentz.exterior_angle(rows, references, all_pairs=True)
        paired = lorentz.distance(rows[: len(references)], references)
        return tuple(getattr(found, field) for field in FIELDS) + (every, paired)

    by_level = {}
    for isa in levels:
        hashes = set()
        for threads in (1, 2, 5):
            with pinned(isa=isa, threads=threads):
                by_level[isa] = values()
                hashes.add(sha256(*by_level[isa]))
        with pinned(isa=isa), monkeypatch.context() as patch:
            patch.setattr(tamis._array, "BLOCK_BYTES", 40 * 4 * 7)
            hashes.add(sha256(*values()))
        assert len(hashes) == 1
    first = by_level[levels[0]]
    for found in by_level.values():
        for value, expected in zip(found, first, strict=True):
            np.testing.assert_allclose(value, expected, rtol=0, atol=2e-6)
        np.testing.assert_allclose(found[0], first[0], rtol=0, atol=TOLERANCE)


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    rows, references = cloud(300, 24, 1).astype(np.float16), cloud(100, 24, 2).astype(np.float16)
    whole = lorentz.specificity(rows, references)
    for size in (1, 47, 48, 49, 199):
        part = lorentz.specificity(rows[5 : 5 + size], references)
        for field in FIELDS:
            assert_same_bits(getattr(part, field), getattr(whole, field)[5 : 5 + size], field)


def test_the_rounding_mode_of_the_caller_changes_nothing() -> None:
    round_to = ctypes.CDLL(None).fesetround
    rows, references = cloud(100, 24, 1), cloud(100, 24, 2)

    def values() -> Any:
        sums = tamis._native.cpu.lorentz_specificity(rows, references, 0, 1.0, True, 0.1)[:4]
        return *sums, tamis._native.cpu.lorentz_paired(rows, references, 0, 1.0, 2, 0.1)

    expected = sha256(*values())
    assert round_to(0x800) == 0  # upwards
    try:
        found = sha256(*values())
    finally:
        round_to(0)
    assert found == expected


def test_memory_maps_are_read_in_blocks(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, references = cloud(90, 24, 1).astype(np.float16), cloud(60, 24, 2).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    monkeypatch.setattr(tamis._array, "BLOCK_BYTES", 4096)
    found = lorentz.specificity(np.load(tmp_path / "rows.npy", mmap_mode="r"), references)
    expected = lorentz.specificity(rows.astype(np.float32), references)
    np.testing.assert_array_equal(found.mean, expected.mean)
