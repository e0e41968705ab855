"""Canonical rows of the CUDA kernels have the bits of the CPU module's."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.cuda.library import Library

import cases
from bits import assert_same_bits, sha256
from tamis._native import cpu

Values = npt.NDArray[Any]
ELEMENTS = ("float16", "bfloat16", "float32", "float64")  # in the order of tamis::cuda::Element
DIMS = (1, 2, 7, 8, 9, 31, 64, 100, 513)


def typed(values: Values, element: str) -> Values:
    with np.errstate(over="ignore"):
        return values.astype(ml_dtypes.bfloat16 if element == "bfloat16" else element)


def emulated(
    library: Library, x: Values, *, rows: bool = True, shifts: tuple[int, int] = (0, 0)
) -> tuple[Values, Values]:
    """Rows (left poisoned without `rows`) and states.

    shifts: how many elements the memory of x and of the rows is off its alignment.
    """
    memory = library.empty(x.size + shifts[0], x.dtype)[shifts[0] :].reshape(x.shape)
    memory[...] = x
    out = library.empty(x.size + shifts[1], np.uint16)[shifts[1] :].reshape(x.shape)
    state = library.empty(len(x), np.uint8)
    element = ELEMENTS.index(x.dtype.name)
    library.call("emulated_canonical", memory, element, *x.shape, out if rows else None, state)
    return out.copy(), state.copy()


def expected(x: Values) -> tuple[Values, Values]:
    if x.dtype == np.float16:
        x = x.view(np.uint16)
    elif x.dtype.name == "bfloat16":
        x = (x.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    rows = np.empty(x.shape, np.uint16)
    state = cpu.canonical(x, rows)
    return rows, state


def adversarial(d: int, element: str, seed: int) -> Values:
    """Rows of every kind, 60 or more; the extremes of each element type are among them."""
    rng = np.random.default_rng(seed)
    facts = ml_dtypes.finfo(typed(np.zeros(1), element).dtype)
    largest, smallest = float(facts.max), float(facts.smallest_subnormal)
    alternating = np.where(np.arange(d) % 2, -1.0, 1.0)
    middle = (1 + 2 * np.arange(1, d + 1)) * 2.0**-12  # half way between float16 numbers
    kinds = [
        *(generate(2, d, seed).astype(np.float64) for generate in cases.FAMILIES.values()),
        rng.standard_normal((6, d)),
        rng.standard_normal((4, d)) * np.exp2(rng.uniform(-20, 15, (4, d))),
        alternating * [[1.0], [65504.0], [largest], [smallest], [3 * smallest]],
        smallest * rng.integers(-1023, 1024, (4, d)),
        np.stack([middle, -middle, middle / np.sqrt(d), middle + alternating * 2.0**-40]),
        cases.unit_rows(4, d, seed).astype(np.float64) * [[1 - 2.0**-10], [1 + 2.0**-10], [1], [2]],
        np.stack([np.zeros(d), -np.zeros(d)]),
    ]
    if element == "float64":
        power = rng.choice([-1074, -1030, -600, -451, -450, -449, 511, 512, 1000, 1019], (24, 1))
        scaled = np.ldexp(rng.standard_normal((24, d)), power)
        kinds += [scaled, np.ldexp(cases.unit_rows(24, d, seed).astype(np.float64), power)]
        kinds[-2][::2, d // 2] = rng.choice([5e-324, 2.0**-1022, 1.5e308, 1.0], 12)
    x = np.concatenate(kinds)
    bad = np.repeat(x[:4], 3, axis=0)
    bad[np.arange(12), rng.integers(d, size=12)] = np.tile([np.nan, np.inf, -np.inf], 4)
    bad[0] = np.inf
    with np.errstate(over="ignore", under="ignore"):
        return typed(rng.permutation(np.concatenate([x, bad])), element)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("d", DIMS)
def test_rows_of_every_kind(library: Library, d: int, element: str) -> None:
    hashes = set()
    x = adversarial(d, element, d)
    for seed, shifts in enumerate(((0, 0), (1, 0), (0, 1), (8, 8))):
        with library.configured(seed=seed, host_threads=1 + seed % 3):
            actual = emulated(library, x, shifts=shifts)
        assert_same_bits(actual, expected(x), (d, element, seed, shifts))
        hashes.add(sha256(*actual))
        library.forget()
    assert len(hashes) == 1
    found = set(expected(x)[1].tolist())
    assert found == {0, 1, 2, 3}, "all states are among the cases"


@pytest.mark.parametrize("element", ELEMENTS)
def test_any_number_of_rows(library: Library, element: str) -> None:
    for d in (7, 8):
        x = adversarial(d, element, 0)
        x = np.concatenate([x] * (1 + 400 // len(x)))
        for n in (0, 1, 2, 3, 4, 5, 8, 31, 32, 33, 63, 64, 65, 255, 256, 257, 400):
            assert_same_bits(emulated(library, x[:n]), expected(x[:n]), (d, n))
            library.forget()


@pytest.mark.parametrize("d", DIMS)
def test_unit_rows_are_taken_as_they_are(library: Library, d: int) -> None:
    x = np.concatenate([generate(5, d, d) for generate in cases.FAMILIES.values()])
    for n in (1, 3, len(x)):
        for shifts in ((0, 0), (1, 0), (0, 1)):
            rows, state = emulated(library, x[:n], shifts=shifts)
            assert_same_bits(rows, x[:n].view(np.uint16), (n, shifts))
            assert not state.any()
        rows, state = emulated(library, x[:n], rows=False)
        assert (rows == 0xFFFF).all() and not state.any()


@pytest.mark.parametrize("element", ELEMENTS)
def test_a_bad_row_touches_no_other(library: Library, element: str) -> None:
    x = typed(cases.unit_rows(40, 16).astype(np.float64), element)
    clean = emulated(library, x)[0]
    for row in (0, 3, 4, 31, 32, 39):
        for value in (np.nan, np.inf, 0.0):
            spoilt = x.copy()
            spoilt[row, slice(None) if value == 0 else 13] = value
            wanted = clean.copy()
            wanted[row] = 0
            rows, state = emulated(library, spoilt)
            assert_same_bits(rows, wanted, (row, value))
            assert np.flatnonzero(state >= 2).tolist() == [row]
            library.forget()


@pytest.mark.parametrize("element", ELEMENTS)
def test_without_rows_they_are_classified_only(library: Library, element: str) -> None:
    x = adversarial(9, element, 4)
    rows, state = emulated(library, x, rows=False)
    assert_same_bits(state, expected(x)[1])
    assert (rows == 0xFFFF).all()


def test_norms_at_the_edges_of_the_unit_interval(library: Library) -> None:
    edge = np.array([1 - 2.0**-10, 1 + 2.0**-10])
    x = np.concatenate([edge, np.nextafter(edge, 0), np.nextafter(edge, 2), np.sqrt(edge)])[:, None]
    # Rows of two float16 numbers near the edges.
    a = np.arange(0.5, 1, 2.0**-9)
    b = np.sqrt(np.maximum(edge[:, None] ** 2 - a**2, 0)).astype(np.float16)
    near = b.view(np.uint16)[..., None] + np.array([-1, 0, 1], dtype=np.int16).view(np.uint16)
    b = near.view(np.float16).reshape(2, -1, 3)
    pairs = np.stack([np.broadcast_to(a[:, None], b.shape), b.astype(np.float64)], axis=-1)
    pairs = pairs.reshape(-1, 2)
    for case in (x, pairs, np.pad(pairs, ((0, 0), (5, 0)))):
        for element in ("float16", "float32", "float64"):
            rows = typed(case, element)
            assert_same_bits(emulated(library, rows), expected(rows), element)
    states = set(expected(pairs.astype(np.float16))[1].tolist())
    assert states == {0, 1}


@given(
    st.one_of(
        *(
            hnp.arrays(
                f"uint{8 * np.dtype(typed(np.zeros(1), element).dtype).itemsize}",
                hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
            ).map(lambda words, e=element: words.view(typed(np.zeros(1), e).dtype))
            for element in ELEMENTS
        )
    )
)
@settings(max_examples=150)
def test_any_bits(built: Library, x: Values) -> None:
    try:
        assert_same_bits(emulated(built, x), expected(x))
    finally:
        built.forget()


@pytest.mark.parametrize("d", DIMS)
def test_squared_norms(library: Library, d: int) -> None:
    x = adversarial(d, "float16", d + 1)
    x = x[np.isfinite(x).all(axis=1)]
    squares = library.empty(len(x), np.float64)
    library.call("emulated_squared_norms", library.array(x.view(np.uint16)), *x.shape, squares)
    assert_same_bits(squares.copy(), cpu.squared_norms(x.astype(np.float64)))
