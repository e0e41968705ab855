"""The projection is exact, to the bit, however it is computed."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.filters.hype.makers import random_rows, small_adapter

from tamis.errors import PoolError
from tamis.filters.hype import adapter as module
from tamis.filters.hype.adapter import Adapter
from tamis.kernels.canonical import canonical

HALF = np.float16
FINITE = hnp.from_dtype(np.dtype(HALF), allow_nan=False, allow_infinity=False)
SMALL = st.integers(0, 1023).map(lambda bits: np.uint16(bits).view(HALF))  # subnormals and zero
SCALES = st.floats(2.0**-64, 2.0**64)


def adapter_of(weight: np.ndarray, scale: float = 1.0) -> Adapter:
    other = np.ones((len(weight), 1), HALF)
    return Adapter({"image": weight, "text": other}, {"image": scale, "text": 1.0}, 1.0, 0.0)


def by_integers(weight: np.ndarray, rows: np.ndarray, scale: float) -> np.ndarray:
    """The definition: an exact sum, one rounding for the scale and one to float32."""
    whole = [(x.astype(np.float64) * 2.0**24).astype(np.int64) for x in (rows, weight)]
    sums = whole[0] @ whole[1].T
    assert np.abs(sums).max(initial=0) < 1 << 53
    return (sums * 2.0**-48 * scale).astype(np.float32)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    dim, n_rows, out = draw(st.integers(1, 24)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    element = draw(st.sampled_from([FINITE, SMALL, st.one_of(FINITE, SMALL)]))
    given_rows = draw(hnp.arrays(HALF, (n_rows, dim), elements=element))
    rows, _ = canonical(given_rows)
    weight = draw(hnp.arrays(HALF, (out, dim), elements=element))
    exact = weight.astype(np.float64)
    longest = np.sqrt((exact * exact).sum(axis=1).max())
    if longest > 16:
        weight = (exact * (15.99 / longest)).astype(HALF)
    assume(np.sqrt((weight.astype(np.float64) ** 2).sum(axis=1).max()) <= 16)
    return weight, rows, draw(SCALES)


@given(problems(), st.randoms(use_true_random=False))
def test_sums_are_those_of_fractions_in_any_order(
    problem: tuple[np.ndarray, np.ndarray, float], random: Any
) -> None:
    weight, rows, scale = problem
    found = adapter_of(weight, scale).project(rows, "image")
    assert same_bits(found, by_integers(weight, rows, scale) + np.float32(0))
    for row, vector in enumerate(rows.tolist()):
        for out, factors in enumerate(weight.tolist()):
            pairs = zip(factors, vector, strict=True)
            exact = sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0))
            assert Fraction(float(exact)) == exact
            assert found[row, out] == np.float32(float(exact) * scale)
    order = list(range(rows.shape[1]))
    random.shuffle(order)
    mixed = adapter_of(np.ascontiguousarray(weight[:, order]), scale).project(
        rows[:, order], "image"
    )
    assert same_bits(mixed, found)


@given(problems(), st.integers(1, 60))
def test_blocks_do_not_matter(problem: tuple[np.ndarray, np.ndarray, float], numbers: int) -> None:
    weight, rows, scale = problem
    whole = adapter_of(weight, scale).project(rows, "image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_NUMBERS", numbers)
        assert same_bits(adapter_of(weight, scale).project(rows, "image"), whole)
    single = [adapter_of(weight, scale).project(row[None], "image") for row in rows]
    assert same_bits(np.concatenate(single), whole)
    reverse = adapter_of(np.asfortranarray(weight), scale).project(rows[::-1], "image")
    assert same_bits(np.ascontiguousarray(reverse[::-1]), whole)


def test_the_smallest_product_survives_the_largest_sums() -> None:
    # 11.3 / sqrt(2) and back, with 2^-24 * 2^-24 between; any rounding on the way would lose it.
    tiny = 2.0**-24
    weight = np.array([[11.3, tiny, -11.3, 0]], HALF)
    rows = np.array([[0.7071, tiny, 0.7071, 0]], HALF)
    assert adapter_of(weight).project(rows, "image").tolist() == [[2.0**-48]]
    assert adapter_of(weight, 2.0**-64).project(rows, "image").tolist() == [[2.0**-112]]
    one = np.array([[1, 0, 0, 0]], HALF)
    edge = np.array([[16, 0, 0, 0]], HALF)
    assert adapter_of(edge, 2.0**64).project(one, "image").tolist() == [[2.0**68]]


def test_real_sizes_are_exact_and_cut_freely(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = canonical(random_rows(300, 768, seed=1))
    weight = (random_rows(64, 768, seed=2) * 15).astype(HALF)
    rows[5] = 0
    expected = by_integers(weight, rows, 0.3)
    assert same_bits(adapter_of(weight, 0.3).project(rows, "image"), expected)
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 768 * 7)
    assert same_bits(adapter_of(weight, 0.3).project(rows, "image"), expected)
    assert not expected[5].any()


def test_memory_is_that_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = canonical(random_rows(40_000, 16))
    adapter = adapter_of(np.eye(4, 16, dtype=HALF))
    adapter.project(rows[:1], "image")
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 1 << 14)
    tracemalloc.start()
    try:
        found = adapter.project(rows, "image")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < found.nbytes + 4 * 8 * (1 << 14) < rows.size * 8


@pytest.mark.parametrize("n_rows", [1, 2, 40])
def test_a_zero_has_one_sign(n_rows: int) -> None:
    rows = np.tile(np.array([[0.6, 0.8]], HALF), (n_rows, 1))
    for weight in ([[-0.0, -0.0]], [[0.0, -0.0]], [[-0.0, 0.0], [-0.0, -0.0]]):
        found = adapter_of(np.array(weight, HALF)).project(rows, "image")
        assert not np.signbit(found).any()


def test_no_rows() -> None:
    found = adapter_of(np.ones((3, 2), HALF)).project(np.empty((0, 2), HALF), "image")
    assert found.shape == (0, 3) and found.dtype == np.float32


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (np.ones((2, 2), np.float32), r"float16 \(n, 2\), got float32 \(2, 2\)"),
        (np.zeros((2, 3), HALF), r"got float16 \(2, 3\)"),
        (np.zeros(2, HALF), r"got float16 \(2,\)"),
        (np.array([[0.8, 0.8]], HALF), "got one longer than 1"),
        (np.array([[0.0, np.nan]], HALF), "got one longer than 1"),
        (np.array([[0.0, np.inf]], HALF), "got one longer than 1"),
    ],
)
def test_rows_that_are_not_canonical(rows: np.ndarray, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        adapter_of(np.ones((3, 2), HALF)).project(rows, "image")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"curvature": 0.0}, "expected a curvature that is a finite number above 0, got 0.0"),
        ({"logit_scale": float("nan")}, "expected a finite logit_scale, got nan"),
        ({"scales": {"image": 0.0, "text": 1.0}}, r"image.scale from 2\^-64 to 2\^64, got 0.0"),
        ({"scales": {"image": 1.0, "text": float("nan")}}, "text.scale .* got nan"),
        ({"scales": {"image": 1.0, "text": -1.0}}, "text.scale .* got -1.0"),
        ({"scales": {"image": float("inf"), "text": 1.0}}, "image.scale .* got inf"),
    ],
)
def test_numbers_that_are_none(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        small_adapter(**change)


@pytest.mark.parametrize(
    ("weight", "told"),
    [
        (np.ones((2, 2), np.float32), r"image.weight to be float16 \(D, dim\), got float32"),
        (np.ones(2, HALF), r"got float16 \(2,\)"),
        (np.empty((0, 2), HALF), r"got float16 \(0, 2\)"),
        (np.array([[1, np.nan]], HALF), "image.weight holds NaN or an infinite value"),
        (np.array([[1, np.inf]], HALF), "image.weight holds NaN or an infinite value"),
        (np.array([[1, 0], [16, 0.5]], HALF), "image.weight no longer than 16, got 16.01"),
    ],
)
def test_weights_that_cannot_be_used(weight: np.ndarray, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        adapter_of(weight)


def test_maps_into_two_spaces() -> None:
    weights = {"image": np.ones((2, 2), HALF), "text": np.ones((3, 2), HALF)}
    with pytest.raises(ValueError, match=r"maps into one space, got image.weight \(2, 2\)"):
        Adapter(weights, {"image": 1.0, "text": 1.0}, 1.0, 0.0)


def test_what_a_model_is() -> None:
    adapter = small_adapter()
    assert adapter.dims == {"image": 8, "text": 6}
    space = adapter.space
    assert (space.dim, space.curvature, space.kind) == (5, 0.1, "tangent")
    assert space.model == adapter.model == small_adapter(note="another note").model
    others = [
        small_adapter(seed=9),
        small_adapter(curvature=0.2),
        small_adapter(scales={"image": 0.5, "text": 0.26}),
        small_adapter(logit_scale=2.0),
    ]
    assert len({adapter.model, *(other.model for other in others)}) == 5


ENCODER = {"model": "open_clip:ViT-B-32", "weights": "ab" * 32, "torch": "2.1"}


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ({**ENCODER, "torch": "2.2"}, None),
        (None, None),
        (
            {**ENCODER, "weights": "cd" * 32},
            r"trained on image embeddings of open_clip:ViT-B-32 \(abababababab\), these are of "
            r"open_clip:ViT-B-32 \(cdcdcdcdcdcd\)",
        ),
        ({**ENCODER, "prompt": "query: "}, "train another"),
    ],
)
def test_embeddings_of_another_encoder(encoder: dict[str, Any] | None, told: str | None) -> None:
    origin = {"embedding": "img_emb", "dim": 8, "encoder": ENCODER}
    adapter = small_adapter(origins={"image": origin})
    given_origin = origin | {"encoder": encoder}
    if told is None:
        adapter.require_origin("image", given_origin)
    else:
        with pytest.raises(PoolError, match=told):
            adapter.require_origin("image", given_origin)
    with pytest.raises(PoolError, match="takes image embeddings of 8 dimensions, these have 9"):
        adapter.require_origin("image", given_origin | {"dim": 9})


def test_encoders_without_a_hash_are_compared_whole() -> None:
    encoder = {"model": "somebody's", "version": 1}
    adapter = small_adapter(origins={"image": {"encoder": encoder}})
    origin = {"embedding": None, "dim": 8, "encoder": encoder}
    adapter.require_origin("image", origin)
    with pytest.raises(PoolError, match="trained on image embeddings of somebody's"):
        adapter.require_origin("image", origin | {"encoder": encoder | {"version": 2}})


def test_a_model_is_of_shapes_too() -> None:
    numbers = np.arange(12, dtype=np.float16) / 16
    maps = {"image": numbers.reshape(2, 6), "text": numbers.reshape(2, 6)}
    turned = {side: weight.reshape(3, 4) for side, weight in maps.items()}
    scalars = dict.fromkeys(maps, 1.0), 0.1, 2.6
    assert Adapter(maps, *scalars).model != Adapter(turned, *scalars).model


@pytest.mark.parametrize("known", ["a text", 3, [1], {}])
def test_a_told_encoder_that_is_none_checks_nothing(known: object) -> None:
    adapter = small_adapter(origins={"image": {"encoder": known}})
    adapter.require_origin("image", {"embedding": None, "dim": 8, "encoder": None})
