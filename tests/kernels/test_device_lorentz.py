"""`tamis.lorentz` of arrays on a GPU: the CPU's values within 1e-6; the GPU is the emulated one."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.cuda.extension import emulated_cuda
from tests.cuda.fake_gpu import DeviceArray, Gpu, fake_gpu

import cases
import tamis
from bits import assert_same_bits
from tamis import _native, lorentz
from tamis.cuda import lorentz_check, self_check
from tamis.cuda.problem import DIMS, make_problem

KINDS = ("tangent", "space", "lorentz", "poincare")
PAIRED = {
    "inner": lorentz.inner,
    "distance": lorentz.distance,
    "exterior_angle": lorentz.exterior_angle,
    "entailment": lorentz.entailment,
}


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with fake_gpu(emulated_cuda()) as fake:
        yield fake
    _given.clear()


_given: list[DeviceArray] = []  # kept while the stream may read them


def there(values: Any, ordinal: int = 0) -> DeviceArray:
    _given.append(DeviceArray(np.array(values), ordinal))
    return _given[-1]


def cloud(n: int, d: int, seed: int, dtype: Any = "float64") -> Any:
    """Rows of norms from 0.05 to 0.9, which are points of every kind but "lorentz"."""
    rng = np.random.default_rng(seed)
    v = rng.standard_normal((n, d))
    return (v / np.linalg.norm(v, axis=1, keepdims=True) * rng.uniform(0.05, 0.9, (n, 1))).astype(
        dtype
    )


def points(
    n: int, d: int, seed: int, kind: str, dtype: Any = "float64", curvature: float = 1.0
) -> Any:
    """Rows of a kind, with marked ones."""
    x = cloud(n, d, seed, "float64")
    if kind == "lorentz":
        x = np.concatenate(
            [np.sqrt(1 / curvature + np.square(x).sum(axis=1, keepdims=True)), x], axis=1
        )
    x[3], x[5, 0], x[7] = 0, np.nan, 3 * x[7]
    return x.astype(dtype)


def assert_near(found: Any, expected: Any) -> None:
    assert isinstance(found, DeviceArray)
    assert found.values.dtype == expected.dtype
    np.testing.assert_allclose(found.values, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ml_dtypes.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_radii_states_and_apertures(kind: Any, dtype: Any, gpu: Gpu) -> None:
    x = points(40, 19, 1, kind, dtype)
    expected = lorentz.radii(x, kind=kind)
    found = lorentz.radii(there(x), kind=kind)
    assert_near(found.radius, expected.radius)
    assert_near(found.norm, expected.norm)
    assert_same_bits(found.state.values, expected.state)  # type: ignore[attr-defined]
    assert found.counts == expected.counts and len(found.counts) > 1
    options: dict[str, Any] = {"kind": kind, "min_radius": 0.2}
    assert_near(lorentz.half_aperture(there(x), **options), lorentz.half_aperture(x, **options))


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("curvature", [0.3, 1.0])
def test_pairs(curvature: float, kind: Any, name: str, gpu: Gpu) -> None:
    x, y = (points(50, 33, seed, kind, curvature=curvature) for seed in (1, 2))
    y[20:30] = x[20:30]
    options: dict[str, Any] = {"curvature": curvature, "kind": kind}
    assert_near(PAIRED[name](there(x), there(y), **options), PAIRED[name](x, y, **options))


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("kind", KINDS)
def test_all_pairs_are_pairs(kind: Any, name: str, gpu: Gpu) -> None:
    x, y = points(9, 11, 1, kind, "float32"), points(37, 11, 2, kind, "float32")
    found: Any = PAIRED[name](there(x), there(y), kind=kind, all_pairs=True)
    one_by_one = PAIRED[name](np.repeat(x, 37, axis=0), np.tile(y, (9, 1)), kind=kind)
    assert_near(found, one_by_one.reshape(9, 37).astype(np.float32))
    assert np.isnan(found.values[5]).all() and np.isnan(found.values[:, 5]).all()
    nothing: Any = PAIRED[name](there(x[:0]), there(y), kind=kind, all_pairs=True)
    assert nothing.values.shape == (0, 37)


def test_an_aperture_has_its_own_least_radius(gpu: Gpu) -> None:
    x, y = cloud(20, 8, 1), cloud(20, 8, 2)
    for least in (0.01, 0.4):
        expected = lorentz.entailment(x, y, min_radius=least)
        assert_near(lorentz.entailment(there(x), there(y), min_radius=least), expected)


@pytest.mark.parametrize("one", ["float16", "float32", "float64", ml_dtypes.bfloat16])
@pytest.mark.parametrize("other", ["float16", "float64", ml_dtypes.bfloat16])
def test_dtypes_may_be_mixed(one: Any, other: Any, gpu: Gpu) -> None:
    x, y = cloud(20, 8, 1, one), cloud(20, 8, 2, other)
    assert_near(lorentz.distance(there(x), there(y)), lorentz.distance(x, y))


def test_no_rows(gpu: Gpu) -> None:
    x = cloud(3, 5, 1)[:0]
    assert lorentz.radii(there(x)).counts == {}
    for call in PAIRED.values():
        assert call(there(x), there(x)).values.shape == (0,)  # type: ignore[attr-defined]
    assert lorentz.half_aperture(there(x)).values.shape == (0,)  # type: ignore[attr-defined]


# --- specificity --------------------------------------------------------------------------------


@pytest.mark.parametrize("apex", ["references", "rows"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtypes", [("float16", "float16"), ("float32", "float64")])
def test_specificity(dtypes: tuple[str, str], kind: Any, apex: Any, gpu: Gpu) -> None:
    rows = points(30, 40, 1, kind, dtypes[0], 0.9)
    references = points(150, 40, 2, kind, dtypes[1], 0.9)
    options: dict[str, Any] = {"kind": kind, "apex": apex, "min_radius": 0.03, "curvature": 0.9}
    expected = lorentz.specificity(rows, references, **options)
    found: Any = lorentz.specificity(there(rows), there(references), **options)
    for name in ("mean", "standard_error", "clamped_mean"):
        value, wanted = getattr(found, name), getattr(expected, name)
        assert_near(value, wanted)
        assert np.isnan(wanted).any() and not np.isnan(wanted).all()
    assert_same_bits(found.entailed.values, expected.entailed)
    assert_same_bits(found.state.values, expected.state)
    assert_same_bits(found.reference_state.values, expected.reference_state)
    assert found.counts == expected.counts
    assert found.reference_counts == expected.reference_counts
    assert found.n_references == expected.n_references < 150


def test_specificity_of_few_references_and_of_no_rows(gpu: Gpu) -> None:
    x, few = cloud(20, 8, 1), cloud(1, 8, 2)
    expected = lorentz.specificity(x, few)
    found: Any = lorentz.specificity(there(x), there(few))
    assert_near(found.mean, expected.mean)
    assert np.isnan(found.standard_error.values).all()
    assert found.redone == expected.redone == 20
    nothing: Any = lorentz.specificity(there(x[:0]), there(few))
    assert nothing.mean.values.shape == (0,) and nothing.redone == 0


def test_a_split_of_the_rows_changes_no_bit(gpu: Gpu) -> None:
    x, references = cloud(200, 24, 1, "float32"), there(cloud(150, 24, 2, "float32"))
    whole: Any = lorentz.specificity(there(x), references)
    parts: list[Any] = [
        lorentz.specificity(there(x[start : start + 70]), references) for start in (0, 70, 140)
    ]
    together = np.concatenate([part.mean.values for part in parts])
    assert_same_bits(whole.mean.values, together)


@pytest.mark.parametrize(
    ("rows", "references", "options"),
    [
        (cloud(4, 3, 1), cloud(4, 2, 1), {}),
        (cloud(4, 3, 1), cloud(0, 3, 1), {}),
        (cloud(4, 3, 1), cloud(4, 3, 1) * np.nan, {}),
        (cloud(4, 3, 1), cloud(4, 3, 1), {"apex": "both"}),
        (cloud(4, 3, 1), cloud(4, 3, 1), {"min_radius": 0.0}),
        (cloud(4, 3, 1), cloud(4, 3, 1), {"curvature": -1.0}),
    ],
)
def test_specificity_refuses_as_on_the_cpu(
    rows: Any, references: Any, options: Any, gpu: Gpu
) -> None:
    with pytest.raises(ValueError, match=r".") as expected:
        lorentz.specificity(rows, references, **options)
    with pytest.raises(ValueError) as found:  # noqa: PT011 - the texts are compared
        lorentz.specificity(there(rows), there(references), **options)
    assert str(found.value) == str(expected.value)


def test_specificity_in_one_place_and_stable(gpu: Gpu) -> None:
    x = cloud(4, 3, 1)
    with pytest.raises(ValueError, match="rows is on cuda:1 and references in host memory"):
        lorentz.specificity(there(x, 1), x)
    with pytest.raises(ValueError, match=r'^mode="paper" takes arrays in host memory, rows is on'):
        lorentz.specificity(there(x), there(x), mode="paper")


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIRED)
def test_what_a_gpu_does_not_offer(name: str, gpu: Gpu) -> None:
    x, call = there(cloud(4, 3, 1), 1), PAIRED[name]
    with pytest.raises(ValueError, match=r'^mode="paper" takes arrays in host memory, .* cuda:1'):
        call(x, x, mode="paper")
    for alone in (lorentz.lift, lorentz.log_map):
        with pytest.raises(ValueError, match="expected an array in host memory, got one on cuda:1"):
            alone(x)
    with pytest.raises(ValueError, match="expected an array in host memory, got one on cuda:1"):
        lorentz.half_aperture(x, mode="paper")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((cloud(4, 3, 1), cloud(5, 3, 1)), {}),
        ((cloud(4, 3, 1), cloud(4, 2, 1)), {}),
        ((cloud(4, 1, 1), cloud(4, 1, 1)), {"kind": "lorentz"}),
        ((cloud(4, 3, 1), cloud(4, 3, 1)), {"kind": "sphere"}),
        ((cloud(4, 3, 1), cloud(4, 3, 1)), {"curvature": 0.0}),
        ((cloud(4, 3, 1), cloud(4, 3, 1)), {"mode": "fast"}),
        ((cloud(4, 3, 1)[0], cloud(4, 3, 1)), {}),
    ],
)
def test_arguments_are_refused_as_on_the_cpu(arguments: Any, options: Any, gpu: Gpu) -> None:
    with pytest.raises(ValueError, match=r".") as expected:
        lorentz.distance(*arguments, **options)
    with pytest.raises(ValueError) as found:  # noqa: PT011 - the texts are compared
        lorentz.distance(*map(there, arguments), **options)
    assert str(found.value) == str(expected.value)


def test_arrays_in_two_places_are_refused(gpu: Gpu) -> None:
    x = cloud(4, 3, 1)
    with pytest.raises(ValueError, match="apex is on cuda:0 and point in host memory"):
        lorentz.exterior_angle(there(x), x)
    with pytest.raises(ValueError, match="x is on cuda:0 and y on cuda:1"):
        lorentz.distance(there(x), there(x, 1))


def test_a_full_gpu_is_one_error_and_leaks_nothing(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = there(cloud(300, 20, 1))
    calls: list[Any] = [
        lorentz.radii,
        lorentz.half_aperture,
        lambda x: lorentz.distance(x, x),
        lambda x: lorentz.specificity(x, x),
    ]
    for call in calls:
        monkeypatch.setattr(gpu, "room", 500)
        with pytest.raises(MemoryError, match=r"^cuda:0 has no room for .* bytes more"):
            call(x)
        gc.collect()
        assert gpu.in_use == 0
        monkeypatch.setattr(gpu, "room", 1 << 30)
        call(x)


# --- the self-check -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "out", "byte"),
    [
        ("lorentz_radii", 6, 6),
        ("lorentz_radii", 8, 0),
        ("lorentz_paired", 9, 804),
        ("lorentz_specificity", 10, 86),
        ("lorentz_specificity", 13, 80),
    ],
)
def test_a_wrong_value_refuses_the_gpu(
    kernel: str, out: int, byte: int, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_check, "_checked", set())
    monkeypatch.setattr(self_check, "_exact_operations", lambda: iter(()))
    module: Any = _native._module
    right = module.kernel(kernel)

    def wrong(*args: Any, **kwargs: Any) -> None:
        right(*args, **kwargs)
        ctypes.c_uint8.from_address(args[out] + byte).value ^= 0x40

    with monkeypatch.context() as patch:
        patch.setitem(module.replaced, kernel, wrong)
        with pytest.raises(
            RuntimeError, match=r"^cuda:1 cannot be used: lorentz of cuda:1 differs"
        ):
            tamis.canonical(there(cases.unit_rows(5, 4), 1))
    lorentz.radii(there(cloud(4, 3, 1)))


@pytest.mark.parametrize("dim", DIMS)
def test_the_points_of_the_self_check(dim: int) -> None:
    x, y = lorentz_check.make_points(make_problem(dim).raw)
    for dtype in lorentz_check.DTYPES:
        found = lorentz.radii(x.astype(dtype))
        assert set(found.counts) == {"ok", "zero", "clamped", "not_finite"}
        assert found.counts["ok"] > 200
        distance = lorentz.distance(x.astype(dtype), y.astype(dtype))
        assert (distance == 0).sum() >= 20 and np.nanmax(distance) > 11
        angle = lorentz.exterior_angle(x.astype(dtype), y.astype(dtype))
        assert np.nanmin(angle) == 0 and np.nanmax(angle) > 3.14
    expected = lorentz_check.on_cpu(make_problem(dim).raw)
    assert lorentz_check.near(expected, expected)
    for number, value in enumerate(expected):
        spoilt = list(expected)
        row = int(np.argmax(np.isfinite(value) & (value != 0)))
        spoilt[number] = value.copy()
        is_count = value.dtype.kind in "iu"
        spoilt[number][row] += 2 if is_count else 3e-6 * max(1, abs(value[row]))
        assert not lorentz_check.near(tuple(spoilt), expected), number
