"""tamis.canonical equals the reference to the bit, whatever array the rows come in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cases
import tamis
from bits import assert_same_bits
from tamis.kernels import reference

DTYPES = ("float16", "float32", "float64", "bfloat16")
ANY_ROWS = st.one_of(
    *(
        hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20),
            elements=st.floats(width=width) | st.sampled_from([0.0, -0.0, 1.0, -1.0]),
        )
        for dtype, width in ((np.float16, 16), (np.float32, 32), (np.float64, 64))
    )
)


def values(n: int, d: int, dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    x = np.random.default_rng(seed).standard_normal((n, d))
    x[:, ::3] *= 1e-4
    return x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", cases.DIMS)
def test_every_dtype_and_width(d: int, dtype: str, levels: Any, pinned: Any) -> None:
    x = values(37, d, dtype)
    expected = reference.canonical(x)
    for level in levels:
        with pinned(isa=level):
            assert_same_bits(tamis.canonical(x), expected, (d, dtype, level))


@pytest.mark.parametrize("name", cases.FAMILIES)
def test_canonical_rows_are_taken_as_they_are(name: str) -> None:
    for d in cases.DIMS:
        x = cases.FAMILIES[name](9, d, d)
        rows, bad = tamis.canonical(x)
        assert_same_bits(rows, x, (name, d))
        assert not bad.any()
        for wider in (np.float32, np.float64):
            assert_same_bits(tamis.canonical(x.astype(wider))[0], x, (name, d, wider))


@given(ANY_ROWS)
@settings(max_examples=500)
def test_any_bits(x: np.ndarray[Any, Any]) -> None:
    rows, bad = tamis.canonical(x)
    assert_same_bits((rows, bad), reference.canonical(x))
    if not bad.any():
        assert_same_bits(tamis.canonical(rows)[0], rows)


def test_norms_at_the_edges_of_the_unit_interval() -> None:
    edge = np.array([1 - 2.0**-10, 1 + 2.0**-10])
    x = np.concatenate([edge, np.nextafter(edge, 0), np.nextafter(edge, 2)])[:, None]
    x = np.concatenate([x, np.sqrt(edge)[:, None], [[np.float16(0.9985)], [np.float16(1.002)]]])
    for width in (1, 2, 9):
        padded = np.pad(x, ((0, 0), (width - 1, 0)))
        assert_same_bits(tamis.canonical(padded), reference.canonical(padded), width)
    # All float16 rows of two elements near the edges.
    a = np.arange(0.5, 1, 2.0**-11)
    b = np.sqrt(np.maximum(np.array([[edge[0]], [edge[1]]]) ** 2 - a**2, 0)).astype(np.float16)
    near = b.view(np.uint16)[..., None] + np.array([-1, 0, 1], dtype=np.int16).view(np.uint16)
    b = near.view(np.float16).reshape(2, -1, 3)
    pairs = np.stack([np.broadcast_to(a[:, None], b.shape), b.astype(np.float64)], axis=-1)
    pairs = pairs.reshape(-1, 2)
    assert_same_bits(tamis.canonical(pairs), reference.canonical(pairs))


def test_ties_of_the_last_rounding_go_to_even_and_are_rounded_once() -> None:
    # |x| = 1 up to float64's last bit: elements near the middle between two float16 numbers.
    middle = (1 + 2.0 * np.arange(1, 400)) * 2.0**-12
    rest = np.sqrt(1 - middle**2)
    x = np.column_stack([middle, rest])
    for step in (0, 2.0**-53, -(2.0**-53), 2.0**-40, -(2.0**-40)):
        assert_same_bits(tamis.canonical(x + [step, 0]), reference.canonical(x + [step, 0]), step)


def test_rows_that_would_overflow_or_underflow() -> None:
    x = np.random.default_rng(0).standard_normal((2000, 11))
    x[:1000] = cases.unit_rows(1000, 11, 1)
    power = np.random.default_rng(1).choice(
        [-1074, -1040, -1000, -600, -449, -450, -451, 511, 512, 600, 1020], 2000
    )
    x = np.ldexp(x, power[:, None])
    rows, bad = tamis.canonical(x)
    assert_same_bits((rows, bad), reference.canonical(x))
    mixed = x.copy()
    mixed[:, 3] = np.where(np.arange(2000) % 2, 5e-324, 1.7e308)
    assert_same_bits(tamis.canonical(mixed), reference.canonical(mixed))


@pytest.mark.parametrize("dtype", DTYPES)
def test_bad_rows_are_marked_zeroed_and_touch_no_other(dtype: str) -> None:
    for value in (np.nan, np.inf, -np.inf, 0.0, -0.0):
        for row in (0, 1, 62, 63, 64, 99):
            x = values(100, 13, dtype)
            clean = tamis.canonical(x)[0]
            if value == 0:
                x[row] = value
            else:
                x[row, 12] = value
            rows, bad = tamis.canonical(x)
            assert np.flatnonzero(bad).tolist() == [row]
            clean[row] = 0
            assert_same_bits(rows, clean, (value, row))


@pytest.mark.parametrize("dtype", DTYPES)
def test_strides_orders_and_read_only_arrays(dtype: str) -> None:
    x = values(24, 18, dtype)
    odd_base = np.empty((24, 40), dtype=x.dtype)
    odd_base[:, 3:39:2] = x
    unaligned = np.frombuffer(b"\0" + x.tobytes(), dtype=np.uint8)[1:].view(x.dtype)
    frozen = x.copy()
    frozen.flags.writeable = False
    for name, view in {
        "negative": x[::-1, ::-1],
        "fortran": np.asfortranarray(x),
        "transpose": x.T,
        "slice": odd_base[:, 3:39:2],
        "every other row": x[1::2],
        "broadcast": np.broadcast_to(x[3], (5, 18)),
        "unaligned": unaligned.reshape(24, 18),
        "read-only": frozen,
        "one column": x[:, 4:5],
    }.items():
        before = view.tobytes()
        assert_same_bits(tamis.canonical(view), reference.canonical(view.copy()), name)
        assert view.tobytes() == before, name


def test_big_endian_rows() -> None:
    x = values(9, 17, "float32")
    assert_same_bits(tamis.canonical(x.astype(">f4")), reference.canonical(x))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_memory_maps(dtype: str, tmp_path: Path) -> None:
    x = values(3000, 65, dtype)
    x[1234, 5] = np.nan
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert_same_bits(tamis.canonical(mapped), reference.canonical(x))


def test_the_result_is_a_new_writable_array() -> None:
    x = cases.unit_rows(5, 8)
    rows, bad = tamis.canonical(x)
    assert rows.flags.writeable and rows.flags.c_contiguous and bad.dtype == np.bool_
    assert not np.shares_memory(rows, x)


def test_no_rows() -> None:
    for dtype in DTYPES:
        rows, bad = tamis.canonical(values(0, 7, dtype))
        assert rows.shape == (0, 7) and rows.dtype == np.float16 and bad.shape == (0,)


def test_sequences_of_rows_are_arrays() -> None:
    assert_same_bits(tamis.canonical([[3.0, 4.0]])[0], np.array([[0.6, 0.8]], dtype=np.float16))


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(3, dtype=np.float32),
        np.zeros((), dtype=np.float32),
        np.zeros((2, 3), dtype=np.complex64),
        np.array([["a", "b"]]),
        np.array([[{}, {}]], dtype=object),
        np.zeros((2, 2, 2, 2), dtype=np.float32),
        "rows.npy",
        None,
    ],
    ids=["1-D", "0-D", "complex", "text", "object", "4-D", "a path", "None"],
)
def test_what_is_no_matrix_is_refused_in_one_sentence(x: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        tamis.canonical(x)
    text = str(caught.value)
    assert "\n" not in text and len(text) > 20
    assert re.search(r"expect|must|support|need|2-D|float", text), text


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")  # the same bits come through ml_dtypes above
    x = torch.from_numpy(values(20, 33, "float32"))
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        tensor = x.to(dtype)
        assert_same_bits(
            tamis.canonical(tensor), reference.canonical(tensor.double().numpy()), dtype
        )
