"""Recipes: one hash, clear differences, TOML that reads back."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.run.recipe import config_hash, recipe_changes, to_toml

plain_values = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text() | st.floats(
    allow_nan=False, allow_infinity=False
)  # fmt: skip


@given(st.dictionaries(st.text(), plain_values | st.dictionaries(st.text(), plain_values)))
def test_toml_reads_back_but_for_what_was_not_given(recipe: dict) -> None:
    def given_only(table: dict) -> dict:
        return {
            key: given_only(value) if isinstance(value, dict) else value
            for key, value in table.items()
            if value is not None
        }

    assert tomllib.loads(to_toml(recipe)) == given_only(recipe)


def test_hash_and_changes() -> None:
    assert config_hash({"a": (1, 2)}) == config_hash({"a": [1, 2]})
    assert config_hash({"a": 1}) != config_hash({"a": 1.5})
    assert recipe_changes({"a": {}}, {"a": {}}) == []
    assert recipe_changes({"a": None}, {"a": 0}) == ["a: null -> 0"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        config_hash({"a": float("nan")})
