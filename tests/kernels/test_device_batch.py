"""K-means of a batch on a GPU: one sequence of launches, the CPU's bits; the GPU is emulated."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.cuda.extension import emulated_cuda
from tests.cuda.fake_gpu import DeviceArray, FakeModule, Gpu, fake_gpu

import cases
import tamis
from bits import assert_same_bits
from tamis.cuda import kmeans, rows

Values = npt.NDArray[Any]


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with fake_gpu(emulated_cuda()) as fake:
        yield fake


@pytest.fixture
def calls(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What is asked of the module, and how often."""
    found: Counter[str] = Counter()

    def counted(name: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            found[name] += 1
            found[f"problems of {name}"] += kwargs.get("n_problems", 0)
            return function(*args, **kwargs)

        return call

    kernel = FakeModule.__getattr__
    monkeypatch.setattr(
        FakeModule, "__getattr__", lambda self, name: counted(name, kernel(self, name))
    )
    for name in ("copy", "synchronize"):
        monkeypatch.setattr(FakeModule, name, counted(name, getattr(FakeModule, name)))
    return found


def problems(n_problems: int, n: int, d: int, seed: int = 1) -> Values:
    """From clusters that lie far apart to none at all."""
    rng = np.random.default_rng(seed)
    spread = np.linspace(0.05, 3, n_problems)[:, None, None]
    centers = rng.standard_normal((n_problems, 6, d))[:, np.arange(n) % 6]
    return (centers + spread * rng.standard_normal((n_problems, n, d))).astype(np.float32)


def copies(d: int) -> Values:
    """Fewer distinct rows than clusters in some problems: clusters stay empty."""
    few = [
        np.tile(cases.unit_rows(distinct, d, distinct), (60 // distinct, 1))
        for distinct in (5, 60, 10)
    ]
    return np.stack(few)


def scales(d: int) -> Values:
    """Problems whose rows have powers of two of their own."""
    return problems(3, 60, d) * np.float32([[[1]], [[900]], [[0.002]]])


def unit(d: int) -> Values:
    """Float16 rows that are canonical in every problem but the second."""
    x = np.stack([cases.unit_rows(60, d, seed) for seed in range(3)])
    x[1] *= np.float16(0.75)
    return x


BATCHES = {
    "one": lambda d: problems(1, 60, d),
    "spread": lambda d: problems(5, 60, d),
    "copies": copies,
    "scales": scales,
    "float16": unit,
    "canonical": lambda d: unit(d)[::2].copy(),
    "bad norms": lambda d: unit(d).astype(np.float64),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "trained on all": {"max_iter": 30},
    "stopped early": {"max_iter": 2},
    "sampled": {"max_points_per_centroid": 5, "max_iter": 30},
    "no update": {"max_iter": 0},
}


def there(x: Values) -> DeviceArray:
    return DeviceArray(np.array(x))


def fields(result: tamis.KMeansResult) -> tuple[Any, ...]:
    return tuple(getattr(value, "values", value) for value in vars(result).values())


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("name", BATCHES)
def test_every_problem_has_the_bits_of_the_cpu(
    name: str, spherical: bool, options: dict[str, Any], gpu: Gpu
) -> None:
    for d in (5, 16):
        x = BATCHES[name](d)
        expected = fields(tamis.kmeans(x, 8, spherical=spherical, **options))
        found = fields(tamis.kmeans(there(x), 8, spherical=spherical, **options))
        assert_same_bits(found, expected, (name, d))
        found = fields(tamis.kmeans(x, 8, spherical=spherical, device="cuda", **options))
        assert_same_bits(found, expected, (name, d))


@pytest.mark.parametrize("spherical", [True, False])
def test_first_centroids_that_stay_empty(spherical: bool, gpu: Gpu) -> None:
    x = problems(4, 60, 7)
    init = np.concatenate([x[0, :6], 40 * x[1, :3], -x[0, :1]])
    options: dict[str, Any] = {"init": init, "spherical": spherical, "max_iter": 30}
    expected = tamis.kmeans(x, 10, **options)
    sizes = [np.bincount(labels, minlength=10) for labels in expected.labels]
    assert any((size == 0).any() for size in sizes)
    for result in (
        tamis.kmeans(there(x), 10, **options | {"init": there(init)}),
        tamis.kmeans(x, 10, device="cuda", **options),
    ):
        assert_same_bits(fields(result), fields(expected))


@pytest.mark.parametrize("spherical", [True, False])
def test_problems_stop_by_themselves(spherical: bool, calls: Counter[str]) -> None:
    x = problems(5, 90, 8)
    expected = tamis.kmeans(x, 6, spherical=spherical, max_iter=7)
    n_iter: Any = expected.n_iter
    assert len(set(n_iter.tolist())) > 2 and 0 < expected.converged.sum() < 5
    found = tamis.kmeans(there(x), 6, spherical=spherical, max_iter=7)
    assert_same_bits(fields(found), fields(expected))
    assert calls["problems of assign"] == (n_iter + 1).sum(), "the converged are left alone"
    assert calls["next_centroids"] == calls["count_changed"] == n_iter.max()


@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("place", [there, np.asarray])
def test_launches_and_waits_do_not_grow_with_the_batch(
    place: Any, spherical: bool, calls: Counter[str]
) -> None:
    made = []
    for n_problems, max_iter in ((2, 2), (2, 3), (7, 2), (7, 3)):
        x = place(np.stack([cases.unit_rows(200, 16, seed) for seed in range(n_problems)]))
        calls.clear()
        result = tamis.kmeans(x, 9, spherical=spherical, max_iter=max_iter, device="cuda")
        assert (np.asarray(result.n_iter) == max_iter).all()
        made.append(Counter({name: calls[name] for name in calls if " " not in name}))
    assert made[0] == made[2] and made[1] == made[3]
    more = made[1] - made[0]
    assert more.pop("fill") == 3
    launches = {"assign", "next_centroids", "add_rows", "count_changed", "copy", "synchronize"}
    assert more == dict.fromkeys({*launches, "assign_work_bytes", "add_rows_work_bytes"}, 1)


@pytest.mark.parametrize("limit", ["rows", "problems", "room", "no room"])
def test_a_batch_goes_in_groups(
    limit: str, gpu: Gpu, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = problems(5, 60, 7)
    expected = fields(tamis.kmeans(x, 6, max_iter=3))
    place: Any = np.asarray if "room" in limit else there
    if limit == "rows":
        monkeypatch.setattr(rows, "ROWS_AT_ONCE", 120)
    elif limit == "problems":
        monkeypatch.setattr(kmeans, "MOST_PROBLEMS", 2)
    else:
        each = 7 * (2 * 60 + 12 * 6)
        share = 2.5 * each if limit == "room" else 1.5 * each
        monkeypatch.setattr(kmeans, "ROOM_FOR_ROWS", share / gpu.room)
    found = fields(tamis.kmeans(place(x), 6, max_iter=3, device="cuda"))
    assert_same_bits(found, expected)
    assert calls["add_inertia"] == (5 if limit == "no room" else 3)


@pytest.mark.parametrize("place", [there, np.asarray])
def test_a_batch_of_nothing(place: Any, gpu: Gpu) -> None:
    with pytest.raises(ValueError, match="expected at least one slice") as expected:
        tamis.kmeans(problems(0, 60, 7), 6)
    with pytest.raises(ValueError, match="expected at least one slice") as found:
        tamis.kmeans(place(problems(0, 60, 7)), 6, device="cuda")
    assert str(found.value) == str(expected.value)
    for n in (0, 5):
        with pytest.raises(ValueError, match=f"between 1 and the {n} rows of x, got 6"):
            tamis.kmeans(place(problems(3, n, 7)), 6, device="cuda")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("spherical", [True, False])
def test_bad_rows_are_counted_in_their_problem(spherical: bool, dtype: str, gpu: Gpu) -> None:
    x = np.stack([cases.unit_rows(60, 7, seed) for seed in range(4)]).astype(dtype)
    x[2, [17, 40]], x[3, 1] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"2 of 60 rows.* the first is row 17") as expected:
        tamis.kmeans(x, 5, spherical=spherical)
    for place in (there, np.asarray):
        with pytest.raises(ValueError) as found:  # noqa: PT011 - the texts are compared
            tamis.kmeans(place(x), 5, spherical=spherical, device="cuda")
        assert str(found.value) == str(expected.value)


def test_a_batch_leaves_nothing_behind(gpu: Gpu) -> None:
    x = there(problems(4, 60, 7))
    for spherical in (True, False):
        tamis.kmeans(x, 6, spherical=spherical)
        tamis.kmeans(x.values, 6, spherical=spherical, device="cuda")
    gc.collect()
    assert gpu.in_use == 0
