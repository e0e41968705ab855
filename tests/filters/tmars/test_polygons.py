"""Polygons of any detector: made sound where they can be, refused where they are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tamis.filters.tmars import polygons
from tamis.filters.tmars.polygons import PolygonFault, clean

NUMBERS = st.one_of(
    st.integers(-30, 130).map(float),
    st.floats(-1e9, 1e9),
    st.sampled_from([0.0, 100.0, 60.0, -1e300, 1e300]),
)
POLYGONS = st.lists(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=9), max_size=4)
WIDTH, HEIGHT = 100, 60
FRAME = shapely.box(0, 0, WIDTH, HEIGHT)


def filled(shape: Any) -> Any:
    """What covers the holes of a polygon too."""
    parts = [
        shapely.Polygon(piece.exterior)
        for part in shapely.get_parts(shape).tolist()
        for piece in shapely.get_parts(part).tolist()
        if piece.geom_type == "Polygon" and piece.area >= polygons.SMALLEST_AREA
    ]
    return shapely.union_all(parts)


@given(POLYGONS)
def test_whatever_comes_is_sound_afterwards(given_polygons: list[Any]) -> None:
    found = clean(given_polygons, [0.5] * len(given_polygons), WIDTH, HEIGHT)
    assert len(found.polygons) == len(found.scores)
    for polygon in found.polygons:
        assert polygon.dtype == np.float32 and polygon.ndim == 2 and len(polygon) >= 3
        assert (polygon >= 0).all() and (polygon <= (WIDTH, HEIGHT)).all()
        assert (polygon[0] != polygon[-1]).any()
        assert shapely.Polygon(polygon).area > 0.9


@given(st.lists(st.tuples(st.integers(-20, 120), st.integers(-20, 80)), min_size=3, max_size=8))
def test_what_was_covered_inside_the_image_stays_covered(corners: list[Any]) -> None:
    expected = filled(
        shapely.intersection(shapely.make_valid(shapely.Polygon(np.array(corners, float))), FRAME)
    )
    found = clean([corners], [1], WIDTH, HEIGHT)
    covered = shapely.union_all([shapely.Polygon(polygon).buffer(0) for polygon in found.polygons])
    assert shapely.symmetric_difference(covered, expected).area < 1e-2


def test_sound_polygons_come_back_as_they_are() -> None:
    given_polygons = [
        np.array([[0, 0], [100, 0], [100, 60], [0, 60]], np.float32),
        np.array([[10.3, 5], [20, 5.7], [15.1, 40.2]], np.float32),
    ]
    found = clean(given_polygons, [0.25, 0.75], WIDTH, HEIGHT)
    assert [p.tobytes() for p in found.polygons] == [p.tobytes() for p in given_polygons]
    assert found.scores.tolist() == [0.25, 0.75]


def test_a_bow_tie_becomes_two_triangles_with_its_score() -> None:
    found = clean([[[0, 0], [20, 20], [20, 0], [0, 20]]], [0.5], WIDTH, HEIGHT)
    assert [shapely.Polygon(p).area for p in found.polygons] == [100, 100]
    assert found.scores.tolist() == [0.5, 0.5]


def test_tangles_that_would_take_minutes_are_refused() -> None:
    tangle = np.random.default_rng(0).uniform(0, 60, (50, 2))
    assert len(clean([tangle] * 2, [1, 1], WIDTH, HEIGHT).polygons) > 100
    for many in ([tangle] * 9, [np.tile(tangle, (99, 1))], [tangle] * 999):
        with pytest.raises(PolygonFault) as fault:
            clean(many, [1] * len(many), WIDTH, HEIGHT)
        assert fault.value.reason == polygons.TANGLED


def test_corners_that_rounding_makes_one_are_one() -> None:
    (found,) = clean([[[0, 1e-89], [1, 2], [1, -100], [0, -100]]], [1], WIDTH, HEIGHT).polygons
    assert found.tolist() == [[0, 0], [1, 2], [1, 0]]
    (found,) = clean([[[0, -1.2e-38], [2, 60], [2.9e-307, 1]]], [1], WIDTH, HEIGHT).polygons
    assert (found >= 0).all()


def test_holes_are_filled() -> None:
    ring = [(0, 0), (40, 0), (40, 40), (0, 40), (0, 0), (10, 10), (10, 30), (30, 30), (30, 10)]
    found = clean([[*ring, (10, 10)]], [1], WIDTH, HEIGHT)
    assert sum(shapely.Polygon(p).area for p in found.polygons) == 1600


@pytest.mark.parametrize(
    "nothing",
    [
        [[0, 0], [9, 9], [5, 5]],
        [[200, 0], [300, 0], [300, 50]],
        [[1, 1], [1, 1], [1, 1]],
        [[5, 5], [5.5, 5], [5.5, 5.5], [5, 5.5]],
    ],
    ids=["on a line", "outside", "a point", "too small"],
)
def test_what_covers_no_pixel_is_dropped(nothing: Any) -> None:
    kept = [[0, 0], [4, 0], [4, 4]]
    found = clean([nothing, kept], [0.5, 0.25], WIDTH, HEIGHT)
    assert [p.tolist() for p in found.polygons] == [kept]
    assert found.scores.tolist() == [0.25]


@pytest.mark.parametrize(
    ("polygon", "reason"),
    [
        ([[0, 0], [1, 1]], polygons.NO_POLYGON),
        ([], polygons.NO_POLYGON),
        ([1, 2, 3], polygons.NO_POLYGON),
        ([[0, 0, 0], [1, 1, 1], [2, 0, 0]], polygons.NO_POLYGON),
        ([[0, 0], [1], [2, 2]], polygons.NO_POLYGON),
        ("text", polygons.NO_POLYGON),
        (None, polygons.NO_POLYGON),
        ([[0, 0], [4, None], [4, 4]], polygons.NOT_FINITE),
        ([[0, 0], [4, np.nan], [4, 4]], polygons.NOT_FINITE),
        ([[0, 0], [np.inf, 4], [4, 4]], polygons.NOT_FINITE),
    ],
)
def test_what_is_no_polygon_is_refused(polygon: Any, reason: str) -> None:
    with pytest.raises(PolygonFault) as fault:
        clean([[[0, 0], [4, 0], [4, 4]], polygon], [1, 1], WIDTH, HEIGHT)
    assert fault.value.reason == reason


@pytest.mark.parametrize("scores", [[], [1, 1], [np.nan], [np.inf]])
def test_a_polygon_without_a_score_is_refused(scores: list[float]) -> None:
    with pytest.raises(PolygonFault, match=polygons.NO_SCORE):
        clean([[[0, 0], [4, 0], [4, 4]]], scores, WIDTH, HEIGHT)


def test_caps() -> None:
    triangle = [[0, 0], [4, 0], [4, 4]]
    most = polygons.MOST_POLYGONS
    assert len(clean([triangle] * most, [1] * most, WIDTH, HEIGHT).polygons) == most
    with pytest.raises(PolygonFault, match="more than"):
        clean([triangle] * (most + 1), [1] * (most + 1), WIDTH, HEIGHT)
    long = np.zeros((polygons.MOST_CORNERS + 1, 2))
    with pytest.raises(PolygonFault, match="more than"):
        clean([long], [1], WIDTH, HEIGHT)
    # A comb whose teeth leave the image falls into more parts than allowed.
    teeth = [point for x in range(0, 40_000, 4) for point in ((x, -5), (x + 2, 50))]
    with pytest.raises(PolygonFault, match="more than"):
        clean([[*teeth, (40_000, -9), (0, -9)]], [1], 40_000, HEIGHT)


def test_no_polygons() -> None:
    found = clean([], [], WIDTH, HEIGHT)
    assert found.polygons == [] and found.scores.shape == (0,)


def test_large_regions_that_lie_on_one_another() -> None:
    frame = np.array([[0, 0], [2000, 0], [2000, 2000], [0, 2000]])
    assert len(polygons.clean([frame] * 64, [1.0] * 64, 2000, 2000).polygons) == 64
    with pytest.raises(polygons.PolygonFault, match=polygons.PILED):
        polygons.clean([frame] * 65, [1.0] * 65, 2000, 2000)
    assert len(polygons.clean([frame / 20] * 1000, [1.0] * 1000, 100, 100).polygons) == 1000
