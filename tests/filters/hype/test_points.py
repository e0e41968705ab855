"""Rows as points, from each of their three sources, however they are cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.pools import write_datacomp, write_lists
from tests.filters.hype.makers import (
    BAD,
    DIM,
    ENCODER,
    N_ROWS,
    WEIGHTS,
    cut,
    small_adapter,
    tangents,
    write_step,
)

from tamis import lorentz
from tamis.filters.hype.points import Points, open_points
from tamis.filters.hype.space import Space
from tamis.kernels.canonical import canonical
from tamis.score import rows as rows_module


def of_step(folder: Path) -> Points:
    step = folder / "run/embeddings/meru"
    write_step(step, ENCODER, {"image": cut(tangents())})
    return open_points("image", folder / "run", step="meru")


def of_adapter(folder: Path) -> Points:
    np.save(folder / "rows.npy", tangents(3.0))
    return open_points("image", folder, pool=str(folder / "rows.npy"), adapter=small_adapter())


def of_archive(folder: Path) -> Points:
    """Compressed, so that rows are passed by window for window."""
    write_datacomp(folder / "pool", [N_ROWS], compressed=True)
    rows = {"here": tangents(), "other": np.zeros((N_ROWS, 2))}
    np.savez_compressed(folder / "pool/0000.npz", **rows)
    return open_points(
        "image", folder, pool=str(folder / "pool"), embedding="here", curvature=2.0, model="mine"
    )


def of_parquet(folder: Path) -> Points:
    rows = lorentz.lift(tangents(), curvature=0.5)
    rows[2] = 0
    rows[9] = np.nan
    whole = np.concatenate([np.sqrt(2 + (rows**2).sum(axis=1, keepdims=True)), rows], axis=1)
    whole[2] = 0
    write_lists(folder / "rows.parquet", whole.astype(np.float64), id=np.arange(N_ROWS))
    return open_points(
        "image", folder, pool=str(folder / "rows.parquet"), kind="lorentz", curvature=0.5
    )


SOURCES = {
    "step": (of_step, Space(DIM, 0.1, "tangent", WEIGHTS), np.float32),
    "adapter": (of_adapter, small_adapter().space, np.float32),
    "archive": (of_archive, Space(DIM, 2.0, "tangent", "mine"), np.float32),
    "parquet": (of_parquet, Space(DIM + 1, 0.5, "lorentz"), np.float64),
}


@pytest.fixture(scope="module", params=sorted(SOURCES))
def source(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Points, Space, Any]]:
    make, space, dtype = SOURCES[request.param]
    points = make(tmp_path_factory.mktemp(request.param))
    yield points, space, np.dtype(dtype)
    points.read(N_ROWS - 1, N_ROWS)  # a compressed archive is closed after its last row


def test_every_source_gives_points(source: tuple[Points, Space, Any]) -> None:
    points, space, dtype = source
    assert (points.side, points.space, points.n_rows) == ("image", space, N_ROWS)
    rows, reasons = points.read(0, N_ROWS)
    assert rows.shape == (N_ROWS, space.dim) and rows.dtype == dtype
    assert reasons == BAD
    assert not rows[[2, 9]].any()
    good = np.setdiff1d(np.arange(N_ROWS), [2, 9])
    found = lorentz.radii(rows[good], curvature=space.curvature, kind=space.kind)
    assert found.counts == {"ok": N_ROWS - 2}
    assert len(points.ids()) == N_ROWS
    assert sum(unit.n_rows for unit in points.units(4)) == N_ROWS
    assert points.inputs()
    assert points.recipe() == {"embedding": points.pool.embedding, "space": space.recipe()}


@given(data=st.data())
def test_any_cut_and_any_order_give_the_same_bits(
    source: tuple[Points, Space, Any], data: st.DataObject
) -> None:
    points, _, _ = source
    whole, _ = points.read(0, N_ROWS)
    start = data.draw(st.integers(0, N_ROWS - 1))
    stop = data.draw(st.integers(start + 1, N_ROWS))
    numbers = data.draw(st.lists(st.integers(0, N_ROWS - 1), max_size=12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "WINDOW_ROWS", data.draw(st.integers(1, 30)))
        rows, reasons = points.read(start, stop)
        taken, told = points.take(np.array(numbers, np.int64))
    assert rows.tobytes() == whole[start:stop].tobytes()
    assert reasons == {row - start: why for row, why in BAD.items() if start <= row < stop}
    assert taken.tobytes() == whole[numbers].tobytes()
    assert told == {place: BAD[row] for place, row in enumerate(numbers) if row in BAD}


def test_tangent_vectors_are_not_normalised(tmp_path: Path) -> None:
    rows, _ = of_step(tmp_path).read(0, N_ROWS)
    good = np.setdiff1d(np.arange(N_ROWS), [2, 9])
    assert np.array_equal(rows[good], tangents()[good])


def test_an_adapter_takes_canonical_rows(tmp_path: Path) -> None:
    rows, _ = of_adapter(tmp_path).read(0, N_ROWS)
    frozen, _ = canonical(tangents(3.0))
    assert np.array_equal(rows, small_adapter().project(frozen, "image"))


def test_the_reasons_of_the_step_are_told(tmp_path: Path) -> None:
    told = {"image": {2: "image is truncated", 12: "not bad after all"}}
    write_step(tmp_path / "embeddings/x", ENCODER, {"image": cut(tangents())}, told)
    points = open_points("image", tmp_path, step="x")
    assert points.read(0, N_ROWS)[1] == BAD | {2: "image is truncated"}
    assert points.take(np.array([12, 2]))[1] == {1: "image is truncated"}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("kind", "rows", "reasons"),
    [
        ("tangent", [[1, 0], [0, 0], [60000, 0]], {1: "is zero"}),
        ("space", [[1, 0], [-0.0, 0], [60000, 0]], {1: "is zero"}),
        (
            "poincare",
            [[0.5, 0], [1, 0], [0, 0], [0, np.inf]],
            {1: "is no point of its space", 2: "is zero", 3: "has an infinite value"},
        ),
        (
            "lorentz",
            [[2, 3**0.5], [2, 1], [1, 0], [0, 0], [np.nan, 0]],
            {1: "is no point of its space", 2: "is the origin", 3: "is zero", 4: "has a NaN"},
        ),
    ],
)
def test_rows_that_are_no_points(
    kind: Any, rows: list[list[float]], reasons: dict[int, str], dtype: Any, tmp_path: Path
) -> None:
    stored = np.array(rows, dtype)
    np.save(tmp_path / "rows.npy", stored)
    points = open_points(
        "text", tmp_path, pool=str(tmp_path / "rows.npy"), kind=kind, curvature=1.0
    )
    found, told = points.read(0, len(stored))
    assert told == {row: f"text embedding {why}" for row, why in reasons.items()}
    stored[list(reasons)] = 0
    assert found.dtype == dtype and np.array_equal(found, stored)
    assert points.take(np.arange(len(stored)))[1] == told


def test_what_a_map_takes_to_nothing(tmp_path: Path) -> None:
    rows = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], np.float16)
    np.save(tmp_path / "rows.npy", rows)
    weight = np.array([[1, 0, 0]], np.float16)
    adapter = small_adapter(image=3, dim=1)
    adapter = type(adapter)(
        {"image": weight, "text": weight}, adapter.scales, adapter.curvature, adapter.logit_scale
    )
    points = open_points("image", tmp_path, pool=str(tmp_path / "rows.npy"), adapter=adapter)
    expected = {1: "image tangent vector is zero", 2: "image embedding is zero"}
    assert list(points.read(0, 3)[1].items()) == list(expected.items())
    assert points.take(np.array([2, 1, 1]))[1] == {0: expected[2], 1: expected[1], 2: expected[1]}
