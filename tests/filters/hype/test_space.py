"""What a space is, and when two are one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tamis.errors import PoolError
from tamis.filters.hype.space import Space

SPACE = Space(8, 0.1, "tangent", "sha256:00")


def test_a_recipe_is_json_and_says_all() -> None:
    recipe = json.loads(json.dumps(SPACE.recipe()))
    assert Space.of(recipe) == SPACE
    assert Space(8, 2) == Space.of({"dim": 8, "curvature": 2.0, "kind": "tangent", "model": None})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dim": 0}, "expected tangent rows of at least 1 columns, got 0"),
        ({"dim": 8.0}, "got 8.0"),
        ({"dim": True}, "got True"),
        ({"dim": 1, "kind": "lorentz"}, "expected lorentz rows of at least 2 columns, got 1"),
        ({"curvature": 0.0}, "expected a curvature that is a finite number above 0, got 0.0"),
        ({"curvature": -1}, "got -1"),
        ({"curvature": float("nan")}, "got nan"),
        ({"curvature": float("inf")}, "got inf"),
        ({"curvature": 10**400}, "got 1000"),
        ({"curvature": "1"}, "got '1'"),
        ({"curvature": True}, "got True"),
        ({"kind": "klein"}, "tangent, space, lorentz, poincare, got 'klein'"),
        ({"kind": ["tangent"]}, r"got \['tangent'\]"),
        ({"model": 3}, "expected the name of a model, or none, got 3"),
        ({"radius": 3}, "expected a space with dim, curvature, kind, model"),
    ],
)
def test_what_is_no_space(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Space.of(SPACE.recipe() | change)


@pytest.mark.parametrize("recipe", [None, 3, [], "space", {}, {"dim": 8}])
def test_what_describes_none(recipe: object) -> None:
    with pytest.raises(ValueError, match="expected a space with dim, curvature, kind, model, got"):
        Space.of(recipe)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (Space(9, 0.1, "tangent", "sha256:00"), "dimensions 8 and 9"),
        (Space(9, 0.2), "dimensions 8 and 9"),
        (Space(8, 0.1000000001, "tangent", "sha256:00"), "curvature 0.1 and 0.1000000001"),
        (Space(8, 0.1, "space", "sha256:00"), "kind of rows tangent and space"),
        (Space(8, 0.1, "tangent", "sha256:01"), "model sha256:00 and sha256:01"),
    ],
)
def test_the_first_difference_is_named(other: Space, told: str) -> None:
    with pytest.raises(PoolError) as caught:
        SPACE.require_same(other, "the images", "the reference r")
    assert str(caught.value) == (
        f"the images and the reference r belong to different spaces: {told}; "
        "take both from one model"
    )


def test_an_unknown_model_matches_any() -> None:
    for other in (SPACE, Space(8, 0.1)):
        SPACE.require_same(other, "a", "b")
        other.require_same(SPACE, "a", "b")
