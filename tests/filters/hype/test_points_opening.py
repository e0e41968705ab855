"""What rows can be opened as points, and which two sides belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.filters.hype.makers import (
    BAD,
    DIM,
    ENCODER,
    N_ROWS,
    cut,
    random_rows,
    small_adapter,
    tangents,
    write_step,
)

from tamis.errors import PoolError, RunError
from tamis.filters.hype.frozen import open_frozen
from tamis.filters.hype.points import PointPairs, Points, open_points
from tamis.filters.hype.space import Space
from tamis.run.pool_link import remember_pool


def declared(folder: Path, **options: Any) -> Points:
    np.save(folder / "rows.npy", tangents())
    return open_points("image", folder, pool=str(folder / "rows.npy"), **options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, r"\(--adapter\) or the curvature .* for the image rows of .*rows.npy: they are no"),
        ({"adapter": small_adapter(), "curvature": 1.0}, "an adapter or a curvature, not both"),
        ({"kind": "space"}, "with a curvature only; an adapter, or the enc"),
        ({"model": "x"}, "expected a kind or a model of rows with a curvature only; an adapter"),
        (
            {"adapter": small_adapter(), "kind": "space"},
            "with a curvature only; an adapter, or the enc",
        ),
        ({"curvature": 0.0}, "finite number above 0, got 0.0"),
        ({"curvature": -2.0}, "finite number above 0, got -2.0"),
        ({"curvature": float("nan")}, "finite number above 0, got nan"),
        ({"curvature": 1.0, "kind": "klein"}, "got 'klein'"),
        ({"adapter": small_adapter(image=9)}, "takes image embeddings of 9 dimensions, these have"),
    ],
)
def test_what_rows_cannot_be(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        declared(tmp_path, **options)


FLAT = {"model": "open_clip:x", "weights": "cd" * 32}


@pytest.mark.parametrize(
    ("encoder", "options", "told"),
    [
        (ENCODER, {"curvature": 0.1}, "expected no curvature for .*: an embed step says what"),
        (FLAT, {"curvature": 0.1}, "expected no curvature for .*: an embed step says what"),
        (ENCODER, {"adapter": small_adapter()}, "holds tangent vectors of a hyperbolic encoder"),
        (FLAT, {}, "they are no embed step of a hyperbolic encoder"),
        ({**ENCODER, "curvature": 0}, {}, "finite number above 0, got 0"),
        (
            FLAT,
            {"adapter": small_adapter(origins={"image": {"encoder": FLAT | {"weights": "ef"}}})},
            r"trained on image embeddings of open_clip:x \(ef\), these are of open_clip:x \(cdcd",
        ),
    ],
)
@pytest.mark.parametrize("named", ["step", "pool", "folder"])
def test_what_a_step_cannot_be(
    encoder: dict[str, Any], options: dict[str, Any], told: str, named: str, tmp_path: Path
) -> None:
    step = tmp_path / "embeddings/x"
    write_step(step, encoder, {"image": cut(tangents())})
    places = {"step": "x", "pool": str(step), "folder": str(step / "img_emb")}
    place: dict[str, Any] = {"step" if named == "step" else "pool": places[named]}
    with pytest.raises(ValueError, match=told):
        open_points("image", tmp_path, **place, **options)


def test_frozen_rows_say_what_they_are(tmp_path: Path) -> None:
    write_step(tmp_path / "embeddings/x", FLAT, {"image": cut(tangents())})
    expected = {"embedding": "img_emb", "dim": DIM, "encoder": FLAT}
    by_step = open_frozen("image", tmp_path, step="x")
    assert by_step.origin == expected
    assert open_frozen("image", tmp_path, pool=str(tmp_path / "embeddings/x")).origin == expected
    adapter = small_adapter(origins={"image": by_step.origin})
    assert open_points("image", tmp_path, step="x", adapter=adapter).n_rows == N_ROWS
    np.save(tmp_path / "rows.npy", tangents())
    remember_pool(tmp_path / "run", str(tmp_path / "rows.npy"))
    origin = {"embedding": None, "dim": DIM, "encoder": None}
    assert open_frozen("image", tmp_path / "run").origin == origin
    folder = tmp_path / "with a manifest of its own"
    folder.mkdir()
    (folder / "manifest.json").write_text("[]")
    np.save(folder / "rows.npy", tangents())
    assert open_frozen("image", tmp_path, pool=str(folder)).origin == origin


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_another_model(precision: str, tmp_path: Path) -> None:
    rows = {"image": cut(tangents())}
    told = {"": ENCODER, "whole": ENCODER | {"precision": "fp32"}}
    told["half"] = ENCODER | {"precision": precision}
    spaces = {}
    for name, encoder in told.items():
        write_step(tmp_path / f"embeddings/x{name}", encoder, rows)
        spaces[name] = open_points("image", tmp_path, step=f"x{name}").space
    assert spaces["whole"] == spaces[""] and spaces["whole"].model == ENCODER["weights"]
    assert spaces["half"].model == f"{ENCODER['weights']}:{precision}"
    with pytest.raises(PoolError, match=f"different spaces: model .* and .*:{precision}; take"):
        spaces["whole"].require_same(spaces["half"], "the images", "the reference")


def test_a_step_that_is_not_there_or_has_not_ended(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a tamis run"):
        open_points("image", tmp_path, step="x")
    with pytest.raises(ValueError, match="not both"):
        open_points("image", tmp_path, step="x", embedding="img_emb")


def sides(folder: Path, images: np.ndarray, texts: np.ndarray, **options: Any) -> PointPairs:
    opened = []
    for side, rows in (("image", images), ("text", texts)):
        np.save(folder / f"{side}.npy", rows)
        opened.append(open_points(side, folder, pool=str(folder / f"{side}.npy"), **options))
    return PointPairs(*opened)


def test_both_sides_by_unit(tmp_path: Path) -> None:
    images, texts = tangents(), random_rows(N_ROWS, DIM, seed=1)
    texts[[9, 20]] = 0
    both = sides(tmp_path, images, texts, curvature=0.3)
    reasons = {}
    for unit in both.units(7):
        read = both.read(unit)
        part = slice(unit.first_row, unit.first_row + unit.n_rows)
        assert np.array_equal(read.texts, texts[part])
        assert np.array_equal(read.images[read.usable], images[part][read.usable])
        reasons |= {unit.first_row + row: why for row, why in read.reasons.items()}
    assert reasons == BAD | {
        9: "image embedding has a NaN; text embedding is zero",
        20: "text embedding is zero",
    }
    assert (both.n_rows, both.space, len(both.ids())) == (N_ROWS, Space(DIM, 0.3), N_ROWS)
    assert [file.path for file in both.inputs()] == ["image.npy", "text.npy"]
    side = {"embedding": None, "space": Space(DIM, 0.3).recipe()}
    assert both.recipe() == {"image": side, "text": side}


def test_an_adapter_brings_both_sides_into_one_space(tmp_path: Path) -> None:
    adapter = small_adapter()
    both = sides(tmp_path, tangents(), random_rows(N_ROWS, 6, seed=1), adapter=adapter)
    assert both.space == adapter.space
    read = both.read(both.units(100)[0])
    assert read.images.shape == read.texts.shape == (N_ROWS, 5)


@pytest.mark.parametrize(
    ("texts", "options", "told"),
    [
        (random_rows(N_ROWS - 1, DIM), {"curvature": 0.3}, "have 23 rows, the text embeddings of"),
        (random_rows(N_ROWS, 6), {"curvature": 0.3}, "different spaces: dimensions 8 and 6"),
        (random_rows(N_ROWS, DIM), {"curvature": 0.4}, "spaces: curvature 0.3 and 0.4"),
        (random_rows(N_ROWS, DIM), {"curvature": 0.3, "kind": "space"}, "kind of rows tangent and"),
        (random_rows(N_ROWS, DIM), {"curvature": 0.3, "model": "b"}, "model a and b"),
    ],
)
def test_sides_that_do_not_belong_together(
    texts: np.ndarray, options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    images = declared(tmp_path, curvature=0.3, model="a")
    np.save(tmp_path / "texts.npy", texts)
    opened = open_points("text", tmp_path, pool=str(tmp_path / "texts.npy"), **options)
    with pytest.raises(PoolError, match=told):
        PointPairs(images, opened)


def test_sides_with_other_ids(tmp_path: Path) -> None:
    images = declared(tmp_path, curvature=0.3)
    np.save(tmp_path / "named.npy", tangents())
    np.save(tmp_path / "named.ids.npy", np.arange(N_ROWS))
    texts = open_points("text", tmp_path, pool=str(tmp_path / "named.npy"), curvature=0.3)
    with pytest.raises(PoolError, match="other ids or another order"):
        PointPairs(images, texts)
