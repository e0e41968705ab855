"""Maps of text probability become the regions that DB's formula says."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tamis.filters.tmars.db_regions import MOST_COMPONENTS, DbRules
from tamis.filters.tmars.polygons import BROKEN_MAP

SIDE = 96


def map_with(*blocks: tuple[int, int, int, int], value: float = 0.9) -> np.ndarray:
    """Zero but for blocks (left, top, right, bottom)."""
    probability = np.zeros((SIDE, SIDE), np.float32)
    for left, top, right, bottom in blocks:
        probability[top:bottom, left:right] = value
    return probability


def box(polygon: np.ndarray) -> list[float]:
    return [*polygon.min(0).tolist(), *polygon.max(0).tolist()]


def test_a_rectangle_grows_by_the_formula() -> None:
    """40 x 10 pixels, unclip 1.6: 1.6 * 400 / 100 = 6.4 pixels on every side."""
    (polygon,) = DbRules().regions(map_with((20, 30, 60, 40))).polygons
    assert box(polygon) == pytest.approx([13.6, 23.6, 66.4, 46.4], abs=1e-4)
    assert len(polygon) == 4


def test_without_growth_a_quad_covers_the_component_exactly() -> None:
    (polygon,) = DbRules(unclip=0).regions(map_with((20, 30, 60, 40))).polygons
    assert box(polygon) == pytest.approx([20, 30, 60, 40], abs=1e-4)


@pytest.mark.parametrize("unclip", [0, 1.6])
def test_a_polygon_follows_the_outline(unclip: float) -> None:
    """The component of an L; growth rounds its corners."""
    probability = map_with((10, 10, 20, 70), (10, 60, 70, 70))
    (polygon,) = DbRules(unclip=unclip, shape="polygon").regions(probability).polygons
    pixels = shapely.union_all(
        [shapely.box(x, y, x + 1, y + 1) for y, x in np.argwhere(probability > 0.3).tolist()]
    )
    exact = pixels.buffer(unclip * pixels.area / pixels.length)
    found = shapely.Polygon(polygon)
    overlap = found.intersection(exact).area / found.union(exact).area
    assert found.is_valid and overlap > 0.96


def test_what_counts_as_text() -> None:
    probability = map_with((5, 5, 35, 15), value=0.65)
    probability[40:50, 5:35] = 0.45
    probability[70:80, 5:35] = 0.3
    assert len(DbRules(min_score=0).regions(probability).polygons) == 2  # 0.3 is not above 0.3
    assert DbRules().regions(probability).scores.tolist() == pytest.approx([0.65])
    assert len(DbRules(threshold=0.5, min_score=0).regions(probability).polygons) == 1
    assert not DbRules(min_score=0.7).regions(probability).polygons


@pytest.mark.parametrize(("short", "found"), [(1, 0), (2, 0), (3, 1), (4, 1)])
def test_thin_components_are_dropped(short: int, found: int) -> None:
    assert len(DbRules().regions(map_with((5, 5, 60, 5 + short))).polygons) == found


def test_the_score_is_the_mean_inside_the_component() -> None:
    probability = map_with((10, 10, 20, 70), (10, 60, 70, 70), value=0.5)
    probability[10:40, 10:20] = 1.0
    expected = probability[probability > 0.3].mean()
    scores = DbRules(min_score=0.4).regions(probability).scores
    assert scores.tolist() == pytest.approx([expected], abs=1e-6)


@given(
    st.integers(20, 76),
    st.integers(20, 76),
    st.integers(8, 30),
    st.integers(6, 12),
    st.floats(0, 180),
)
def test_a_turned_rectangle_is_found_where_it_is(
    x: int, y: int, half_width: int, height: int, angle: float
) -> None:
    probability = np.zeros((128, 128), np.float32)
    corners = cv2.boxPoints(((x + 16, y + 16), (2 * half_width, height), angle))
    cv2.fillPoly(probability, [np.round(corners).astype(np.int32)], 1.0)
    (polygon,) = DbRules(unclip=0).regions(probability).polygons
    y_set, x_set = np.nonzero(probability)
    inside = shapely.contains_xy(shapely.Polygon(polygon).buffer(0.25), x_set + 0.5, y_set + 0.5)
    assert inside.mean() > 0.99
    assert shapely.Polygon(polygon).area < 1.4 * len(x_set)


@pytest.mark.parametrize("shape", ["quad", "polygon"])
@pytest.mark.parametrize("fill", ["noise", "zero", "one", "nan", "inf"])
def test_any_map_gives_regions(shape: Any, fill: str) -> None:
    values = {"zero": 0.0, "one": 1.0, "nan": np.nan, "inf": np.inf}
    probability = np.full((64, 96), values.get(fill, 0), np.float32)
    if fill == "noise":
        probability[:] = np.random.default_rng(0).random((64, 96)) ** 0.3
    found = DbRules(shape=shape, min_score=0.1).regions(probability)
    assert len(found.polygons) == len(found.scores) <= MOST_COMPONENTS
    assert bool(found.polygons) == (fill in ("noise", "one"))
    assert found.reason == (BROKEN_MAP if fill in ("nan", "inf") else None)


def test_the_number_of_regions_is_bounded() -> None:
    probability = np.zeros((512, 512), np.float32)
    for y in range(0, 512, 8):
        for x in range(0, 512, 8):
            probability[y : y + 4, x : x + 4] = 1
    assert len(DbRules().regions(probability).polygons) == MOST_COMPONENTS


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": -0.1},
        {"threshold": float("nan")},
        {"min_score": 1.1},
        {"unclip": -1},
        {"unclip": float("inf")},
        {"shape": "circle"},
    ],
)
def test_rules_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        DbRules(**wrong)
